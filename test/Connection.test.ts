import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import * as Connection from "../src/Connection.ts"
import type { Diagnostic } from "../src/Diagnostic.ts"
import * as McpError from "../src/McpError.ts"
import * as JsonRpc from "../src/protocol/JsonRpc.ts"
import * as InMemoryTransport from "../src/transport/InMemoryTransport.ts"
import { reasonOf } from "./support/reasonOf.ts"

/** A connection, the server's side of it, and everything the handlers heard. */
const connect = Effect.fnUntraced(function*(options: {
  readonly onRequest?: Connection.Handlers["onRequest"]
  readonly limits?: Connection.Limits
} = {}) {
  const peers: Array<InMemoryTransport.Peer> = []
  const diagnostics: Array<Diagnostic> = []
  const notifications: Array<JsonRpc.Notification> = []
  const transport = yield* InMemoryTransport.make((peer) => Effect.sync(() => {
    peers.push(peer)
  }))
  const connection = yield* Connection.make({
    server: "test",
    transport,
    limits: options.limits,
    handlers: {
      onDiagnostic: (diagnostic) => diagnostics.push(diagnostic),
      onNotification: (notification) => notifications.push(notification),
      onRequest: options.onRequest ?? (() => Effect.succeed({}))
    }
  })
  const peer = peers[0]
  assert(peer !== undefined)
  /** The next message, which must be a request. */
  const takeRequest = Effect.map(peer.take, (message) => {
    assert(JsonRpc.isRequest(message))
    return message
  })
  return { connection, peer, takeRequest, diagnostics, notifications }
})

const fork = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })

describe("Connection", () => {
  describe("when things go wrong", () => {
    it.effect("a request without an answer fails after its silence and is cancelled on the server (X-03)", () =>
      Effect.gen(function*() {
        const { connection, peer, takeRequest } = yield* connect()
        const call = yield* fork(connection.request("tools/call", { name: "slow" }, { timeout: "5 seconds" }))
        const { id } = yield* takeRequest
        yield* TestClock.adjust("4999 millis")
        assert.isUndefined(call.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        const reason = reasonOf(yield* Fiber.await(call))
        assert.deepInclude(reason, { _tag: "RequestTimeout", method: "tools/call", limit: "idle", millis: 5_000 })
        assert.deepInclude(yield* peer.take, { method: "notifications/cancelled" })
        assert.strictEqual(connection.inFlightUnsafe(), 0)
        yield* peer.send(JsonRpc.success(id, {}))
      }).pipe(Effect.scoped))

    it.effect("progress starts the silence anew, but never the maximum total (X-04)", () =>
      Effect.gen(function*() {
        const { connection, peer, takeRequest } = yield* connect()
        const call = yield* fork(connection.request("slow", undefined, { timeout: "5 seconds", maxTotal: "12 seconds" }))
        const { id } = yield* takeRequest
        const tick = peer.send(JsonRpc.notification("notifications/progress", { progressToken: id, progress: 1 }))
        for (let ticks = 0; ticks < 2; ticks++) {
          yield* TestClock.adjust("4 seconds")
          yield* tick
        }
        yield* TestClock.adjust("3999 millis")
        assert.isUndefined(call.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.deepInclude(reasonOf(yield* Fiber.await(call)), { _tag: "RequestTimeout", limit: "total", millis: 12_000 })
      }).pipe(Effect.scoped))

    it.effect("progress does not start the silence anew when that is not wanted", () =>
      Effect.gen(function*() {
        const { connection, peer, takeRequest } = yield* connect({ limits: { timeout: "5 seconds", resetOnProgress: false } })
        const call = yield* fork(connection.request("slow"))
        const { id } = yield* takeRequest
        yield* TestClock.adjust("4 seconds")
        yield* peer.send(JsonRpc.notification("notifications/progress", { progressToken: id, progress: 1 }))
        yield* TestClock.adjust("1 seconds")
        assert.deepInclude(reasonOf(yield* Fiber.await(call)), { limit: "idle" })
      }).pipe(Effect.scoped))

    it.effect("many requests with different deadlines each end at their own", () =>
      Effect.gen(function*() {
        const { connection } = yield* connect()
        const ended: Array<number> = []
        for (const seconds of [7, 3, 9, 1, 5]) {
          yield* fork(connection.request("slow", undefined, { timeout: `${seconds} seconds` }).pipe(
            Effect.ensuring(Effect.sync(() => ended.push(seconds)))
          ))
        }
        for (let second = 1; second <= 9; second++) {
          yield* TestClock.adjust("1 second")
          assert.deepStrictEqual(ended, [1, 3, 5, 7, 9].filter((seconds) => seconds <= second))
        }
      }).pipe(Effect.scoped))

    it.effect("when the link ends, every pending call fails at once with the reason, and later ones do too", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* connect()
        const calls = yield* Effect.forEach([1, 2, 3], () => fork(connection.request("slow")))
        yield* peer.close(new McpError.ProcessExited({ code: 3, signal: null, stderr: "boom" }))
        for (const call of calls) {
          assert.deepInclude(reasonOf(yield* Fiber.await(call)), { _tag: "ProcessExited", code: 3, stderr: "boom" })
        }
        assert.deepInclude(reasonOf(yield* Effect.exit(connection.request("more"))), { _tag: "ProcessExited" })
        assert.deepInclude(reasonOf(yield* Effect.exit(connection.notify("more"))), { _tag: "ProcessExited" })
        assert.strictEqual((yield* connection.closed).server, "test")
      }).pipe(Effect.scoped))

    it.effect("closing the scope fails what is pending with ConnectionClosed by the client", () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const { connection } = yield* Scope.provide(connect(), scope)
        const call = yield* fork(connection.request("slow"))
        yield* Scope.close(scope, Exit.void)
        assert.deepInclude(reasonOf(yield* Fiber.await(call)), { _tag: "ConnectionClosed", by: "client" })
      }))

    it.effect("an interrupted request is cancelled on the server once, and its late reply is ignored and counted", () =>
      Effect.gen(function*() {
        const { connection, diagnostics, peer, takeRequest } = yield* connect()
        const call = yield* fork(connection.request("slow"))
        const { id } = yield* takeRequest
        yield* Fiber.interrupt(call)
        assert.deepInclude(yield* peer.take, { method: "notifications/cancelled" })
        yield* peer.send(JsonRpc.success(id, {}))
        yield* peer.send(JsonRpc.success(id, {}))
        yield* peer.send(JsonRpc.success("never-asked", {}))
        yield* peer.send(JsonRpc.success(String(id), {}))
        assert.deepStrictEqual(
          diagnostics.map((diagnostic) => diagnostic._tag === "StrayReply" ? diagnostic.kind : diagnostic._tag),
          ["late", "late", "unknown", "unknown"]
        )
        const echo = yield* fork(connection.request("echo"))
        assert.strictEqual((yield* takeRequest).method, "echo")
        yield* Fiber.interrupt(echo)
      }).pipe(Effect.scoped))

    it.effect("a request that must not be cancelled is not (X-07)", () =>
      Effect.gen(function*() {
        const { connection, peer, takeRequest } = yield* connect()
        const call = yield* fork(connection.request("initialize", undefined, { cancellable: false }))
        yield* takeRequest
        yield* Fiber.interrupt(call)
        yield* connection.notify("after")
        assert.deepInclude(yield* peer.take, { method: "after" })
      }).pipe(Effect.scoped))

    it.effect("an error of the server names the method, the code and the data", () =>
      Effect.gen(function*() {
        const { connection, peer, takeRequest } = yield* connect()
        const call = yield* fork(connection.request("tools/call"))
        const { id } = yield* takeRequest
        yield* peer.send(JsonRpc.failure(id, { code: -32602, message: "no such tool", data: { name: "x" } }))
        const reason = reasonOf(yield* Fiber.await(call))
        assert.deepInclude(reason, { _tag: "RemoteError", method: "tools/call", code: -32602, detail: "no such tool" })
        assert.deepInclude(reason, { data: { name: "x" } })
      }).pipe(Effect.scoped))

    it.effect("an error without an id, or with a null one, is reported and harms nobody (B-05)", () =>
      Effect.gen(function*() {
        const { connection, diagnostics, peer, takeRequest } = yield* connect()
        const call = yield* fork(connection.request("echo"))
        const { id } = yield* takeRequest
        yield* peer.send({ jsonrpc: "2.0", id: null, error: { code: -32700, message: "Parse error" } })
        yield* peer.send({ jsonrpc: "2.0", error: { code: -32700, message: "Parse error" } })
        yield* peer.send(JsonRpc.success(id, { ok: true }))
        assert.deepStrictEqual(yield* Fiber.join(call), { ok: true })
        assert.deepStrictEqual(diagnostics.map(({ _tag }) => _tag), ["Warning", "Warning"])
      }).pipe(Effect.scoped))

    it.effect("arguments that are not JSON fail the call that has them, and nothing is sent", () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* connect()
        const cyclic: Record<string, unknown> = {}
        cyclic.self = cyclic
        for (const params of [{ n: 1n }, cyclic]) {
          assert.deepInclude(reasonOf(yield* Effect.exit(connection.request("tools/call", params))), {
            _tag: "InvalidArguments",
            method: "tools/call"
          })
        }
        assert.strictEqual(connection.inFlightUnsafe(), 0)
        yield* connection.notify("next")
        assert.deepInclude(yield* peer.take, { method: "next" })
      }).pipe(Effect.scoped))

    it.effect("whatever is not a message is skipped, and so are batches where they were not agreed", () =>
      Effect.gen(function*() {
        const { connection, diagnostics, peer, takeRequest } = yield* connect()
        const call = yield* fork(connection.request("echo"))
        const { id } = yield* takeRequest
        for (const noise of [null, 1, "text", [], {}, { jsonrpc: "1.0", id, result: {} }, { level: "info" }, [JsonRpc.success(id, 1)]]) {
          yield* peer.send(noise)
        }
        yield* peer.send(JsonRpc.success(id, { ok: true }))
        assert.deepStrictEqual(yield* Fiber.join(call), { ok: true })
        assert.strictEqual(diagnostics.filter(({ _tag }) => _tag === "Skipped").length, 8)
      }).pipe(Effect.scoped))

    it.effect("a request that finds no room on the link gives up at its deadline", () =>
      Effect.gen(function*() {
        const { connection } = yield* connect()
        // The peer reads nothing: requests pile up to the high-water mark, then wait.
        const calls = yield* Effect.forEach(Array.from({ length: 400 }), () =>
          fork(connection.request("slow", undefined, { timeout: "1 second" })))
        assert.isBelow(connection.inFlightUnsafe(), 400)
        yield* TestClock.adjust("1 second")
        for (const call of calls) assert.deepInclude(reasonOf(yield* Fiber.await(call)), { _tag: "RequestTimeout" })
      }).pipe(Effect.scoped))
  })

  describe("requests of the server", () => {
    it.effect("are answered with the handler's result, its error, or an internal error when it dies or gives no JSON", () =>
      Effect.gen(function*() {
        const { peer } = yield* connect({
          onRequest: ({ method }) =>
            method === "good"
              ? Effect.succeed({ fine: true })
              : method === "bad"
              ? Effect.fail({ code: -1, message: "no" })
              : method === "ugly"
              ? Effect.succeed({ not: 1n })
              : Effect.die("bug")
        })
        yield* peer.send(JsonRpc.request(1, "good", undefined))
        assert.deepInclude(yield* peer.take, { id: 1, result: { fine: true } })
        yield* peer.send(JsonRpc.request("two", "bad", undefined))
        assert.deepInclude(yield* peer.take, { id: "two", error: { code: -1, message: "no" } })
        yield* peer.send(JsonRpc.request(3, "ugly", undefined))
        assert.deepInclude(yield* peer.take, { id: 3, error: { code: -32603, message: "The handler failed" } })
        yield* peer.send(JsonRpc.request(4, "bugged", undefined))
        assert.deepInclude(yield* peer.take, { id: 4, error: { code: -32603, message: "The handler failed" } })
      }).pipe(Effect.scoped))

    it.effect("are interrupted without an answer when the server takes them back (X-08)", () =>
      Effect.gen(function*() {
        const interrupted = yield* Deferred.make<void>()
        const { peer } = yield* connect({
          onRequest: ({ method }) =>
            method === "slow"
              ? Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
              : Effect.succeed({})
        })
        yield* peer.send(JsonRpc.request(1, "slow", undefined))
        yield* peer.send(JsonRpc.notification("notifications/cancelled", { requestId: 1 }))
        yield* Deferred.await(interrupted)
        yield* peer.send(JsonRpc.request(2, "ping", undefined))
        assert.deepInclude(yield* peer.take, { id: 2 })
      }).pipe(Effect.scoped))

    it.effect("a flood of them is refused beyond a bound", () =>
      Effect.gen(function*() {
        const { diagnostics, peer } = yield* connect({ onRequest: () => Effect.never })
        for (let id = 0; id < 100; id++) yield* peer.send(JsonRpc.request(id, "elicitation/create", undefined))
        assert.strictEqual(diagnostics.length, 36)
        assert.deepInclude(yield* peer.take, { id: 64 })
      }).pipe(Effect.scoped))

    for (const taken of ["4 seconds", "5 seconds", "9 seconds", "20 seconds"] as const) {
      it.effect(`while one is handled for ${taken}, the server's silence is not held against it, which then has all its time (MR-08)`, () =>
        Effect.gen(function*() {
          const answer = yield* Deferred.make<void>()
          const { connection, peer, takeRequest } = yield* connect({
            onRequest: () => Effect.as(Deferred.await(answer), {}),
            limits: { timeout: "5 seconds", maxTotal: "1 minute" }
          })
          const call = yield* fork(connection.request("tools/call"))
          const { id } = yield* takeRequest
          yield* peer.send(JsonRpc.request(1, "elicitation/create", undefined))
          yield* TestClock.adjust(taken)
          yield* Deferred.succeed(answer, undefined)
          assert.deepInclude(yield* peer.take, { id: 1 })
          yield* TestClock.adjust("4 seconds")
          assert.isUndefined(call.pollUnsafe())
          yield* peer.send(JsonRpc.success(id, { done: true }))
          assert.deepStrictEqual(yield* Fiber.join(call), { done: true })
        }).pipe(Effect.scoped))
    }

    it.effect("after one was handled, silence is silence again", () =>
      Effect.gen(function*() {
        const { connection, peer, takeRequest } = yield* connect({ limits: { timeout: "5 seconds", maxTotal: "1 minute" } })
        const call = yield* fork(connection.request("tools/call"))
        yield* takeRequest
        yield* TestClock.adjust("4 seconds")
        yield* peer.send(JsonRpc.request(1, "elicitation/create", undefined))
        assert.deepInclude(yield* peer.take, { id: 1 })
        yield* TestClock.adjust("5 seconds")
        assert.deepInclude(reasonOf(yield* Fiber.await(call)), { _tag: "RequestTimeout", limit: "idle" })
      }).pipe(Effect.scoped))
  })

  const unfit: ReadonlyArray<readonly [what: string, rest: object]> = [
    ["has neither a result nor an error", {}],
    ["has an error whose code is a text", { error: { code: "E_FAIL", message: "database is down" } }],
    ["has an error without a message", { error: { code: -32_000 } }],
    ["has an error that is a text", { error: "database is down" }]
  ]
  for (const [what, rest] of unfit) {
    it.effect(`an answer that ${what} ends its request at once, with what came`, () =>
      Effect.gen(function*() {
        const { connection, diagnostics, peer, takeRequest } = yield* connect()
        const call = yield* fork(connection.request("tools/call"))
        const other = yield* fork(connection.request("other"))
        const [{ id }, { id: otherId }] = [yield* takeRequest, yield* takeRequest]
        yield* peer.send({ jsonrpc: "2.0", id, ...rest })
        const reason = reasonOf(yield* Fiber.await(call))
        assert(reason._tag === "InvalidResponse")
        assert.include(reason.detail, JSON.stringify({ jsonrpc: "2.0", id, ...rest }))
        assert.deepStrictEqual(diagnostics.map(({ _tag }) => _tag), ["Skipped"])
        yield* peer.send(JsonRpc.success(otherId, "unharmed"))
        assert.strictEqual(yield* Fiber.join(other), "unharmed")
      }).pipe(Effect.scoped))
  }

  it.effect("a server may speak before the link is there", () =>
    Effect.gen(function*() {
      const heard: Array<string> = []
      const transport = yield* InMemoryTransport.make((peer) =>
        Effect.andThen(peer.send(JsonRpc.notification("notifications/message")), Effect.never))
      const connection = yield* Connection.make({
        server: "test",
        transport,
        handlers: {
          onDiagnostic: () => {},
          onNotification: ({ method }) => heard.push(method),
          onRequest: () => Effect.succeed({})
        }
      })
      assert.deepStrictEqual(heard, ["notifications/message"])
      assert.isUndefined(connection.closedUnsafe())
    }).pipe(Effect.scoped))

  it.effect("what is one of several requests has the `maxTotal` of all of them", () =>
    Effect.gen(function*() {
      const { connection, takeRequest } = yield* connect()
      yield* TestClock.adjust("8 seconds")
      const call = yield* fork(connection.request("tools/list", undefined, { since: 0, maxTotal: "10 seconds" }))
      yield* takeRequest
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(call.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(reasonOf(yield* Fiber.await(call)), { _tag: "RequestTimeout", limit: "total", millis: 10_000 })
    }).pipe(Effect.scoped))

  it.effect("progress reaches the request it belongs to and no other", () =>
    Effect.gen(function*() {
      const { connection, peer, takeRequest } = yield* connect()
      const heard: Array<string> = []
      const listen = (name: string) => fork(connection.request(name, undefined, {
        onProgress: ({ progress }) => heard.push(`${name} ${progress}`)
      }))
      yield* listen("a")
      yield* listen("b")
      const a = yield* takeRequest
      const b = yield* takeRequest
      const progress = (progressToken: unknown, value: unknown) =>
        peer.send({ jsonrpc: "2.0", method: "notifications/progress", params: { progressToken, progress: value } })
      yield* progress(b.id, 1)
      yield* progress(a.id, 2)
      yield* progress(99, 3)
      yield* progress(a.id, "not a number")
      yield* progress(null, 4)
      assert.deepStrictEqual(heard, ["b 1", "a 2"])
    }).pipe(Effect.scoped))

  it.effect("batches are taken apart where they were agreed (B-11)", () =>
    Effect.gen(function*() {
      const { connection, notifications, peer, takeRequest } = yield* connect()
      connection.acceptsBatches = true
      const call = yield* fork(connection.request("echo"))
      const { id } = yield* takeRequest
      yield* peer.send([JsonRpc.notification("notifications/x"), JsonRpc.success(id, { ok: true })])
      assert.deepStrictEqual(yield* Fiber.join(call), { ok: true })
      assert.deepStrictEqual(notifications.map(({ method }) => method), ["notifications/x"])
    }).pipe(Effect.scoped))

  it.effect("every request gets its own answer, in whatever order they come", () =>
    Effect.promise(() =>
      fc.assert(fc.asyncProperty(
        fc.integer({ min: 1, max: 60 }).chain((count) =>
          fc.shuffledSubarray(Array.from({ length: count }, (_, index) => index), { minLength: count })),
        (order) =>
          Effect.runPromise(Effect.gen(function*() {
            const { connection, peer, takeRequest } = yield* connect()
            const calls = yield* Effect.forEach(order, (_, index) => fork(connection.request(`m${index}`)))
            const requests = yield* Effect.forEach(order, () => takeRequest)
            for (const index of order) {
              const request = requests[index]
              assert(request !== undefined)
              yield* peer.send(JsonRpc.success(request.id, { method: request.method }))
            }
            const results = yield* Effect.forEach(calls, Fiber.join)
            assert.deepStrictEqual(results, order.map((_, index) => ({ method: `m${index}` })))
          }).pipe(Effect.scoped))
      ), { numRuns: 50 })
    ))
})
