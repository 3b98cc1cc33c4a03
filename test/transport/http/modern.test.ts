import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import * as JsonRpc from "../../../src/protocol/JsonRpc.ts"
import type { Options } from "../../../src/transport/StreamableHttpTransport.ts"
import * as Http from "../../support/httpLink.ts"
import { waitUntil } from "../../support/waitUntil.ts"

const url = "https://example.com/mcp?key=hidden"

const opening = (server: ReturnType<typeof Http.mock>, options: Partial<Options> = {}) =>
  Effect.provide(Http.open({ url, retry: { jitter: false }, ...options }), server.layer)

const refused = Effect.fail({ code: "ECONNREFUSED" })

const protocolHeaders = (asked: Http.Asked | undefined) =>
  Object.fromEntries(Object.entries(asked?.headers ?? {}).filter(([name]) => name.startsWith("mcp-")))

describe("configuration", () => {
  it.effect("a URL or a header that cannot be sent fails the opening, and its value is not told", () =>
    Effect.gen(function*() {
      const server = Http.mock((asked) => Effect.succeed(Http.result(asked)))
      const headers = { "x y": "hidden", "x-token": "hidden\r\nmcp-name: hidden" }
      const error = yield* Effect.flip(opening(server, { url: "ftp://hidden", headers }))
      assert.strictEqual(error.reason._tag, "InvalidConfig")
      for (const name of ["url", "x y", "x-token"]) assert.include(error.message, name)
      assert.notInclude(JSON.stringify(error), "hidden")
    }))

  it.effect("headers of the user never replace the protocol's, and that is said", () =>
    Effect.gen(function*() {
      const server = Http.mock((asked) => Effect.succeed(Http.result(asked)))
      const headers = { "Mcp-Method": "ping", "MCP-SESSION-ID": "mine", Accept: "*/*", "Mcp-Param-Region": "x", "X-Team": "a" }
      const { diagnostics, link, message } = yield* opening(server, { headers })
      link.send(Http.modernRequest(1, "tools/list"))
      yield* message
      assert.deepStrictEqual(protocolHeaders(server.asked[0]), {
        "mcp-method": "tools/list",
        "mcp-protocol-version": "2026-07-28"
      })
      assert.strictEqual(server.asked[0]?.headers["x-team"], "a")
      assert.strictEqual(server.asked[0]?.headers.accept, "application/json, text/event-stream")
      assert.lengthOf(diagnostics, 4)
    }))

  it.effect("credentials in the URL become a header", () =>
    Effect.gen(function*() {
      const server = Http.mock((asked) => Effect.succeed(Http.result(asked)))
      const { link, message } = yield* opening(server, { url: "https://me:p%40ss@example.com/mcp" })
      link.send(Http.modernRequest(1, "tools/list"))
      yield* message
      assert.strictEqual(server.asked[0]?.headers.authorization, `Basic ${btoa("me:p@ss")}`)
      assert.strictEqual(server.asked[0]?.url, "https://example.com/mcp")
    }))
})

describe("headers of a modern request", () => {
  const named: ReadonlyArray<readonly [method: string, params: JsonRpc.JsonObject, name: string | undefined]> = [
    ["tools/call", { name: "echo" }, "echo"],
    ["tools/call", { name: " 世界" }, "=?base64?IOS4lueVjA==?="],
    ["prompts/get", { name: "greet" }, "greet"],
    ["resources/read", { uri: "file:///path/to/file%20name.txt" }, "file:///path/to/file%20name.txt"],
    ["tasks/get", { taskId: "t" }, "t"],
    ["resources/list", { name: "no" }, undefined]
  ]
  for (const [method, params, name] of named) {
    it.effect(`${method} carries version, method and ${name === undefined ? "no name" : `the name ${name}`}`, () =>
      Effect.gen(function*() {
        const server = Http.mock((asked) => Effect.succeed(Http.result(asked)))
        const { link, message } = yield* opening(server)
        link.send(Http.modernRequest(1, method, params), { headers: { "Mcp-Param-Region": "us" } })
        yield* message
        assert.deepStrictEqual(protocolHeaders(server.asked[0]), {
          "mcp-method": method,
          "mcp-param-region": "us",
          "mcp-protocol-version": "2026-07-28",
          ...(name === undefined ? {} : { "mcp-name": name })
        })
      }))
  }

  it.effect("the body is the message alone, and a session the server offers is ignored", () =>
    Effect.gen(function*() {
      const server = Http.mock(({ message }) =>
        Effect.succeed(Http.json({ jsonrpc: "2.0", id: message.id, result: {} }, { headers: { "mcp-session-id": "s" } })))
      yield* Effect.scoped(Effect.gen(function*() {
        const { link, message } = yield* opening(server)
        link.send(Http.modernRequest(1, "server/discover"))
        yield* message
        link.agreed?.(Http.modern)
        link.send(Http.modernRequest(2, "tools/list"))
        yield* message
      }))
      assert.deepStrictEqual(server.asked.map(({ method, message }) => [method, message.method]), [
        ["POST", "server/discover"],
        ["POST", "tools/list"]
      ])
      assert.deepStrictEqual(server.asked[1]?.message, { ...Http.modernRequest(2, "tools/list") })
      assert.isUndefined(server.asked[1]?.headers["mcp-session-id"])
    }))
})

describe("streams", () => {
  it.effect("a stream that ends without the answer loses the request, and is not resumed", () =>
    Effect.gen(function*() {
      const server = Http.mock(() => Effect.succeed(Http.events(["id: 1\nretry: 5\ndata: \n\n"])))
      const { failure, link } = yield* opening(server)
      link.send(Http.modernRequest(1, "tools/call", { name: "echo" }))
      const reason = yield* failure
      assert(reason._tag === "Unreachable")
      assert.isTrue(reason.delivered)
      assert.lengthOf(server.asked, 1)
    }))

  it.effect("events with another name, with nothing or with nonsense in them do not hide the answer", () =>
    Effect.gen(function*() {
      const server = Http.mock(({ message }) =>
        Effect.succeed(Http.events([
          "event: other\ndata: {}\n\n",
          "data:\n\n",
          "data: nonsense\n\n",
          Http.event(JsonRpc.notification("notifications/message")),
          Http.event({ jsonrpc: "2.0", id: message.id, result: {} }),
          Http.event(JsonRpc.notification("notifications/late"))
        ])))
      const { diagnostics, link, message, pending } = yield* opening(server)
      link.send(Http.modernRequest(1, "tools/list"))
      assert.strictEqual((yield* message).method, "notifications/message")
      assert.strictEqual((yield* message).id, 1)
      assert.strictEqual(yield* pending, 0)
      assert.deepStrictEqual(diagnostics.map(({ _tag }) => _tag), ["Skipped"])
    }))

  it.effect("more requests than may be in flight wait for one to end, and one given up meanwhile is never sent", () =>
    Effect.gen(function*() {
      const server = Http.mock(() => Effect.never)
      const { link } = yield* opening(server, { maxInFlight: 2 })
      for (const id of [1, 2, 3, 4]) link.send(Http.modernRequest(id, "tools/list"))
      yield* waitUntil(() => server.asked.length === 2)
      link.abandon(3, "no longer wanted")
      link.abandon(1, "no longer wanted")
      yield* waitUntil(() => server.asked.length === 3)
      assert.deepStrictEqual(server.asked.map(({ message }) => message.id), [1, 2, 4])
      assert.isTrue(server.asked[0]?.signal.aborted)
    }))
})

describe("subscriptions", () => {
  it.effect("a subscription stands in nobody's way", () =>
    Effect.gen(function*() {
      const server = Http.mock((asked) =>
        asked.message.method === "subscriptions/listen" ? Effect.never : Effect.succeed(Http.result(asked)))
      const { link, message } = yield* opening(server, { maxInFlight: 1 })
      link.send(Http.modernRequest(1, "subscriptions/listen"))
      link.send(Http.modernRequest(2, "tools/list"))
      assert.strictEqual((yield* message).id, 2)
    }))
})

describe("asking again", () => {
  it.effect("while nothing is agreed, a server that cannot be reached is reported at once", () =>
    Effect.gen(function*() {
      const server = Http.mock(() => refused)
      const { failure, link } = yield* opening(server)
      link.send(Http.modernRequest(1, "server/discover"))
      assert.strictEqual((yield* failure)._tag, "Unreachable")
      assert.lengthOf(server.asked, 1)
    }))

  it.effect("what never left is sent again, a tool call too, and not for ever", () =>
    Effect.gen(function*() {
      const server = Http.mock(() => refused)
      const { failure, link } = yield* opening(server)
      link.agreed?.(Http.modern)
      link.send(Http.modernRequest(1, "tools/call", { name: "echo" }))
      yield* TestClock.adjust(249)
      assert.lengthOf(server.asked, 1)
      yield* TestClock.adjust(1)
      assert.lengthOf(server.asked, 2)
      yield* TestClock.adjust(500)
      assert.lengthOf(server.asked, 3)
      const reason = yield* failure
      assert(reason._tag === "Unreachable")
      assert.isFalse(reason.delivered)
    }))

  const busy = Effect.succeed(new Response("busy", { status: 503, headers: { "retry-after": "3" } }))

  it.effect("Retry-After of a reading request is waited for", () =>
    Effect.gen(function*() {
      let answers = 0
      const server = Http.mock((asked) => answers++ === 0 ? busy : Effect.succeed(Http.result(asked)))
      const { link, message } = yield* opening(server)
      link.send(Http.modernRequest(1, "server/discover"))
      yield* TestClock.adjust(2_999)
      assert.lengthOf(server.asked, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* message).id, 1)
    }))

  it.effect("a date in Retry-After counts from now, and a wait that is too long is reported instead", () =>
    Effect.gen(function*() {
      const server = Http.mock(() =>
        Effect.succeed(new Response("", { status: 429, headers: { "retry-after": "Thu, 01 Jan 1970 00:01:00 GMT" } })))
      const { failure, link } = yield* opening(server)
      yield* TestClock.adjust(10_000)
      link.send(Http.modernRequest(1, "tools/list"))
      const reason = yield* failure
      assert(reason._tag === "HttpStatus")
      assert.strictEqual(reason.retryAfterMillis, 50_000)
      assert.lengthOf(server.asked, 1)
    }))

  it.effect("a schedule of one's own decides how often and when, never what", () =>
    Effect.gen(function*() {
      const server = Http.mock(() => Effect.fail({ code: "ECONNREFUSED" }))
      const { failure, link } = yield* opening(server, {
        retry: Schedule.spaced("1 minute").pipe(Schedule.while(({ attempt }) => attempt <= 3))
      })
      link.agreed?.(Http.modern)
      link.send(Http.modernRequest(1, "tools/call", { name: "echo" }))
      for (let tries = 1; tries <= 4; tries++) {
        yield* Effect.yieldNow
        assert.lengthOf(server.asked, tries)
        yield* TestClock.adjust("1 minute")
      }
      assert.deepInclude(yield* failure, { _tag: "Unreachable", delivered: false })
      assert.lengthOf(server.asked, 4)
    }))

  it.effect("a tool call is not repeated for a 503, nor anything after the connection broke", () =>
    Effect.gen(function*() {
      const server = Http.mock(({ message }) => message.method === "tools/call" ? busy : Effect.fail({ code: "ECONNRESET" }))
      const { failure, link } = yield* opening(server)
      link.agreed?.(Http.modern)
      link.send(Http.modernRequest(1, "tools/call", { name: "echo" }))
      assert.strictEqual((yield* failure)._tag, "HttpStatus")
      link.send(Http.modernRequest(2, "tools/list"))
      assert.strictEqual((yield* failure)._tag, "Unreachable")
      assert.lengthOf(server.asked, 2)
    }))
})
