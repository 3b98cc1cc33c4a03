import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type { HttpClientRequest } from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { once } from "node:events"
import type { IncomingMessage, ServerResponse } from "node:http"
import { constants, createGzip } from "node:zlib"
import type * as McpError from "../../src/McpError.ts"
import * as NodeMcp from "../../src/node.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import type { Link } from "../../src/Transport.ts"
import * as LegacySseTransport from "../../src/transport/LegacySseTransport.ts"
import { bodyOf, serve } from "../support/loopback.ts"
import { makeReceiver } from "../support/receiver.ts"
import { waitUntil } from "../support/waitUntil.ts"

const encoder = new TextEncoder()

/** What a server in memory answers, and what it was asked. */
interface Script {
  /** `undefined` for the stream that a test speaks on. */
  readonly get?: (say: (text: string) => void) => ResponseInit & { readonly body: string | null } | undefined
  readonly post?: (message: JsonRpc.JsonObject) => Effect.Effect<Response, "refused">
  readonly options?: Partial<LegacySseTransport.Options>
}

const bodyText = ({ body }: HttpClientRequest): string =>
  body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : ""

/** A stream that begins with this. */
const saying = (text: string): Script["get"] & {} => (say) => {
  say(text)
  return undefined
}

const begin = (address: string) => saying(`event: endpoint\ndata: ${address}\n\n`)

const url = "https://example.com/base/sse?key=s3cr3t"

/** A link to a server in memory; time only passes when a test says so. */
const connect = Effect.fnUntraced(function*(script: Script = {}) {
  const requests: Array<HttpClientRequest> = []
  const posted: Array<JsonRpc.JsonObject> = []
  const say = { text: (_: string) => {}, end: () => {}, fail: () => {} }
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      say.text = (text) => controller.enqueue(encoder.encode(text))
      say.end = () => controller.close()
      say.fail = () => controller.error(new Error("reset"))
    }
  })
  const client = HttpClient.make((request) => {
    requests.push(request)
    if (request.method === "GET") {
      const answer = (script.get ?? begin("/messages?session=1&x=%2F"))(say.text)
      return Effect.succeed(HttpClientResponse.fromWeb(
        request,
        new Response(answer === undefined ? stream : answer.body, { headers: { "content-type": "Text/Event-Stream; charset=utf-8" }, ...answer })
      ))
    }
    const message: JsonRpc.JsonObject = JSON.parse(bodyText(request))
    return Effect.matchEffect(script.post?.(message) ?? Effect.succeed(new Response(null, { status: 202 })), {
      onSuccess: (response) => {
        posted.push(message)
        return Effect.succeed(HttpClientResponse.fromWeb(request, response))
      },
      onFailure: () =>
        Effect.fail(
          new HttpClientError.HttpClientError({
            reason: new HttpClientError.TransportError({ request, cause: Object.assign(new Error("no"), { code: "ECONNREFUSED" }) })
          })
        )
    })
  })
  const receiving = yield* makeReceiver
  const transport = yield* LegacySseTransport.make({ url, ...script.options }).pipe(Effect.provideService(HttpClient.HttpClient, client))
  const open = transport.open(receiving.receiver)
  return { ...receiving, transport, open, requests, posted, say }
})

const opened = Effect.fnUntraced(function*(script: Script = {}) {
  const connection = yield* connect(script)
  return { ...connection, link: yield* connection.open }
})

const reasonOfOpen = (script: Script): Effect.Effect<McpError.McpErrorReason, Link> =>
  Effect.gen(function*() {
    const { afterClose, isClosed, open } = yield* connect(script)
    const { reason } = yield* Effect.flip(Effect.scoped(open))
    assert.isFalse(isClosed())
    assert.deepStrictEqual(afterClose, [])
    return reason
  })

const event = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`

const initialized = JsonRpc.notification("notifications/initialized")

describe("LegacySseTransport: opening", () => {
  it.effect("a status that is no success is told with the beginning of its body, and without the query of the URL", () =>
    Effect.gen(function*() {
      const reason = yield* reasonOfOpen({ get: () => ({ status: 401, body: "who are you?", headers: {} }) })
      assert.strictEqual(reason._tag, "HttpStatus")
      assert.include(reason.message, "GET https://example.com/base/sse was answered with status 401: who are you?")
      assert.notInclude(reason.message, "s3cr3t")
    }))

  it.effect("an answer that is no event stream is told as what it is", () =>
    Effect.gen(function*() {
      const html = yield* reasonOfOpen({ get: () => ({ headers: { "content-type": "text/html" }, body: "<p>" }) })
      assert.include(html.message, "an event stream was expected, not text/html")
      const nothing = yield* reasonOfOpen({ get: () => ({ status: 202, headers: {}, body: null }) })
      assert.include(nothing.message, "an event stream was expected, not a body without a type")
    }))

  it.effect("a stream that begins with something else, or ends before it began, says so", () =>
    Effect.gen(function*() {
      const other = yield* reasonOfOpen({ get: saying(event(JsonRpc.success(1, {}))) })
      assert.include(other.message, "the event stream must begin with an event \"endpoint\", but began with \"message\"")
      const ended = yield* reasonOfOpen({ get: () => ({ body: ": hello\n\nevent: endpoint\ndata: /cut off" }) })
      assert.include(ended.message, "the event stream ended before it told the endpoint")
    }))

  it.effect("an endpoint at another origin is refused, and named", () =>
    Effect.gen(function*() {
      for (const other of ["https://evil.example/x", "//evil.example/x", "http://example.com/x", "https://example.com:8443/x"]) {
        const reason = yield* reasonOfOpen({ get: begin(other) })
        assert.strictEqual(reason._tag, "InvalidResponse")
        assert.match(reason.message, /is at another origin, .*; only https:\/\/example\.com is trusted$/)
      }
      const none = yield* reasonOfOpen({ get: begin("https://") })
      assert.include(none.message, "the endpoint told for messages is no URL")
    }))

  it.effect("a server that never tells its endpoint is waited for until the caller gives up, and heard no more", () =>
    Effect.gen(function*() {
      const { isClosed, open, requests } = yield* connect({ get: saying(": still here\n\n") })
      const fiber = yield* Effect.forkChild(Effect.timeoutOption(Effect.scoped(open), "1 minute"), { startImmediately: true })
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "None")
      assert.lengthOf(requests, 1)
      assert.isFalse(isClosed())
    }))

  it.effect("the endpoint is resolved against the URL of the stream, and its query kept as it is", () =>
    Effect.gen(function*() {
      const addresses = [
        ["/messages?session=a%2Fb&x=1", "https://example.com/messages?session=a%2Fb&x=1"],
        ["messages?a", "https://example.com/base/messages?a"],
        ["?only=query", "https://example.com/base/sse?only=query"],
        ["https://example.com/abs", "https://example.com/abs"]
      ]
      for (const [told = "", resolved] of addresses) {
        const { link, posted, requests } = yield* opened({ get: begin(told) })
        link.send(JsonRpc.request(1, "initialize", {}))
        yield* waitUntil(() => posted.length === 1)
        assert.strictEqual(requests[1]?.url, resolved)
      }
    }).pipe(Effect.scoped))

  it.effect("what cannot be a URL or a header is told before anything is sent", () =>
    Effect.gen(function*() {
      const { open, requests } = yield* connect({ options: { headers: { "X-A": "a\nb" } } })
      assert.strictEqual((yield* Effect.flip(open)).reason._tag, "InvalidConfig")
      assert.lengthOf(requests, 0)
    }).pipe(Effect.scoped))
})

describe("LegacySseTransport: messages", () => {
  it.effect("each message is one POST, with the user's headers, which the GET had too; the protocol's own are not theirs to set", () =>
    Effect.gen(function*() {
      const headers = { Authorization: Redacted.make("Bearer s3cr3t"), "X-Team": "a", Accept: "text/html" }
      const { diagnostics, link, posted, requests } = yield* opened({ options: { headers } })
      const bytes = link.send(JsonRpc.request(1, "tools/call", { name: "é" }))
      link.send(JsonRpc.success("s1", {}))
      yield* waitUntil(() => posted.length === 2)
      assert.strictEqual(bytes, encoder.encode(JSON.stringify(posted[0])).length)
      assert.deepStrictEqual(posted, [{ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "é" } }, { jsonrpc: "2.0", id: "s1", result: {} }])
      for (const { headers, method } of requests) {
        assert.strictEqual(headers["authorization"], "Bearer s3cr3t")
        assert.strictEqual(headers["x-team"], "a")
        assert.strictEqual(headers["accept"], method === "GET" ? "text/event-stream" : "*/*")
        assert.isUndefined(headers["mcp-session-id"])
      }
      assert.match(JSON.stringify(yield* Queue.take(diagnostics)), /Accept/)
    }).pipe(Effect.scoped))

  it.effect("messages come from the stream, however it is cut and whatever else is on it", () =>
    Effect.gen(function*() {
      const { diagnostics, messages, next, say } = yield* opened()
      const text = `: keep-alive\r\n\r\n${event({ a: "é" })}event: message\ndata: {"b":\ndata: 1}\nid: 7\nretry: 5\n\n` +
        `event: ping\ndata: {"not":"ours"}\n\ndata:\n\ndata: not json\n\nevent: endpoint\ndata: /elsewhere\n\n${event({ c: 1 })}`
      const bytes = encoder.encode(text)
      for (let at = 0; at < text.length; at++) say.text(text[at] ?? "")
      assert.deepStrictEqual([yield* next, yield* next, yield* next], [{ a: "é" }, { b: 1 }, { c: 1 }])
      const skipped = yield* Queue.take(diagnostics)
      assert.deepStrictEqual(skipped, { _tag: "Skipped", detail: "an event that is not JSON", excerpt: "not json" } as typeof skipped)
      say.text(text)
      const again = yield* Queue.takeN(messages, 3)
      assert.isAbove(again.reduce((sum, { bytes }) => sum + bytes, 0), bytes.length / 2)
    }).pipe(Effect.scoped))

  it.effect("any success accepts a message, and its body means nothing", () =>
    Effect.gen(function*() {
      const answers = [new Response("Accepted", { status: 202 }), new Response(null, { status: 204 }), new Response("{\"id\":1}"), new Response("", { status: 201 })]
      const { failures, link, messages, posted } = yield* opened({ post: () => Effect.sync(() => answers.shift() ?? new Response()) })
      for (let id = 1; id <= 4; id++) link.send(JsonRpc.request(id, "ping", undefined))
      yield* waitUntil(() => posted.length === 4)
      assert.strictEqual(yield* Queue.size(failures), 0)
      assert.strictEqual(yield* Queue.size(messages), 0)
    }).pipe(Effect.scoped))

  it.effect("a POST that fails fails its request alone; one without a request is told as a warning", () =>
    Effect.gen(function*() {
      const { diagnostics, failures, link, next, say } = yield* opened({
        post: ({ id }) => id === 1 ? Effect.succeed(new Response("no session", { status: 404 })) : Effect.fail("refused")
      })
      link.send(JsonRpc.request(1, "tools/list", {}))
      const status = yield* Queue.take(failures)
      assert.strictEqual(status.id, 1)
      assert.include(status.reason.message, "POST https://example.com/messages was answered with status 404: no session")
      link.send(JsonRpc.request("b", "tools/list", {}))
      const unreachable = yield* Queue.take(failures)
      assert.strictEqual(unreachable.id, "b")
      assert.isTrue(unreachable.reason._tag === "Unreachable" && !unreachable.reason.delivered)
      link.send(JsonRpc.notification("notifications/cancelled", { requestId: 1 }))
      const warning = yield* Queue.take(diagnostics)
      assert.isTrue(warning._tag === "Warning" && warning.detail.startsWith("a message was not delivered: "))
      say.text(event({ still: "alive" }))
      assert.deepStrictEqual(yield* next, { still: "alive" })
    }).pipe(Effect.scoped))

  it.effect("what never left is sent again once there is an agreement, as the policy says", () =>
    Effect.gen(function*() {
      const at: Array<number> = []
      const { failures, link } = yield* opened({
        options: { retry: { attempts: 2, baseDelay: "1 second", jitter: false } },
        post: () => Effect.flatMap(Clock.currentTimeMillis, (now) => {
          at.push(now)
          return Effect.fail("refused")
        })
      })
      link.agreed?.({ revision: "2024-11-05", stateless: false, batches: false })
      link.send(JsonRpc.request(1, "tools/call", {}))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Queue.take(failures)).id, 1)
      assert.deepStrictEqual(at, [0, 1_000, 3_000])
    }).pipe(Effect.scoped))

  it.effect("a request is given up by a message", () =>
    Effect.gen(function*() {
      const { link, posted } = yield* opened()
      link.abandon(7, "too slow")
      yield* waitUntil(() => posted.length === 1)
      assert.deepStrictEqual(posted[0], {
        jsonrpc: "2.0",
        method: "notifications/cancelled",
        params: { requestId: 7, reason: "too slow" }
      })
    }).pipe(Effect.scoped))

  it.effect("nothing overtakes the end of the handshake, and after it a slow POST holds up no other", () =>
    Effect.gen(function*() {
      const { link, posted, requests } = yield* opened({
        post: ({ method }) =>
          method === "notifications/initialized"
            ? Effect.as(Effect.sleep("1 second"), new Response(null, { status: 202 }))
            : method === "slow"
            ? Effect.never
            : Effect.succeed(new Response(null, { status: 202 }))
      })
      link.send(initialized)
      link.send(JsonRpc.request(1, "slow", {}))
      link.send(JsonRpc.request(2, "tools/list", {}))
      yield* waitUntil(() => requests.length === 2)
      yield* TestClock.adjust("1 second")
      yield* waitUntil(() => posted.length === 2)
      assert.deepStrictEqual(posted.map(({ method }) => method), ["notifications/initialized", "tools/list"])
    }).pipe(Effect.scoped))

  it.effect("senders wait while many messages are on their way, until some were accepted or the link is gone", () =>
    Effect.gen(function*() {
      const gates: Array<(answer: Effect.Effect<Response>) => void> = []
      const { link, say } = yield* opened({ post: () => Effect.callback<Response>((resume) => void gates.push(resume)) })
      for (let id = 0; id < 65; id++) {
        assert.isUndefined(link.backpressure())
        link.send(JsonRpc.request(id, "ping", undefined))
      }
      const waiting = yield* Effect.forkChild(link.backpressure() ?? Effect.void, { startImmediately: true })
      assert.isUndefined(waiting.pollUnsafe())
      yield* waitUntil(() => gates.length === 65)
      for (const accept of gates.splice(0, 33)) accept(Effect.succeed(new Response(null, { status: 202 })))
      yield* Fiber.join(waiting)
      for (let id = 0; id < 64; id++) link.send(JsonRpc.request(`b${id}`, "ping", undefined))
      const more = yield* Effect.forkChild(link.backpressure() ?? Effect.void, { startImmediately: true })
      assert.isUndefined(more.pollUnsafe())
      say.end()
      yield* Fiber.join(more)
    }).pipe(Effect.scoped))

  it.effect("a message that cannot be written as JSON is thrown back, and nothing of it sent", () =>
    Effect.gen(function*() {
      const { link, requests } = yield* opened()
      assert.throws(() => link.send(JsonRpc.request(1, "x", { big: 1n })))
      assert.lengthOf(requests, 1)
      assert.isUndefined(link.backpressure())
    }).pipe(Effect.scoped))
})

describe("LegacySseTransport: the end", () => {
  const closes = (end: (connection: Effect.Success<ReturnType<typeof opened>>) => Effect.Effect<void>, options: Script["options"] & {} = {}) =>
    Effect.gen(function*() {
      const connection = yield* opened({ options, post: () => Effect.never })
      connection.link.send(JsonRpc.request(1, "tools/list", {}))
      yield* waitUntil(() => connection.requests.length === 2)
      yield* end(connection)
      const reason = yield* connection.closed
      assert.strictEqual(connection.link.send(JsonRpc.request(2, "tools/list", {})), 0)
      assert.lengthOf(connection.requests, 2)
      assert.deepStrictEqual(connection.afterClose, [])
      assert.strictEqual(yield* Queue.size(connection.failures), 0)
      return reason
    }).pipe(Effect.scoped)

  it.effect("the end of the stream is the end of the link, after everything that was on it", () =>
    Effect.gen(function*() {
      const reason = yield* closes(({ next, say }) =>
        Effect.gen(function*() {
          say.text(event({ last: 1 }))
          say.end()
          assert.deepStrictEqual(yield* next, { last: 1 })
        })
      )
      assert.strictEqual(reason.message, "The connection was closed by the server: it ended its event stream")
    }))

  it.effect("a stream that breaks is told as broken", () =>
    Effect.gen(function*() {
      const reason = yield* closes(({ say }) => Effect.sync(say.fail))
      assert.isTrue(reason._tag === "Unreachable" && reason.delivered)
    }))

  it.effect("silence ends the link when there is a limit to it; comments are no silence", () =>
    Effect.gen(function*() {
      const reason = yield* closes(({ diagnostics, say }) =>
        Effect.gen(function*() {
          for (let beat = 0; beat < 3; beat++) {
            yield* TestClock.adjust("50 seconds")
            say.text(": keep-alive\n\ndata: x\n\n")
            yield* Queue.take(diagnostics)
          }
          yield* TestClock.adjust("1 minute")
        }), { idleTimeout: "1 minute" })
      assert.include(reason.message, "its event stream went silent")
    }))

  it.effect("an event larger than the limit ends the link", () =>
    Effect.gen(function*() {
      const reason = yield* closes(({ say }) => Effect.sync(() => say.text(`data: ${"x".repeat(2_000)}`)), { maxMessageBytes: 1_000 })
      assert.strictEqual(reason._tag, "MessageTooLarge")
    }))

  it.effect("closing the scope tells the end once, and aborts what is on its way", () =>
    Effect.gen(function*() {
      const aborted: Array<unknown> = []
      const scope = yield* Scope.make()
      const { afterClose, closed, link, requests } = yield* Scope.provide(
        opened({ post: ({ id }) => Effect.onInterrupt(Effect.never, () => Effect.sync(() => aborted.push(id))) }),
        scope
      )
      for (const id of [1, 2]) link.send(JsonRpc.request(id, "tools/call", {}))
      yield* waitUntil(() => requests.length === 3)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(aborted, [1, 2])
      const reason = yield* closed
      assert.isTrue(reason._tag === "ConnectionClosed" && reason.by === "client")
      assert.deepStrictEqual(afterClose, [])
    }))

  it.effect("closing takes no longer than it may, whatever the platform does", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { link, requests } = yield* Scope.provide(
        opened({ options: { closeTimeout: "3 seconds" }, post: () => Effect.onInterrupt(Effect.never, () => Effect.never) }),
        scope
      )
      link.send(JsonRpc.request(1, "tools/call", {}))
      yield* waitUntil(() => requests.length === 2)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* TestClock.adjust("2900 millis")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("100 millis")
      yield* Fiber.join(closing)
    }))
})

describe("LegacySseTransport over a socket", () => {
  interface Server {
    readonly stream: (request: IncomingMessage, response: ServerResponse) => void
    readonly message?: (message: JsonRpc.JsonObject, response: ServerResponse, say: (value: unknown) => void) => void
  }

  const start = Effect.fnUntraced(function*(server: Server) {
    let stream: ServerResponse | undefined
    const loopback = yield* serve((request, response) => {
      if (request.method === "GET") {
        stream = response
        return server.stream(request, response)
      }
      void bodyOf(request).then((body) => {
        const say = (value: unknown) => stream?.write(event(value))
        server.message?.(JSON.parse(body), response, say)
      })
    })
    const receiving = yield* makeReceiver
    const transport = yield* LegacySseTransport.make({ url: `${loopback.origin}/sse` })
    return { ...receiving, ...loopback, open: transport.open(receiving.receiver) }
  })

  const events = (_: IncomingMessage, response: ServerResponse) => {
    response.writeHead(200, { "content-type": "text/event-stream" }).write("event: endpoint\ndata: /messages\n\n")
  }

  const call = (link: Link, id: number) => link.send(JsonRpc.request(id, "tools/call", { name: "echo" }))

  it.live("a thousand calls are answered on the stream, over few connections", () =>
    Effect.gen(function*() {
      const { messages, open, sockets } = yield* start({
        stream: events,
        message: ({ id }, response, say) => {
          response.writeHead(202).end("Accepted")
          say(JsonRpc.success(Number(id), {}))
        }
      })
      const link = yield* open
      for (let id = 1; id <= 1_000; id++) {
        yield* link.backpressure() ?? Effect.void
        call(link, id)
      }
      const answers = yield* Queue.takeN(messages, 1_000)
      const ids = answers.map(({ value }) => Reflect.get(Object(value), "id"))
      assert.strictEqual(new Set(ids).size, 1_000)
      assert.isAtMost(sockets.length, 100)
    }).pipe(Effect.scoped, Effect.provide(NodeMcp.layer)))

  it.live("a connection that is reset ends the link, and one that is refused never opens it", () =>
    Effect.gen(function*() {
      const { closed, open, server, sockets } = yield* start({ stream: events })
      yield* open
      for (const socket of sockets) socket.resetAndDestroy()
      const reason = yield* closed
      assert.isTrue(reason._tag === "Unreachable" && reason.delivered, reason.message)
      yield* Effect.promise(() => once(server.close(), "close"))
      const refused = yield* Effect.flip(Effect.scoped(open))
      assert.isTrue(refused.reason._tag === "Unreachable" && !refused.reason.delivered, refused.message)
    }).pipe(Effect.scoped, Effect.provide(NodeMcp.layer)))

  it.live("a server that holds the bodies of its answers open keeps nobody waiting", () =>
    Effect.gen(function*() {
      const { messages, open } = yield* start({
        stream: events,
        message: ({ id }, response, say) => {
          response.writeHead(202).write("...")
          say(JsonRpc.success(Number(id), {}))
        }
      })
      const link = yield* open
      link.send(initialized)
      for (let id = 1; id <= 100; id++) {
        yield* link.backpressure() ?? Effect.void
        call(link, id)
      }
      assert.lengthOf(yield* Queue.takeN(messages, 101), 101)
    }).pipe(Effect.scoped, Effect.provide(NodeMcp.layer)))

  it.live("a stream that a proxy compressed is read as it comes, and closed like any other", () =>
    Effect.gen(function*() {
      const { next, open, sockets } = yield* start({
        stream: (_, response) => {
          response.writeHead(200, { "content-type": "text/event-stream", "content-encoding": "gzip" })
          const gzip = createGzip({ flush: constants.Z_SYNC_FLUSH })
          gzip.pipe(response)
          gzip.write("event: endpoint\ndata: /messages\n\n")
          gzip.write(event({ first: 1 }))
        }
      })
      yield* Effect.scoped(Effect.andThen(open, Effect.map(next, (message) => assert.deepStrictEqual(message, { first: 1 }))))
      const [socket] = sockets
      assert.isDefined(socket)
      if (!socket.closed) yield* Effect.promise(() => once(socket, "close"))
    }).pipe(Effect.scoped, Effect.provide(NodeMcp.layer)))

  it.live("closing the scope closes the stream, which the server sees, and it can be opened again", () =>
    Effect.gen(function*() {
      const { open, sockets } = yield* start({ stream: events })
      for (let times = 1; times <= 2; times++) {
        yield* Effect.scoped(open)
        const socket = sockets.at(-1)
        assert.isDefined(socket)
        if (!socket.closed) yield* Effect.promise(() => once(socket, "close"))
        assert.lengthOf(sockets, times)
      }
    }).pipe(Effect.scoped, Effect.provide(NodeMcp.layer)))
})
