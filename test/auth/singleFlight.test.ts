import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as SingleFlight from "../../src/auth/singleFlight.ts"

describe("work that is done once", () => {
  it.effect("is done once for a hundred who want it, and they share its outcome", () =>
    Effect.gen(function*() {
      const flight = SingleFlight.make<number, string>()
      let runs = 0
      const work = Effect.andThen(Effect.yieldNow, Effect.sync(() => ++runs))
      const all = yield* Effect.forEach(Array.from({ length: 100 }), () => flight.run(work), { concurrency: "unbounded" })
      assert.deepStrictEqual([runs, new Set(all)], [1, new Set([1])])
      assert.strictEqual(yield* flight.run(work), 2)
    }))

  it.effect("goes on when the one who began it is interrupted", () =>
    Effect.gen(function*() {
      const flight = SingleFlight.make<string, never>()
      const gate = yield* Deferred.make<string>()
      const leader = yield* Effect.forkChild(flight.run(Deferred.await(gate)), { startImmediately: true })
      const other = yield* Effect.forkChild(flight.run(Effect.succeed("begun again")), { startImmediately: true })
      yield* Fiber.interrupt(leader)
      yield* Deferred.succeed(gate, "done")
      assert.strictEqual(yield* Fiber.join(other), "done")
    }))

  it.effect("ends when the last who waited for it is interrupted, and those who come then begin anew", () =>
    Effect.gen(function*() {
      const flight = SingleFlight.make<string, never>()
      const ended = yield* Deferred.make<void>()
      const started = yield* Deferred.make<void>()
      const work = Deferred.succeed(started, void 0).pipe(
        Effect.andThen(Effect.never),
        Effect.onInterrupt(() => Deferred.succeed(ended, void 0))
      )
      const only = yield* Effect.forkChild(flight.run(work), { startImmediately: true })
      yield* Deferred.await(started)
      yield* Fiber.interrupt(only)
      yield* Deferred.await(ended)
      assert.strictEqual(yield* flight.run(Effect.succeed("anew")), "anew")
    }))

  it.effect("is waited for by the last who leaves, but not for long", () =>
    Effect.gen(function*() {
      const flight = SingleFlight.make<string, never>()
      const gate = yield* Deferred.make<string>()
      const started = yield* Deferred.make<void>()
      const kept = yield* Deferred.make<void>()
      const work = Effect.uninterruptible(Deferred.succeed(started, void 0).pipe(
        Effect.andThen(Deferred.await(gate)),
        Effect.tap(() => Deferred.succeed(kept, void 0))
      ))
      const patient = yield* Effect.forkChild(flight.run(work), { startImmediately: true })
      yield* Deferred.await(started)
      const leaving = yield* Effect.forkChild(Fiber.interrupt(patient), { startImmediately: true })
      yield* TestClock.adjust("4 seconds")
      assert.isUndefined(leaving.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(leaving)
      yield* Deferred.succeed(gate, "late")
      yield* Deferred.await(kept)
    }))

  it.effect("goes on when the scope of the one who began it closes", () =>
    Effect.gen(function*() {
      const flight = SingleFlight.make<string, never>()
      const gate = yield* Deferred.make<string>()
      const scope = yield* Scope.make()
      yield* Effect.forkIn(flight.run(Deferred.await(gate)), scope, { startImmediately: true })
      const other = yield* Effect.forkChild(flight.run(Effect.succeed("begun again")), { startImmediately: true })
      yield* Scope.close(scope, Exit.void)
      yield* Deferred.succeed(gate, "done")
      assert.strictEqual(yield* Fiber.join(other), "done")
    }))

  it.effect("tells a failure to those who began before it, and to no others", () =>
    Effect.gen(function*() {
      const flight = SingleFlight.make<string, string>()
      const before = flight.now()
      assert.deepStrictEqual(yield* Effect.exit(flight.run(Effect.fail("no"))), Exit.fail("no"))
      assert.strictEqual(flight.failedSince(before), "no")
      assert.isUndefined(flight.failedSince(flight.now()))
      yield* flight.run(Effect.succeed("yes"))
      assert.isUndefined(flight.failedSince(before))
    }))
})
