import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import * as Shared from "../../src/bridge/shared.ts"
import * as McpError from "../../src/McpError.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import type { Binding } from "../../src/Transport.ts"
import { echo, hand, type OnMessage } from "./support.ts"
import { waitUntil } from "../support/waitUntil.ts"

/** One session: what it was sent, and why it ended. */
const join = Effect.fnUntraced(function*(shared: Binding) {
  const scope = yield* Scope.make()
  const received: Array<unknown> = []
  const closed: Array<McpError.McpErrorReason> = []
  const link = yield* Scope.provide(
    shared.open({
      onMessage: (value) => received.push(value),
      onDiagnostic: () => {},
      onFailure: () => {},
      onClose: (reason) => closed.push(reason)
    }),
    scope
  )
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  return { link, received, closed, leave: Scope.close(scope, Exit.void) }
})

const setUp = Effect.fnUntraced(function*(onMessage?: OnMessage, options?: Partial<Shared.Options>) {
  const { binding, links } = yield* hand(onMessage)
  const shared = yield* Shared.make(binding, { maxRequests: 1_000, ...options })
  return { shared, links }
})

const methods = (messages: ReadonlyArray<JsonRpc.Message>) =>
  messages.map((message) => "method" in message ? message.method : "answer")

const idOf = (message: JsonRpc.Message | undefined): JsonRpc.RequestId =>
  message !== undefined && JsonRpc.isRequest(message) ? message.id : "none"

describe("one link for several sessions", () => {
  it.effect("ids of any kind come back to their owner as they were, in whatever order the server answers", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.record({ session: fc.nat(2), id: fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constantFrom("1", "2", "", "a")), order: fc.nat() }),
            { maxLength: 20 }
          ),
          (calls) =>
            Effect.runPromise(Effect.scoped(Effect.gen(function*() {
              const { links, shared } = yield* setUp()
              const sessions = [yield* join(shared), yield* join(shared), yield* join(shared)]
              // In flight, an id is used once by each session.
              const unique = calls.filter(({ id, session }, index) =>
                calls.findIndex((other) => other.session === session && other.id === id) === index)
              for (const [index, { id, session }] of unique.entries()) {
                sessions[session]?.link.send(JsonRpc.request(id, "echo", { index }))
              }
              yield* waitUntil(() => links[0]?.received.length === unique.length)
              const asked = (links[0]?.received ?? []).filter(JsonRpc.isRequest)
              assert.strictEqual(new Set(asked.map(({ id }) => id)).size, unique.length)
              const shuffled = asked.map((request, at) => ({ request, order: unique[at]?.order ?? 0 })).sort((a, b) => a.order - b.order)
              for (const { request } of shuffled) yield* links[0]?.peer.send(JsonRpc.success(request.id, request.params)) ?? Effect.void
              sessions.forEach(({ received }, session) => {
                const expected = unique.flatMap(({ id, session: owner }, index) =>
                  owner === session ? [JsonRpc.success(id, { index })] : [])
                assert.sameDeepMembers(received, expected)
              })
            }))
          )
        ),
        { numRuns: 100 }
      )
    ))

  it.effect("the server shakes hands once; who comes meanwhile or later is given the same answer", () =>
    Effect.gen(function*() {
      const { links, shared } = yield* setUp()
      const one = yield* join(shared)
      const two = yield* join(shared)
      one.link.send(JsonRpc.request(1, "initialize", {}))
      two.link.send(JsonRpc.request("x", "initialize", {}))
      yield* waitUntil(() => links[0]?.received.length === 1)
      yield* links[0]?.peer.send(JsonRpc.success(idOf(links[0].received[0]), { serverInfo: "s" })) ?? Effect.void
      const three = yield* join(shared)
      three.link.send(JsonRpc.request(1, "initialize", {}))
      for (const { link } of [one, two, three]) link.send(JsonRpc.notification("notifications/initialized"))
      const result = { serverInfo: "s" }
      assert.deepStrictEqual(one.received, [JsonRpc.success(1, result)])
      assert.deepStrictEqual(two.received, [JsonRpc.success("x", result)])
      assert.deepStrictEqual(three.received, [JsonRpc.success(1, result)])
      three.link.send(JsonRpc.request(2, "last", {}))
      yield* waitUntil(() => methods(links[0]?.received ?? []).includes("last"))
      assert.deepStrictEqual(methods(links[0]?.received ?? []), ["initialize", "notifications/initialized", "last"])
    }).pipe(Effect.scoped))

  it.effect("a handshake outlives the session that began it", () =>
    Effect.gen(function*() {
      const { links, shared } = yield* setUp()
      const one = yield* join(shared)
      const two = yield* join(shared)
      one.link.send(JsonRpc.request(1, "initialize", {}))
      two.link.send(JsonRpc.request(2, "initialize", {}))
      yield* waitUntil(() => links[0]?.received.length === 1)
      yield* one.leave
      yield* links[0]?.peer.send(JsonRpc.success(idOf(links[0].received[0]), "ok")) ?? Effect.void
      assert.deepStrictEqual(two.received, [JsonRpc.success(2, "ok")])
      assert.deepStrictEqual(methods(links[0]?.received ?? []), ["initialize"])
    }).pipe(Effect.scoped))

  it.effect("progress goes to whoever asked for it, under its own token", () =>
    Effect.gen(function*() {
      const { links, shared } = yield* setUp()
      const one = yield* join(shared)
      const two = yield* join(shared)
      for (const { link } of [one, two]) link.send(JsonRpc.request(1, "slow", { _meta: { progressToken: "t", other: 1 } }))
      yield* waitUntil(() => links[0]?.received.length === 2)
      const second = links[0]?.received[1]
      const meta = second !== undefined && JsonRpc.isRequest(second) ? second.params?._meta : undefined
      assert.deepInclude(meta, { other: 1 })
      const token = JsonRpc.isJsonObject(meta) ? meta.progressToken : undefined
      yield* links[0]?.peer.send(JsonRpc.notification("notifications/progress", { progressToken: token, progress: 1 })) ?? Effect.void
      assert.deepStrictEqual(one.received, [])
      assert.deepStrictEqual(two.received, [JsonRpc.notification("notifications/progress", { progressToken: "t", progress: 1 })])
    }).pipe(Effect.scoped))

  it.effect("a session cancels its own calls only, and all of them when it leaves", () =>
    Effect.gen(function*() {
      const { links, shared } = yield* setUp()
      const one = yield* join(shared)
      const two = yield* join(shared)
      one.link.send(JsonRpc.request(1, "slow", {}))
      one.link.send(JsonRpc.request(2, "slow", {}))
      yield* waitUntil(() => links[0]?.received.length === 2)
      const ids = (links[0]?.received ?? []).map(idOf)
      two.link.send(JsonRpc.notification("notifications/cancelled", { requestId: 1 }))
      one.link.send(JsonRpc.notification("notifications/cancelled", { requestId: 2, reason: "enough" }))
      yield* one.leave
      yield* waitUntil(() => links[0]?.received.length === 4)
      assert.deepStrictEqual(links[0]?.received.slice(2), [
        JsonRpc.notification("notifications/cancelled", { requestId: ids[1], reason: "enough" }),
        JsonRpc.notification("notifications/cancelled", { requestId: ids[0], reason: "its session has ended" })
      ])
      yield* links[0]?.peer.send(JsonRpc.success(ids[0] ?? 0, "late")) ?? Effect.void
      assert.deepStrictEqual([one.received, two.received], [[], []])
    }).pipe(Effect.scoped))

  it.effect("questions of the server go to a session with a call in flight, and only its answer counts", () =>
    Effect.gen(function*() {
      const { links, shared } = yield* setUp()
      const one = yield* join(shared)
      const two = yield* join(shared)
      const ask = (id: string) => links[0]?.peer.send(JsonRpc.request(id, "roots/list", undefined)) ?? Effect.void
      const answers = () => (links[0]?.received ?? []).filter((message) => !("method" in message))
      yield* ask("nobody")
      yield* waitUntil(() => answers().length === 1)
      assert.deepInclude(answers()[0], { id: "nobody" })
      assert.property(answers()[0], "error")
      one.link.send(JsonRpc.request(1, "slow", {}))
      yield* ask("q")
      assert.deepStrictEqual([one.received, two.received], [[JsonRpc.request("q", "roots/list", undefined)], []])
      two.link.send(JsonRpc.success("q", "forged"))
      one.link.send(JsonRpc.success("q", "mine"))
      one.link.send(JsonRpc.success("q", "again"))
      yield* ask("left")
      yield* one.leave
      yield* waitUntil(() => answers().length === 3)
      assert.deepStrictEqual(answers()[1], JsonRpc.success("q", "mine"))
      assert.deepInclude(answers()[2], { id: "left" })
      assert.property(answers()[2], "error")
    }).pipe(Effect.scoped))

  it.effect("a ping of the server is answered without asking anybody", () =>
    Effect.gen(function*() {
      const { links, shared } = yield* setUp()
      const { received } = yield* join(shared)
      yield* links[0]?.peer.send(JsonRpc.request(1, "ping", undefined)) ?? Effect.void
      yield* waitUntil(() => links[0]?.received.length === 1)
      assert.deepStrictEqual(links[0]?.received, [JsonRpc.success(1, {})])
      assert.deepStrictEqual(received, [])
    }).pipe(Effect.scoped))

  it.effect("a resource is unsubscribed when the last session has lost interest", () =>
    Effect.gen(function*() {
      const { links, shared } = yield* setUp(echo)
      const one = yield* join(shared)
      const two = yield* join(shared)
      for (const { link } of [one, two]) link.send(JsonRpc.request(1, "resources/subscribe", { uri: "memo://1" }))
      yield* waitUntil(() => two.received.length === 1)
      one.link.send(JsonRpc.request(2, "resources/unsubscribe", { uri: "memo://1" }))
      assert.deepStrictEqual(one.received[1], JsonRpc.success(2, {}))
      yield* two.leave
      yield* waitUntil(() => links[0]?.received.length === 3)
      assert.deepStrictEqual(methods(links[0]?.received ?? []), ["resources/subscribe", "resources/subscribe", "resources/unsubscribe"])
    }).pipe(Effect.scoped))

  it.effect("a session that shakes hands again and again while the server thinks is told so once each, and keeps nothing", () =>
    Effect.gen(function*() {
      const { links, shared } = yield* setUp()
      const [first, second, third] = [yield* join(shared), yield* join(shared), yield* join(shared)]
      first.link.send(JsonRpc.request(1, "initialize", {}))
      first.link.send(JsonRpc.request(2, "initialize", {}))
      for (const id of [1, 2, 3]) second.link.send(JsonRpc.request(id, "initialize", {}))
      third.link.send(JsonRpc.request(9, "initialize", {}))
      yield* third.leave
      yield* waitUntil(() => links[0]?.received.length === 1)
      yield* links[0]?.peer.send(JsonRpc.success(idOf(links[0]?.received[0]), { ok: true })) ?? Effect.void
      yield* waitUntil(() => second.received.length === 3)
      assert.deepStrictEqual(second.received.filter((answer) => JsonRpc.isMessage(answer) && "result" in answer), [
        JsonRpc.success(1, { ok: true })
      ])
      assert.deepStrictEqual(first.received, [JsonRpc.success(1, { ok: true }), JsonRpc.success(2, { ok: true })])
      assert.lengthOf(third.received, 0)
    }).pipe(Effect.scoped))

  it.effect("a resource's changes go to those who subscribed to it, and to all where nobody is known to have", () =>
    Effect.gen(function*() {
      const { links, shared } = yield* setUp()
      const [one, other] = [yield* join(shared), yield* join(shared)]
      one.link.send(JsonRpc.request(1, "resources/subscribe", { uri: "file:///a" }))
      yield* waitUntil(() => links[0]?.received.length === 1)
      const updated = (uri: string) => JsonRpc.notification("notifications/resources/updated", { uri })
      yield* links[0]?.peer.send(updated("file:///a")) ?? Effect.void
      yield* links[0]?.peer.send(updated("file:///b")) ?? Effect.void
      yield* waitUntil(() => one.received.length === 2)
      assert.deepStrictEqual(other.received, [updated("file:///b")])
    }).pipe(Effect.scoped))

  it.effect("what names no request goes to all, log messages to those who asked for them", () =>
    Effect.gen(function*() {
      const { links, shared } = yield* setUp()
      const one = yield* join(shared)
      const two = yield* join(shared)
      const changed = JsonRpc.notification("notifications/tools/list_changed")
      yield* links[0]?.peer.send(changed) ?? Effect.void
      one.link.send(JsonRpc.request(1, "slow", { _meta: { "io.modelcontextprotocol/logLevel": "info" } }))
      const log = JsonRpc.notification("notifications/message", { data: "x" })
      yield* links[0]?.peer.send(log) ?? Effect.void
      assert.deepStrictEqual([one.received, two.received], [[changed, log], [changed]])
    }).pipe(Effect.scoped))

  it.effect("more requests than allowed are refused until one has ended, whoever made them", () =>
    Effect.gen(function*() {
      const { links, shared } = yield* setUp(undefined, { maxRequests: 2 })
      const one = yield* join(shared)
      const two = yield* join(shared)
      one.link.send(JsonRpc.request("a", "slow", {}))
      one.link.send(JsonRpc.request("b", "slow", {}))
      two.link.send(JsonRpc.request("a", "slow", {}))
      const [refusal] = two.received
      assert.deepInclude(refusal, { id: "a", error: { code: -32603, message: "there are too many requests in flight" } })
      assert.lengthOf(two.received, 1)
      one.link.abandon("b", "enough")
      two.link.send(JsonRpc.request("a", "slow", {}))
      yield* waitUntil(() => links[0]?.received.length === 4)
      assert.deepStrictEqual(methods(links[0]?.received ?? []), ["slow", "slow", "notifications/cancelled", "slow"])
      assert.lengthOf(two.received, 1)
    }).pipe(Effect.scoped))

  it.effect("more questions of the server than allowed are refused until one is answered", () =>
    Effect.gen(function*() {
      const { links, shared } = yield* setUp(undefined, { maxRequests: 2 })
      const one = yield* join(shared)
      one.link.send(JsonRpc.request(1, "slow", {}))
      yield* waitUntil(() => links[0]?.received.length === 1)
      const ask = (id: number) => links[0]?.peer.send(JsonRpc.request(id, "roots/list", {})) ?? Effect.void
      for (const id of [1, 2, 3]) yield* ask(id)
      assert.lengthOf(one.received, 2)
      yield* waitUntil(() => links[0]?.received.length === 2)
      assert.deepInclude(links[0]?.received[1], { id: 3 })
      one.link.send(JsonRpc.success(1, { roots: [] }))
      yield* ask(4)
      assert.lengthOf(one.received, 3)
    }).pipe(Effect.scoped))

  it.effect("sessions cannot subscribe to resources without end, but to those of others", () =>
    Effect.gen(function*() {
      const { shared } = yield* setUp(echo)
      const one = yield* join(shared)
      const two = yield* join(shared)
      const subscribe = (session: typeof one, uri: number) => {
        session.link.send(JsonRpc.request(uri, "resources/subscribe", { uri: `test://${uri}` }))
        return waitUntil(() => session.received.length > 0).pipe(Effect.map(() => session.received.pop()))
      }
      for (let uri = 0; uri < 10_000; uri++) assert.property(yield* subscribe(one, uri), "result")
      assert.nestedPropertyVal(yield* subscribe(two, 10_000), "error.message", "there are too many subscriptions")
      assert.property(yield* subscribe(two, 9_999), "result")
    }).pipe(Effect.scoped))

  it.effect("when the server is lost every session is told, and the next one has a new server", () =>
    Effect.gen(function*() {
      const { links, shared } = yield* setUp(echo)
      const one = yield* join(shared)
      const two = yield* join(shared)
      yield* links[0]?.peer.close(new McpError.ProcessExited({ code: 1, signal: null, stderr: "" })) ?? Effect.void
      for (const { closed } of [one, two]) assert.deepStrictEqual(closed.map(({ _tag }) => _tag), ["ProcessExited"])
      const [three, four] = yield* Effect.all([join(shared), join(shared)], { concurrency: 2 })
      assert.lengthOf(links, 2)
      for (const { link, received } of [three, four]) {
        link.send(JsonRpc.request(1, "x", {}))
        yield* waitUntil(() => received.length === 1)
      }
    }).pipe(Effect.scoped))

  it.effect("the server is kept for the idle time after the last session, and no longer", () =>
    Effect.gen(function*() {
      const { links, shared } = yield* setUp(echo, { idleTimeout: "1 minute" })
      yield* (yield* join(shared)).leave
      yield* TestClock.adjust("59 seconds")
      yield* (yield* join(shared)).leave
      assert.lengthOf(links, 1)
      yield* TestClock.adjust("61 seconds")
      assert.isFalse(links[0]?.open)
    }).pipe(Effect.scoped))
})
