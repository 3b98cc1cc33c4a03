import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SocketServer from "effect/socket/SocketServer"
import * as Stream from "effect/Stream"
import { once } from "node:events"
import { connect } from "node:net"
import * as Elicitation from "../../src/Elicitation.ts"
import * as McpClient from "../../src/McpClient.ts"
import type * as McpError from "../../src/McpError.ts"
import * as NodeMcp from "../../src/node.ts"
import * as McpSchema from "../../src/protocol/McpSchema.ts"
import { MockServer } from "../../src/testing/index.ts"
import type { Transport } from "../../src/Transport.ts"

const declaration = {
  tools: {
    echo: (args) => Effect.succeed(String(args.message)),
    slow: () => Effect.never,
    order: MockServer.tool({
      input: Schema.Struct({ dish: Schema.String }),
      output: Schema.Struct({ dish: Schema.String, pieces: Schema.Finite }),
      run: Effect.fnUntraced(function*({ dish }, call) {
        yield* call.progress({ progress: 1, total: 2 })
        const answer = yield* call.elicit({ message: `How many ${dish}?`, schema: Schema.Struct({ pieces: Schema.Int }) })
        return { dish, pieces: answer.action === "accept" ? answer.content.pieces : 0 }
      })
    })
  }
} satisfies MockServer.Declaration

const platform = Layer.mergeAll(NodeMcp.layer, NodeMcp.layerHttpServer(), NodeMcp.layerSocketServer())
const user = Elicitation.layer({ form: () => Effect.succeed({ action: "accept", content: { pieces: 4 } }) })

const connected = <R>(mock: Layer.Layer<Transport | MockServer.MockServer, McpError.McpError, R>) =>
  McpClient.layer().pipe(Layer.provide(user), Layer.provideMerge(mock))

const depths = (era: "modern" | "legacy") => ({
  stdio: connected(MockServer.layerStdio(declaration, { era, node: process.execPath })).pipe(Layer.provide(platform)),
  http: connected(MockServer.layerHttp(declaration, { era })).pipe(Layer.provide(platform)),
  websocket: connected(MockServer.layerWebSocket(declaration, { era })).pipe(Layer.provide(platform))
})

describe.each(["modern", "legacy"] as const)("a %s mock server", (era) => {
  describe.each(["stdio", "http", "websocket"] as const)("over real %s", (depth) => {
    const layer = depths(era)[depth]

    it.live("is really spoken to over it", () =>
      Effect.gen(function*() {
        const client = yield* McpClient.McpClient
        assert.deepStrictEqual([client.era, client.transport], [era, depth === "websocket" ? "ws" : depth])
        const { content } = yield* client.callTool("echo", { message: "über" })
        assert.strictEqual(McpSchema.textOf(content), "über")
      }).pipe(Effect.provide(layer)))

    it.live("asks the user and tells progress from inside a tool", () =>
      Effect.gen(function*() {
        const client = yield* McpClient.McpClient
        const told: Array<number> = []
        const order = yield* client.callToolAs("order", { dish: "pizza" }, Schema.Struct({ pieces: Schema.Finite }), {
          onProgress: ({ progress }) => Effect.sync(() => told.push(progress))
        })
        assert.deepStrictEqual(order, { pieces: 4 })
        assert.deepStrictEqual(told, [1])
      }).pipe(Effect.provide(layer)))

    it.live("hears that a call was given up", () =>
      Effect.gen(function*() {
        const client = yield* McpClient.McpClient
        const server = yield* MockServer.MockServer
        const call = yield* Effect.forkChild(client.callTool("slow"))
        yield* server.called("slow")
        yield* Fiber.interrupt(call)
        assert.strictEqual((yield* server.ended("slow"))[0]?.status, "cancelled")
      }).pipe(Effect.provide(layer)))

    it.live("tells that its tools changed", () =>
      Effect.gen(function*() {
        const client = yield* McpClient.McpClient
        const server = yield* MockServer.MockServer
        // Whoever reads may not have asked yet when the first change happens.
        const changed = yield* Effect.forkChild(Stream.runHead(client.toolsChanged))
        const changing = yield* Effect.forkChild(
          Effect.forever(Effect.andThen(server.update({ tools: { extra: () => Effect.succeed("") } }), Effect.sleep("20 millis")))
        )
        yield* Fiber.join(changed)
        yield* Fiber.interrupt(changing)
        assert.include((yield* client.listTools()).map(({ name }) => name), "extra")
      }).pipe(Effect.provide(layer)))
  })
})

it.live("the relay's socket answers nobody who does not know its secret", () =>
  Effect.gen(function*() {
    const { address } = yield* SocketServer.SocketServer
    assert("port" in address)
    const socket = connect(address.port, "127.0.0.1")
    const request = { jsonrpc: "2.0", id: 1, method: "initialize", params: { protocolVersion: "2025-11-25", capabilities: {} } }
    socket.write(`${JSON.stringify(request)}\n`)
    let heard = ""
    socket.on("data", (chunk) => {
      heard += chunk.toString()
    })
    yield* Effect.promise(() => once(socket, "close"))
    assert.notInclude(heard, "result")
  }).pipe(Effect.provide(MockServer.layerStdio(declaration).pipe(Layer.provideMerge(NodeMcp.layerSocketServer()), Layer.provide(NodeMcp.layer)))))
