import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { McpConfig, McpServers } from "mcp-connect"
import * as NodeMcp from "mcp-connect/node"
import { availableParallelism } from "node:os"

// Each call keeps a core busy, so a worker takes one at a time, and there are as many workers as cores when there is work.
const config = McpConfig.fromValue({
  mcpServers: {
    worker: {
      command: "node",
      args: ["test/soak/worker.ts"],
      replicas: { min: 1, max: availableParallelism(), maxInFlight: 1, maxQueue: 256 },
      timeout: 10_000
    }
  }
})

const answer = Effect.fn(function*(request: number) {
  const servers = yield* McpServers.McpServers
  yield* servers.use("worker", (worker) => worker.callToolOrFail("spin", { millis: 5 })).pipe(
    Effect.andThen(Console.log(`${request}: 200`)),
    Effect.catch(({ reason, retry }) => Console.log(`${request}: 503, ${reason._tag}, to be made again: ${retry}`))
  )
})

// SIGTERM interrupts the program: it takes no more requests, and those that were begun are answered.
const serve = Stream.range(1, 300).pipe(
  Stream.mapEffect((request) => Effect.uninterruptible(answer(request)), { concurrency: 32 }),
  Stream.runDrain
)

// Only then the layer is closed, and with it every worker.
serve.pipe(
  Effect.ensuring(Console.log("drained")),
  Effect.provide(McpServers.layerEffect(config).pipe(Layer.provide(NodeMcp.layer))),
  NodeRuntime.runMain
)
