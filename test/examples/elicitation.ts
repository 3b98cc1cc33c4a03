import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { Elicitation, McpClient, McpConfig, Roots } from "mcp-connect"
import * as NodeMcp from "mcp-connect/node"

// What is provided is declared to servers, and nothing else.
const handlers = Layer.mergeAll(
  Elicitation.layer({
    form: ({ defaults, message, server }) =>
      Effect.as(Console.log(`${server} asks: ${message}`), { action: "accept", content: { ...defaults, name: "Ann" } })
  }),
  Roots.layer([{ uri: "file:///tmp", name: "tmp" }])
)

const program = Effect.gen(function*() {
  const config = yield* McpConfig.load("mcp.json")
  const client = yield* McpClient.fromConfig(yield* McpConfig.get(config, "everything"))
  const { content } = yield* client.callTool("trigger-elicitation-request")
  yield* Console.log(content)
})

program.pipe(Effect.scoped, Effect.provide([handlers, NodeMcp.layer]), NodeRuntime.runMain)
