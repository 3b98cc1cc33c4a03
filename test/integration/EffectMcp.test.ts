import { assert, describe, it } from "@effect/vitest"
import * as EffectClient from "effect/ai/McpClient"
import * as McpProtocol from "effect/ai/McpProtocol"
import * as EffectSchema from "effect/ai/McpSchema"
import * as McpServer from "effect/ai/McpServer"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Elicitation from "../../src/Elicitation.ts"
import * as EffectMcp from "../../src/integration/EffectMcp.ts"
import * as McpClient from "../../src/McpClient.ts"
import * as MockServer from "../../src/testing/MockServer.ts"
import { textOf } from "../../src/protocol/McpSchema.ts"
import { Transport } from "../../src/Transport.ts"

const toolkit = Toolkit.make(
  Tool.make("echo", {
    description: "Returns the text",
    parameters: Schema.Struct({ text: Schema.String }),
    success: Schema.String
  }),
  Tool.make("never", { description: "Does not end", success: Schema.String })
)

/** A server of Effect's, which tells when `never` began and when it was given up. */
const make = Effect.gen(function*() {
  const begun = yield* Deferred.make<void>()
  const ended = yield* Deferred.make<void>()
  const registrations = McpServer.toolkit(toolkit).pipe(
    Layer.provide(toolkit.toLayer({
      echo: ({ text }) => Effect.succeed(text),
      never: () =>
        Deferred.succeed(begun, undefined).pipe(
          Effect.andThen(Effect.never),
          Effect.onInterrupt(() => Deferred.succeed(ended, undefined))
        )
    }))
  )
  const server = McpServer.layer({
    name: "greeter",
    version: "1.0.0",
    protocols: [McpProtocol.v2026_07_28, McpProtocol.v2025_11_25],
    registrations
  })
  return { begun, ended, transport: EffectMcp.layerServer(server) }
})

for (const pin of ["2026-07-28", "2025-11-25"] as const) {
  const protocol = pin === "2026-07-28" ? McpProtocol.v2026_07_28 : McpProtocol.v2025_11_25
  const era = pin === "2026-07-28" ? "modern" : "legacy"

  describe(`Effect's McpServer in the same program, ${era}`, () => {
    it.effect("is listed, called and told of a call that is given up", () =>
      Effect.gen(function*() {
        const { begun, ended, transport } = yield* make
        yield* Effect.gen(function*() {
          const client = yield* McpClient.McpClient
          assert.strictEqual(client.era, era)
          assert.strictEqual(client.server.info?.name, "greeter")
          assert.deepStrictEqual((yield* client.listTools()).map(({ name }) => name), ["echo", "never"])
          assert.include(textOf((yield* client.callTool("echo", { text: "hello" })).content), "hello")
          const call = yield* Effect.forkChild(client.callTool("never", {}))
          yield* Deferred.await(begun)
          yield* Fiber.interrupt(call)
          yield* Deferred.await(ended)
        }).pipe(Effect.provide(McpClient.layer({ negotiation: { pin } }).pipe(Layer.provide(transport))))
      }))

    it.effect("ends what a client has asked for when its link closes", () =>
      Effect.gen(function*() {
        const { begun, ended, transport } = yield* make
        const context = yield* Layer.build(transport)
        yield* Effect.gen(function*() {
          const client = yield* McpClient.make({ negotiation: { pin } })
          yield* Effect.forkScoped(client.callTool("never", {}))
          yield* Deferred.await(begun)
        }).pipe(Effect.scoped, Effect.provideContext(context))
        yield* Deferred.await(ended)
      }))
  })

  describe(`Effect's client over one of our transports, ${era}`, () => {
    it.effect("lists and calls, and gives calls up by interruption", () =>
      Effect.gen(function*() {
        const mock = yield* MockServer.make({
          tools: { echo: ({ text }) => Effect.succeed(String(text)), never: () => Effect.never }
        }, { era })
        yield* Effect.gen(function*() {
          const client = yield* EffectClient.make({ name: "app", version: "1.0.0" })
          const tools = yield* client.listTools()
          const [echo, never] = ["echo", "never"].map((name) => tools.find((tool) => tool.name === name))
          assert(echo !== undefined && never !== undefined)
          const result = yield* client.callTool({ tool: echo, arguments: { text: "hello" } })
          assert.deepStrictEqual(result.content.map((part) => part.type === "text" ? part.text : part.type), ["hello"])
          const call = yield* Effect.forkChild(client.callTool({ tool: never, arguments: {} }))
          yield* mock.called("never")
          yield* Fiber.interrupt(call)
          const [ended] = yield* mock.ended("never")
          assert.strictEqual(ended?.status, "cancelled")
          yield* Effect.forkChild(mock.disconnect("bye"))
          const error = yield* Effect.flip(client.callTool({ tool: never, arguments: {} }))
          assert.strictEqual(error.reason._tag, "TransportError")
          assert.include(error.message, "bye")
        }).pipe(
          Effect.scoped,
          Effect.provide(Layer.provide(
            EffectMcp.layerToEffect({ protocol }),
            Layer.succeed(Transport, mock.binding)
          ))
        )
      }))
  })

  describe(`our client over a transport of Effect's, ${era}`, () => {
    it.effect("lists and calls, gives calls up by interruption, and hears of errors", () =>
      Effect.gen(function*() {
        const mock = yield* MockServer.make({
          tools: { echo: ({ text }) => Effect.succeed(String(text)), never: () => Effect.never }
        }, { era })
        const theirs = Layer.provide(EffectMcp.layerToEffect({ protocol }), Layer.succeed(Transport, mock.binding))
        yield* Effect.gen(function*() {
          const client = yield* McpClient.McpClient
          assert.strictEqual(client.revision, pin)
          assert.deepStrictEqual((yield* client.listTools()).map(({ name }) => name), ["echo", "never"])
          assert.strictEqual(textOf((yield* client.callTool("echo", { text: "hello" })).content), "hello")
          const unknown = yield* Effect.flip(client.readResource("memo://nothing"))
          assert.include(["RemoteError", "Unsupported"], unknown.reason._tag)
          const call = yield* Effect.forkChild(client.callTool("never", {}))
          yield* mock.called("never")
          yield* Fiber.interrupt(call)
          const [ended] = yield* mock.ended("never")
          assert.strictEqual(ended?.status, "cancelled")
          yield* Effect.forkChild(mock.disconnect("bye"))
          const { reason } = yield* Effect.flip(client.callTool("never", {}))
          assert.strictEqual(reason._tag, "ConnectionClosed")
          assert.include(reason.message, "bye")
        }).pipe(Effect.provide(
          McpClient.layer({ negotiation: { pin } }).pipe(
            Layer.provide(EffectMcp.layerFromEffect),
            Layer.provide(theirs)
          )
        ))
      }))
  })
}

describe("what Effect's McpServer says by itself", () => {
  it.effect("arrives: a question in the middle of a call, and tools that were added", () =>
    Effect.gen(function*() {
      const ask = Toolkit.make(Tool.make("ask", { description: "Asks", success: Schema.String, dependencies: [EffectSchema.McpServerClient] }))
      const registrations = McpServer.toolkit(ask).pipe(
        Layer.provide(ask.toLayer({
          ask: () =>
            McpServer.elicit({ message: "Who?", schema: Schema.Struct({ name: Schema.String }) }).pipe(
              Effect.map(({ name }) => `Hello ${name}`),
              Effect.orDie
            )
        }))
      )
      const transport = EffectMcp.layerServer(
        McpServer.layer({ name: "asker", version: "1.0.0", protocols: [McpProtocol.v2025_11_25], registrations })
      )
      const answers = Elicitation.layer({ form: () => Effect.succeed({ action: "accept", content: { name: "Ada" } }) })
      yield* Effect.gen(function*() {
        const client = yield* McpClient.McpClient
        assert.include(textOf((yield* client.callTool("ask", {})).content), "Hello Ada")
        const changed = yield* Effect.forkScoped(Stream.runHead(client.toolsChanged), { startImmediately: true })
        const late = Toolkit.make(Tool.make("late", { description: "Came later", success: Schema.String }))
        yield* Layer.build(
          McpServer.toolkit(late).pipe(Layer.provide(late.toLayer({ late: () => Effect.succeed("late") })))
        )
        yield* Fiber.join(changed)
        assert.deepStrictEqual((yield* client.listTools()).map(({ name }) => name), ["ask", "late"])
      }).pipe(
        Effect.scoped,
        Effect.provide(McpClient.layer().pipe(Layer.provideMerge(transport), Layer.provide(answers)))
      )
    }))
})
