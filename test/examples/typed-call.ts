import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Schema } from "effect"
import { McpClient, McpConfig } from "mcp-connect"
import * as NodeMcp from "mcp-connect/node"

const Weather = Schema.Struct({ temperature: Schema.Finite, conditions: Schema.String })

const program = Effect.gen(function*() {
  const config = yield* McpConfig.load("mcp.json")
  const client = yield* McpClient.fromConfig(yield* McpConfig.get(config, "everything"))

  // Decoded to the Schema; a failure of the tool, or a result that does not fit, is a typed error.
  const weather = yield* client.callToolAs("get-structured-content", { location: "Chicago" }, Weather)
  yield* Console.log(`It is ${weather.temperature} degrees`)

  // Thirty seconds of silence end the call; progress starts them anew, but never past five minutes.
  yield* client.callTool("trigger-long-running-operation", { duration: 1, steps: 4 }, {
    timeout: "30 seconds",
    maxTotal: "5 minutes",
    onProgress: ({ progress, total }) => Console.log(`step ${progress} of ${total}`)
  })

  yield* client.callToolOrFail("no-such-tool").pipe(
    Effect.catchReason("McpError", "ToolFailed", ({ text }) => Console.log(`refused: ${text}`)),
    Effect.catchReason("McpError", "RemoteError", ({ code }) => Console.log(`refused with code ${code}`))
  )
})

program.pipe(Effect.scoped, Effect.provide(NodeMcp.layer), NodeRuntime.runMain)
