import { assert, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { Elicitation, McpClient, McpSchema } from "mcp-connect"
import * as NodeMcp from "mcp-connect/node"
import { MockServer } from "mcp-connect/testing"

// Asks in the middle of a call, in whichever way the client's revision has for it.
const shop = {
  tools: {
    buy: MockServer.tool({
      input: Schema.Struct({ item: Schema.String }),
      run: Effect.fn(function*({ item }, call) {
        const answer = yield* call.elicit({
          message: `How many ${item}s?`,
          schema: Schema.Struct({ count: Schema.Int })
        })
        return answer.action === "accept" ? `Bought ${answer.content.count}` : "Bought nothing"
      })
    })
  }
}

const client = McpClient.layer().pipe(
  Layer.provide(Elicitation.layer({ form: () => Effect.succeed({ action: "accept", content: { count: 3 } }) }))
)

const test = Effect.gen(function*() {
  const client = yield* McpClient.McpClient
  const { content } = yield* client.callToolOrFail("buy", { item: "apple" })
  assert.strictEqual(McpSchema.textOf(content), "Bought 3")
})

const http = Layer.mergeAll(NodeMcp.layer, NodeMcp.layerHttpServer())
const pipes = Layer.mergeAll(NodeMcp.layer, NodeMcp.layerSocketServer())

it.effect("over memory", () =>
  test.pipe(Effect.provide(client.pipe(Layer.provide(MockServer.layerTransport(shop, { era: "legacy" }))))))

it.live("over HTTP", () =>
  test.pipe(Effect.provide(client.pipe(Layer.provide(MockServer.layerHttp(shop)), Layer.provide(http)))))

it.live("over a WebSocket", () =>
  test.pipe(Effect.provide(client.pipe(Layer.provide(MockServer.layerWebSocket(shop)), Layer.provide(http)))))

it.live("over the pipes of a child process", () =>
  test.pipe(Effect.provide(client.pipe(Layer.provide(MockServer.layerStdio(shop)), Layer.provide(pipes)))))
