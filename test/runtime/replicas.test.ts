import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import * as McpClient from "../../src/McpClient.ts"
import * as McpError from "../../src/McpError.ts"
import * as Member from "../../src/servers/member.ts"
import * as Policy from "../../src/servers/policy.ts"
import * as Replicas from "../../src/servers/replicas.ts"
import * as Status from "../../src/servers/status.ts"

type Client = McpClient.McpClient["Service"]

const error = McpError.make(new McpError.ConnectionClosed({ by: "server", detail: "gone" }), "x")

/** Replicas that connect at once, or when they are told to, and who knows what became of them. */
class Pool {
  readonly made: Array<Fake> = []
  readonly statuses: Array<string> = []
  closed = 0
  /** Whether a connection is made without being told. */
  automatic = true

  readonly member = (onStatus: (status: Status.Status) => void) =>
    Effect.gen({ self: this }, function*() {
      const name = `${this.made.length}`
      const client = yield* McpClient.McpClient.pipe(Effect.provide(McpClient.layerMock({ name })))
      const fake = new Fake(client, onStatus, yield* Deferred.make<void, McpError.McpError>())
      this.made.push(fake)
      yield* Effect.addFinalizer(() => Effect.sync(() => this.closed++))
      if (this.automatic) yield* Deferred.succeed(fake.gate, undefined)
      return fake
    })

  readonly make = (options: Partial<Policy.Replicas> = {}) =>
    Replicas.make({
      name: "x",
      member: this.member,
      options: { ...Policy.make().replicas, ...options },
      onStatus: (status) => this.statuses.push(status._tag)
    })

  at(index: number): Fake {
    const fake = this.made[index]
    if (fake === undefined) throw new Error(`There is no replica ${index}`)
    return fake
  }
}

class Fake implements Replicas.Replica {
  status: Status.Status = Status.Idle
  drained = false
  readonly #client: Client
  readonly #onStatus: (status: Status.Status) => void
  readonly gate: Deferred.Deferred<void, McpError.McpError>

  constructor(client: Client, onStatus: (status: Status.Status) => void, gate: Deferred.Deferred<void, McpError.McpError>) {
    this.#client = client
    this.#onStatus = onStatus
    this.gate = gate
  }

  readonly current = () => this.status._tag === "Ready" ? this.#client : undefined

  readonly client = Effect.suspend(() => {
    if (this.status._tag === "Ready") return Effect.succeed(this.#client)
    if (this.status._tag === "Idle") this.become(Status.Connecting)
    return Effect.as(
      Effect.tap(Deferred.await(this.gate), () => Effect.sync(() => this.become(Status.Ready))),
      this.#client
    )
  })

  readonly failed = () => {}
  readonly resume = Effect.void
  /** Whether it has given up for good. */
  isOver = false
  readonly retryAt = () => !this.isOver && this.status._tag === "Failed" ? this.status.next : undefined
  readonly drain = Effect.sync(() => {
    this.drained = true
  })

  become(status: Status.Status): void {
    if (status === this.status) return
    this.status = status
    this.#onStatus(status)
  }
}

/** Runs until nothing happens any more. */
const settle = TestClock.adjust(0)

const holding = (replicas: Replicas.Replicas, gate: Deferred.Deferred<void>, options?: Replicas.UseOptions) =>
  Effect.forkChild(replicas.use(({ name }) => Effect.as(Deferred.await(gate), name), options), { startImmediately: true })

const reasonOf = <A, R>(effect: Effect.Effect<A, McpError.McpError, R>) => Effect.map(Effect.flip(effect), ({ reason }) => reason)

const scoped = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>) => Effect.scoped(effect)

describe("replicas: limits", () => {
  it.effect("a call beyond every place fails with what is full, at once", () =>
    scoped(Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const replicas = yield* new Pool().make({ maxInFlight: 2, maxQueue: 1 })
      const fibers = [yield* holding(replicas, gate), yield* holding(replicas, gate), yield* holding(replicas, gate)]
      const reason = yield* reasonOf(replicas.use(() => Effect.void))
      assert.isTrue(reason._tag === "Overloaded")
      if (reason._tag === "Overloaded") assert.deepInclude(reason, { inFlight: 2, queued: 1, limit: 1 })
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.joinAll(fibers)
      assert.deepStrictEqual([replicas.inFlightUnsafe(), replicas.queuedUnsafe()], [0, 0])
    })))

  it.effect("who waits longer than it may is told so, and leaves the queue", () =>
    scoped(Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const replicas = yield* new Pool().make({ maxInFlight: 1 })
      yield* holding(replicas, gate)
      const waiting = yield* Effect.forkChild(reasonOf(replicas.use(() => Effect.void, { within: "5 seconds" })))
      yield* TestClock.adjust("4999 millis")
      assert.strictEqual(replicas.queuedUnsafe(), 1)
      yield* TestClock.adjust("1 millis")
      const reason = yield* Fiber.join(waiting)
      assert.isTrue(reason._tag === "Overloaded" && reason.waitedMillis === 5_000)
      assert.strictEqual(replicas.queuedUnsafe(), 0)
      assert.strictEqual(replicas.inFlightUnsafe(), 1)
    })))

  it.effect("a connection that does not come in time is a timeout, and gives its place back", () =>
    scoped(Effect.gen(function*() {
      const pool = new Pool()
      pool.automatic = false
      const replicas = yield* pool.make()
      const waiting = yield* Effect.forkChild(reasonOf(replicas.use(() => Effect.void, { within: 10 })))
      yield* TestClock.adjust(10)
      const reason = yield* Fiber.join(waiting)
      assert.isTrue(reason._tag === "RequestTimeout" && reason.method === "connect")
      assert.strictEqual(replicas.inFlightUnsafe(), 0)
    })))

  it.effect("an interrupted waiter leaves the queue, and the next one gets the place", () =>
    scoped(Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const replicas = yield* new Pool().make({ maxInFlight: 1 })
      const first = yield* holding(replicas, gate)
      const second = yield* holding(replicas, gate)
      const third = yield* holding(replicas, gate)
      yield* Fiber.interrupt(second)
      assert.strictEqual(replicas.queuedUnsafe(), 1)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.joinAll([first, third])
      assert.strictEqual(replicas.inFlightUnsafe(), 0)
    })))

  it.effect("first come, first served; who comes later never overtakes", () =>
    scoped(Effect.gen(function*() {
      const replicas = yield* new Pool().make({ maxInFlight: 2, maxQueue: 1_000 })
      const order: Array<number> = []
      const call = (index: number) =>
        replicas.use(() => Effect.andThen(Effect.sync(() => order.push(index)), Effect.sleep(index % 7)))
      const fiber = yield* Effect.forkChild(Effect.forEach(Array.from({ length: 500 }, (_, index) => index), call, { concurrency: "unbounded" }))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(order, Array.from({ length: 500 }, (_, index) => index))
    })))

  it.effect("a long queue of calls that end at once is worked off without a deep stack", () =>
    scoped(Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const replicas = yield* new Pool().make({ maxInFlight: 1, maxQueue: 50_000 })
      yield* holding(replicas, gate)
      const fiber = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 50_000 }), () => replicas.use(() => Effect.void), { concurrency: "unbounded", discard: true }),
        { startImmediately: true }
      )
      assert.strictEqual(replicas.queuedUnsafe(), 50_000)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(fiber)
      assert.strictEqual(replicas.inFlightUnsafe(), 0)
    })))

  it.effect("what a call throws or dies of gives its place back", () =>
    scoped(Effect.gen(function*() {
      const replicas = yield* new Pool().make({ maxInFlight: 1 })
      for (let time = 0; time < 3; time++) {
        yield* Effect.exit(replicas.use(() => Effect.die("defect")))
        yield* Effect.exit(replicas.use(() => Effect.fail("failure")))
        yield* Effect.exit(replicas.use((): Effect.Effect<void> => {
          throw new Error("thrown")
        }))
      }
      assert.strictEqual(replicas.inFlightUnsafe(), 0)
    })))

  it.effect("10,000 calls, of which some fail and some are interrupted, leave nothing behind", () =>
    scoped(Effect.gen(function*() {
      const replicas = yield* new Pool().make({ max: 4, maxInFlight: 8, maxQueue: 10_000 })
      let most = 0
      const call = (index: number) =>
        replicas.use(() => {
          most = Math.max(most, ...replicas.replicas().map(({ inFlight }) => inFlight))
          return index % 3 === 0 ? Effect.fail(error) : Effect.sleep(index % 5)
        }).pipe(index % 4 === 0 ? Effect.timeoutOption(index % 11) : Effect.asVoid, Effect.exit)
      const fiber = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 10_000 }, (_, index) => index), call, { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("1 minute")
      assert.lengthOf(yield* Fiber.join(fiber), 10_000)
      assert.deepStrictEqual([replicas.inFlightUnsafe(), replicas.queuedUnsafe()], [0, 0])
      assert.isTrue(replicas.replicas().every(({ inFlight }) => inFlight === 0))
      assert.strictEqual(most, 8)
    })))
})

describe("replicas: growing and shrinking", () => {
  it.effect("calls go to the replica with the fewest, and the pool grows to its maximum and no further", () =>
    scoped(Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const pool = new Pool()
      const replicas = yield* pool.make({ max: 3, maxInFlight: 2 })
      const fibers: Array<Fiber.Fiber<string, McpError.McpError>> = []
      for (let call = 0; call < 8; call++) fibers.push(yield* holding(replicas, gate))
      yield* settle
      assert.deepStrictEqual(replicas.replicas().map(({ inFlight }) => inFlight), [2, 2, 2])
      assert.strictEqual(replicas.queuedUnsafe(), 2)
      assert.lengthOf(pool.made, 3)
      yield* Deferred.succeed(gate, undefined)
      const names = yield* Fiber.joinAll(fibers)
      assert.deepStrictEqual([...new Set(names)].toSorted(), ["0", "1", "2"])
    })))

  it.effect("replicas that are meant to be there are connected with the first use, and none before", () =>
    scoped(Effect.gen(function*() {
      const pool = new Pool()
      const replicas = yield* pool.make({ min: 3, max: 3, maxInFlight: 4 })
      yield* settle
      assert.deepStrictEqual(pool.made.map(({ status }) => status._tag), ["Idle", "Idle", "Idle"])
      yield* replicas.use(() => Effect.void)
      yield* settle
      assert.deepStrictEqual(pool.made.map(({ status }) => status._tag), ["Ready", "Ready", "Ready"])
      const gate = yield* Deferred.make<void>()
      for (let call = 0; call < 6; call++) yield* holding(replicas, gate)
      assert.deepStrictEqual(replicas.replicas().map(({ inFlight }) => inFlight), [2, 2, 2])
    })))

  it.effect("it only grows when calls have waited for long enough", () =>
    scoped(Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const pool = new Pool()
      const replicas = yield* pool.make({ max: 2, maxInFlight: 1, growAfter: Duration.seconds(1) })
      yield* holding(replicas, gate)
      const second = yield* holding(replicas, gate)
      yield* TestClock.adjust("999 millis")
      assert.lengthOf(pool.made, 1)
      yield* TestClock.adjust("1 millis")
      assert.lengthOf(pool.made, 2)
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual(yield* Fiber.join(second), "1")
    })))

  it.effect("replicas nobody uses are closed down to the minimum", () =>
    scoped(Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const pool = new Pool()
      const replicas = yield* pool.make({ max: 3, maxInFlight: 1, shrinkAfter: Duration.seconds(60) })
      const fibers = [yield* holding(replicas, gate), yield* holding(replicas, gate), yield* holding(replicas, gate)]
      yield* settle
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.joinAll(fibers)
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(pool.closed, 0)
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(pool.closed, 2)
      assert.lengthOf(replicas.replicas(), 1)
    })))

  it.effect("with a minimum of none, the last one goes too, and the next call brings one back", () =>
    scoped(Effect.gen(function*() {
      const pool = new Pool()
      const replicas = yield* pool.make({ min: 0, maxQueue: 0, shrinkAfter: Duration.seconds(1) })
      assert.lengthOf(pool.made, 0)
      assert.strictEqual(yield* replicas.use(({ name }) => Effect.succeed(name)), "0")
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual([pool.closed, replicas.statusUnsafe()._tag], [1, "Idle"])
      assert.strictEqual(yield* replicas.use(({ name }) => Effect.succeed(name)), "1")
      assert.deepStrictEqual(pool.statuses, ["Connecting", "Ready", "Idle", "Connecting", "Ready"])
    })))
})

describe("replicas: one of them is bad", () => {
  const pair = Effect.gen(function*() {
    const pool = new Pool()
    const replicas = yield* pool.make({ min: 2, max: 2, maxInFlight: 1 })
    yield* replicas.use(() => Effect.void)
    yield* settle
    return { pool, replicas }
  })

  it.effect("it gets no calls while another is ready: they wait for that one", () =>
    scoped(Effect.gen(function*() {
      const { pool, replicas } = yield* pair
      pool.at(0).become(Status.Reconnecting({ attempt: 1, next: 1_000, error }))
      const gate = yield* Deferred.make<void>()
      const fibers = [yield* holding(replicas, gate), yield* holding(replicas, gate)]
      assert.deepStrictEqual(replicas.replicas().map(({ inFlight }) => inFlight), [0, 1])
      assert.strictEqual(replicas.statusUnsafe()._tag, "Ready")
      pool.at(0).become(Status.Ready)
      assert.deepStrictEqual(replicas.replicas().map(({ inFlight }) => inFlight), [1, 1])
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual(yield* Fiber.joinAll(fibers), ["1", "0"])
    })))

  it.effect("one that has given up is asked again when its time has come", () =>
    scoped(Effect.gen(function*() {
      const { pool, replicas } = yield* pair
      pool.at(1).become(Status.Failed({ error, next: 30_000 }))
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual(pool.at(1).status._tag, "Failed")
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(pool.at(1).status._tag, "Ready")
      assert.lengthOf(replicas.clients(), 2)
    })))

  it.effect("one that has given up for good is not asked again, only because others serve", () =>
    scoped(Effect.gen(function*() {
      const { pool, replicas } = yield* pair
      pool.at(1).isOver = true
      pool.at(1).become(Status.Failed({ error, next: 0 }))
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(pool.at(1).status._tag, "Failed")
      assert.lengthOf(replicas.clients(), 1)
    })))

  it.effect("a call that got no connection from one is made on another that is ready", () =>
    scoped(Effect.gen(function*() {
      const pool = new Pool()
      pool.automatic = false
      const replicas = yield* pool.make({ min: 2, max: 2, maxInFlight: 1 })
      const call = yield* Effect.forkChild(replicas.use(({ name }) => Effect.succeed(name)), { startImmediately: true })
      yield* settle
      yield* Deferred.succeed(pool.at(1).gate, undefined)
      yield* settle
      yield* Deferred.fail(pool.at(0).gate, error)
      assert.strictEqual(yield* Fiber.join(call), "1")
      assert.strictEqual(replicas.inFlightUnsafe(), 0)
    })))

  it.effect("calls that wait for the connection of one go to another as soon as that is ready", () =>
    scoped(Effect.gen(function*() {
      const pool = new Pool()
      pool.automatic = false
      const replicas = yield* pool.make({ min: 2, max: 2, maxInFlight: 3, maxQueue: 0 })
      const order: Array<number> = []
      const callers = yield* Effect.forEach([0, 1, 2, 3, 4, 5], (call) =>
        Effect.forkChild(replicas.use(() => Effect.sync(() => order.push(call))), { startImmediately: true }))
      yield* settle
      assert.deepStrictEqual(replicas.replicas().map(({ inFlight }) => inFlight), [3, 3])
      yield* Deferred.succeed(pool.at(1).gate, undefined)
      yield* Fiber.joinAll(callers)
      assert.lengthOf(order, 6)
      assert.deepStrictEqual(replicas.replicas().map(({ inFlight }) => inFlight), [0, 0])
      assert.strictEqual(replicas.queuedUnsafe(), 0)
    })))

  it.effect("when there is no other, the call fails with what the connection failed for", () =>
    scoped(Effect.gen(function*() {
      const pool = new Pool()
      pool.automatic = false
      const replicas = yield* pool.make()
      yield* Deferred.fail(pool.at(0).gate, error)
      assert.strictEqual((yield* reasonOf(replicas.use(() => Effect.void)))._tag, "ConnectionClosed")
      assert.strictEqual(replicas.inFlightUnsafe(), 0)
    })))
})

describe("replicas: sessions", () => {
  it.effect("a session holds one place of one replica until its scope closes", () =>
    scoped(Effect.gen(function*() {
      const pool = new Pool()
      const replicas = yield* pool.make({ max: 2, maxInFlight: 1, shrinkAfter: Duration.seconds(1) })
      const scope = yield* Scope.make()
      const client = yield* replicas.session().pipe(Effect.provideService(Scope.Scope, scope))
      assert.strictEqual(client.name, "0")
      assert.strictEqual(yield* replicas.use(({ name }) => Effect.succeed(name)), "1")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(replicas.replicas().map(({ inFlight }) => inFlight), [1])
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(replicas.inFlightUnsafe(), 0)
    })))

  it.effect("a session that gets no connection holds nothing", () =>
    scoped(Effect.gen(function*() {
      const pool = new Pool()
      pool.automatic = false
      const replicas = yield* pool.make()
      yield* Deferred.fail(pool.at(0).gate, error)
      yield* Effect.flip(replicas.session())
      assert.strictEqual(replicas.inFlightUnsafe(), 0)
    })))
})

describe("replicas: of real members", () => {
  it.effect("servers that are killed again and again cost calls, typed, but no answer is missing and nothing is left", () =>
    Effect.gen(function*() {
      const alive = new Set<Deferred.Deferred<McpError.McpError>>()
      let connections = 0
      const connect = Effect.gen(function*() {
        yield* Effect.sleep(20)
        const end = yield* Deferred.make<McpError.McpError>()
        yield* Effect.acquireRelease(Effect.sync(() => alive.add(end)), () => Effect.sync(() => alive.delete(end)))
        connections++
        return yield* McpClient.McpClient.pipe(Effect.provide(McpClient.layerMock({
          closed: Deferred.await(end),
          ping: Effect.raceFirst(Effect.sleep(7), Effect.flatMap(Deferred.await(end), (error) => Effect.fail(error)))
        })))
      })
      const policy = Policy.make({
        replicas: { min: 1, max: 4, maxInFlight: 5 },
        reconnect: { baseDelay: Duration.millis(10), lasting: Duration.millis(1), breaker: { failures: 0 } }
      })
      const outcomes: Array<string> = []
      yield* Effect.scoped(Effect.gen(function*() {
        const replicas = yield* Replicas.make({
          name: "x",
          options: policy.replicas,
          member: (onStatus) => Member.make({ name: "x", connect, policy, onStatus })
        })
        const caller = Effect.repeat(
          Effect.matchEffect(replicas.use(({ ping }) => ping), {
            onFailure: ({ reason }) => Effect.sync(() => outcomes.push(reason._tag)),
            onSuccess: () => Effect.sync(() => outcomes.push("success"))
          }),
          { times: 19 }
        )
        const callers = yield* Effect.forEach(Array.from({ length: 100 }), () => Effect.forkChild(caller))
        for (let time = 0; time < 3_000; time++) {
          yield* TestClock.adjust(1)
          const [victim] = alive
          if (time % 50 === 49 && victim !== undefined) yield* Deferred.succeed(victim, error)
        }
        yield* TestClock.adjust("1 minute")
        yield* Fiber.joinAll(callers)
        assert.deepStrictEqual([replicas.inFlightUnsafe(), replicas.queuedUnsafe()], [0, 0])
      }))
      assert.lengthOf(outcomes, 2_000)
      assert.deepStrictEqual([...new Set(outcomes)].toSorted(), ["ConnectionClosed", "success"])
      assert.isAbove(outcomes.filter((outcome) => outcome === "success").length, 1_500)
      assert.isAbove(connections, 4)
      assert.strictEqual(alive.size, 0)
    }))
})

describe("replicas: the end", () => {
  it.effect("draining refuses who comes and who waits, and ends with the last call in flight", () =>
    scoped(Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const pool = new Pool()
      const replicas = yield* pool.make({ maxInFlight: 1 })
      const running = yield* holding(replicas, gate)
      const waiting = yield* Effect.forkChild(reasonOf(replicas.use(() => Effect.void)), { startImmediately: true })
      const drain = yield* Effect.forkChild(replicas.drain("10 seconds"), { startImmediately: true })
      assert.strictEqual((yield* Fiber.join(waiting))._tag, "ServerDraining")
      assert.strictEqual((yield* reasonOf(replicas.use(() => Effect.void)))._tag, "ServerDraining")
      assert.strictEqual(replicas.statusUnsafe()._tag, "Draining")
      assert.isTrue(pool.at(0).drained)
      yield* settle
      assert.isUndefined(drain.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(running)
      yield* Fiber.join(drain)
    })))

  it.effect("draining lasts no longer than its grace", () =>
    scoped(Effect.gen(function*() {
      const replicas = yield* new Pool().make()
      yield* holding(replicas, yield* Deferred.make<void>())
      const drain = yield* Effect.forkChild(replicas.drain("10 seconds"))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(drain)
      assert.strictEqual(replicas.inFlightUnsafe(), 1)
    })))

  it.effect("closing closes every replica, and refuses who waits", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const scope = yield* Scope.make()
      const pool = new Pool()
      const replicas = yield* pool.make({ max: 3, maxInFlight: 1 }).pipe(Effect.provideService(Scope.Scope, scope))
      for (let call = 0; call < 3; call++) yield* holding(replicas, gate)
      yield* settle
      const waiting = yield* Effect.forkChild(reasonOf(replicas.use(() => Effect.void)), { startImmediately: true })
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Fiber.join(waiting))._tag, "ServerDraining")
      assert.deepStrictEqual([pool.made.length, pool.closed], [3, 3])
    }))

  it.effect("whatever is interrupted whenever, no place is lost and no replica left", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.record({ start: fc.nat(20), length: fc.nat(20), interrupt: fc.option(fc.nat(30)), session: fc.boolean() }),
            { minLength: 1, maxLength: 40 }
          ),
          fc.record({ min: fc.nat(2), max: fc.integer({ min: 2, max: 4 }), maxInFlight: fc.integer({ min: 1, max: 3 }), maxQueue: fc.nat(5), growAfter: fc.nat(3), shrinkAfter: fc.integer({ min: 1, max: 10 }) }),
          (calls, limits) =>
            Effect.runPromise(Effect.gen(function*() {
              const pool = new Pool()
              const storm = Effect.gen(function*() {
                const replicas = yield* pool.make({
                  ...limits,
                  growAfter: Duration.millis(limits.growAfter),
                  shrinkAfter: Duration.millis(limits.shrinkAfter)
                })
                const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
                for (const { interrupt, length, session, start } of calls) {
                  const work = session
                    ? Effect.scoped(Effect.andThen(replicas.session(), Effect.sleep(length)))
                    : replicas.use(() => Effect.sleep(length))
                  const fiber = yield* Effect.forkChild(Effect.andThen(Effect.sleep(start), work))
                  fibers.push(fiber)
                  if (interrupt !== null) {
                    yield* Effect.forkChild(Effect.andThen(Effect.sleep(interrupt), Fiber.interrupt(fiber)))
                  }
                }
                for (let time = 0; time < 100; time++) {
                  yield* TestClock.adjust(1)
                  assert.isAtMost(replicas.inFlightUnsafe() + replicas.queuedUnsafe(), limits.max * limits.maxInFlight + limits.maxQueue)
                  assert.isAtMost(replicas.replicas().length, limits.max)
                  assert.isTrue(replicas.replicas().every(({ inFlight }) => inFlight <= limits.maxInFlight))
                }
                yield* TestClock.adjust("1 minute")
                yield* Effect.forEach(fibers, Fiber.await)
                assert.deepStrictEqual([replicas.inFlightUnsafe(), replicas.queuedUnsafe()], [0, 0])
                assert.strictEqual(replicas.replicas().length, limits.min)
              })
              yield* Effect.scoped(storm)
              assert.strictEqual(pool.closed, pool.made.length)
            }).pipe(Effect.provide(TestClock.layer())))
        ),
        { numRuns: 100 }
      )
    ))
})
