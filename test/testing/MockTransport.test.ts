import { assert, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as McpClient from "../../src/McpClient.ts"
import * as McpError from "../../src/McpError.ts"
import * as McpSchema from "../../src/protocol/McpSchema.ts"
import * as Revision from "../../src/protocol/Revision.ts"
import { MockServer, MockTransport } from "../../src/testing/index.ts"
import { Transport } from "../../src/Transport.ts"

const { agree, close, delay, expect, garbage, halfClose, progress, refuse, reply, send } = MockTransport

const connect = (binding: Transport["Service"], options?: McpClient.Options) =>
  Effect.provideService(McpClient.make(options), Transport, binding)

const textOf = ({ content }: McpSchema.CallToolResult) => McpSchema.textOf(content)
const text = (text: string) => ({ content: [{ type: "text", text }] })
const reasonOf = <A>(call: Effect.Effect<A, McpError.McpError>) => Effect.map(Effect.flip(call), ({ reason }) => reason)

/** Runs a call while the clock goes on for so long. */
const during = <A, E, R>(duration: Duration.Input, call: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(call, { startImmediately: true })
    yield* TestClock.adjust(duration)
    return yield* Fiber.join(fiber)
  })

describe("a script", () => {
  it.effect.each(Revision.all)("agrees on revision %s", (revision) =>
    Effect.gen(function*() {
      const script = yield* MockTransport.make([...agree(revision), expect("tools/call"), reply(text("hi"))])
      const client = yield* connect(script.binding)
      assert.strictEqual(client.revision, revision)
      assert.strictEqual(textOf(yield* client.callTool("greet")), "hi")
      yield* script.finished
    }).pipe(Effect.scoped))

  it.effect("says what it expected and what came, to the call and to the test", () =>
    Effect.gen(function*() {
      const script = yield* MockTransport.make([...agree(), expect("tools/call", { params: { name: "read", arguments: { path: "a" } } })])
      const client = yield* connect(script.binding)
      const reason = yield* reasonOf(client.callTool("read", { path: "b" }))
      assert(reason._tag === "ConnectionClosed")
      assert.include(reason.detail, `step 3 expected tools/call with {"name":"read","arguments":{"path":"a"}}; came tools/call {"name":"read","arguments":{"path":"b"}`)
      assert.deepStrictEqual(yield* reasonOf(script.finished), reason)
    }).pipe(Effect.scoped))

  it.effect("takes no request after its end", () =>
    Effect.gen(function*() {
      const script = yield* MockTransport.make(agree())
      const client = yield* connect(script.binding)
      yield* script.finished
      const reason = yield* reasonOf(client.callTool("more"))
      assert(reason._tag === "ConnectionClosed")
      assert.include(reason.detail, "the script is at its end; came tools/call")
    }).pipe(Effect.scoped))

  it.effect("fails the test when the program ends before it", () =>
    Effect.gen(function*() {
      const script = yield* MockTransport.make([...agree(), expect("tools/call")])
      yield* Effect.scoped(Effect.andThen(connect(script.binding), Effect.yieldNow))
      const reason = yield* reasonOf(script.finished)
      assert(reason._tag === "ConnectionClosed")
      assert.include(reason.detail, "step 3 expected tools/call; the connection was closed")
    }))

  it.effect("drops a request, answers late, and delays on the test's clock", () =>
    Effect.gen(function*() {
      const script = yield* MockTransport.make([
        ...agree(),
        expect("tools/call"),
        expect("notifications/cancelled"),
        reply(text("too late")),
        expect("tools/call"),
        delay("4 seconds"),
        reply(text("slow"))
      ])
      const client = yield* connect(script.binding)
      const strays = yield* Effect.forkChild(
        Stream.runHead(Stream.filter(client.diagnostics, ({ _tag }) => _tag === "StrayReply")),
        { startImmediately: true }
      )
      assert.deepInclude(
        yield* during("5 seconds", reasonOf(client.callTool("a", {}, { timeout: "5 seconds" }))),
        { _tag: "RequestTimeout", limit: "idle", millis: 5_000 }
      )
      assert.deepInclude((yield* Fiber.join(strays)), { _tag: "Some" })
      assert.strictEqual(textOf(yield* during("4 seconds", client.callTool("a", {}, { timeout: "5 seconds" }))), "slow")
      yield* script.finished
    }).pipe(Effect.scoped))

  it.effect("tells progress, which starts the deadline anew", () =>
    Effect.gen(function*() {
      const script = yield* MockTransport.make([
        ...agree(),
        expect("tools/call"),
        delay("4 seconds"),
        progress({ progress: 1 }),
        delay("4 seconds"),
        reply(text("done"))
      ])
      const client = yield* connect(script.binding)
      assert.strictEqual(textOf(yield* during("8 seconds", client.callTool("a", {}, { timeout: "5 seconds" }))), "done")
    }).pipe(Effect.scoped))

  it.effect("answers out of order, twice, and with errors", () =>
    Effect.gen(function*() {
      const script = yield* MockTransport.make([
        ...agree(),
        expect("tools/call", { params: { name: "a" }, as: "a" }),
        expect("tools/call", { params: { name: "b" }, as: "b" }),
        refuse({ code: -32099, message: "b is closed" }, { to: "b" }),
        reply(text("A"), { to: "a" }),
        reply(text("A again"), { to: "a" })
      ])
      const client = yield* connect(script.binding)
      const [a, b] = yield* Effect.all([client.callTool("a"), reasonOf(client.callTool("b"))], { concurrency: 2 })
      assert.strictEqual(textOf(a), "A")
      assert.deepInclude(b, { _tag: "RemoteError", code: -32099, detail: "b is closed" })
      assert.deepInclude(
        yield* Stream.runHead(Stream.filter(client.diagnostics, ({ _tag }) => _tag === "StrayReply")),
        { _tag: "Some" }
      )
    }).pipe(Effect.scoped))

  it.effect("sends garbage and nonsense, which the client reports and survives", () =>
    Effect.gen(function*() {
      const script = yield* MockTransport.make([
        ...agree(),
        expect("tools/call"),
        garbage("Listening on port 3000"),
        send({ hello: "world" }),
        reply(text("fine"))
      ])
      const client = yield* connect(script.binding)
      assert.strictEqual(textOf(yield* client.callTool("a")), "fine")
      const skipped = yield* Stream.runCollect(
        Stream.take(Stream.filter(client.diagnostics, ({ _tag }) => _tag === "Skipped"), 2)
      )
      assert.deepStrictEqual([...skipped].map((diagnostic) => diagnostic._tag === "Skipped" ? diagnostic.excerpt : ""), [
        "Listening on port 3000",
        `{"hello":"world"}`
      ])
    }).pipe(Effect.scoped))

  it.effect("closes half: nothing arrives any more, and a call ends by its deadline", () =>
    Effect.gen(function*() {
      const script = yield* MockTransport.make([...agree(), expect("tools/call"), halfClose, reply(text("unheard"))])
      const client = yield* connect(script.binding)
      assert.deepInclude(
        yield* during("60 seconds", reasonOf(client.callTool("a"))),
        { _tag: "RequestTimeout", limit: "idle" }
      )
      yield* script.finished
    }).pipe(Effect.scoped))

  it.effect("closes for a reason, which every call in flight fails with", () =>
    Effect.gen(function*() {
      const exited = new McpError.ProcessExited({ code: 3, signal: null, stderr: "out of memory" })
      const script = yield* MockTransport.make([...agree(), expect("tools/call"), close(exited)])
      const client = yield* connect(script.binding)
      assert.deepInclude(yield* reasonOf(client.callTool("a")), { _tag: "ProcessExited", stderr: "out of memory" })
    }).pipe(Effect.scoped))

  it.effect("refuses to open so many times, then plays", () =>
    Effect.gen(function*() {
      const script = yield* MockTransport.make(agree(), { refuse: 2 })
      const attempts = [
        yield* reasonOf(Effect.scoped(connect(script.binding))),
        yield* reasonOf(Effect.scoped(connect(script.binding)))
      ]
      assert.deepStrictEqual(attempts.map((reason) => reason._tag === "ConnectionClosed" ? reason.detail : ""), [
        "opening 1 was refused",
        "opening 2 was refused"
      ])
      yield* connect(script.binding)
      yield* script.finished
    }).pipe(Effect.scoped))
})

describe("a faulty binding", () => {
  const declaration = { tools: { echo: (args: { readonly [key: string]: unknown }) => Effect.succeed(String(args.n)) } }
  const isCall = (message: { readonly [key: string]: unknown }) => message.method === "tools/call"
  const isResult = (message: { readonly [key: string]: unknown }) => JSON.stringify(message).includes("content")

  /** A client of a good server behind faults. */
  const behind = Effect.fnUntraced(function*(faults: MockTransport.FaultOptions) {
    const server = yield* MockServer.make(declaration)
    const client = yield* connect(MockTransport.faulty(server.binding, faults), { timeout: "5 seconds" })
    return { client, server, echo: (n: number) => Effect.map(client.callTool("echo", { n }), textOf) }
  })

  it.effect("without a fault is the binding it was made of", () =>
    Effect.gen(function*() {
      const { echo } = yield* behind({})
      assert.deepStrictEqual(yield* Effect.all([echo(1), echo(2)], { concurrency: 2 }), ["1", "2"])
    }).pipe(Effect.scoped))

  it.effect("drops what the client sends: the server never hears of the call", () =>
    Effect.gen(function*() {
      const { echo, server } = yield* behind({ sent: { drop: isCall } })
      assert.deepInclude(yield* during("5 seconds", reasonOf(echo(1))), { _tag: "RequestTimeout" })
      assert.deepStrictEqual(yield* server.calls, [])
    }).pipe(Effect.scoped))

  it.effect("drops what the server sends: it did the work, the client gives up", () =>
    Effect.gen(function*() {
      const { echo, server } = yield* behind({ received: { drop: isResult } })
      assert.deepInclude(yield* during("5 seconds", reasonOf(echo(1))), { _tag: "RequestTimeout" })
      assert.strictEqual((yield* server.calls)[0]?.status, "done")
    }).pipe(Effect.scoped))

  it.effect("duplicates: a call ends once, however often it is answered", () =>
    Effect.gen(function*() {
      const { client, echo } = yield* behind({ received: { duplicate: isResult } })
      assert.strictEqual(yield* echo(1), "1")
      const stray = yield* Stream.runHead(Stream.filter(client.diagnostics, ({ _tag }) => _tag === "StrayReply"))
      assert.deepInclude(stray, { _tag: "Some" })
    }).pipe(Effect.scoped))

  it.effect("reorders: each call gets its own answer", () =>
    Effect.gen(function*() {
      const order: Array<number> = []
      const { echo } = yield* behind({ received: { reorder: isResult } })
      const call = (n: number) => Effect.tap(echo(n), () => Effect.sync(() => order.push(n)))
      assert.deepStrictEqual(yield* Effect.all([call(1), call(2)], { concurrency: 2 }), ["1", "2"])
      assert.deepStrictEqual(order, [2, 1])
    }).pipe(Effect.scoped))

  it.effect("is slow: what is behind a slow message waits for it", () =>
    Effect.gen(function*() {
      const { echo } = yield* behind({ received: { delay: (message) => isResult(message) ? "2 seconds" : 0 } })
      const calls = yield* Effect.forkChild(Effect.all([echo(1), echo(2)], { concurrency: 2 }), { startImmediately: true })
      yield* TestClock.adjust("3999 millis")
      assert.strictEqual(calls.pollUnsafe(), undefined)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* Fiber.join(calls), ["1", "2"])
    }).pipe(Effect.scoped))

  it.effect("garbles: the answer is lost, the connection is not", () =>
    Effect.gen(function*() {
      let first = true
      const { client, echo } = yield* behind({
        received: {
          garbage: (message) => {
            const garbled = first && isResult(message)
            if (garbled) first = false
            return garbled
          }
        }
      })
      assert.deepInclude(yield* during("5 seconds", reasonOf(echo(1))), { _tag: "RequestTimeout" })
      assert.strictEqual(yield* echo(2), "2")
      const skipped = yield* Stream.runHead(Stream.filter(client.diagnostics, ({ _tag }) => _tag === "Skipped"))
      assert.deepInclude(skipped, { _tag: "Some" })
    }).pipe(Effect.scoped))

  it.effect("closes half: the server still hears, the client does not", () =>
    Effect.gen(function*() {
      const { echo, server } = yield* behind({ received: { halfClose: isResult } })
      assert.deepInclude(yield* during("5 seconds", reasonOf(echo(1))), { _tag: "RequestTimeout" })
      assert.deepInclude(yield* during("5 seconds", reasonOf(echo(2))), { _tag: "RequestTimeout" })
      assert.strictEqual((yield* server.calls).length, 2)
    }).pipe(Effect.scoped))

  it.effect("breaks in the middle of a call, for the reason that is given", () =>
    Effect.gen(function*() {
      const { echo } = yield* behind({
        sent: {
          close: (message) =>
            isCall(message) ? new McpError.ConnectionClosed({ by: "server", detail: "cable cut" }) : undefined
        }
      })
      assert.deepInclude(yield* reasonOf(echo(1)), { _tag: "ConnectionClosed", detail: "cable cut" })
    }).pipe(Effect.scoped))

  it.effect("takes chance from Effect's Random: the same seed drops the same messages", () =>
    Effect.gen(function*() {
      const run = Effect.gen(function*() {
        const { echo } = yield* behind({ received: { drop: 0.5 } }).pipe(Effect.retry({ times: 20 }))
        const calls = Array.from({ length: 20 }, (_, n) => Effect.result(echo(n)))
        const results = yield* during("5 seconds", Effect.all(calls, { concurrency: "unbounded" }))
        return results.map(({ _tag }) => _tag)
      }).pipe(Effect.scoped, Random.withSeed("a seed"))
      const first = yield* run
      assert.includeMembers(first, ["Success", "Failure"])
      assert.deepStrictEqual(yield* run, first)
    }))
})
