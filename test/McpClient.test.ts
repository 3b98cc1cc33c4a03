import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Elicitation from "../src/Elicitation.ts"
import * as McpClient from "../src/McpClient.ts"
import * as McpError from "../src/McpError.ts"
import * as JsonRpc from "../src/protocol/JsonRpc.ts"
import * as Roots from "../src/Roots.ts"
import * as Sampling from "../src/Sampling.ts"
import { reasonOf } from "./support/reasonOf.ts"
import * as Scripted from "./support/scriptedServer.ts"
import { waitUntil } from "./support/waitUntil.ts"

const eras = [["modern", Scripted.modern], ["legacy", Scripted.legacy]] as const

const connect = (script: Scripted.Script, options?: McpClient.Options) =>
  McpClient.make({ name: "test", ...options }).pipe(Effect.provide(Scripted.layer(script)))

const peerOf = (script: Scripted.Script) => {
  assert(script.peer !== undefined)
  return script.peer
}

const text = (content: string) => ({ content: [{ type: "text", text: content }] })

const meta = (params: JsonRpc.JsonObject | undefined): JsonRpc.JsonObject => {
  assert(JsonRpc.isJsonObject(params?._meta))
  return params._meta
}

const key = (name: string) => `io.modelcontextprotocol/${name}`

for (const [era, makeScript] of eras) {
  describe(`McpClient (${era})`, () => {
    it.effect("a tool that does not exist fails with the server's error", () =>
      Effect.gen(function*() {
        const client = yield* connect(makeScript({
          "tools/call": () => Effect.fail({ code: -32602, message: "Unknown tool: nope" })
        }))
        const exit = yield* Effect.exit(client.callTool("nope"))
        assert.deepInclude(reasonOf(exit), { _tag: "RemoteError", code: -32602, detail: "Unknown tool: nope" })
      }).pipe(Effect.scoped))

    it.effect("metadata of a request of one's own goes with it", () =>
      Effect.gen(function*() {
        const script = makeScript({ "x/y": Scripted.value({}) })
        const client = yield* connect(script)
        yield* client.request("x/y", { _meta: { "a/b": 1, "a/c": 2 } }, { meta: { "a/c": 3 } })
        assert.deepInclude(meta(Scripted.requests(script, "x/y")[0]), { "a/b": 1, "a/c": 3 })
      }).pipe(Effect.scoped))

    it.effect("a slow reader of changes loses none of its own to a flood of others", () =>
      Effect.gen(function*() {
        const script = makeScript({
          "resources/subscribe": Scripted.value({}),
          "resources/unsubscribe": Scripted.value({}),
          "subscriptions/listen": acknowledge
        })
        const client = yield* connect(script)
        const gate = yield* Deferred.make<void>()
        const heard = { tools: 0, a: 0 }
        const read = (name: keyof typeof heard, changes: Stream.Stream<unknown, McpError.McpError>) =>
          Effect.forkChild(Stream.runForEach(changes, () => Effect.andThen(Effect.sync(() => heard[name]++), Deferred.await(gate))), {
            startImmediately: true
          })
        yield* read("tools", client.toolsChanged)
        yield* read("a", client.resourceUpdates("mem://a"))
        yield* waitUntil(() => era === "modern"
          ? Scripted.requests(script, "subscriptions/listen").length === 2
          : Scripted.requests(script, "resources/subscribe").length === 1)
        const tell = Effect.andThen(
          notify(script, "notifications/tools/list_changed"),
          notify(script, "notifications/resources/updated", { uri: "mem://a" })
        )
        yield* tell
        yield* waitUntil(() => heard.tools >= 1 && heard.a >= 1)
        const before = { ...heard }
        yield* tell
        for (let update = 0; update < 300; update++) yield* notify(script, "notifications/resources/updated", { uri: "mem://b" })
        yield* Deferred.succeed(gate, undefined)
        yield* waitUntil(() => heard.tools > before.tools && heard.a > before.a)
      }).pipe(Effect.scoped))

    it.effect("a result that is none is an invalid response that says what was expected", () =>
      Effect.gen(function*() {
        const client = yield* connect(makeScript({ "tools/call": Scripted.value({ content: "text" }) }))
        const reason = reasonOf(yield* Effect.exit(client.callTool("echo")))
        assert(reason._tag === "InvalidResponse")
        assert.include(reason.message, "content")
      }).pipe(Effect.scoped))

    it.effect("tools that the config does not allow are neither listed nor called", () =>
      Effect.gen(function*() {
        const tool = (name: string) => ({ name, inputSchema: { type: "object" } })
        const script = makeScript({ "tools/list": Scripted.value({ tools: [tool("a"), tool("b"), tool("c")] }) })
        const client = yield* connect(script, { allowedTools: ["a", "b"], blockedTools: ["b"] })
        assert.deepStrictEqual((yield* client.listTools()).map(({ name }) => name), ["a"])
        for (const name of ["b", "c"]) {
          assert.deepInclude(reasonOf(yield* Effect.exit(client.callTool(name))), { _tag: "ToolNotAllowed", tool: name })
        }
        assert.deepStrictEqual(Scripted.requests(script, "tools/call"), [])
      }).pipe(Effect.scoped))

    it.effect("a failure of a tool is a value, or typed on request", () =>
      Effect.gen(function*() {
        const client = yield* connect(makeScript({
          "tools/call": Scripted.value({ ...text("disk full"), isError: true })
        }))
        assert.isTrue((yield* client.callTool("write")).isError)
        const reason = reasonOf(yield* Effect.exit(client.callToolOrFail("write")))
        assert.deepInclude(reason, { _tag: "ToolFailed", tool: "write", text: "disk full" })
      }).pipe(Effect.scoped))

    it.effect("a result is decoded to a Schema, from structured content or from text", () =>
      Effect.gen(function*() {
        const Sum = Schema.Struct({ sum: Schema.Int })
        const client = yield* connect(makeScript({
          "tools/call": ({ name }) =>
            Effect.succeed(
              name === "structured"
                ? { content: [], structuredContent: { sum: 3 } }
                : name === "text"
                ? text("{\"sum\": 4}")
                : text("no JSON")
            )
        }))
        assert.deepStrictEqual(yield* client.callToolAs("structured", {}, Sum), { sum: 3 })
        assert.deepStrictEqual(yield* client.callToolAs("text", {}, Sum), { sum: 4 })
        const reason = reasonOf(yield* Effect.exit(client.callToolAs("words", {}, Sum)))
        assert.deepInclude(reason, { _tag: "InvalidToolResult", tool: "words" })
      }).pipe(Effect.scoped))

    it.effect("structured content that breaks its output schema is kept, or fails, as the policy says", () =>
      Effect.gen(function*() {
        const script = () =>
          makeScript({
            "tools/list": Scripted.value({
              tools: [{
                name: "add",
                inputSchema: { type: "object" },
                outputSchema: { type: "object", properties: { sum: { type: "number" } }, required: ["sum"] }
              }]
            }),
            "tools/call": Scripted.value({ content: [], structuredContent: { sum: "three" } })
          })
        const lenient = yield* connect(script())
        yield* lenient.listTools()
        const warnings = yield* Effect.forkChild(Stream.runCollect(Stream.take(lenient.diagnostics, 1)), {
          startImmediately: true
        })
        assert.deepStrictEqual((yield* lenient.callTool("add")).structuredContent, { sum: "three" })
        assert.include(JSON.stringify(yield* Fiber.join(warnings)), "output schema")
        const strict = yield* connect(script(), { outputSchema: "strict" })
        assert.deepInclude(reasonOf(yield* Effect.exit(strict.callTool("add"))), { _tag: "InvalidToolResult", tool: "add" })
        const off = yield* connect(script(), { outputSchema: "off" })
        assert.deepStrictEqual((yield* off.callTool("add")).structuredContent, { sum: "three" })
      }).pipe(Effect.scoped))

    it.effect("interrupting a call cancels it on the server", () =>
      Effect.gen(function*() {
        const started = yield* Deferred.make<void>()
        const script = makeScript({ "tools/call": () => Effect.as(Deferred.succeed(started, undefined), undefined) })
        const client = yield* connect(script)
        const call = yield* Effect.forkChild(client.callTool("slow"))
        yield* Deferred.await(started)
        yield* Fiber.interrupt(call)
        // A request after it, so that everything before was received.
        yield* Effect.exit(client.request("tools/list"))
        const request = script.received.find((message) => "method" in message && message.method === "tools/call")
        assert(request !== undefined && JsonRpc.isRequest(request))
        assert.deepStrictEqual(
          Scripted.requests(script, "notifications/cancelled").map(({ requestId }) => requestId),
          [request.id]
        )
      }).pipe(Effect.scoped))

    it.effect("progress is handled in order before the result", () =>
      Effect.gen(function*() {
        const client = yield* connect(makeScript({
          "tools/call": Effect.fnUntraced(function*(params, peer) {
            const progressToken = meta(params).progressToken
            for (let progress = 1; progress <= 3; progress++) {
              yield* peer.send(JsonRpc.notification("notifications/progress", { progressToken, progress, total: 3 }))
            }
            return text("done")
          })
        }))
        const heard: Array<number> = []
        yield* client.callTool("slow", {}, {
          onProgress: ({ progress }) => Effect.andThen(Effect.yieldNow, Effect.sync(() => heard.push(progress)))
        })
        assert.deepStrictEqual(heard, [1, 2, 3])
      }).pipe(Effect.scoped))

    it.effect("a handler that does not wait misses no progress, however much of it comes at once with the result", () =>
      Effect.gen(function*() {
        const count = 2_000
        const client = yield* connect(makeScript({
          "tools/call": Effect.fnUntraced(function*(params, peer) {
            const progressToken = meta(params).progressToken
            for (let progress = 1; progress <= count; progress++) {
              yield* peer.send(JsonRpc.notification("notifications/progress", { progressToken, progress }))
            }
            return text("done")
          })
        }))
        const heard: Array<number> = []
        yield* client.callTool("fast", {}, { onProgress: ({ progress }) => Effect.sync(() => heard.push(progress)) })
        assert.deepStrictEqual(heard, Array.from({ length: count }, (_, index) => index + 1))
      }).pipe(Effect.scoped))

    it.effect("pages come one by one, with opaque cursors, the empty string included (PG-02)", () =>
      Effect.gen(function*() {
        const script = makeScript({
          "prompts/list": ({ cursor }) =>
            Effect.succeed(
              cursor === undefined
                ? { prompts: [{ name: "one" }], nextCursor: "" }
                : cursor === ""
                ? { prompts: [{ name: "two" }], nextCursor: "x" }
                : { prompts: [{ name: "three" }] }
            )
        })
        const client = yield* connect(script)
        assert.deepStrictEqual((yield* client.listPrompts()).map(({ name }) => name), ["one", "two", "three"])
        assert.deepStrictEqual(Scripted.requests(script, "prompts/list").map(({ cursor }) => cursor), [undefined, "", "x"])
        const first = yield* Stream.runCollect(Stream.take(client.promptPages(), 1))
        assert.deepStrictEqual(first.map((page) => page.map(({ name }) => name)), [["one"]])
        assert.strictEqual(Scripted.requests(script, "prompts/list").length, 4)
      }).pipe(Effect.scoped))

    it.effect("a cursor that comes again, and a list without an end, are errors (PG-03)", () =>
      Effect.gen(function*() {
        let page = 0
        const repeating = yield* connect(makeScript({ "tools/list": Scripted.value({ tools: [], nextCursor: "again" }) }))
        assert.deepInclude(reasonOf(yield* Effect.exit(repeating.listTools())), { _tag: "PaginationLoop", kind: "RepeatedCursor" })
        const endless = yield* connect(
          makeScript({ "tools/list": () => Effect.sync(() => ({ tools: [], nextCursor: String(page++) })) }),
          { maxPages: 5 }
        )
        assert.deepInclude(reasonOf(yield* Effect.exit(endless.listTools())), { _tag: "PaginationLoop", kind: "TooManyPages", pages: 5 })
      }).pipe(Effect.scoped))

    it.effect("a cursor that became invalid starts the list again, once (CACHE-15)", () =>
      Effect.gen(function*() {
        let refusals = 1
        const script = makeScript({
          "tools/list": ({ cursor }) =>
            cursor === undefined
              ? Effect.succeed({ tools: [{ name: "a", inputSchema: { type: "object" } }], nextCursor: "2" })
              : refusals-- > 0
              ? Effect.fail({ code: -32602, message: "Invalid cursor" })
              : Effect.succeed({ tools: [{ name: "b", inputSchema: { type: "object" } }] })
        })
        const client = yield* connect(script)
        assert.deepStrictEqual((yield* client.listTools()).map(({ name }) => name), ["a", "b"])
        assert.strictEqual(Scripted.requests(script, "tools/list").length, 4)
      }).pipe(Effect.scoped))

    it.effect("an invalid item does not lose the list", () =>
      Effect.gen(function*() {
        const client = yield* connect(makeScript({
          "tools/list": Scripted.value({ tools: [{ name: 3 }, { name: "good", inputSchema: { type: "object" }, extra: 1 }] })
        }))
        const tools = yield* client.listTools()
        assert.deepStrictEqual(tools, [{ name: "good", inputSchema: { type: "object" }, extra: 1 }] as never)
      }).pipe(Effect.scoped))

    it.effect("a list that is declared but not there is empty; what is not declared is not asked for (C-07)", () =>
      Effect.gen(function*() {
        const script = makeScript({}, { capabilities: { resources: {} } })
        const client = yield* connect(script)
        assert.deepStrictEqual(yield* client.listResources(), [])
        assert.deepStrictEqual(yield* client.listPrompts(), [])
        assert.strictEqual(Scripted.requests(script, "resources/list").length, 1)
        assert.strictEqual(Scripted.requests(script, "prompts/list").length, 0)
        assert.deepInclude(reasonOf(yield* Effect.exit(client.getPrompt("x"))), { _tag: "Unsupported", method: "prompts/get" })
        if (era === "legacy") {
          for (const refused of [client.setLogLevel("info"), Stream.runDrain(client.resourceUpdates("file:///a"))]) {
            const error = yield* Effect.flip(refused)
            assert.strictEqual(error.server, "test")
            assert.strictEqual(error.reason._tag, "Unsupported")
          }
        }
      }).pipe(Effect.scoped))

    it.effect("prompts, resources and completions come as they are, unknown fields included", () =>
      Effect.gen(function*() {
        const prompt = { messages: [{ role: "user", content: { type: "hologram", data: 1 } }], future: true }
        const resource = { contents: [{ uri: "file:///a", text: "A" }, { uri: "file:///b", blob: "Qg==" }] }
        const client = yield* connect(makeScript({
          "prompts/get": ({ arguments: args, name }) => Effect.succeed({ ...prompt, asked: { args, name } }),
          "resources/read": Scripted.value(resource),
          "completion/complete": ({ argument, context, ref }) =>
            Effect.succeed({ completion: { values: [JSON.stringify({ argument, context, ref })] } })
        }))
        assert.deepInclude(yield* client.getPrompt("greet", { who: "you" }), {
          ...prompt,
          asked: { args: { who: "you" }, name: "greet" }
        } as never)
        assert.deepStrictEqual((yield* client.readResource("file:///a")).contents, resource.contents as never)
        const { completion } = yield* client.complete({
          ref: { type: "ref/prompt", name: "greet" },
          argument: { name: "who", value: "y" },
          context: { lang: "en" }
        })
        assert.deepStrictEqual(JSON.parse(completion.values[0] ?? ""), {
          argument: { name: "who", value: "y" },
          context: { arguments: { lang: "en" } },
          ref: { type: "ref/prompt", name: "greet" }
        })
      }).pipe(Effect.scoped))

    it.effect("when the connection ends, calls and streams of changes fail with the reason, logs end", () =>
      Effect.gen(function*() {
        const script = makeScript({
          "tools/call": () => Effect.succeed(undefined),
          "subscriptions/listen": acknowledge
        })
        const client = yield* connect(script)
        const fork = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })
        const call = yield* fork(client.callTool("slow"))
        const changes = yield* fork(Stream.runDrain(client.toolsChanged))
        const logs = yield* fork(Stream.runCollect(client.logs))
        yield* peerOf(script).close(new McpError.ConnectionClosed({ by: "server", detail: "gone" }))
        for (const fiber of [call, changes]) {
          assert.deepInclude(reasonOf(yield* Fiber.await(fiber as Fiber.Fiber<unknown, McpError.McpError>)), { _tag: "ConnectionClosed", by: "server" })
        }
        assert.deepStrictEqual(yield* Fiber.join(logs), [])
        assert.deepInclude((yield* client.closed).reason, { detail: "gone" })
      }).pipe(Effect.scoped))

    it.effect("elicitation, sampling and roots are declared exactly when there is a handler (C-09)", () =>
      Effect.gen(function*() {
        const declared = (handlers: Layer.Layer<never> | Layer.Layer<Elicitation.Elicitation | Sampling.Sampling | Roots.Roots>) =>
          Effect.gen(function*() {
            const script = makeScript({})
            yield* connect(script)
            const hello = script.received[0]
            assert(hello !== undefined && "method" in hello)
            return era === "modern"
              ? meta(Scripted.requests(script, "server/discover")[0])[key("clientCapabilities")]
              : Scripted.requests(script, "initialize")[0]?.capabilities
          }).pipe(Effect.provide(handlers), Effect.scoped)
        assert.deepStrictEqual(yield* declared(Layer.empty), {})
        assert.deepStrictEqual(
          yield* declared(Layer.mergeAll(
            Elicitation.layer({ form: () => Effect.succeed({ action: "decline" }) }),
            Sampling.layer({ createMessage: () => Effect.fail(new Sampling.SamplingRefused({ detail: "no" })) }),
            Roots.layer([{ uri: "file:///home" }])
          )),
          { elicitation: { form: {} }, sampling: {}, roots: {} }
        )
      }))

    it.effect("the same handler answers elicitation, with the form's defaults (EL-04)", () =>
      Effect.gen(function*() {
        const params = {
          mode: "form",
          message: "Who?",
          requestedSchema: {
            type: "object",
            properties: { name: { type: "string" }, age: { type: "integer", default: 7 } },
            required: ["name"]
          }
        }
        const answered = yield* Deferred.make<unknown>()
        const script = makeScript({
          "tools/call": ({ inputResponses }, peer) =>
            era === "modern"
              ? Effect.succeed(
                inputResponses === undefined
                  ? { resultType: "input_required", inputRequests: { who: { method: "elicitation/create", params } }, requestState: "s==" }
                  : text(JSON.stringify(inputResponses))
              )
              : Effect.andThen(
                peer.send(JsonRpc.request("q1", "elicitation/create", params)),
                Effect.map(Deferred.await(answered), (answer) => text(JSON.stringify({ who: answer })))
              )
        })
        const client = yield* connect(script)
        const call = yield* Effect.forkChild(client.callTool("ask", { x: 1 }), { startImmediately: true })
        if (era === "legacy") {
          yield* waitUntil(() => script.received.some((message) => "result" in message))
          const reply = script.received.find((message) => "result" in message)
          assert(reply !== undefined && "result" in reply)
          yield* Deferred.succeed(answered, reply.result)
        }
        const { content } = yield* Fiber.join(call)
        const [block] = content
        assert(block?.type === "text")
        assert.deepStrictEqual(JSON.parse(block.text), { who: { action: "accept", content: { name: "test", age: 7 } } })
        if (era === "modern") {
          const [first, second] = Scripted.requests(script, "tools/call")
          assert.deepInclude(second, { name: "ask", arguments: { x: 1 }, requestState: "s==" })
          assert.notStrictEqual(meta(first).progressToken, meta(second).progressToken)
        }
      }).pipe(
        Effect.provide(Elicitation.layer({
          form: ({ server }) => Effect.succeed({ action: "accept", content: { name: server } })
        })),
        Effect.scoped
      ))

    it.effect("changes of lists reach who reads them, and updates of resources who subscribed", () =>
      Effect.gen(function*() {
        const script = makeScript({
          "subscriptions/listen": acknowledge,
          "resources/subscribe": Scripted.value({}),
          "resources/unsubscribe": Scripted.value({})
        })
        const client = yield* connect(script)
        const fork = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })
        const tools = yield* fork(Stream.runDrain(Stream.take(client.toolsChanged, 2)))
        const updates = yield* fork(Stream.runCollect(Stream.take(client.resourceUpdates("file:///a"), 2)))
        yield* waitUntil(() =>
          era === "legacy"
            ? Scripted.requests(script, "resources/subscribe").length === 1
            : Scripted.requests(script, "subscriptions/listen").length === 2
        )
        yield* Effect.yieldNow
        yield* notify(script, "notifications/tools/list_changed")
        yield* notify(script, "notifications/resources/updated", { uri: "file:///ab" })
        yield* notify(script, "notifications/resources/updated", { uri: "file:///a" })
        yield* notify(script, "notifications/resources/updated", { uri: "file:///a/b" })
        yield* notify(script, "notifications/tools/list_changed")
        assert.deepStrictEqual(yield* Fiber.join(updates), ["file:///a", "file:///a/b"])
        yield* Fiber.join(tools)
        // Nobody listens any more, and the server knows.
        yield* waitUntil(() =>
          era === "legacy"
            ? Scripted.requests(script, "resources/unsubscribe").length === 1
            : Scripted.requests(script, "notifications/cancelled").length >= 2
        )
      }).pipe(Effect.scoped))

    it.effect("lists are kept for as long as the server allows, and dropped when it says they changed", () =>
      Effect.gen(function*() {
        const script = makeScript({
          "tools/list": Scripted.value({ tools: [], ttlMs: 10_000, cacheScope: "private" }),
          "subscriptions/listen": acknowledge
        })
        const client = yield* connect(script)
        const asked = () => Scripted.requests(script, "tools/list").length
        yield* client.listTools()
        yield* client.listTools()
        assert.strictEqual(asked(), 1)
        yield* TestClock.adjust("10 seconds")
        yield* client.listTools()
        assert.strictEqual(asked(), 2)
        yield* notify(script, "notifications/tools/list_changed")
        yield* client.listTools()
        assert.strictEqual(asked(), 3)
      }).pipe(Effect.scoped))

    it.effect("log messages arrive after a level was set", () =>
      Effect.gen(function*() {
        const script = makeScript({
          "logging/setLevel": Scripted.value({}),
          "tools/call": (_, peer) =>
            Effect.as(
              peer.send(JsonRpc.notification("notifications/message", { level: "info", logger: "l", data: { a: 1 } })),
              text("ok")
            )
        })
        const client = yield* connect(script)
        const logs = yield* Effect.forkChild(Stream.runCollect(Stream.take(client.logs, 1)), { startImmediately: true })
        yield* client.setLogLevel("info")
        yield* client.callTool("talk")
        assert.deepStrictEqual(yield* Fiber.join(logs), [{ level: "info", logger: "l", data: { a: 1 } }] as never)
        if (era === "modern") {
          assert.strictEqual(meta(Scripted.requests(script, "tools/call")[0])[key("logLevel")], "info")
        } else {
          assert.deepInclude(Scripted.requests(script, "logging/setLevel")[0], { level: "info" })
        }
      }).pipe(Effect.scoped))

    it.effect("a call is one span whose context travels with the request", () =>
      Effect.gen(function*() {
        const script = makeScript({ "tools/call": Scripted.value(text("ok")) })
        const client = yield* connect(script)
        const traceId = yield* Effect.gen(function*() {
          yield* client.callTool("echo")
          return (yield* Effect.currentSpan).traceId
        }).pipe(Effect.withSpan("parent"))
        const traceparent = meta(Scripted.requests(script, "tools/call")[0]).traceparent
        assert.match(String(traceparent), new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`))
        const silent = makeScript({ "tools/call": Scripted.value(text("ok")) })
        yield* Effect.flatMap(connect(silent, { spans: false }), (client) => client.callTool("echo"))
        assert.notProperty(meta(Scripted.requests(silent, "tools/call")[0]), "traceparent")
      }).pipe(Effect.scoped))

    it.effect("ping works in both eras", () =>
      Effect.gen(function*() {
        const script = makeScript({ ping: Scripted.value({}) })
        const client = yield* connect(script)
        yield* client.ping
        assert.strictEqual(client.era, era)
        assert.strictEqual(Scripted.requests(script, era === "modern" ? "server/discover" : "ping").length, era === "modern" ? 2 : 1)
      }).pipe(Effect.scoped))
  })
}

describe("McpClient, the modern era", () => {
  it.effect("every request carries who asks and in which revision (M-01, M-02)", () =>
    Effect.gen(function*() {
      const script = Scripted.modern({ "tools/call": Scripted.value(text("ok")) })
      const client = yield* connect(script, { clientInfo: { name: "me", version: "9" } })
      yield* client.callTool("echo", {}, { meta: { mine: 1, [key("protocolVersion")]: "forged" } })
      const sent = meta(Scripted.requests(script, "tools/call")[0])
      assert.strictEqual(sent[key("protocolVersion")], "2026-07-28")
      assert.deepStrictEqual(sent[key("clientInfo")], { name: "me", version: "9" })
      assert.deepStrictEqual(sent[key("clientCapabilities")], {})
      assert.strictEqual(sent.mine, 1)
    }).pipe(Effect.scoped))

  it.effect("a request of the server gets no answer: it would break the protocol (B-07)", () =>
    Effect.gen(function*() {
      const script = Scripted.modern({})
      const client = yield* connect(script)
      yield* peerOf(script).send(JsonRpc.request(1, "ping", undefined))
      yield* Effect.exit(client.request("tools/list"))
      assert.isFalse(script.received.some((message) => !("method" in message)))
    }).pipe(Effect.scoped))

  it.effect("input that nobody can give fails the call, and input without an end too (MR-08, MR-09)", () =>
    Effect.gen(function*() {
      const asking = Scripted.modern({
        "tools/call": Scripted.value({ resultType: "input_required", inputRequests: { r: { method: "roots/list" } } })
      })
      const refused = yield* Effect.flatMap(connect(asking), (client) => Effect.exit(client.callTool("ask")))
      assert.deepInclude(reasonOf(refused), { _tag: "InputRefused", request: "roots/list" })
      const endless = yield* Effect.flatMap(connect(asking, { maxInputRounds: 3 }), (client) =>
        Effect.exit(client.callTool("ask"))).pipe(Effect.provide(Roots.layer([])))
      assert.deepInclude(reasonOf(endless), { _tag: "InvalidResponse", method: "tools/call" })
    }).pipe(Effect.scoped))

  it.effect("an unknown type of result, and one that does not belong to the method, are invalid (R-03, R-05)", () =>
    Effect.gen(function*() {
      const client = yield* connect(Scripted.modern({
        "tools/call": Scripted.value({ resultType: "future" }),
        "tools/list": Scripted.value({ resultType: "input_required", requestState: "x" })
      }))
      assert.deepInclude(reasonOf(yield* Effect.exit(client.callTool("x"))), { _tag: "InvalidResponse" })
      assert.deepInclude(reasonOf(yield* Effect.exit(client.listTools())), { _tag: "InvalidResponse" })
    }).pipe(Effect.scoped))

  it.effect("a listen stream that the server ends is opened again with backoff, and readers are told (SB-08, SB-09)", () =>
    Effect.gen(function*() {
      const ids: Array<JsonRpc.RequestId> = []
      const script = Scripted.modern({
        "subscriptions/listen": (params, peer, id) => Effect.andThen(Effect.sync(() => ids.push(id)), acknowledge(params, peer, id))
      })
      const client = yield* connect(script)
      const changes = yield* Effect.forkChild(Stream.runDrain(Stream.take(client.toolsChanged, 2)), { startImmediately: true })
      yield* waitUntil(() => ids.length === 1)
      // Both ways in which servers end it, the second one only on shared channels (SB-07).
      yield* peerOf(script).send(JsonRpc.success(ids[0] ?? "", { resultType: "complete" }))
      yield* TestClock.adjust("2 seconds")
      yield* waitUntil(() => ids.length === 2)
      yield* peerOf(script).send(JsonRpc.notification("notifications/cancelled", { requestId: ids[1] }))
      yield* Fiber.join(changes)
    }).pipe(Effect.scoped))

  it.effect("what changes while there is no listen stream is seen when there is one again (SB-08)", () =>
    Effect.gen(function*() {
      const ids: Array<JsonRpc.RequestId> = []
      let name = "old"
      const script = Scripted.modern({
        "tools/list": () => Effect.sync(() => ({ tools: [{ name, inputSchema: { type: "object" } }], ttlMs: 3_600_000 })),
        "subscriptions/listen": (params, peer, id) => Effect.andThen(Effect.sync(() => ids.push(id)), acknowledge(params, peer, id))
      })
      const client = yield* connect(script)
      const shown: Array<string> = []
      const show = Effect.map(client.listTools(), ([tool]) => shown.push(tool?.name ?? ""))
      yield* Effect.forkChild(Stream.runForEach(client.toolsChanged, () => show), { startImmediately: true })
      yield* waitUntil(() => ids.length === 1)
      yield* peerOf(script).send(JsonRpc.success(ids[0] ?? "", { resultType: "complete" }))
      yield* waitUntil(() => shown.length === 1)
      name = "new"
      yield* TestClock.adjust("2 seconds")
      yield* waitUntil(() => shown.length === 2)
      assert.deepStrictEqual(shown, ["old", "new"])
    }).pipe(Effect.scoped))

  it.effect("all rounds of a call and all pages of a list have one `maxTotal`, of which a user takes nothing", () =>
    Effect.gen(function*() {
      let pages = 0
      const script = Scripted.modern({
        "tools/call": ({ inputResponses, requestState }) =>
          Effect.as(Effect.sleep("4 seconds"), inputResponses !== undefined
            ? text("done")
            : requestState === "ask"
            ? { resultType: "input_required", inputRequests: { r: { method: "roots/list" } } }
            : { resultType: "input_required", requestState: requestState ?? "x" }),
        "tools/list": () => Effect.as(Effect.sleep("4 seconds"), { tools: [], nextCursor: `${pages++}` })
      })
      const slow = Layer.succeed(Roots.Roots, { list: () => Effect.delay(Effect.succeed([]), "1 minute") })
      const client = yield* Effect.provide(connect(script), slow)
      const limits = { maxTotal: "10 seconds" } as const
      for (const operation of [Effect.asVoid(client.callTool("endless", {}, limits)), Effect.asVoid(client.listTools(limits))]) {
        const running = yield* Effect.forkChild(Effect.exit(operation), { startImmediately: true })
        for (let second = 0; second < 10; second++) yield* TestClock.adjust("1 second")
        assert.deepInclude(reasonOf(yield* Fiber.join(running)), { _tag: "RequestTimeout", limit: "total", millis: 10_000 })
      }
      const asking = yield* Effect.forkChild(
        client.request("tools/call", { name: "ask", requestState: "ask" }, limits),
        { startImmediately: true }
      )
      for (let second = 0; second < 68; second++) yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* Fiber.join(asking), text("done"))
    }).pipe(Effect.scoped))

  it.effect("no more questions of one result are answered at a time than of an older server", () =>
    Effect.gen(function*() {
      let [now, most] = [0, 0]
      const sampling = Sampling.layer({
        createMessage: () =>
          Effect.gen(function*() {
            most = Math.max(most, ++now)
            yield* Effect.yieldNow
            now--
            return { role: "assistant" as const, content: { type: "text" as const, text: "" }, model: "m" }
          })
      })
      const question = { method: "sampling/createMessage", params: { messages: [], maxTokens: 1 } }
      const inputRequests = Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`k${index}`, question]))
      const client = yield* Effect.provide(connect(Scripted.modern({
        "tools/call": ({ inputResponses }) =>
          Effect.succeed(inputResponses === undefined ? { resultType: "input_required", inputRequests } : text("done"))
      })), sampling)
      yield* client.callTool("x")
      assert.strictEqual(most, 64)
    }).pipe(Effect.scoped))

  it.effect("a list that may have changed before the server was asked to tell is not kept", () =>
    Effect.gen(function*() {
      const asked = yield* Deferred.make<void>()
      const script = Scripted.modern({
        "tools/list": Scripted.value({ tools: [], ttlMs: 60_000 }),
        "subscriptions/listen": (params, peer, id) => Effect.andThen(Deferred.await(asked), acknowledge(params, peer, id))
      })
      const client = yield* connect(script)
      const count = () => Scripted.requests(script, "tools/list").length
      yield* client.listTools()
      yield* client.listTools()
      assert.strictEqual(count(), 1)
      yield* Deferred.succeed(asked, undefined)
      yield* Effect.repeat(client.listTools(), { until: () => count() === 2 })
      yield* client.listTools()
      assert.strictEqual(count(), 2)
    }).pipe(Effect.scoped))

  it.effect("a server that no longer acknowledges does not hold up the end of the client", () =>
    Effect.gen(function*() {
      let acknowledged = 0
      const script = Scripted.modern({
        "tools/list": Scripted.value({ tools: [], ttlMs: 60_000 }),
        "resources/list": Scripted.value({ resources: [], ttlMs: 60_000 }),
        "subscriptions/listen": (params, peer, id) =>
          acknowledged++ < 2 ? acknowledge(params, peer, id) : Effect.succeed(undefined)
      })
      yield* Effect.gen(function*() {
        const client = yield* connect(script)
        yield* client.listTools()
        yield* client.listResources()
        yield* Effect.forkChild(Stream.runDrain(client.promptsChanged), { startImmediately: true })
        yield* waitUntil(() => acknowledged === 2)
      }).pipe(Effect.scoped)
    }))

  it.effect("a refused listen request fails the stream that wanted it", () =>
    Effect.gen(function*() {
      const client = yield* connect(Scripted.modern({}))
      const exit = yield* Effect.exit(Stream.runDrain(client.toolsChanged))
      assert.deepInclude(reasonOf(exit), { _tag: "RemoteError", method: "subscriptions/listen" })
    }).pipe(Effect.scoped))
})

describe("McpClient, the legacy era", () => {
  it.effect("a way to ask the user is declared as the revision names it, and not where it has none (L-04)", () =>
    Effect.gen(function*() {
      const declared = Effect.fnUntraced(function*(pin: "2025-11-25" | "2025-06-18" | "2025-03-26", modes: ReadonlyArray<"form" | "url">) {
        const script = Scripted.legacy({}, { protocolVersion: pin })
        const decline = () => Effect.succeed({ action: "decline" as const })
        yield* connect(script, { negotiation: { pin } }).pipe(
          Effect.provide(Elicitation.layer(Object.fromEntries(modes.map((mode) => [mode, decline]))))
        )
        const capabilities = Scripted.requests(script, "initialize")[0]?.capabilities
        assert(JsonRpc.isJsonObject(capabilities))
        return capabilities.elicitation
      })
      assert.deepStrictEqual(yield* declared("2025-11-25", ["form", "url"]), { form: {}, url: {} })
      assert.deepStrictEqual(yield* declared("2025-06-18", ["form", "url"]), {})
      assert.isUndefined(yield* declared("2025-06-18", ["url"]))
      assert.isUndefined(yield* declared("2025-03-26", ["form", "url"]))
    }).pipe(Effect.scoped))

  it.effect("a request that no revision knows can be made all the same", () =>
    Effect.gen(function*() {
      const client = yield* connect(Scripted.legacy({ "vendor/extension": ({ x }) => Effect.succeed({ doubled: [x, x] }) }))
      assert.deepStrictEqual(yield* client.request("vendor/extension", { x: 1 }), { doubled: [1, 1] })
      const reason = reasonOf(yield* Effect.exit(client.request("subscriptions/listen")))
      assert.deepInclude(reason, { _tag: "Unsupported", method: "subscriptions/listen" })
    }).pipe(Effect.scoped))

  it.effect("nothing is asked before the handshake is done, and nothing modern is said after it (L-02, M-13)", () =>
    Effect.gen(function*() {
      const script = Scripted.legacy({ "tools/call": Scripted.value(text("ok")) })
      const client = yield* connect(script, { negotiation: { preset: "legacy" } })
      yield* client.callTool("echo")
      assert.deepStrictEqual(
        script.received.map((message) => "method" in message ? message.method : "reply"),
        ["initialize", "notifications/initialized", "tools/call"]
      )
      assert.notInclude(JSON.stringify(script.received), "io.modelcontextprotocol/")
    }).pipe(Effect.scoped))

  it.effect("pings are answered, unknown requests refused", () =>
    Effect.gen(function*() {
      const script = Scripted.legacy({})
      const client = yield* connect(script)
      yield* peerOf(script).send(JsonRpc.request(1, "ping", undefined))
      yield* peerOf(script).send(JsonRpc.request(2, "sampling/createMessage", undefined))
      yield* Effect.exit(client.request("tools/list"))
      const replies = script.received.filter((message) => !("method" in message))
      assert.deepInclude(replies[0], { id: 1, result: {} })
      assert.containSubset(replies[1], { id: 2, error: { code: -32601 } })
    }).pipe(Effect.scoped))

  it.effect("a refused sampling is told with the code for it (SA-08)", () =>
    Effect.gen(function*() {
      const script = Scripted.legacy({})
      const client = yield* connect(script)
      const message = { role: "user", content: { type: "text", text: "hi" } }
      yield* peerOf(script).send(JsonRpc.request(1, "sampling/createMessage", { messages: [message], maxTokens: 5 }))
      yield* peerOf(script).send(JsonRpc.request(2, "sampling/createMessage", { messages: [message], maxTokens: 5, tools: [] }))
      yield* Effect.exit(client.request("tools/list"))
      const replies = script.received.filter((message) => !("method" in message))
      assert.containSubset(replies, [{ id: 1, error: { code: -1, message: "not today" } }, { id: 2, error: { code: -32602 } }])
    }).pipe(
      Effect.provide(Sampling.layer({
        createMessage: () => Effect.fail(new Sampling.SamplingRefused({ detail: "not today" }))
      })),
      Effect.scoped
    ))

  it.effect("a request refused until the user visited a page is made again after that (L11-50)", () =>
    Effect.gen(function*() {
      const asked = yield* Deferred.make<string>()
      let visited = false
      const script = Scripted.legacy({
        "tools/call": () =>
          visited ? Effect.succeed(text("welcome")) : Effect.fail({
            code: -32042,
            message: "visit first",
            data: { elicitations: [{ mode: "url", elicitationId: "e1", url: "https://example.com/login", message: "Log in" }] }
          })
      })
      const client = yield* connect(script).pipe(Effect.provide(Elicitation.layer({
        url: ({ url }) => Effect.as(Deferred.succeed(asked, url), { action: "accept" as const })
      })))
      const call = yield* Effect.forkChild(client.callTool("private"), { startImmediately: true })
      assert.strictEqual(yield* Deferred.await(asked), "https://example.com/login")
      visited = true
      yield* peerOf(script).send(JsonRpc.notification("notifications/elicitation/complete", { elicitationId: "unknown" }))
      yield* peerOf(script).send(JsonRpc.notification("notifications/elicitation/complete", { elicitationId: "e1" }))
      assert.deepStrictEqual((yield* Fiber.join(call)).content, text("welcome").content as never)
    }).pipe(Effect.scoped))
})

/** Acknowledges a listen request in full and keeps it open (SB-02). */
const acknowledge: Scripted.Answer = (params, peer, id) =>
  Effect.as(
    peer.send(JsonRpc.notification("notifications/subscriptions/acknowledged", {
      _meta: { [key("subscriptionId")]: id },
      notifications: params.notifications
    })),
    undefined
  )

/** Sends a notification the way the era does: tagged with the latest subscription, where there is one. */
const notify = (script: Scripted.Script, method: string, params: JsonRpc.JsonObject = {}) => {
  const listen = script.received.findLast((message) => "method" in message && message.method === "subscriptions/listen")
  return peerOf(script).send(JsonRpc.notification(
    method,
    listen !== undefined && JsonRpc.isRequest(listen)
      ? { ...params, _meta: { [key("subscriptionId")]: listen.id } }
      : params
  ))
}
