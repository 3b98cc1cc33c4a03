import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import * as McpError from "../../src/McpError.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import { waitUntil } from "../support/waitUntil.ts"
import { bodyOf, echo, events, hand, json, serve } from "./support.ts"

const initialize = JsonRpc.request(0, "initialize", { protocolVersion: "2025-11-25", capabilities: {} })

type Server = Effect.Success<ReturnType<typeof serve>>

/** Begins a session; the headers that name it. */
const begin = Effect.fnUntraced(function*({ post }: Server) {
  const response = yield* post(initialize)
  assert.strictEqual(response.status, 200)
  assert.deepInclude(yield* bodyOf(response), { id: 0 })
  return { ...json, "mcp-session-id": response.headers.get("mcp-session-id") ?? "" }
})

const ping = JsonRpc.request(1, "ping", undefined)

describe("sessions over HTTP", () => {
  it.effect("a request without a session, or of an unknown one, is refused without starting anything", () =>
    Effect.gen(function*() {
      const { binding, links } = yield* hand(echo)
      const { post, send } = yield* serve(binding)
      assert.strictEqual((yield* post(ping)).status, 400)
      assert.strictEqual((yield* post(ping, { ...json, "mcp-session-id": "nobody" })).status, 404)
      assert.strictEqual((yield* send("DELETE", undefined, { "mcp-session-id": "nobody" })).status, 404)
      assert.strictEqual((yield* send("GET", undefined, { accept: "text/event-stream" })).status, 405)
      assert.strictEqual((yield* send("PUT", undefined)).status, 405)
      assert.lengthOf(links, 0)
    }).pipe(Effect.scoped))

  it.effect("every session has a link of its own, and ends it with DELETE", () =>
    Effect.gen(function*() {
      const { binding, links } = yield* hand(echo)
      const server = yield* serve(binding)
      const one = yield* begin(server)
      const two = yield* begin(server)
      assert.notStrictEqual(one["mcp-session-id"], two["mcp-session-id"])
      assert.lengthOf(links, 2)
      assert.strictEqual((yield* server.post(JsonRpc.notification("notifications/initialized"), one)).status, 202)
      assert.deepInclude(yield* bodyOf(yield* server.post(ping, one)), { id: 1 })
      assert.strictEqual((yield* server.send("DELETE", undefined, one)).status, 204)
      assert.deepStrictEqual(links.map(({ open }) => open), [false, true])
      assert.strictEqual((yield* server.post(ping, one)).status, 404)
      assert.strictEqual((yield* server.post(ping, two)).status, 200)
    }).pipe(Effect.scoped))

  it.effect("what belongs to no call goes to the stream, and waits for one", () =>
    Effect.gen(function*() {
      const { binding, links } = yield* hand(echo)
      const server = yield* serve(binding)
      const session = yield* begin(server)
      const say = (data: string) => links[0]?.peer.send(JsonRpc.notification("notifications/message", { data })) ?? Effect.void
      yield* say("early")
      const first = events(yield* server.send("GET", undefined, session))
      assert.deepInclude(yield* first.next, { params: { data: "early" } })
      yield* say("live")
      assert.deepInclude(yield* first.next, { params: { data: "live" } })
      const second = events(yield* server.send("GET", undefined, session))
      assert.isUndefined(yield* first.next)
      yield* say("newest")
      assert.deepInclude(yield* second.next, { params: { data: "newest" } })
    }).pipe(Effect.scoped))

  it.effect("a question of the server in the middle of a call is asked on its answer, and the answer to it goes back", () =>
    Effect.gen(function*() {
      const { binding, links } = yield* hand((message, peer) =>
        JsonRpc.isRequest(message) && message.method === "tools/call"
          ? peer.send(JsonRpc.request("q", "roots/list", undefined))
          : "result" in message
          ? peer.send(JsonRpc.success(5, { roots: message.result }))
          : echo(message, peer))
      const server = yield* serve(binding)
      const session = yield* begin(server)
      const { next } = events(yield* server.post(JsonRpc.request(5, "tools/call", { name: "x" }), session))
      assert.deepInclude(yield* next, { id: "q", method: "roots/list" })
      assert.strictEqual((yield* server.post(JsonRpc.success("q", { roots: [] }), session)).status, 202)
      assert.deepInclude(yield* next, { id: 5, result: { roots: { roots: [] } } })
      assert.lengthOf(links, 1)
    }).pipe(Effect.scoped))

  it.effect("hanging up is no cancellation: the answer goes to the stream", () =>
    Effect.gen(function*() {
      const { binding, links } = yield* hand((message, peer) =>
        JsonRpc.isRequest(message) && message.method === "slow" ? Effect.void : echo(message, peer))
      const server = yield* serve(binding)
      const session = yield* begin(server)
      const stream = events(yield* server.send("GET", undefined, session))
      const controller = new AbortController()
      const call = yield* Effect.forkChild(
        Effect.exit(server.post(JsonRpc.request(9, "slow", undefined), session, { signal: controller.signal })),
        { startImmediately: true }
      )
      yield* waitUntil(() => links[0]?.received.length === 2)
      controller.abort()
      yield* Fiber.await(call)
      yield* Effect.yieldNow
      yield* links[0]?.peer.send(JsonRpc.success(9, "late")) ?? Effect.void
      assert.deepInclude(yield* stream.next, { id: 9, result: "late" })
      assert.lengthOf(links[0]?.received ?? [], 2)
    }).pipe(Effect.scoped))

  it.effect("a call that is cancelled is over, also where its peer does not hang up", () =>
    Effect.gen(function*() {
      const { binding, links } = yield* hand((message, peer) =>
        JsonRpc.isRequest(message) && message.method === "slow"
          ? message.id === 9 ? Effect.void : peer.send(JsonRpc.notification("notifications/progress", { progressToken: "t", progress: 1 }))
          : echo(message, peer))
      const server = yield* serve(binding, { idleTimeout: "1 minute", keepAlive: "10 minutes" })
      const session = yield* begin(server)
      const cancel = (requestId: JsonRpc.RequestId) =>
        server.post(JsonRpc.notification("notifications/cancelled", { requestId }), session)
      const silent = yield* Effect.forkChild(server.post(JsonRpc.request(9, "slow", undefined), session), { startImmediately: true })
      const { next } = events(yield* server.post(JsonRpc.request(10, "slow", { _meta: { progressToken: "t" } }), session))
      assert.deepInclude(yield* next, { method: "notifications/progress" })
      for (const id of [9, 10, 11]) assert.strictEqual((yield* cancel(id)).status, 202)
      assert.strictEqual((yield* Fiber.join(silent)).status, 202)
      assert.isUndefined(yield* next)
      // The same id may be used again, and nothing keeps the session.
      assert.strictEqual((yield* server.post({ ...ping, id: 9 }, session)).status, 200)
      yield* TestClock.adjust("2 minutes")
      assert.isFalse(links[0]?.open)
    }).pipe(Effect.scoped))

  it.effect("an array of messages is answered as a stream with an answer for each request", () =>
    Effect.gen(function*() {
      const server = yield* serve((yield* hand(echo)).binding)
      const session = yield* begin(server)
      const { next } = events(yield* server.post([ping, JsonRpc.notification("x"), { ...ping, id: "two" }], session))
      assert.deepInclude(yield* next, { id: 1 })
      assert.deepInclude(yield* next, { id: "two" })
      assert.isUndefined(yield* next)
    }).pipe(Effect.scoped))

  it.effect("a server that dies answers what is in flight with its exit code, and the session is gone", () =>
    Effect.gen(function*() {
      const { binding } = yield* hand((message, peer) =>
        JsonRpc.isRequest(message) && message.method === "ping"
          ? peer.close(new McpError.ProcessExited({ code: 9, signal: null, stderr: "secret" }))
          : echo(message, peer))
      const server = yield* serve(binding)
      const session = yield* begin(server)
      const stream = events(yield* server.send("GET", undefined, session))
      const body = JSON.stringify(yield* bodyOf(yield* server.post(ping, session)))
      assert.include(body, "exited with code 9")
      assert.notInclude(body, "secret")
      assert.isUndefined(yield* stream.next)
      assert.strictEqual((yield* server.post(ping, session)).status, 404)
    }).pipe(Effect.scoped))

  it.effect("a session nobody uses is closed, one with a stream is not", () =>
    Effect.gen(function*() {
      const { binding, links } = yield* hand(echo)
      const server = yield* serve(binding, { idleTimeout: "1 minute", keepAlive: "10 minutes" })
      yield* begin(server)
      const listening = yield* begin(server)
      const stream = events(yield* server.send("GET", undefined, listening))
      yield* TestClock.adjust("59 seconds")
      assert.deepStrictEqual(links.map(({ open }) => open), [true, true])
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(links.map(({ open }) => open), [false, true])
      yield* stream.cancel
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(links.map(({ open }) => open), [false, false])
    }).pipe(Effect.scoped))

  it.effect("more sessions than allowed are refused until one has ended", () =>
    Effect.gen(function*() {
      const server = yield* serve((yield* hand(echo)).binding, { maxSessions: 1 })
      const session = yield* begin(server)
      assert.strictEqual((yield* server.post(initialize)).status, 503)
      yield* server.send("DELETE", undefined, session)
      yield* begin(server)
    }).pipe(Effect.scoped))

  it.effect("a peer that does not read its stream loses its session", () =>
    Effect.gen(function*() {
      const { binding, links } = yield* hand(echo)
      const server = yield* serve(binding, { maxBufferedBytes: 1_000 })
      const session = yield* begin(server)
      yield* server.send("GET", undefined, session)
      yield* Effect.repeat(
        links[0]?.peer.send(JsonRpc.notification("notifications/message", { data: "x".repeat(400) })) ?? Effect.void,
        { times: 20 }
      )
      yield* waitUntil(() => links[0]?.open === false)
      assert.strictEqual((yield* server.post(ping, session)).status, 404)
    }).pipe(Effect.scoped))
})

describe("who is let in", () => {
  it.effect("another Host without a token, and a foreign Origin, are refused before anything is read", () =>
    Effect.gen(function*() {
      const { binding, links } = yield* hand(echo)
      const { post } = yield* serve(binding, { allowOrigins: ["https://app.example"] })
      const status = (headers: Record<string, string>) =>
        Effect.map(post(initialize, { ...json, ...headers }), (response) => response.status)
      assert.strictEqual(yield* status({ host: "rebound.example" }), 403)
      for (const origin of ["https://evil.example", "http://localhost.evil.example", "null", "https://app.example.evil"]) {
        assert.strictEqual(yield* status({ origin }), 403)
      }
      assert.lengthOf(links, 0)
      for (const origin of ["https://app.example", "http://localhost:5173", "http://127.0.0.1:1", "http://[::1]:1"]) {
        assert.strictEqual(yield* status({ origin }), 200)
      }
    }).pipe(Effect.scoped))

  it.effect("a browser is told what it may do, before it shows the token", () =>
    Effect.gen(function*() {
      const { send } = yield* serve((yield* hand(echo)).binding, { token: Redacted.make("secret") })
      const response = yield* send("OPTIONS", undefined, {
        origin: "http://localhost:5173",
        "access-control-request-headers": "mcp-session-id"
      })
      assert.strictEqual(response.status, 204)
      assert.strictEqual(response.headers.get("access-control-allow-origin"), "http://localhost:5173")
      assert.strictEqual(response.headers.get("access-control-allow-headers"), "mcp-session-id")
    }).pipe(Effect.scoped))

  it.effect("without the token the answer is 401, with it the Host may be any", () =>
    Effect.gen(function*() {
      const { post } = yield* serve((yield* hand(echo)).binding, { token: Redacted.make("secret") })
      for (const authorization of ["", "Bearer wrong", "Bearer secre", "Bearer secrets", "Basic secret"]) {
        const response = yield* post(initialize, { ...json, authorization })
        assert.strictEqual(response.status, 401)
        assert.strictEqual(response.headers.get("www-authenticate"), "Bearer")
      }
      const response = yield* post(initialize, { ...json, authorization: "Bearer secret", host: "any.example" })
      assert.strictEqual(response.status, 200)
    }).pipe(Effect.scoped))

  it.effect("several servers are found by their names only", () =>
    Effect.gen(function*() {
      const one = yield* hand(echo)
      const two = yield* hand(echo)
      const { send } = yield* serve(one.binding, { servers: { one: one.binding, "two words": two.binding } })
      const status = (path: string) => Effect.map(send("POST", initialize, json, { path }), (response) => response.status)
      assert.strictEqual(yield* status("/mcp"), 404)
      assert.strictEqual(yield* status("/one?x=1"), 200)
      assert.strictEqual(yield* status("/two%20words"), 200)
      assert.deepStrictEqual([one.links.length, two.links.length], [1, 1])
    }).pipe(Effect.scoped))
})
