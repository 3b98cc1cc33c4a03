import { NodeHttpClient } from "@effect/platform-node"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as JsonRpc from "../../../src/protocol/JsonRpc.ts"
import type { Options } from "../../../src/transport/StreamableHttpTransport.ts"
import { type FaultServer, start } from "../../servers/http-fault.ts"
import { modern, modernRequest, open, platform, undici } from "../../support/httpLink.ts"

let server: FaultServer
beforeAll(async () => {
  server = await start()
})
afterAll(() => server.close())

const last = (path: string) => server.requests.filter((request) => request.path.startsWith(path)).at(-1)

/** Waits for something the server sees in its own time. */
const eventually = (condition: () => boolean) =>
  Effect.gen(function*() {
    for (let turn = 0; turn < 500 && !condition(); turn++) yield* Effect.sleep(10)
    assert.isTrue(condition())
  })

/** Asks the fault at a path, once something was agreed, and gives what became of it. */
const ask = Effect.fnUntraced(function*(path: string, options: Partial<Options> = {}) {
  const opened = yield* open({ url: `${server.url}${path}`, ...options })
  opened.link.agreed?.(modern)
  opened.link.send(modernRequest(1, "tools/call", { name: "echo" }))
  return opened
})

const failureOf = (path: string, options: Partial<Options> = {}) =>
  Effect.scoped(Effect.flatMap(ask(path, options), ({ failure }) => failure)).pipe(Effect.provide(undici))

const answered = (path: string) =>
  Effect.scoped(Effect.flatMap(ask(path), ({ message }) => Effect.map(message, ({ result }) => result))).pipe(Effect.provide(undici))

describe("answers that are none", () => {
  const invalid: ReadonlyArray<readonly [path: string, detail: string]> = [
    ["/html", "expected JSON or an event stream, but got status 200, content type \"text/html\""],
    ["/empty", "expected a result, but the body is empty (status 200, content type \"\")"],
    ["/accepted", "expected a result, but the body is empty (status 202, content type \"\")"],
    ["/not-json", "the body is not JSON"],
    ["/array", "the body has no answer to this request"],
    ["/other-id", "the body has no answer to this request"],
    ["/accepted-null", "the body has no answer to this request"]
  ]
  for (const [path, detail] of invalid) {
    it.live(`a request answered with ${path.slice(1)} fails with what came instead`, () =>
      Effect.gen(function*() {
        const reason = yield* failureOf(path)
        assert.strictEqual(reason._tag, "InvalidResponse")
        assert.include(reason.message, detail)
      }))
  }

  it.live("a request answered with gzip fails with what came, over a client that leaves bodies compressed", () =>
    Effect.gen(function*() {
      const { failure } = yield* ask("/gzip")
      const reason = yield* failure
      assert.strictEqual(reason._tag, "InvalidResponse")
      assert.include(reason.message, "the body is not JSON (status 200, content type \"application/json\", content encoding \"gzip\")")
    }).pipe(Effect.scoped, Effect.provide(platform)))

  for (const path of ["/accepted", "/accepted-null", "/no-content", "/empty", "/json", "/html"]) {
    it.live(`a notification answered with ${path.slice(1)} is accepted and its body not looked at`, () =>
      Effect.gen(function*() {
        const { diagnostics, link, pending } = yield* open({ url: `${server.url}${path}`, maxInFlight: 0 })
        link.send(JsonRpc.notification("notifications/progress"))
        yield* link.backpressure() ?? Effect.void
        assert.deepStrictEqual(diagnostics, [])
        assert.strictEqual(yield* pending, 0)
      }).pipe(Effect.scoped, Effect.provide(undici)))
  }
})

describe("requests that cannot be made", () => {
  for (const method of ["a\r\nb", "mé"]) {
    it.live(`a method that is no header value (${JSON.stringify(method)}) fails before anything is sent`, () =>
      Effect.gen(function*() {
        const { failure, link } = yield* open({ url: `${server.url}/json` })
        link.agreed?.(modern)
        const before = server.requests.length
        link.send(modernRequest(1, method))
        assert.strictEqual((yield* failure)._tag, "InvalidArguments")
        assert.strictEqual(server.requests.length, before)
      }).pipe(Effect.scoped, Effect.provide(undici)))
  }
})

describe("streams that break", () => {
  it.live("an event cut off by the end is not delivered, and its request may have been handled", () =>
    Effect.gen(function*() {
      const reason = yield* failureOf("/cut-event")
      assert(reason._tag === "Unreachable")
      assert.isTrue(reason.delivered)
    }))

  it.live("a stream that ended before the answer fails, after what it said, which is told once", () =>
    Effect.gen(function*() {
      const { failure, message, pending } = yield* ask("/no-answer")
      assert.strictEqual((yield* message).method, "notifications/message")
      const reason = yield* failure
      assert(reason._tag === "Unreachable")
      assert.isTrue(reason.delivered)
      assert.include(reason.message, "ended before the answer")
      assert.strictEqual(yield* pending, 0)
    }).pipe(Effect.scoped, Effect.provide(undici)))

  it.live("a body cut off by the end may have been handled", () =>
    Effect.gen(function*() {
      const reason = yield* failureOf("/cut-json")
      assert(reason._tag === "Unreachable")
      assert.isTrue(reason.delivered)
      assert.include(reason.message, "before the answer was complete")
    }))

  it.live("a connection that breaks before an answer is not asked again", () =>
    Effect.gen(function*() {
      const before = server.requests.length
      const reason = yield* failureOf("/hang-up")
      assert(reason._tag === "Unreachable")
      assert.isTrue(reason.delivered)
      assert.strictEqual(server.requests.length, before + 1)
    }))

  it.live("an event without end is bounded, fails its request only, and is no longer read", () =>
    Effect.gen(function*() {
      const reason = yield* failureOf("/endless-event", { maxMessageBytes: 100_000 })
      assert(reason._tag === "MessageTooLarge")
      assert.strictEqual(reason.limitBytes, 100_000)
      yield* eventually(() => last("/endless-event")?.aborted === true)
    }))

  it.live("a JSON body beyond the limit fails with the limit", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* failureOf("/sse", { maxMessageBytes: 10 }))._tag, "MessageTooLarge")
      const reason = yield* failureOf("/json", { maxMessageBytes: 10 })
      assert.strictEqual(reason._tag, "MessageTooLarge")
    }))

  it.live("a stream that goes silent is given up after the idle timeout", () =>
    Effect.gen(function*() {
      const reason = yield* failureOf("/no-end", { idleTimeout: 50 })
      assert(reason._tag === "Unreachable")
      assert.include(reason.message, "went silent")
    }))
})

describe("statuses", () => {
  it.live("a failure tells status, the beginning of the body and what the server asked for", () =>
    Effect.gen(function*() {
      const reason = yield* failureOf("/busy?key=secret")
      assert(reason._tag === "HttpStatus")
      assert.strictEqual(reason.status, 503)
      assert.strictEqual(reason.body, "later")
      assert.strictEqual(reason.retryAfterMillis, 120_000)
      assert.strictEqual(reason.url, `${server.url}/busy`)
    }))

  for (const path of ["/large-failure", "/endless-failure"]) {
    it.live(`the body of ${path.slice(1)} is read and told to a bound`, () =>
      Effect.gen(function*() {
        const reason = yield* failureOf(path)
        assert(reason._tag === "HttpStatus")
        assert.isAtMost(reason.body.length, 2_048)
        yield* eventually(() => last(path)?.aborted !== undefined)
      }))
  }

  it.live("a JSON-RPC error is delivered whatever the status, but a 401 stays one", () =>
    Effect.gen(function*() {
      const { message } = yield* ask("/unknown-method")
      assert.deepStrictEqual(yield* message, { jsonrpc: "2.0", id: 1, error: { code: -32601, message: "no such method" } })
      const reason = yield* failureOf("/unauthorized")
      assert(reason._tag === "HttpStatus")
      assert.strictEqual(reason.status, 401)
      assert.deepStrictEqual(reason.error, { code: -32000, message: "Unauthorized" })
    }).pipe(Effect.scoped, Effect.provide(undici)))

  it.live("before an agreement a status is evidence, with the error of its body", () =>
    Effect.gen(function*() {
      const { failure, link } = yield* open({ url: `${server.url}/unknown-method` })
      link.send(modernRequest("probe", "server/discover"))
      const reason = yield* failure
      assert(reason._tag === "HttpStatus")
      assert.strictEqual(reason.status, 404)
      assert.deepStrictEqual(reason.error, { code: -32601, message: "no such method" })
    }).pipe(Effect.scoped, Effect.provide(undici)))

  it.live("a port nobody listens on is unreachable, and the request surely not delivered", () =>
    Effect.gen(function*() {
      const { failure, link } = yield* open({ url: "http://user:hidden@127.0.0.1:1/mcp?key=hidden", retry: { attempts: 0 } })
      link.send(modernRequest(1, "server/discover"))
      const reason = yield* failure
      assert(reason._tag === "Unreachable")
      assert.isFalse(reason.delivered)
      assert.include(reason.message, "http://127.0.0.1:1/mcp cannot be reached: the connection was refused")
      assert.notInclude(JSON.stringify(reason), "hidden")
    }).pipe(Effect.scoped, Effect.provide(undici)))
})

describe("redirects", () => {
  const headers = { authorization: Redacted.make("Bearer hidden") }

  it.live("another origin is never followed, and hears nothing of ours", () =>
    Effect.gen(function*() {
      const before = server.requests.length
      const reason = yield* failureOf("/redirect-elsewhere", { headers })
      assert(reason._tag === "HttpStatus")
      assert.strictEqual(reason.status, 307)
      assert.include(reason.body, "http://localhost:")
      assert.strictEqual(server.requests.length, before + 1)
      assert.notInclude(JSON.stringify(reason), "hidden")
    }))

  it.live("the platform's fetch does not follow one on its own either", () =>
    Effect.gen(function*() {
      const before = server.requests.length
      const { failure } = yield* ask("/redirect-elsewhere", { headers })
      assert.strictEqual((yield* failure)._tag, "HttpStatus")
      assert.strictEqual(server.requests.length, before + 1)
    }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerFetch)))

  it.live("a 302 is not followed: it would make a GET of it", () =>
    Effect.gen(function*() {
      const reason = yield* failureOf("/redirect-to-get")
      assert(reason._tag === "HttpStatus")
      assert.strictEqual(reason.status, 302)
    }))

  it.live("a loop is left after a few rounds", () =>
    Effect.gen(function*() {
      const before = server.requests.length
      const reason = yield* failureOf("/redirect-loop")
      assert.strictEqual(reason._tag, "HttpStatus")
      assert.strictEqual(server.requests.length, before + 6)
    }))

  it.live("none is followed when they are off", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* failureOf("/redirect-same-origin", { redirects: "none" }))._tag, "HttpStatus")
    }))

  it.live("a 308 within the origin is followed with method, body and headers", () =>
    Effect.gen(function*() {
      const { message } = yield* ask("/redirect-same-origin", { headers })
      assert.strictEqual((yield* message).id, 1)
      const followed = last("/json?then=yes")
      assert.strictEqual(followed?.method, "POST")
      assert.strictEqual(followed?.headers.authorization, "Bearer hidden")
      assert.strictEqual(followed?.headers["mcp-method"], "tools/call")
    }).pipe(Effect.scoped, Effect.provide(undici)))
})

describe("answers", () => {
  it.live("a stream that ends after its answer leaves its connection to the next request", () =>
    Effect.gen(function*() {
      const { link, message } = yield* ask("/sse")
      yield* message
      const first = last("/sse")
      // A few turns for the end of the stream, which comes after the answer.
      yield* eventually(() => first?.finished === true)
      link.send(modernRequest(2, "tools/list"))
      yield* message
      assert.strictEqual(last("/sse")?.port, first?.port)
    }).pipe(Effect.scoped, Effect.provide(undici)))

  it.live("media types are matched without parameters and case", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* answered("/json"), {})
      assert.deepStrictEqual(yield* answered("/sse"), {})
    }))

  it.live("events split anywhere, with any line end, a byte order mark and several data lines are put together", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* answered("/byte-by-byte"), { text: "世界" })
    }))

  it.live("an answer settles its request although the stream stays open, and the stream is then closed", () =>
    Effect.gen(function*() {
      const { message } = yield* ask("/answer-without-end")
      assert.strictEqual((yield* message).id, 1)
      yield* eventually(() => last("/answer-without-end")?.aborted === true)
    }).pipe(Effect.scoped, Effect.provide(undici)))
})

describe("giving up", () => {
  for (const path of ["/silent", "/no-end"]) {
    it.live(`abandoning a modern request at ${path.slice(1)} closes its stream, and nothing more is sent`, () =>
      Effect.gen(function*() {
        const before = server.requests.length
        const { link, pending } = yield* ask(path)
        yield* eventually(() => server.requests.length > before)
        link.abandon(1, "no longer wanted")
        yield* eventually(() => last(path)?.aborted === true)
        assert.strictEqual(server.requests.length, before + 1)
        assert.strictEqual(yield* pending, 0)
      }).pipe(Effect.scoped, Effect.provide(undici)))

    it.live(`closing the link aborts what waits at ${path.slice(1)}`, () =>
      Effect.gen(function*() {
        const before = server.requests.length
        const { closed } = yield* Effect.scoped(Effect.tap(ask(path), () => eventually(() => server.requests.length > before)))
        yield* eventually(() => last(path)?.aborted === true)
        assert.deepStrictEqual(closed.map(({ _tag }) => _tag), ["ConnectionClosed"])
      }).pipe(Effect.provide(undici)))
  }
})
