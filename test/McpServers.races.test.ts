import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import { MaxOpsBeforeYield } from "effect/References"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import * as McpClient from "../src/McpClient.ts"
import * as McpConfig from "../src/McpConfig.ts"
import * as McpError from "../src/McpError.ts"
import * as McpServers from "../src/McpServers.ts"
import { reasonOf } from "./support/reasonOf.ts"
import { refused } from "./support/servers.ts"
import { waitUntil } from "./support/waitUntil.ts"

type Fields = Readonly<Record<string, unknown>>

const lost = McpError.make(new McpError.ConnectionClosed({ by: "server", detail: "killed" }), "s")
const unauthorized = McpError.make(new McpError.HttpStatus({ verb: "POST", url: "http://x", status: 401, body: "" }), "s")

/** Connections to any server: how long one takes to come and to go, what a call does, and how to kill one. */
class World {
  attempts = 0
  most = 0
  readonly open = new Map<Deferred.Deferred<McpError.McpError>, string>()
  coming: Effect.Effect<void, McpError.McpError> = Effect.void
  going: Effect.Effect<void> = Effect.void
  call: Effect.Effect<void, McpError.McpError> = Effect.void
  ping: Effect.Effect<void, McpError.McpError> = Effect.void

  readonly connect = (entry: McpConfig.Entry) => connectTo(this, entry)

  readonly kill = Effect.suspend(() => {
    const [end] = this.open.keys()
    return end === undefined ? Effect.void : Effect.asVoid(Deferred.succeed(end, lost))
  })
}

const connectTo = Effect.fnUntraced(function*(world: World, entry: McpConfig.Entry) {
  world.attempts += 1
  const end = yield* Deferred.make<McpError.McpError>()
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      world.open.set(end, entry.name)
      world.most = Math.max(world.most, world.open.size)
    }),
    () => Effect.all([Deferred.succeed(end, lost), world.going, Effect.sync(() => world.open.delete(end))])
  )
  yield* world.coming
  const unlessLost = <A>(call: Effect.Effect<A, McpError.McpError>) =>
    Effect.raceFirst(Effect.flatMap(Deferred.await(end), Effect.fail), call)
  return yield* McpClient.McpClient.pipe(Effect.provide(McpClient.layerMock({
    name: entry.name,
    closed: Deferred.await(end),
    diagnostics: Stream.never,
    logs: Stream.never,
    notifications: Stream.never,
    toolsChanged: Stream.never,
    promptsChanged: Stream.never,
    resourcesChanged: Stream.never,
    listTools: () => Effect.succeed([]),
    listResources: () => Effect.succeed([]),
    listPrompts: () => Effect.succeed([]),
    ping: unlessLost(Effect.suspend(() => world.ping)),
    callTool: () => unlessLost(Effect.suspend(() => Effect.as(world.call, { content: [] }))),
    readResource: () => unlessLost(Effect.suspend(() => Effect.as(world.call, { contents: [] })))
  })))
})

const configOf = (document: Readonly<Record<string, Fields>>) =>
  McpConfig.fromValue({
    mcpServers: Object.fromEntries(Object.entries(document).map(([name, fields]) => [name, { command: name, ...fields }]))
  })

const entryOf = (name: string, fields: Fields = {}) =>
  Effect.flatMap(configOf({ [name]: fields }), (config) => McpConfig.get(config, name))

const start = Effect.fnUntraced(function*(document: Readonly<Record<string, Fields>>, options?: McpServers.Options) {
  const world = new World()
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  const servers = yield* McpServers.makeWith(yield* configOf(document), world.connect, options).pipe(
    Effect.provideService(Scope.Scope, scope)
  )
  return { world, scope, servers }
})

const tagOf = <A, R>(effect: Effect.Effect<A, McpError.McpError, R>) =>
  Effect.map(Effect.exit(effect), (exit) => Exit.isSuccess(exit) ? "success" : reasonOf(exit)._tag)

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

describe("interruption", () => {
  it.effect("whoever is interrupted whenever, whatever changes meanwhile: every call ends and no connection is left", () =>
    Effect.promise(() => {
      const name = fc.constantFrom("a", "b", "pool", "own")
      const event = fc.record({
        at: fc.nat(40),
        name,
        interrupt: fc.option(fc.nat(30)),
        what: fc.constantFrom("use", "use", "use", "client", "scope", "session", "kill", "remove", "set", "reload", "resume", "drain")
      })
      const document = {
        a: { idleTimeToLive: 10, drainGrace: 5, reconnect: { baseDelay: 3, breaker: { failures: 2, cooldown: 50 } } },
        b: { reconnect: { when: "on-demand", baseDelay: 3 }, idleTimeToLive: 20, drainGrace: 0 },
        pool: { replicas: { min: 0, max: 3, maxInFlight: 2, shrinkAfter: 5 }, reconnect: { baseDelay: 1 }, idleTimeToLive: 7 },
        own: { isolation: "scope" }
      }
      return fc.assert(
        fc.asyncProperty(
          fc.array(event, { minLength: 1, maxLength: 40 }),
          fc.record({ coming: fc.nat(6), going: fc.nat(6), call: fc.nat(8), ops: fc.constantFrom(50, 200, 2048), refuse: fc.nat(4) }),
          (events, { call, coming, going, ops, refuse }) =>
            Effect.runPromise(Effect.gen(function*() {
              const { scope, servers, world } = yield* start(document)
              yield* Effect.addFinalizer(() =>
                Effect.sync(() => {
                  world.going = Effect.void
                }))
              world.coming = Effect.andThen(
                Effect.sleep(coming),
                Effect.suspend(() => refuse > 0 && world.attempts % (refuse + 1) === 0 ? Effect.fail(refused()) : Effect.void)
              )
              world.going = Effect.sleep(going)
              world.call = Effect.sleep(call)
              const changed = yield* configOf({ ...document, b: { args: ["2"], reconnect: { baseDelay: 3 } } })
              const acts = {
                use: (name: string) => servers.use(name, (client) => client.callTool("t")),
                client: (name: string) => Effect.scoped(Effect.andThen(servers.client(name), Effect.sleep(3))),
                scope: (name: string) => Effect.scoped(Effect.flatMap(servers.client(name, { isolation: "scope" }), (client) => client.callTool("t"))),
                session: (name: string) => Effect.scoped(Effect.flatMap(servers.session(name), (client) => client.callTool("t"))),
                kill: () => world.kill,
                remove: (name: string) => servers.remove(name),
                set: (name: string) => Effect.flatMap(entryOf(name, { args: ["3"], reconnect: { baseDelay: 3 } }), servers.set),
                reload: () => servers.reload(changed),
                resume: (name: string) => servers.resume(name),
                drain: () => servers.drain
              }
              const fibers: Array<Fiber.Fiber<unknown, McpError.McpError>> = []
              for (const { at, interrupt, name, what } of events) {
                const act: Effect.Effect<unknown, McpError.McpError> = acts[what](name)
                const fiber = yield* Effect.forkChild(
                  Effect.andThen(Effect.sleep(at), Effect.provideService(act, MaxOpsBeforeYield, ops))
                )
                fibers.push(fiber)
                if (interrupt !== null) yield* Effect.forkChild(Effect.andThen(Effect.sleep(at + interrupt / 5), Fiber.interrupt(fiber)))
              }
              for (let time = 0; time < 60; time++) yield* TestClock.adjust(1)
              yield* TestClock.adjust(200)
              assert.deepStrictEqual(fibers.flatMap((fiber, index) => fiber.pollUnsafe() === undefined ? [events[index]] : []), [])
              // Nobody uses them any more, and their idle time is over; what was set anew has the usual one.
              const anew: ReadonlyArray<string> = events.flatMap(({ name, what }) => what === "set" || what === "reload" ? [what === "set" ? name : "b"] : [])
              assert.deepStrictEqual([...world.open.values()].filter((name) => !anew.includes(name)), [])
              const closing = yield* fork(Scope.close(scope, Exit.void))
              // Fibers that yield all the time begin their waits late, as this clock sees it.
              for (let time = 0; time < 200 && closing.pollUnsafe() === undefined; time++) yield* TestClock.adjust(500)
              yield* Fiber.join(closing)
              assert.strictEqual(world.open.size, 0)
            }).pipe(Effect.scoped, Effect.provide(TestClock.layer())))
        ),
        { numRuns: 300 }
      )
    }), 60_000)

  it.effect("a removal goes on when whoever asked for it is interrupted", () =>
    Effect.gen(function*() {
      const { servers, world } = yield* start({ a: { drainGrace: 5_000 } })
      world.call = Effect.never
      const call = yield* fork(tagOf(servers.use("a", (client) => client.callTool("t"))))
      const removing = yield* fork(servers.remove("a"))
      yield* fork(Effect.asVoid(Fiber.interrupt(removing)))
      yield* TestClock.adjust("5 seconds")
      yield* waitUntil(() => world.open.size === 0)
      assert.strictEqual(yield* Fiber.join(call), "ConnectionClosed")
    }))
})

describe("changes at the same time", () => {
  it.effect("removed and added at once, the new one is there and the old one is closed", () =>
    Effect.gen(function*() {
      const { servers, world } = yield* start({ a: {} })
      yield* servers.use("a", (client) => client.callTool("t"))
      const anew = yield* entryOf("a", { args: ["2"] })
      yield* Effect.all([servers.remove("a"), servers.set(anew), servers.set(anew), servers.reload(yield* configOf({ a: { args: ["3"] } }))], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(yield* servers.names, ["a"])
      assert.strictEqual(world.open.size, 0)
      yield* servers.use("a", (client) => client.callTool("t"))
      assert.strictEqual(world.open.size, 1)
    }))

  it.effect("a client of a server that is replaced fails as draining, which is safe to repeat on the new one", () =>
    Effect.gen(function*() {
      const { servers } = yield* start({ a: {} })
      const client = yield* servers.client("a")
      yield* servers.set(yield* entryOf("a", { args: ["2"] }))
      const error = yield* Effect.flip(client.callTool("t"))
      assert.strictEqual(error.reason._tag, "ServerDraining")
      assert.strictEqual(error.retry, "safe")
      yield* servers.use("a", (client) => client.callTool("t"))
    }))

  it.effect("who comes at the moment the idle time is over gets a connection", () =>
    Effect.gen(function*() {
      const { servers, world } = yield* start({ a: { idleTimeToLive: 1_000 } })
      world.going = Effect.sleep(500)
      yield* servers.use("a", (client) => client.callTool("t"))
      const late = yield* fork(Effect.andThen(Effect.sleep(1_000), servers.use("a", (client) => client.callTool("t"))))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(late)
      yield* TestClock.adjust("500 millis")
      assert.isAtMost(world.open.size, 1)
      yield* servers.use("a", (client) => client.callTool("t"))
      assert.isAtMost(world.attempts, 2)
      world.going = Effect.void
    }))

  it.effect("a server that is removed before it was ever used is told to be so, and is counted no more", () =>
    Effect.gen(function*() {
      const { servers } = yield* start({ a: {}, b: {} })
      const status = yield* servers.statusOf("a")
      const as = (id: string) => ({ principal: { id, env: { T: Redacted.make(id) } } })
      for (const options of [{}, as("ann"), as("bob")]) yield* servers.use("b", (client) => client.callTool("t"), options)
      const counted = Effect.map(Metric.snapshot, (metrics) =>
        metrics.flatMap(({ attributes, id, state }) =>
          id === "mcp.server.status" && "value" in state && state.value !== 0
            ? [`${attributes?.["mcp.server"]} ${attributes?.["mcp.server.status"]} ${state.value}`]
            : []
        ))
      assert.sameMembers(yield* counted, ["a Idle 1", "b Ready 3"])
      yield* servers.remove("a")
      assert.strictEqual((yield* SubscriptionRef.get(status))._tag, "Draining")
      yield* servers.remove("b")
      assert.deepStrictEqual(yield* counted, [])
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))
})

describe("the end", () => {
  it.effect("hundreds of busy servers have one grace period, all at the same time, and nobody gets in meanwhile", () =>
    Effect.gen(function*() {
      const names = Array.from({ length: 200 }, (_, index) => `s${index}`)
      const { servers, world } = yield* start(Object.fromEntries(names.map((name) => [name, { drainGrace: 5_000 }])))
      world.call = Effect.never
      const clients = yield* Effect.forEach(names, (name) => servers.client(name))
      const calls = yield* Effect.forEach(clients, (client) => fork(tagOf(client.callTool("t"))))
      const first = yield* fork(servers.drain)
      const second = yield* fork(servers.drain)
      for (const client of clients) assert.strictEqual(yield* tagOf(client.callTool("t")), "ServerDraining")
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(first)
      yield* Fiber.join(second)
      assert.strictEqual(world.open.size, 0)
      assert.deepStrictEqual(new Set(yield* Fiber.joinAll(calls)), new Set(["ConnectionClosed"]))
    }))

  it.effect("no more connections are closed at once than are allowed", () =>
    Effect.gen(function*() {
      const names = Array.from({ length: 200 }, (_, index) => `s${index}`)
      const { servers, world } = yield* start(Object.fromEntries(names.map((name) => [name, {}])))
      yield* Effect.forEach(names, (name) => servers.use(name, (client) => client.callTool("t")))
      let closing = 0
      let most = 0
      world.going = Effect.acquireUseRelease(
        Effect.sync(() => most = Math.max(most, ++closing)),
        () => Effect.sleep(10),
        () => Effect.sync(() => closing--)
      )
      const draining = yield* fork(servers.drain)
      yield* TestClock.adjust(100)
      yield* Fiber.join(draining)
      assert.strictEqual(most, 64)
    }))

  it.effect("a call may drain what it is made on: it has its grace like any other", () =>
    Effect.gen(function*() {
      const { servers, world } = yield* start({ a: { drainGrace: 5_000 } })
      const call = yield* fork(servers.use("a", (client) => Effect.andThen(client.callTool("t"), servers.drain)))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(call)
      assert.strictEqual(world.open.size, 0)
    }))

  it.effect("closed while a required server is being connected to, it leaves nothing", () =>
    Effect.gen(function*() {
      const world = new World()
      world.coming = Effect.never
      const config = yield* configOf({ a: { required: true }, b: {} })
      const starting = yield* fork(Effect.scoped(McpServers.makeWith(config, world.connect, { preload: "all" })))
      yield* waitUntil(() => world.open.size === 2)
      yield* Fiber.interrupt(starting)
      assert.strictEqual(world.open.size, 0)
    }))

  it.effect("after a failed attempt callers are told at once, and the next one begins when the first is cleaned up", () =>
    Effect.gen(function*() {
      const { servers, world } = yield* start({ a: { reconnect: { baseDelay: 1_000, jitter: false } } })
      world.coming = Effect.suspend(() => world.attempts === 1 ? Effect.fail(refused()) : Effect.void)
      world.going = Effect.sleep("10 seconds")
      assert.strictEqual(yield* tagOf(servers.use("a", (client) => client.callTool("t"))), "Unreachable")
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(world.attempts, 1)
      yield* TestClock.adjust("1 second")
      yield* servers.use("a", (client) => client.callTool("t"))
      assert.strictEqual(world.most, 1)
      world.going = Effect.void
    }))
})

describe("authorization", () => {
  it.effect("a 401 on a later call leads to the status, the other calls are told, and resuming gets out", () =>
    Effect.gen(function*() {
      const { servers, world } = yield* start({ a: {} })
      world.call = Effect.never
      const client = yield* servers.client("a")
      const other = yield* fork(Effect.flip(client.callTool("t")))
      yield* Effect.yieldNow
      world.call = Effect.fail(unauthorized)
      assert.strictEqual(yield* tagOf(servers.use("a", (client) => client.callTool("t"))), "HttpStatus")
      const { reason } = yield* Fiber.join(other)
      assert.strictEqual(reason._tag, "ConnectionClosed")
      yield* waitUntil(() => world.open.size === 0)
      assert.strictEqual((yield* servers.status("a"))._tag, "NeedsAuthorization")
      world.call = Effect.void
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* tagOf(servers.use("a", (client) => client.callTool("t"))), "HttpStatus")
      assert.strictEqual(world.attempts, 1)
      yield* servers.resume("a")
      yield* servers.use("a", (client) => client.callTool("t"))
      assert.strictEqual((yield* servers.status("a"))._tag, "Ready")
    }))

  it.effect("and so does one that answers a health check", () =>
    Effect.gen(function*() {
      const { servers, world } = yield* start({ a: { health: { interval: 1_000 } } })
      yield* servers.client("a")
      world.ping = Effect.fail(unauthorized)
      yield* TestClock.adjust("1 second")
      yield* waitUntil(() => world.open.size === 0)
      assert.strictEqual((yield* servers.status("a"))._tag, "NeedsAuthorization")
    }))
})

describe("health", () => {
  it.effect("where health is asked, too, a lost call that is safe is repeated on the next connection", () =>
    Effect.gen(function*() {
      const { servers, world } = yield* start({ a: { health: { interval: 60_000 }, reconnect: { baseDelay: 1_000, jitter: false } } })
      world.call = Effect.never
      const reading = yield* fork(servers.use("a", (client) => client.readResource("x:1")))
      yield* Effect.yieldNow
      world.call = Effect.void
      yield* world.kill
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(reading)
      assert.strictEqual(world.attempts, 2)
    }))
})

describe("pools", () => {
  const pool = { drainGrace: 0, replicas: { min: 2, max: 2, maxInFlight: 2 }, reconnect: { baseDelay: 1_000, jitter: false } }

  it.effect("a session is of one replica and waits for it no longer than a call, and the others use the rest", () =>
    Effect.gen(function*() {
      const { servers, world } = yield* start({ a: { ...pool, timeout: 3_000, replicas: { min: 2, max: 2, maxInFlight: 1 } } })
      yield* Effect.scoped(Effect.gen(function*() {
        const first = yield* servers.session("a")
        const second = yield* servers.session("a")
        assert.notStrictEqual(first, second)
        const third = yield* fork(tagOf(Effect.scoped(servers.session("a"))))
        yield* TestClock.adjust("3 seconds")
        assert.strictEqual(yield* Fiber.join(third), "Overloaded")
        yield* world.kill
        const tags = [yield* tagOf(first.callTool("t")), yield* tagOf(second.callTool("t"))]
        assert.sameMembers(tags, ["ConnectionClosed", "success"])
      }))
      yield* servers.use("a", (client) => client.callTool("t"))
    }))

  it.effect("where one replica is lost, its calls fail and those that come go to the other", () =>
    Effect.gen(function*() {
      const { servers, world } = yield* start({ a: pool })
      yield* servers.use("a", (client) => client.ping)
      yield* waitUntil(() => world.open.size === 2)
      world.call = Effect.never
      const calls = yield* Effect.forEach([1, 2, 3, 4], () => fork(tagOf(servers.use("a", (client) => client.callTool("t")))))
      yield* world.kill
      yield* waitUntil(() => calls.filter((call) => call.pollUnsafe() !== undefined).length === 2)
      world.call = Effect.void
      assert.strictEqual((yield* servers.status("a"))._tag, "Ready")
      const after = yield* fork(servers.use("a", (client) => client.callTool("t")))
      assert.isUndefined(after.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(after)
      assert.strictEqual(world.attempts, 3)
    }))
})

describe("the view", () => {
  it.effect("reading it does not make a server that cannot be connected to be tried again and again", () =>
    Effect.gen(function*() {
      const { servers, world } = yield* start({ a: { reconnect: { breaker: { failures: 0 } } }, b: {} })
      const gone = McpError.make(new McpError.InvalidConfig({ source: "x", issues: [] }), "a")
      world.coming = Effect.suspend(() => world.attempts === 2 ? Effect.void : Effect.fail(gone))
      const views: Array<number> = []
      yield* fork(Stream.runForEach(servers.catalog().changes, ({ problems }) => Effect.sync(() => views.push(problems.length))))
      yield* waitUntil(() => views.at(-1) === 3)
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual(world.attempts, 2)
      assert.strictEqual(views.at(-1), 3)
    }))
})
