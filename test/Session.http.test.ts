import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import * as McpClient from "../src/McpClient.ts"
import * as McpError from "../src/McpError.ts"
import { Transport } from "../src/Transport.ts"
import * as VerdictCache from "../src/VerdictCache.ts"
import { reasonOf } from "./support/reasonOf.ts"
import * as Http from "./support/scriptedHttp.ts"

const connect = (transport: Transport["Service"], options?: McpClient.Options) =>
  McpClient.make({ name: "test", ...options }).pipe(Effect.provideService(Transport, transport))

const unreachable = new McpError.Unreachable({ url: Http.url, delivered: false, detail: "connection refused" })

describe("Session over HTTP", () => {
  it.effect("an unauthorized connect fails with its status after one request (V-36)", () =>
    Effect.gen(function*() {
      const script = Http.make({ "server/discover": Http.status(401) })
      assert.deepInclude(reasonOf(yield* Effect.exit(connect(Http.binding(script)))), { _tag: "HttpStatus", status: 401 })
      assert.deepStrictEqual(Http.methods(script), ["server/discover"])
    }).pipe(Effect.scoped))

  it.effect("a server that is not reached fails with that, and nothing stays open (V-37)", () =>
    Effect.gen(function*() {
      const script = Http.make({ "server/discover": () => Effect.fail(unreachable) })
      assert.strictEqual(reasonOf(yield* Effect.exit(connect(Http.binding(script)))), unreachable)
      assert.strictEqual(script.open, 0)
    }).pipe(Effect.scoped))

  it.effect("a probe that hangs is waited for until the start is over, and is no evidence (V-37)", () =>
    Effect.gen(function*() {
      const script = Http.make({ "server/discover": () => Effect.never, initialize: Http.legacy })
      const connecting = yield* Effect.forkChild(connect(Http.binding(script), { startupTimeout: "20 seconds" }))
      yield* TestClock.adjust("19 seconds")
      assert.isUndefined(connecting.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.deepInclude(reasonOf(yield* Fiber.await(connecting)), { _tag: "RequestTimeout", limit: "startup" })
      assert.deepStrictEqual(Http.methods(script), ["server/discover"])
    }).pipe(Effect.scoped))

  it.effect("a modern server is spoken to without a session", () =>
    Effect.gen(function*() {
      const script = Http.make({ "server/discover": Http.modern })
      const client = yield* connect(Http.binding(script))
      assert.deepStrictEqual([client.era, client.transport], ["modern", "http"])
      assert.deepStrictEqual(script.agreements, [{ revision: "2026-07-28", stateless: true, batches: false, after: 1 }])
    }).pipe(Effect.scoped))

  it.effect("a legacy server is told of its session's revision before anything else is sent (V-34, L-20)", () =>
    Effect.gen(function*() {
      const script = Http.make({ initialize: Http.legacy })
      const client = yield* connect(Http.binding(script))
      assert.strictEqual(client.era, "legacy")
      assert.deepStrictEqual(Http.methods(script), ["server/discover", "initialize", "notifications/initialized"])
      assert.deepStrictEqual(script.agreements, [{ revision: "2025-11-25", stateless: false, batches: false, after: 2 }])
    }).pipe(Effect.scoped))

  describe("HTTP+SSE", () => {
    it.effect("is used for a server that knows nothing else, and is what the client says it uses (V-35)", () =>
      Effect.gen(function*() {
        const script = Http.make({ initialize: Http.status(405) })
        const older = Http.make({ initialize: Http.legacy })
        const client = yield* connect(Http.binding(script, { fallback: Http.binding(older, { kind: "sse" }) }))
        assert.deepStrictEqual([client.era, client.transport], ["legacy", "sse"])
        assert.deepStrictEqual(Http.methods(older), ["initialize", "notifications/initialized"])
        assert.deepStrictEqual([script.open, older.open], [0, 1])
        assert.deepStrictEqual(script.agreements, [])
      }).pipe(Effect.scoped))

    it.effect("that cannot be opened either is the last of all attempts that are told (USERS 18)", () =>
      Effect.gen(function*() {
        const script = Http.make({ initialize: Http.status(404) })
        const refusal = new McpError.HttpStatus({ verb: "GET", url: Http.url, status: 404, body: "" })
        const fallback = Http.binding(Http.make({}), { open: () => Effect.fail(McpError.make(refusal)) })
        const reason = reasonOf(yield* Effect.exit(connect(Http.binding(script, { fallback }))))
        assert(reason._tag === "NegotiationFailed")
        assert.deepStrictEqual(reason.attempts.map(({ method, outcome }) => `${method}: ${outcome}`), [
          "server/discover: status 404 to POST: no",
          "initialize: status 404 to POST: no",
          "initialize: over HTTP+SSE: status 404 to GET"
        ])
        assert.strictEqual(script.open, 0)
      }).pipe(Effect.scoped))

    it.effect("that hangs does not hide what was tried before it", () =>
      Effect.gen(function*() {
        const fallback = Http.binding(Http.make({}), { open: () => Effect.never })
        const transport = Http.binding(Http.make({}), { fallback })
        const connecting = yield* Effect.forkChild(connect(transport, { startupTimeout: "20 seconds" }))
        yield* TestClock.adjust("20 seconds")
        const reason = reasonOf(yield* Fiber.await(connecting))
        assert(reason._tag === "NegotiationFailed")
        assert.strictEqual(reason.attempts.length, 3)
        assert.include(reason.message, "20000 ms")
      }).pipe(Effect.scoped))

    it.effect("is not tried when the server is unwell (USERS 18)", () =>
      Effect.gen(function*() {
        const script = Http.make({ "server/discover": Http.status(503), initialize: Http.status(503) })
        const older = Http.make({ initialize: Http.legacy })
        const exit = yield* Effect.exit(connect(Http.binding(script, { fallback: Http.binding(older) })))
        assert.deepInclude(reasonOf(exit), { _tag: "HttpStatus", status: 503 })
        assert.deepStrictEqual(older.received, [])
      }).pipe(Effect.scoped))
  })
})

describe("the cache of verdicts", () => {
  const remembering = Effect.provideServiceEffect(VerdictCache.VerdictCache, Effect.sync(() => VerdictCache.make(10)))
  const endpoint = { endpoint: Http.url }

  /** The methods of a connect on its own, after which the link is closed. */
  const methodsOf = Effect.fnUntraced(function*(answers: Http.Script["answers"], options?: McpClient.Options) {
    const script = Http.make(answers)
    yield* Effect.exit(Effect.scoped(connect(Http.binding(script, endpoint), options)))
    return Http.methods(script).filter((method) => !method.startsWith("notifications/"))
  })

  it.effect("spares a legacy server the second probe (V-07)", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* methodsOf({ initialize: Http.legacy }), ["server/discover", "initialize"])
      assert.deepStrictEqual(yield* methodsOf({ initialize: Http.legacy }), ["initialize"])
    }).pipe(remembering))

  it.effect("is kept for each endpoint (G-12)", () =>
    Effect.gen(function*() {
      yield* methodsOf({ initialize: Http.legacy })
      const other = Http.make({ "server/discover": Http.modern })
      yield* Effect.scoped(connect(Http.binding(other, { endpoint: `${Http.url}/other` })))
      assert.deepStrictEqual(Http.methods(other), ["server/discover"])
    }).pipe(remembering))

  it.effect("is corrected by a server that has become a modern one (V-07)", () =>
    Effect.gen(function*() {
      const modern = { initialize: Http.status(400), "server/discover": Http.modern }
      yield* methodsOf({ initialize: Http.legacy })
      assert.deepStrictEqual(yield* methodsOf(modern), ["initialize", "server/discover"])
      assert.deepStrictEqual(yield* methodsOf(modern), ["server/discover"])
    }).pipe(remembering))

  it.effect("forgets a server that nothing could be agreed with", () =>
    Effect.gen(function*() {
      yield* methodsOf({ initialize: Http.legacy })
      assert.deepStrictEqual(yield* methodsOf({}), ["initialize", "server/discover"])
      assert.deepStrictEqual(yield* methodsOf({}), ["server/discover", "initialize"])
    }).pipe(remembering))

  it.effect("survives an outage, and never makes a modern server a legacy one because of it (V-08)", () =>
    Effect.gen(function*() {
      yield* methodsOf({ "server/discover": Http.modern })
      const broken = { "server/discover": Http.status(500), initialize: Http.legacy }
      assert.deepStrictEqual(yield* methodsOf(broken), ["server/discover"])
      assert.deepStrictEqual(yield* methodsOf(broken), ["server/discover"])
    }).pipe(remembering))

  it.effect("does not remember what was concluded in an outage", () =>
    Effect.gen(function*() {
      const broken = { "server/discover": Http.status(500), initialize: Http.legacy }
      assert.deepStrictEqual(yield* methodsOf(broken), ["server/discover", "initialize"])
      assert.deepStrictEqual(yield* methodsOf(broken), ["server/discover", "initialize"])
    }).pipe(remembering))

  it.effect("is not asked when a revision is pinned or an era is set", () =>
    Effect.gen(function*() {
      yield* methodsOf({ initialize: Http.legacy })
      const pinned = yield* methodsOf({ "server/discover": Http.modern }, { negotiation: { pin: "2026-07-28" } })
      assert.deepStrictEqual(pinned, ["server/discover"])
      const preset = yield* methodsOf({ "server/discover": Http.modern }, { negotiation: { preset: "modern" } })
      assert.deepStrictEqual(preset, ["server/discover"])
    }).pipe(remembering))

  it.effect("is bounded: what was set longest ago goes first", () =>
    Effect.gen(function*() {
      const cache = VerdictCache.make(2)
      for (const endpoint of ["a", "b", "a", "c"]) yield* cache.set(endpoint, "legacy")
      const kept = yield* Effect.forEach(["a", "b", "c"], cache.get)
      assert.deepStrictEqual(kept, ["legacy", undefined, "legacy"])
    }))
})
