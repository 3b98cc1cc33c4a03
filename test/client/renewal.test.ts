import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as McpClient from "../../src/McpClient.ts"
import * as McpError from "../../src/McpError.ts"
import { textOf } from "../../src/protocol/McpSchema.ts"
import { Transport } from "../../src/Transport.ts"
import { reasonOf } from "../support/reasonOf.ts"
import * as Http from "../support/scriptedHttp.ts"
import { waitUntil } from "../support/waitUntil.ts"

const done = { content: [{ type: "text", text: "done" }] }
const unreachable = new McpError.Unreachable({ url: Http.url, delivered: false, detail: "connection refused" })

/** A legacy server whose session can be ended, after which every request meets its end until it is initialized again. */
const server = (answers: Http.Script["answers"] = {}) => {
  const session = { alive: false, begun: 0, delivered: false }
  const within = (answer: Http.Answer): Http.Answer => (params) =>
    session.alive ? answer(params) : Effect.fail(Http.expired(session.delivered))
  const script = Http.make({
    ...Object.fromEntries(
      Object.entries<Http.Answer>({
        "tools/list": Http.value({ tools: [] }),
        "tools/call": Http.value(done),
        "resources/subscribe": Http.value({}),
        "logging/setLevel": Http.value({}),
        ...answers
      }).map(([method, answer]) => [method, within(answer)])
    ),
    initialize: Effect.fnUntraced(function*(params) {
      const result = yield* (answers.initialize ?? Http.legacy)(params)
      session.alive = true
      session.begun += 1
      return result
    })
  })
  /** Forgets the session; `delivered` is whether requests that find out may have been handled. */
  const forget = (delivered = false) => Object.assign(session, { alive: false, delivered })
  return { script, session, forget }
}

const connect = (script: Http.Script, options?: McpClient.Options) =>
  McpClient.make({ name: "test", negotiation: { preset: "legacy" }, ...options }).pipe(
    Effect.provideService(Transport, Http.binding(script))
  )

/** What was sent after the first session had begun. */
const since = (script: Http.Script) => Http.methods(script).slice(2)

describe("a session the server has forgotten (L-22)", () => {
  it.effect("is begun anew, the binding is told, and a call that was never handled is made again", () =>
    Effect.gen(function*() {
      const { forget, script } = server()
      const client = yield* connect(script)
      forget()
      assert.strictEqual(textOf((yield* client.callTool("work")).content), "done")
      assert.deepStrictEqual(since(script), ["tools/call", "initialize", "notifications/initialized", "tools/call"])
      assert.deepStrictEqual(script.agreements, [
        { revision: "2025-11-25", stateless: false, batches: false, after: 1 },
        { revision: "2025-11-25", stateless: false, batches: false, after: 4 }
      ])
    }).pipe(Effect.scoped))

  it.effect("a call that may have been handled is not repeated: it fails, and the next one works", () =>
    Effect.gen(function*() {
      const { forget, script, session } = server()
      const client = yield* connect(script)
      forget(true)
      const reason = reasonOf(yield* Effect.exit(client.callTool("pay")))
      assert.deepInclude(reason, { _tag: "SessionExpired", delivered: true })
      assert.strictEqual(session.begun, 2)
      yield* client.callTool("pay")
      assert.strictEqual(since(script).filter((method) => method === "tools/call").length, 2)
    }).pipe(Effect.scoped))

  it.effect("reading is repeated, whether it may have been handled or not", () =>
    Effect.gen(function*() {
      const { forget, script } = server({ ping: Http.value({}) })
      const client = yield* connect(script)
      forget(true)
      assert.deepStrictEqual(yield* client.listTools(), [])
      forget(true)
      yield* client.ping
      assert.deepStrictEqual(since(script).filter((method) => !method.includes("initialize")), [
        "tools/list",
        "tools/list",
        "ping",
        "ping"
      ])
    }).pipe(Effect.scoped))

  it.effect("is begun once for all who notice, and requests made meanwhile wait for it", () =>
    Effect.gen(function*() {
      const ready = yield* Deferred.make<void>()
      const over = yield* Deferred.make<void>()
      let first = true
      const { script, session } = server({
        initialize: (params) => {
          const wait = first ? Effect.void : Deferred.await(ready)
          first = false
          return Effect.andThen(wait, Http.legacy(params))
        },
        "tools/call": (params) =>
          session.begun > 1 ? Http.value(done)(params) : Effect.andThen(Deferred.await(over), Effect.fail(Http.expired(false)))
      })
      const client = yield* connect(script)
      const calls = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 20 }), () => client.callTool("work"), { concurrency: "unbounded" })
      )
      yield* waitUntil(() => since(script).length === 20)
      yield* Deferred.succeed(over, undefined)
      yield* waitUntil(() => since(script).includes("initialize"))
      const later = yield* Effect.forkChild(client.callTool("later"), { startImmediately: true })
      assert.strictEqual(since(script).filter((method) => method === "tools/call").length, 20)
      yield* Deferred.succeed(ready, undefined)
      assert.strictEqual((yield* Fiber.join(calls)).length, 20)
      yield* Fiber.join(later)
      assert.strictEqual(session.begun, 2)
      assert.strictEqual(since(script).filter((method) => method === "tools/call").length, 41)
    }).pipe(Effect.scoped))

  it.effect("a late failure of the old session does not end the new one", () =>
    Effect.gen(function*() {
      const late = yield* Deferred.make<void>()
      let slow = true
      const { forget, script, session } = server({
        "tools/call": (params) => {
          if (params.name !== "slow" || !slow) return Http.value(done)(params)
          slow = false
          return Effect.andThen(Deferred.await(late), Effect.fail(Http.expired(false)))
        }
      })
      const client = yield* connect(script)
      const call = yield* Effect.forkChild(client.callTool("slow"), { startImmediately: true })
      yield* waitUntil(() => !slow)
      forget()
      yield* client.callTool("quick")
      yield* Deferred.succeed(late, undefined)
      assert.strictEqual(textOf((yield* Fiber.join(call)).content), "done")
      assert.strictEqual(session.begun, 2)
    }).pipe(Effect.scoped))

  it.effect("a call is repeated once only: a server that forgets at once fails it", () =>
    Effect.gen(function*() {
      const { script, session } = server({ "tools/call": () => Effect.fail(Http.expired(false)) })
      const client = yield* connect(script)
      const reason = reasonOf(yield* Effect.exit(client.callTool("work")))
      assert.deepInclude(reason, { _tag: "SessionExpired", delivered: false })
      assert.strictEqual(since(script).filter((method) => method === "tools/call").length, 2)
      assert.strictEqual(session.begun, 3, "the next call finds a session")
    }).pipe(Effect.scoped))

  it.effect("that cannot be begun anew fails those who wait with the reason, and is tried again by the next call", () =>
    Effect.gen(function*() {
      let down = false
      const { forget, script, session } = server({
        initialize: (params) => down ? Effect.fail(unreachable) : Http.legacy(params)
      })
      const client = yield* connect(script)
      forget()
      down = true
      const exits = yield* Effect.forEach(["a", "b"], (tool) => Effect.exit(client.callTool(tool)), {
        concurrency: "unbounded"
      })
      for (const exit of exits) assert.deepInclude(reasonOf(exit), { _tag: "Unreachable", detail: "connection refused" })
      assert.strictEqual(since(script).filter((method) => method === "initialize").length, 1)
      down = false
      yield* client.callTool("c")
      assert.strictEqual(session.begun, 2)
    }).pipe(Effect.scoped))

  it.effect("in another revision is refused: a connection speaks one", () =>
    Effect.gen(function*() {
      let protocolVersion = "2025-11-25"
      const { forget, script } = server({
        initialize: () => Effect.succeed({ protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "s", version: "1" } })
      })
      const client = yield* connect(script)
      forget()
      protocolVersion = "2024-11-05"
      const reason = reasonOf(yield* Effect.exit(client.callTool("work")))
      assert.deepInclude(reason, { _tag: "InvalidResponse", detail: "the server now speaks 2024-11-05; connect again" })
    }).pipe(Effect.scoped))

  it.effect("has the subscriptions and the log level of the old one, and readers of changes look again", () =>
    Effect.gen(function*() {
      const { forget, script } = server()
      const client = yield* connect(script)
      yield* client.setLogLevel("warning")
      const tools = yield* Effect.forkChild(Stream.runHead(client.toolsChanged), { startImmediately: true })
      const file = yield* Effect.forkChild(Stream.runHead(client.resourceUpdates("file:///a")), { startImmediately: true })
      yield* waitUntil(() => since(script).includes("resources/subscribe"))
      // The answer has to arrive too, or there is nothing to subscribe to again.
      yield* client.listTools()
      forget()
      script.received.length = 0
      yield* client.callTool("work")
      assert.deepStrictEqual(Http.methods(script), [
        "tools/call",
        "initialize",
        "notifications/initialized",
        "logging/setLevel",
        "resources/subscribe",
        "tools/call"
      ])
      yield* Fiber.join(tools)
      assert.deepStrictEqual(yield* Fiber.join(file), yield* Stream.runHead(Stream.make("file:///a")))
    }).pipe(Effect.scoped))

  it.effect("does without a subscription the server does not want any more", () =>
    Effect.gen(function*() {
      let gone = false
      const { forget, script } = server({
        "resources/subscribe": () => gone ? Effect.fail({ code: -32002, message: "no such resource" }) : Effect.succeed({})
      })
      const client = yield* connect(script)
      yield* Effect.forkChild(Stream.runDrain(client.resourceUpdates("file:///a")), { startImmediately: true })
      yield* waitUntil(() => since(script).includes("resources/subscribe"))
      yield* client.listTools()
      gone = true
      forget()
      assert.strictEqual(textOf((yield* client.callTool("work")).content), "done")
    }).pipe(Effect.scoped))

  it.effect("results kept from the old session are not used in the new one", () =>
    Effect.gen(function*() {
      let name = "old"
      const { forget, script } = server({
        "tools/list": () => Effect.succeed({ tools: [{ name, inputSchema: { type: "object" } }], ttlMs: 60_000 })
      })
      const client = yield* connect(script)
      assert.deepStrictEqual((yield* client.listTools()).map(({ name }) => name), ["old"])
      name = "new"
      assert.deepStrictEqual((yield* client.listTools()).map(({ name }) => name), ["old"])
      forget()
      yield* client.callTool("work")
      assert.deepStrictEqual((yield* client.listTools()).map(({ name }) => name), ["new"])
    }).pipe(Effect.scoped))

  it.effect("whoever waits for it waits no longer than for any answer, and may leave it to the others", () =>
    Effect.gen(function*() {
      let first = true
      const { forget, script } = server({
        initialize: (params) => {
          if (!first) return Effect.never
          first = false
          return Http.legacy(params)
        }
      })
      const client = yield* connect(script, { timeout: "30 seconds", startupTimeout: "20 seconds" })
      forget()
      const impatient = yield* Effect.forkChild(client.callTool("a", {}, { timeout: "5 seconds" }))
      const leaving = yield* Effect.forkChild(client.callTool("b"))
      const staying = yield* Effect.forkChild(client.callTool("c"))
      yield* waitUntil(() => since(script).includes("initialize"))
      yield* Fiber.interrupt(leaving)
      yield* TestClock.adjust("5 seconds")
      assert.deepInclude(reasonOf(yield* Fiber.await(impatient)), { _tag: "RequestTimeout", limit: "idle", millis: 5_000 })
      yield* TestClock.adjust("15 seconds")
      assert.deepInclude(reasonOf(yield* Fiber.await(staying)), {
        _tag: "RequestTimeout",
        method: "initialize",
        limit: "startup",
        millis: 20_000
      })
      assert.strictEqual(since(script).filter((method) => method === "initialize").length, 1)
    }).pipe(Effect.scoped))

  it.effect("that is being begun when the connection is closed fails those who wait with that", () =>
    Effect.gen(function*() {
      let first = true
      const { forget, script } = server({
        initialize: (params) => {
          if (!first) return Effect.never
          first = false
          return Http.legacy(params)
        }
      })
      const scope = yield* Scope.make()
      const client = yield* connect(script).pipe(Scope.provide(scope))
      forget()
      const call = yield* Effect.forkChild(client.callTool("work"))
      yield* waitUntil(() => since(script).includes("initialize"))
      yield* Scope.close(scope, Exit.void)
      assert.deepInclude(reasonOf(yield* Fiber.await(call)), { _tag: "ConnectionClosed", by: "client" })
    }).pipe(Effect.scoped))
})
