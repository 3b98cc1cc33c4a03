import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Elicitation from "../../src/Elicitation.ts"
import * as McpClient from "../../src/McpClient.ts"
import type * as McpError from "../../src/McpError.ts"
import * as McpServers from "../../src/McpServers.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import * as McpSchema from "../../src/protocol/McpSchema.ts"
import * as Revision from "../../src/protocol/Revision.ts"
import * as Roots from "../../src/Roots.ts"
import * as Sampling from "../../src/Sampling.ts"
import { MockServer } from "../../src/testing/index.ts"
import { Transport } from "../../src/Transport.ts"

/** The client and the server, in one revision, at the depth of the transport. */
const connected = <const D extends MockServer.Declaration<unknown>>(
  declaration: D,
  options: MockServer.Options & { readonly client?: McpClient.Options } = {}
) => McpClient.layer(options.client).pipe(Layer.provideMerge(MockServer.layerTransport(declaration, options)))

const textOf = ({ content }: McpSchema.CallToolResult) => McpSchema.textOf(content)

const echo = (args: { readonly [key: string]: unknown }) => Effect.succeed(String(args.message))

class Greeting extends Context.Service<Greeting, { readonly word: string }>()("test/Greeting") {}

describe.each(Revision.all)("a mock server that speaks %s", (revision) => {
  const options = { revisions: [revision] }
  const at = <const D extends MockServer.Declaration<unknown>>(declaration: D, more: MockServer.Options = {}) =>
    connected(declaration, { ...options, ...more })

  it.effect("agrees on the revision, and declares what it was declared with", () =>
    Effect.gen(function*() {
      const client = yield* McpClient.McpClient
      assert.strictEqual(client.revision, revision)
      assert.deepStrictEqual(client.server.info, { name: "mock", version: "1.0.0" })
      assert.deepStrictEqual(client.server.capabilities, { logging: {}, tools: { listChanged: true } })
      assert.deepStrictEqual(yield* client.listResources(), [])
    }).pipe(Effect.provide(at({ tools: { echo } }))))

  it.effect("refuses unknown tools, resources and prompts, and arguments that do not fit", () =>
    Effect.gen(function*() {
      const client = yield* McpClient.McpClient
      const codeOf = (effect: Effect.Effect<unknown, McpError.McpError>) =>
        Effect.map(Effect.flip(effect), ({ reason }) => reason._tag === "RemoteError" ? [reason.code, reason.detail] : [])
      assert.deepStrictEqual(yield* codeOf(client.callTool("nope")), [-32602, "Unknown tool: nope"])
      assert.deepStrictEqual(yield* codeOf(client.getPrompt("nope")), [-32602, "Unknown prompt: nope"])
      assert.deepStrictEqual(
        yield* codeOf(client.readResource("mem://nope")),
        [Revision.isModern(revision) ? -32602 : -32002, "Resource not found: mem://nope"]
      )
      assert.deepStrictEqual(
        yield* codeOf(client.callTool("add", { a: "one" })),
        [-32602, `Invalid arguments: Expected number at ["a"] Missing key at ["b"]`]
      )
      assert.deepStrictEqual(
        yield* codeOf(client.getPrompt("greet", {})),
        [-32602, "prompts/get: arguments.name: Missing key"]
      )
      assert.deepStrictEqual(yield* codeOf(client.request("no/such", {})), [-32601, "Method not found: no/such"])
      assert.deepStrictEqual(yield* codeOf(client.request("tools/list", { cursor: "bad" })), [-32602, "Invalid cursor"])
    }).pipe(Effect.provide(at({
      tools: {
        add: MockServer.tool({
          input: Schema.Struct({ a: Schema.Finite, b: Schema.Finite }),
          run: ({ a, b }) => Effect.succeed(String(a + b))
        })
      },
      resources: {},
      prompts: { greet: { arguments: [{ name: "name", required: true }], get: ({ name }) => Effect.succeed(`Hello ${name}`) } }
    }))))

  it.effect("turns a tool's failure into a result, its JsonRpcError into an error, and its death into another", () =>
    Effect.gen(function*() {
      const client = yield* McpClient.McpClient
      const failed = yield* client.callTool("fails")
      assert.strictEqual(failed.isError, true)
      assert.strictEqual(textOf(failed), "disk full")
      const refused = (yield* Effect.flip(client.callTool("refuses"))).reason
      assert.deepInclude(refused, { _tag: "RemoteError", code: -32099, detail: "not now", data: { retryAfter: 5 } })
      const died = (yield* Effect.flip(client.callTool("dies"))).reason
      assert.deepInclude(died, { _tag: "RemoteError", code: -32603 })
      assert.include(died.message, "a bug of the mock")
      const server = yield* MockServer.MockServer
      assert.deepStrictEqual((yield* server.calls).map(({ status, tool }) => [tool, status]), [
        ["fails", "done"],
        ["refuses", "failed"],
        ["dies", "failed"]
      ])
    }).pipe(Effect.provide(at({
      tools: {
        fails: () => Effect.fail({ message: "disk full" }),
        refuses: () => Effect.fail(new MockServer.JsonRpcError({ code: -32099, message: "not now", data: { retryAfter: 5 } })),
        dies: () => Effect.die(new Error("a bug of the mock"))
      }
    }))))

  it.effect("interrupts a tool's effect when the client gives up, and says so", () =>
    Effect.gen(function*() {
      const client = yield* McpClient.McpClient
      const server = yield* MockServer.MockServer
      const call = yield* Effect.forkChild(client.callTool("slow", { n: 1 }))
      yield* server.called("slow")
      yield* Fiber.interrupt(call)
      assert.deepStrictEqual(yield* server.ended("slow"), [{ tool: "slow", args: { n: 1 }, status: "cancelled" }])
    }).pipe(Effect.provide(at({ tools: { slow: () => Effect.never } }))))

  it.effect("interrupts what still runs when the session ends", () =>
    Effect.gen(function*() {
      const interrupted = yield* Deferred.make<void>()
      const server = yield* MockServer.make({
        tools: { slow: () => Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined)) }
      }, options)
      const scope = yield* Scope.make()
      const client = yield* Scope.provide(Effect.provideService(McpClient.make(), Transport, server.binding), scope)
      yield* Effect.forkChild(Effect.ignore(client.callTool("slow")))
      yield* server.called("slow")
      yield* Scope.close(scope, Exit.void)
      yield* Deferred.await(interrupted)
    }))

  it.effect("tells progress and log messages from inside a tool", () =>
    Effect.gen(function*() {
      const client = yield* McpClient.McpClient
      yield* client.setLogLevel("warning")
      const logs = yield* Effect.forkChild(Stream.runCollect(Stream.take(client.logs, 1)), { startImmediately: true })
      const told: Array<McpClient.Progress> = []
      yield* client.callTool("work", {}, { onProgress: (progress) => Effect.sync(() => told.push(progress)) })
      assert.deepStrictEqual(told.map(({ message, progress, total }) => ({ message, progress, total })), [
        { progress: 1, total: 2, message: "half" },
        { progress: 2, total: 2, message: "whole" }
      ])
      assert.deepStrictEqual([...(yield* Fiber.join(logs))], [{ level: "error", data: { loud: true }, logger: "work" }])
    }).pipe(Effect.provide(at({
      tools: {
        work: (_, call) =>
          Effect.gen(function*() {
            yield* call.progress({ progress: 1, total: 2, message: "half" })
            yield* call.log("info", "quiet")
            yield* call.log("error", { loud: true }, "work")
            yield* call.progress({ progress: 2, total: 2, message: "whole" })
            return "done"
          })
      }
    }))))

  it.effect("gives lists in pages, without losing or repeating an item", () =>
    Effect.gen(function*() {
      const client = yield* McpClient.McpClient
      assert.deepStrictEqual((yield* client.listTools()).map(({ name }) => name), ["a", "b", "c", "d", "e"])
      const pages = yield* Stream.runCollect(client.toolPages())
      assert.deepStrictEqual(pages.map((page) => page.length), [2, 2, 1])
    }).pipe(Effect.provide(at({ tools: { a: echo, b: echo, c: echo, d: echo, e: echo } }, { pageSize: 2 }))))

  it.effect("tells clients when a test changes what it has", () =>
    Effect.gen(function*() {
      const client = yield* McpClient.McpClient
      const server = yield* MockServer.MockServer
      const next = <A, E>(stream: Stream.Stream<A, E>) =>
        Effect.forkChild(Stream.runCollect(Stream.take(stream, 1)), { startImmediately: true })
      const tools = yield* next(client.toolsChanged)
      const prompts = yield* next(client.promptsChanged)
      const resources = yield* next(client.resourcesChanged)
      const file = yield* next(client.resourceUpdates("mem://a"))
      yield* client.listTools()
      yield* TestClock.adjust(0)
      yield* server.update({
        tools: { extra: echo, echo: undefined },
        prompts: { hello: () => Effect.succeed("Hello") },
        resources: { "mem://a": "two", "mem://b": "new" }
      })
      yield* Fiber.join(tools)
      yield* Fiber.join(prompts)
      yield* Fiber.join(resources)
      assert.deepStrictEqual([...(yield* Fiber.join(file))], ["mem://a"])
      assert.deepStrictEqual((yield* client.listTools()).map(({ name }) => name), ["extra"])
      assert.deepStrictEqual((yield* client.readResource("mem://a")).contents, [{ uri: "mem://a", text: "two" }])
      assert.deepStrictEqual((yield* client.listPrompts()).map(({ name }) => name), ["hello"])
    }).pipe(Effect.provide(at({ tools: { echo }, prompts: {}, resources: { "mem://a": "one" } }))))

  it.effect("reads resources, also by template, gives prompts and completes their arguments", () =>
    Effect.gen(function*() {
      const client = yield* McpClient.McpClient
      assert.deepStrictEqual((yield* client.readResource("mem://a")).contents, [
        { uri: "mem://a", text: "A", mimeType: "text/plain" }
      ])
      assert.deepStrictEqual((yield* client.readResource("mem://users/ann%20b/posts/1/2")).contents, [
        { uri: "mem://users/ann%20b/posts/1/2", text: "ann b: 1/2" }
      ])
      assert.deepStrictEqual((yield* client.listResourceTemplates()).map(({ uriTemplate }) => uriTemplate), [
        "mem://users/{user}/posts/{+post}"
      ])
      assert.deepStrictEqual((yield* client.getPrompt("greet", { name: "Ann" })).messages, [
        { role: "user", content: { type: "text", text: "Greet Ann" } }
      ])
      const { completion } = yield* client.complete({
        ref: { type: "ref/prompt", name: "greet" },
        argument: { name: "name", value: "A" }
      })
      assert.deepStrictEqual([completion.values.length, completion.total, completion.hasMore], [100, 150, true])
    }).pipe(Effect.provide(at({
      resources: { "mem://a": { mimeType: "text/plain", read: () => Effect.succeed("A") } },
      templates: {
        "mem://users/{user}/posts/{+post}": { read: ({ post, user }) => Effect.succeed(`${user}: ${post}`) }
      },
      prompts: {
        greet: {
          arguments: [{ name: "name" }],
          get: ({ name }) => Effect.succeed(`Greet ${name}`),
          complete: { name: (value) => Effect.succeed(Array.from({ length: 150 }, (_, index) => `${value}${index}`)) }
        }
      }
    }))))

  it.effect("gives handlers the services that were there when it was made", () =>
    Effect.gen(function*() {
      const client = yield* McpClient.McpClient
      assert.strictEqual(textOf(yield* client.callTool("greet")), "Hello")
      const server = yield* MockServer.MockServer
      yield* Effect.provideService(
        server.update({ tools: { later: () => Effect.map(Greeting, ({ word }) => word) } }),
        Greeting,
        { word: "Goodbye" }
      )
      assert.strictEqual(textOf(yield* client.callTool("later")), "Goodbye")
    }).pipe(Effect.provide(
      at({ tools: { greet: () => Effect.map(Greeting, ({ word }) => word), echo } }).pipe(
        Layer.provide(Layer.succeed(Greeting, { word: "Hello" }))
      )
    )))

  it.effect("can be connected to again after it disconnected", () =>
    Effect.gen(function*() {
      const server = yield* MockServer.make({ tools: { echo, slow: () => Effect.never } }, options)
      const connect = Effect.provideService(McpClient.make(), Transport, server.binding)
      const first = yield* connect
      const call = yield* Effect.forkChild(Effect.flip(first.callTool("slow")))
      yield* server.called("slow")
      yield* server.disconnect("it was unplugged")
      assert.deepInclude((yield* Fiber.join(call)).reason, { _tag: "ConnectionClosed", detail: "it was unplugged" })
      assert.strictEqual((yield* server.ended("slow"))[0]?.status, "cancelled")
      const second = yield* connect
      assert.strictEqual(textOf(yield* second.callTool("echo", { message: "again" })), "again")
    }).pipe(Effect.scoped))
})

const asking = {
  tools: {
    book: MockServer.tool({
      input: Schema.Struct({ city: Schema.String }),
      output: Schema.Struct({ city: Schema.String, nights: Schema.Finite }),
      run: Effect.fnUntraced(function*({ city }, call) {
        const answer = yield* call.elicit({
          message: `How long in ${city}?`,
          schema: Schema.Struct({ nights: Schema.Int, late: Schema.optionalKey(Schema.Boolean) })
        })
        return answer.action === "accept"
          ? { city, nights: answer.content.nights }
          : yield* Effect.fail(`the user said ${answer.action}`)
      })
    }),
    both: (_: unknown, call: MockServer.Call) =>
      Effect.map(
        Effect.all([call.sample({ messages: [], maxTokens: 5 }), call.roots], { concurrency: "unbounded" }),
        ([{ model }, roots]) => `${model} ${roots.map(({ uri }) => uri).join()}`
      )
  }
} satisfies MockServer.Declaration

const handlers = Layer.mergeAll(
  Elicitation.layer({
    form: ({ message, schema }) =>
      Effect.succeed({
        action: "accept",
        content: { nights: message === "How long in Rome?" && schema.properties.nights?.type === "integer" ? 3 : 0 }
      }),
    url: () => Effect.succeed({ action: "accept" })
  }),
  Sampling.layer({
    createMessage: () => Effect.succeed({ role: "assistant", model: "small", content: { type: "text", text: "hi" } })
  }),
  Roots.layer([{ uri: "file:///home" }])
)

describe.each(Revision.all)("a mock server that asks, in %s", (revision) => {
  const at = <const D extends MockServer.Declaration<unknown>>(declaration: D) => connected(declaration, { revisions: [revision] })

  it.effect("uses the client's model and folders from inside a tool, several questions at once", () =>
    Effect.gen(function*() {
      const client = yield* McpClient.McpClient
      assert.strictEqual(textOf(yield* client.callTool("both")), "small file:///home")
    }).pipe(Effect.provide(at(asking).pipe(Layer.provide(handlers)))))

  it.effect("refuses to ask a client that cannot be asked", () =>
    Effect.gen(function*() {
      const client = yield* McpClient.McpClient
      const { reason } = yield* Effect.flip(client.callTool("book", { city: "Rome" }))
      assert.deepInclude(reason, { _tag: "RemoteError", code: -32021 })
    }).pipe(Effect.provide(at(asking))))
})

describe.each(Revision.all.filter((revision) => Revision.features(revision).elicitation.length > 0))("a mock server that asks the user, in %s", (revision) => {
  const at = <const D extends MockServer.Declaration<unknown>>(declaration: D) => connected(declaration, { revisions: [revision] })

  it.effect("gets the answer inside the tool, with the same handler in both eras", () =>
    Effect.gen(function*() {
      const client = yield* McpClient.McpClient
      const server = yield* MockServer.MockServer
      const Booking = Schema.Struct({ city: Schema.String, nights: Schema.Finite })
      assert.deepStrictEqual(yield* client.callToolAs("book", { city: "Rome" }, Booking), { city: "Rome", nights: 3 })
      // One call, whatever the number of rounds.
      assert.deepStrictEqual(yield* server.calls, [{ tool: "book", args: { city: "Rome" }, status: "done" }])
    }).pipe(Effect.provide(at(asking).pipe(Layer.provide(handlers)))))

  it.effect("takes no for an answer", () =>
    Effect.gen(function*() {
      const client = yield* McpClient.McpClient
      assert.strictEqual(textOf(yield* client.callTool("book", { city: "Rome" })), "the user said decline")
    }).pipe(Effect.provide(at(asking).pipe(Layer.provide(Elicitation.layerDecline)))))

  it.effect("is interrupted while the user thinks, and no handler is left", () =>
    Effect.gen(function*() {
      const thinking = yield* Deferred.make<void>()
      const layer = at(asking).pipe(Layer.provide(Elicitation.layer({
        form: () => Effect.andThen(Deferred.succeed(thinking, undefined), Effect.never)
      })))
      const server = yield* Effect.gen(function*() {
        const client = yield* McpClient.McpClient
        const call = yield* Effect.forkChild(client.callTool("book", { city: "Rome" }))
        yield* Deferred.await(thinking)
        yield* Fiber.interrupt(call)
        return yield* MockServer.MockServer
      }).pipe(Effect.provide(layer))
      assert.strictEqual((yield* server.ended("book"))[0]?.status, "cancelled")
    }))
})

describe("in place of the client", () => {
  const Total = Schema.Struct({ sum: Schema.Finite })
  const declaration = {
    tools: {
      add: MockServer.tool({
        description: "Adds two numbers",
        annotations: { readOnlyHint: true },
        input: Schema.Struct({ a: Schema.Finite, b: Schema.Finite }),
        output: Total,
        run: ({ a, b }) => Effect.succeed({ sum: a + b })
      }),
      confirm: (_, call) =>
        Effect.map(
          call.elicit({ message: "Sure?", schema: Schema.Struct({ sure: Schema.Boolean }) }),
          (answer) => answer.action === "accept" && answer.content.sure ? "confirmed" : "not confirmed"
        ),
      slow: () => Effect.never
    }
  } satisfies MockServer.Declaration

  it.effect.each(["modern", "legacy"] as const)("gives what the real client gives, with a %s server", (era) =>
    Effect.gen(function*() {
      const client = yield* McpClient.McpClient
      assert.deepStrictEqual([client.transport, client.era], ["mock", era])
      assert.deepStrictEqual(yield* client.callToolAs("add", { a: 1, b: 2 }, Total), { sum: 3 })
      assert.strictEqual(textOf(yield* client.callTool("confirm")), "confirmed")
      assert.deepInclude((yield* Effect.flip(client.callTool("nope"))).reason, { _tag: "RemoteError", code: -32602 })
      const call = yield* Effect.forkChild(Effect.flip(client.callTool("slow", {}, { timeout: "5 seconds" })))
      const server = yield* MockServer.MockServer
      yield* server.called("slow")
      yield* TestClock.adjust("5 seconds")
      assert.deepInclude((yield* Fiber.join(call)).reason, { _tag: "RequestTimeout" })
      assert.strictEqual((yield* server.ended("slow"))[0]?.status, "cancelled")
    }).pipe(Effect.provide(MockServer.layerClient(declaration, { era }).pipe(
      Layer.provide(Elicitation.layer({ form: () => Effect.succeed({ action: "accept", content: { sure: true } }) }))
    ))))

  it.effect("shows the JSON Schemas that follow from the Schemas", () =>
    Effect.gen(function*() {
      const client = yield* McpClient.McpClient
      const add = (yield* client.listTools()).find(({ name }) => name === "add")
      assert.deepStrictEqual(add, {
        name: "add",
        description: "Adds two numbers",
        annotations: { readOnlyHint: true },
        inputSchema: {
          $schema: "https://json-schema.org/draft/2020-12/schema",
          type: "object",
          properties: { a: { type: "number" }, b: { type: "number" } },
          required: ["a", "b"],
          additionalProperties: true
        },
        outputSchema: {
          $schema: "https://json-schema.org/draft/2020-12/schema",
          type: "object",
          properties: { sum: { type: "number" } },
          required: ["sum"],
          additionalProperties: true
        }
      })
    }).pipe(Effect.provide(MockServer.layerClient(declaration))))

  it.effect("keeps nothing between calls, unless it is told for how long", () =>
    Effect.gen(function*() {
      const server = yield* MockServer.make(declaration, { ttl: "1 minute" })
      const client = yield* Effect.provideService(McpClient.make(), Transport, server.binding)
      const result = yield* client.request("tools/list")
      assert.deepInclude(result, { resultType: "complete", ttlMs: 60_000, cacheScope: "private" })
    }).pipe(Effect.scoped))
})

describe("what no good client sends", () => {
  /** Sends requests as they are and gives the answers. */
  const ask = Effect.fnUntraced(function*(
    options: MockServer.Options,
    ...requests: ReadonlyArray<readonly [method: string, params: JsonRpc.JsonObject]>
  ) {
    const server = yield* MockServer.make(
      { tools: { ask: (_, call) => Effect.map(call.roots, (roots) => String(roots.length)) } },
      options
    )
    const answers: Array<unknown> = []
    const all = yield* Deferred.make<void>()
    const link = yield* server.binding.open({
      onMessage: (message) => {
        answers.push(message)
        if (answers.length === requests.length) Deferred.doneUnsafe(all, Exit.void)
      },
      onDiagnostic: () => undefined,
      onFailure: () => undefined,
      onClose: () => undefined
    })
    for (const [index, [method, params]] of requests.entries()) link.send(JsonRpc.request(index, method, params))
    yield* Deferred.await(all)
    return answers.map((answer) => {
      if (!JsonRpc.isMessage(answer) || "method" in answer) return answer
      return JsonRpc.isFailure(answer) ? answer.error.code : answer.result
    })
  }, Effect.scoped)

  const meta = (version: string, capabilities: JsonRpc.JsonObject = {}) => ({
    "io.modelcontextprotocol/protocolVersion": version,
    "io.modelcontextprotocol/clientCapabilities": capabilities
  })

  it.effect("is refused by a modern server with the code the protocol has for it", () =>
    Effect.gen(function*() {
      const _meta = meta("2026-07-28", { roots: {} })
      assert.deepStrictEqual(
        yield* ask(
          { era: "modern" },
          ["tools/list", {}],
          ["tools/list", { _meta: { "io.modelcontextprotocol/protocolVersion": "2026-07-28" } }],
          ["tools/list", { _meta: meta("2030-01-01") }],
          ["initialize", { protocolVersion: "2025-11-25", capabilities: {} }],
          ["ping", { _meta }],
          ["prompts/list", { _meta }],
          ["subscriptions/listen", { _meta }],
          ["tools/call", { _meta, name: "ask", requestState: "made up" }]
        ),
        [-32602, -32602, -32022, -32022, -32601, -32601, -32602, -32602]
      )
    }))

  it.effect("is refused by a legacy server with the code the protocol has for it", () =>
    Effect.gen(function*() {
      const [early, discover, initialized, ...rest] = yield* ask(
        { era: "legacy", revisions: ["2025-06-18"] },
        ["tools/list", {}],
        ["server/discover", { _meta: meta("2026-07-28") }],
        ["initialize", { protocolVersion: "2025-11-25", capabilities: {} }],
        ["prompts/list", {}],
        ["logging/setLevel", { level: "loud" }],
        ["tools/call", { name: 3 }],
        ["ping", {}]
      )
      assert.deepStrictEqual([early, discover], [-32600, -32601])
      // Another revision than was asked for: the newest the server has.
      assert.deepInclude(initialized, { protocolVersion: "2025-06-18", serverInfo: { name: "mock", version: "1.0.0" } })
      assert.deepStrictEqual(rest, [-32601, -32602, -32602, {}])
    }))

  it.effect("leaves no more than a bounded number of handlers waiting for answers", () =>
    Effect.gen(function*() {
      const server = yield* MockServer.make({ tools: { ask: (_, call) => Effect.as(call.roots, "") } })
      const link = yield* server.binding.open({
        onMessage: () => undefined,
        onDiagnostic: () => undefined,
        onFailure: () => undefined,
        onClose: () => undefined
      })
      const params = { name: "ask", _meta: meta("2026-07-28", { roots: {} }) }
      for (let id = 0; id < 100; id++) link.send(JsonRpc.request(id, "tools/call", params))
      // It never comes back with an answer to any of them.
      const calls = yield* server.ended("ask", 36)
      assert.deepStrictEqual(
        [calls.length, calls.filter(({ status }) => status === "cancelled").length],
        [100, 36]
      )
    }).pipe(Effect.scoped))
})

it.effect("stands in place of McpServers, several servers by name", () =>
  Effect.gen(function*() {
    const servers = yield* McpServers.McpServers
    const mocks = yield* MockServer.MockServers
    assert.deepStrictEqual(yield* servers.names, ["files", "greeter"])
    const greeter = yield* servers.client("greeter")
    assert.strictEqual(textOf(yield* greeter.callTool("greet")), "Hello")
    assert.strictEqual((yield* mocks.server("greeter").calls).length, 1)
    assert.strictEqual((yield* mocks.server("files").calls).length, 0)
  }).pipe(
    Effect.scoped,
    Effect.provide(
      MockServer.layer({ files: { tools: { echo } }, greeter: { tools: { greet: () => Effect.map(Greeting, ({ word }) => word) } } }).pipe(
        Layer.provide(Layer.succeed(Greeting, { word: "Hello" }))
      )
    )
  ))
