import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as JsonRpc from "../../../src/protocol/JsonRpc.ts"
import type { Options } from "../../../src/transport/StreamableHttpTransport.ts"
import * as Http from "../../support/httpLink.ts"
import { waitUntil } from "../../support/waitUntil.ts"

type Answer = (asked: Http.Asked) => Effect.Effect<Response, { readonly code: string }>

const none = () => Effect.succeed(new Response(null, { status: 405 }))

/** A server with a session, that answers what the table does not: by verb, or by method for a POST. */
const sessionful = (answers: Readonly<Record<string, Answer>> = {}) =>
  Http.mock((asked) => {
    const key = asked.method !== "POST" ? asked.method : typeof asked.message.method === "string" ? asked.message.method : "reply"
    const answer = answers[key]
    if (answer !== undefined) return answer(asked)
    if (key === "initialize") {
      return Effect.succeed(Http.json({ jsonrpc: "2.0", id: asked.message.id, result: {} }, { headers: { "Mcp-Session-Id": "s1" } }))
    }
    if (asked.method !== "POST") return none()
    return Effect.succeed("id" in asked.message && "method" in asked.message ? Http.result(asked) : Http.accepted())
  })

/** A link after the handshake. */
const shaken = Effect.fnUntraced(function*(server: ReturnType<typeof Http.mock>, options: Partial<Options> = {}) {
  const opened = yield* Effect.provide(Http.open({ url: "https://example.com/mcp", retry: { jitter: false }, ...options }), server.layer)
  opened.link.send(JsonRpc.request("init", "initialize", {}))
  yield* opened.next
  opened.link.agreed?.(Http.legacy)
  opened.link.send(JsonRpc.notification("notifications/initialized"))
  return opened
})

const call = (id: number) => JsonRpc.request(id, "tools/call", { name: "echo" })

const asked = (server: ReturnType<typeof Http.mock>, key: string) =>
  server.asked.filter(({ message, method }) => method === key || message.method === key)

describe("sessions", () => {
  it.effect("a session id that is not visible ASCII fails the handshake", () =>
    Effect.gen(function*() {
      const server = sessionful({
        initialize: ({ message }) =>
          Effect.succeed(Http.json({ jsonrpc: "2.0", id: message.id, result: {} }, { headers: { "mcp-session-id": "a b" } }))
      })
      const { failure, link } = yield* Effect.provide(Http.open({ url: "https://example.com/mcp" }), server.layer)
      link.send(JsonRpc.request(1, "initialize", {}))
      const reason = yield* failure
      assert.strictEqual(reason._tag, "InvalidResponse")
      assert.notInclude(reason.message, "a b")
    }))

  const unknown: ReadonlyArray<readonly [name: string, response: () => Response]> = [
    ["404", () => new Response("", { status: 404 })],
    ["404 with an error", () => Http.json({ jsonrpc: "2.0", id: null, error: { code: -32001, message: "Session not found" } }, { status: 404 })],
    ["400 that speaks of the session", () => Http.json({ jsonrpc: "2.0", id: null, error: { code: -32000, message: "No valid session ID" } }, { status: 400 })]
  ]
  for (const [name, response] of unknown) {
    it.effect(`a ${name} to a request with a session id means that the session expired, undelivered`, () =>
      Effect.scoped(Effect.gen(function*() {
        const server = sessionful({ "tools/call": () => Effect.sync(response) })
        const { failure, link } = yield* shaken(server)
        link.send(call(1))
        const reason = yield* failure
        assert(reason._tag === "SessionExpired")
        assert.isFalse(reason.delivered)
        return server
      })).pipe(Effect.map((server) => assert.lengthOf(asked(server, "DELETE"), 0))))
  }

  it.effect("a 404 that says the method is unknown is that error", () =>
    Effect.gen(function*() {
      const server = sessionful({
        "tools/call": ({ message }) =>
          Effect.succeed(Http.json({ jsonrpc: "2.0", id: message.id, error: { code: -32601, message: "no" } }, { status: 404 }))
      })
      const { link, message } = yield* shaken(server)
      link.send(call(1))
      assert.deepStrictEqual((yield* message).error, { code: -32601, message: "no" })
    }))

  it.effect("streams that end with an expired session say so, and that they may have been handled", () =>
    Effect.gen(function*() {
      const ended = yield* Deferred.make<void>()
      const server = sessionful({
        "tools/call": ({ message }) =>
          message.id === 1
            ? Effect.as(Deferred.await(ended), Http.events([]))
            : Effect.succeed(new Response("", { status: 404 }))
      })
      const { failure, link } = yield* shaken(server)
      link.send(call(1))
      link.send(call(2))
      const first = yield* failure
      assert(first._tag === "SessionExpired" && !first.delivered)
      yield* Deferred.succeed(ended, void 0)
      const second = yield* failure
      assert(second._tag === "SessionExpired" && second.delivered)
    }))

  it.effect("the id and the agreed version go with everything but the handshake, and no modern header does", () =>
    Effect.gen(function*() {
      const server = sessionful()
      yield* Effect.scoped(Effect.gen(function*() {
        const { link, message } = yield* shaken(server)
        link.send(call(1), { headers: { "Mcp-Param-Region": "us" } })
        yield* message
        link.send(JsonRpc.success("server-1", {}))
        yield* waitUntil(() => server.asked.length === 5)
      }))
      const headers = server.asked.map(({ headers, message, method }) => [
        method === "POST" ? message.method ?? "reply" : method,
        Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith("mcp-")))
      ] as const)
      const both = { "mcp-protocol-version": "2025-11-25", "mcp-session-id": "s1" }
      assert.deepStrictEqual(headers[0], ["initialize", {}])
      assert.sameDeepMembers(headers.slice(1), [
        ["notifications/initialized", both],
        ["GET", both],
        ["tools/call", both],
        ["reply", both],
        ["DELETE", both]
      ])
      assert.strictEqual(headers.at(-1)?.[0], "DELETE")
    }))

  it.effect("a new handshake begins without the old id", () =>
    Effect.gen(function*() {
      const server = sessionful()
      const { link, message } = yield* shaken(server)
      link.send(JsonRpc.request("again", "initialize", {}))
      yield* message
      const second = asked(server, "initialize")[1]
      assert.isUndefined(second?.headers["mcp-session-id"])
      assert.isUndefined(second?.headers["mcp-protocol-version"])
    }))

  it.effect("closing waits for the DELETE only as long as it may", () =>
    Effect.gen(function*() {
      const server = sessionful({ DELETE: () => Effect.never })
      const scope = yield* Scope.make()
      yield* Scope.provide(shaken(server, { closeTimeout: "3 seconds" }), scope)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* waitUntil(() => asked(server, "DELETE").length === 1)
      yield* TestClock.adjust(2_999)
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust(1)
      yield* Fiber.await(closing)
      yield* waitUntil(() => asked(server, "DELETE")[0]?.signal.aborted === true)
    }))
})

describe("order", () => {
  it.effect("requests wait until the server has notifications/initialized, though not for ever", () =>
    Effect.gen(function*() {
      const server = sessionful({ "notifications/initialized": () => Effect.never })
      const { link, message } = yield* shaken(server)
      link.send(call(1))
      yield* TestClock.adjust(4_999)
      assert.lengthOf(asked(server, "tools/call"), 0)
      yield* TestClock.adjust(1 + 250)
      assert.strictEqual((yield* message).id, 1)
    }))

  it.effect("a refused notification is reported, and the link goes on", () =>
    Effect.gen(function*() {
      const server = sessionful({ "notifications/initialized": () => Effect.succeed(new Response("no", { status: 500 })) })
      const { diagnostics, link, message } = yield* shaken(server)
      link.send(call(1))
      yield* message
      assert.include(JSON.stringify(diagnostics), "notifications/initialized was not accepted")
    }))

  it.effect("senders wait while messages that need no answer are not accepted", () =>
    Effect.gen(function*() {
      const released = yield* Deferred.make<void>()
      const server = sessionful({ reply: () => Effect.as(Deferred.await(released), Http.accepted()) })
      const { link } = yield* shaken(server, { maxInFlight: 2 })
      yield* waitUntil(() => asked(server, "GET").length === 1)
      for (const id of [1, 2, 3]) link.send(JsonRpc.success(id, {}))
      const wait = link.backpressure()
      assert(wait !== undefined)
      yield* Deferred.succeed(released, void 0)
      yield* wait
      assert.isUndefined(link.backpressure())
    }))
})

describe("giving up", () => {
  it.effect("an abandoned request is cancelled by a message, then its stream is closed", () =>
    Effect.gen(function*() {
      const cancelled = yield* Deferred.make<void>()
      const server = sessionful({
        "tools/call": () => Effect.succeed(Http.events([": there\n\n"], "open")),
        "notifications/cancelled": () => Effect.as(Deferred.await(cancelled), Http.accepted())
      })
      const { link, pending } = yield* shaken(server)
      link.send(call(1))
      yield* waitUntil(() => asked(server, "tools/call").length === 1)
      link.abandon(1, "no longer wanted")
      yield* waitUntil(() => asked(server, "notifications/cancelled").length === 1)
      assert.deepStrictEqual(asked(server, "notifications/cancelled")[0]?.message.params, { requestId: 1, reason: "no longer wanted" })
      assert.isFalse(asked(server, "tools/call")[0]?.signal.aborted)
      yield* Deferred.succeed(cancelled, void 0)
      yield* waitUntil(() => asked(server, "tools/call")[0]?.signal.aborted === true)
      assert.strictEqual(yield* pending, 0)
    }))
})

describe("resuming", () => {
  const primed = (retry: string) => () => Effect.succeed(Http.events([`id: e1\n${retry}data: \n\n`]))
  const answer = Http.event({ jsonrpc: "2.0", id: 1, result: {} })

  it.effect("a stream without an event id is lost with its request", () =>
    Effect.gen(function*() {
      const server = sessionful({ "tools/call": () => Effect.succeed(Http.events([": there\n\n"])) })
      const { failure, link } = yield* shaken(server)
      link.send(call(1))
      const reason = yield* failure
      assert(reason._tag === "Unreachable" && reason.delivered)
    }))

  it.effect("a stream that ends early is taken up again after exactly the time the server set", () =>
    Effect.gen(function*() {
      const server = sessionful({
        "tools/call": primed("retry: 500\n"),
        GET: (asked) => asked.headers["last-event-id"] === undefined ? none() : Effect.succeed(Http.events([answer]))
      })
      const { link, message } = yield* shaken(server)
      link.send(call(1))
      const resumed = () => asked(server, "GET").filter(({ headers }) => headers["last-event-id"] === "e1").length
      yield* TestClock.adjust(499)
      assert.strictEqual(resumed(), 0)
      yield* TestClock.adjust(1)
      assert.strictEqual(resumed(), 1)
      assert.strictEqual((yield* message).id, 1)
    }))

  const refusals: ReadonlyArray<readonly [status: number, tag: string]> = [[405, "Unreachable"], [404, "SessionExpired"]]
  for (const [status, tag] of refusals) {
    it.effect(`resuming answered with ${status} ends in ${tag}, possibly handled`, () =>
      Effect.gen(function*() {
        const server = sessionful({ "tools/call": primed(""), GET: () => Effect.succeed(new Response(null, { status })) })
        const { failure, link } = yield* shaken(server)
        link.send(call(1))
        yield* TestClock.adjust(1_000)
        const reason = yield* failure
        assert.strictEqual(reason._tag, tag)
        assert("delivered" in reason && reason.delivered)
      }))
  }

  it.effect("a server that cannot be reached any more is tried a few times only", () =>
    Effect.gen(function*() {
      const server = sessionful({ "tools/call": primed(""), GET: () => Effect.fail({ code: "ECONNREFUSED" }) })
      const { failure, link } = yield* shaken(server)
      link.send(call(1))
      yield* TestClock.adjust("2 minutes")
      const reason = yield* failure
      assert(reason._tag === "Unreachable" && reason.delivered)
      assert.lengthOf(asked(server, "GET").filter(({ headers }) => headers["last-event-id"] === "e1"), 5)
    }))

  it.effect("an answer may come on another stream, and the one of its request is then closed", () =>
    Effect.gen(function*() {
      const go = yield* Deferred.make<void>()
      const server = sessionful({
        "tools/call": () => Effect.succeed(Http.events([": there\n\n"], "open")),
        GET: () => Effect.as(Deferred.await(go), Http.events([answer], "open"))
      })
      const { link, message, pending } = yield* shaken(server)
      link.send(call(1))
      yield* waitUntil(() => asked(server, "GET").length === 1)
      yield* TestClock.adjust("250 millis")
      yield* waitUntil(() => asked(server, "tools/call").length === 1)
      yield* Deferred.succeed(go, void 0)
      assert.strictEqual((yield* message).id, 1)
      yield* waitUntil(() => asked(server, "tools/call")[0]?.signal.aborted === true)
      assert.strictEqual(yield* pending, 0)
    }))
})

describe("batches", () => {
  for (const [kind, respond] of [["a body", Http.json], ["an event", (value: unknown) => Http.events([Http.event(value)])]] as const) {
    it.effect(`${kind} with several messages is delivered as it came, and settles its request`, () =>
      Effect.gen(function*() {
        const batch = [{ jsonrpc: "2.0", method: "notifications/message" }, { jsonrpc: "2.0", id: 1, result: {} }]
        const server = sessionful({ "tools/call": () => Effect.sync(() => respond(batch)) })
        const { link, next, pending } = yield* shaken(server)
        link.agreed?.({ ...Http.legacy, revision: "2025-03-26", batches: true })
        link.send(call(1))
        assert.deepStrictEqual((yield* next) as unknown, { _tag: "message", value: batch })
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* pending, 0)
      }))
  }
})

describe("the server's own stream", () => {
  const nothing: ReadonlyArray<readonly [name: string, response: () => Response]> = [
    ...[400, 404, 405, 406, 501].map((status) => [String(status), () => new Response(null, { status })] as const),
    ["204", () => new Response(null, { status: 204 })],
    ["JSON", () => Http.json({})]
  ]
  for (const [name, response] of nothing) {
    it.effect(`answered with ${name} means that there is none: silently, and for good`, () =>
      Effect.gen(function*() {
        const server = sessionful({ GET: () => Effect.sync(response) })
        const { diagnostics, link, message } = yield* shaken(server)
        yield* TestClock.adjust("10 minutes")
        assert.lengthOf(asked(server, "GET"), 1)
        assert.deepStrictEqual(diagnostics, [])
        link.send(call(1))
        assert.strictEqual((yield* message).id, 1)
      }))
  }

  for (const status of [401, 403]) {
    it.effect(`answered with ${status} is reported, and the link goes on`, () =>
      Effect.gen(function*() {
        const server = sessionful({ GET: () => Effect.succeed(new Response(null, { status })) })
        const { diagnostics, link, message } = yield* shaken(server)
        link.send(call(1))
        assert.strictEqual((yield* message).id, 1)
        yield* waitUntil(() => diagnostics.length === 1)
        assert.include(JSON.stringify(diagnostics), `status ${status}`)
      }))
  }

  it.effect("that never gets headers holds the first requests up for a moment, and none after them", () =>
    Effect.gen(function*() {
      const server = sessionful({ GET: () => Effect.never })
      const { link, message } = yield* shaken(server)
      link.send(call(1))
      yield* waitUntil(() => asked(server, "GET").length === 1)
      yield* TestClock.adjust(249)
      assert.lengthOf(asked(server, "tools/call"), 0)
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* message).id, 1)
      link.send(call(2))
      assert.strictEqual((yield* message).id, 2)
    }))

  it.effect("is taken up again quietly where it ended, and waits longer each time nothing comes", () =>
    Effect.gen(function*() {
      let openings = 0
      const server = sessionful({
        GET: () =>
          openings++ === 0
            ? Effect.succeed(Http.events(["id: 7\n" + Http.event(JsonRpc.notification("notifications/tools/list_changed"))]))
            : Effect.fail({ code: "ECONNREFUSED" })
      })
      const { diagnostics, message } = yield* shaken(server)
      assert.strictEqual((yield* message).method, "notifications/tools/list_changed")
      yield* TestClock.adjust(999)
      assert.lengthOf(asked(server, "GET"), 1)
      yield* TestClock.adjust(1)
      assert.lengthOf(asked(server, "GET"), 2)
      assert.strictEqual(asked(server, "GET")[1]?.headers["last-event-id"], "7")
      yield* TestClock.adjust(1_499)
      assert.lengthOf(asked(server, "GET"), 2)
      yield* TestClock.adjust(1)
      assert.lengthOf(asked(server, "GET"), 3)
      assert.deepStrictEqual(diagnostics, [])
    }))
})
