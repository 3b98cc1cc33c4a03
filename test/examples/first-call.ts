import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { McpClient, McpConfig } from "mcp-connect"
import * as NodeMcp from "mcp-connect/node"

const program = Effect.gen(function*() {
  const config = yield* McpConfig.load("mcp.json")
  const everything = yield* McpClient.fromConfig(yield* McpConfig.get(config, "everything"))

  const tools = yield* everything.listTools()
  yield* Console.log(`${tools.length} tools, revision ${everything.revision}`)

  const { content } = yield* everything.callTool("echo", { message: "hello" })
  yield* Console.log(content)
})

// The scope owns the server: when it closes, however it closes, the process and its children are gone.
program.pipe(Effect.scoped, Effect.provide(NodeMcp.layer), NodeRuntime.runMain)
