import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import * as McpError from "../../src/McpError.ts"
import * as Race from "../../src/servers/race.ts"

const error = (server: string) => McpError.make(new McpError.ToolFailed({ tool: "t", text: server, result: {} }), server)

/** Calls that take their time, and what became of them. */
const tracked = () => {
  const ended: Array<string> = []
  const call = (name: string, millis: number, fails = false) =>
    Effect.sleep(millis).pipe(
      Effect.andThen(fails ? Effect.fail(error(name)) : Effect.succeed(name)),
      Effect.onInterrupt(() => Effect.sync(() => ended.push(`${name} interrupted`)))
    )
  return { call, ended }
}

describe("race", () => {
  it.effect("when all fail, the error tells what each of them failed with, in their order", () =>
    Effect.gen(function*() {
      const { call } = tracked()
      const fiber = yield* Effect.forkChild(Effect.flip(Race.firstSuccess({ a: call("a", 20, true), b: call("b", 10, true) })))
      yield* TestClock.adjust(20)
      const { reason } = yield* Fiber.join(fiber)
      assert.isTrue(reason._tag === "AllFailed")
      if (reason._tag !== "AllFailed") return
      assert.deepStrictEqual(reason.failures.map(({ server, tag }) => `${server} ${tag}`), ["a ToolFailed", "b ToolFailed"])
      assert.include(reason.message, "All of 2 failed: a: The tool")
    }))

  it.effect("without any server it fails at once", () =>
    Effect.gen(function*() {
      const none: Race.Calls<string, never> = {}
      for (const race of [Race.first(none), Race.firstSuccess(none)]) {
        assert.strictEqual((yield* Effect.flip(race)).reason._tag, "AllFailed")
      }
      assert.strictEqual((yield* Race.all(none)).failures.size, 0)
    }))

  it.effect("the first success wins over earlier failures, and the losers are interrupted", () =>
    Effect.gen(function*() {
      const { call, ended } = tracked()
      const fiber = yield* Effect.forkChild(Race.firstSuccess({ a: call("a", 1, true), b: call("b", 10), c: call("c", 99) }))
      yield* TestClock.adjust(10)
      assert.strictEqual(yield* Fiber.join(fiber), "b")
      assert.deepStrictEqual(ended, ["c interrupted"])
    }))

  it.effect("the first end counts, also a failure, and the losers are interrupted", () =>
    Effect.gen(function*() {
      const { call, ended } = tracked()
      const fiber = yield* Effect.forkChild(Effect.flip(Race.first({ a: call("a", 1, true), b: call("b", 10) })))
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* Fiber.join(fiber)).server, "a")
      assert.deepStrictEqual(ended, ["b interrupted"])
    }))

  it.effect("all are told, those that failed beside the others, no more at once than allowed", () =>
    Effect.gen(function*() {
      const { call } = tracked()
      const calls = { a: call("a", 10), b: call("b", 10, true), c: call("c", 10) }
      const fiber = yield* Effect.forkChild(Race.all(calls, { concurrency: 1 }))
      yield* TestClock.adjust(29)
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(1)
      const { failures, successes } = yield* Fiber.join(fiber)
      assert.deepStrictEqual([...successes.keys()], ["a", "c"])
      assert.deepStrictEqual([...failures.keys()], ["b"])
    }))
})

describe("race: hedge", () => {
  /** Each attempt takes as long as the next of the times; a negative one fails after it. */
  const hedged = (times: ReadonlyArray<number>, policy: Race.HedgePolicy) => {
    const { call, ended } = tracked()
    let attempts = 0
    const attempt = Effect.suspend(() => {
      const millis = times[attempts++] ?? 0
      return call(`${attempts}`, Math.abs(millis), millis < 0)
    })
    return { attempts: () => attempts, ended, run: Race.hedge(attempt, policy) }
  }

  it.effect("when every attempt fails, the last failure is the result", () =>
    Effect.gen(function*() {
      const { attempts, run } = hedged([-1, -1, -1], { after: "1 second", max: 3 })
      const fiber = yield* Effect.forkChild(Effect.flip(run))
      yield* TestClock.adjust(3)
      assert.strictEqual((yield* Fiber.join(fiber)).server, "3")
      assert.strictEqual(attempts(), 3)
    }))

  it.effect("an answer in time is asked for once", () =>
    Effect.gen(function*() {
      const { attempts, run } = hedged([99], { after: 100 })
      const fiber = yield* Effect.forkChild(run)
      yield* TestClock.adjust(99)
      assert.strictEqual(yield* Fiber.join(fiber), "1")
      assert.strictEqual(attempts(), 1)
    }))

  it.effect("what a call opens in its scope stays open until that closes", () =>
    Effect.gen(function*() {
      let open = 0
      const acquire = Effect.acquireRelease(Effect.sync(() => ++open), () => Effect.sync(() => open--))
      yield* Effect.scoped(Effect.andThen(Race.hedge(acquire, { after: 100 }), Effect.sync(() => assert.strictEqual(open, 1))))
      assert.strictEqual(open, 0)
    }))

  it.effect("a late answer is overtaken by the second attempt, and the first is interrupted", () =>
    Effect.gen(function*() {
      const { attempts, ended, run } = hedged([1_000, 50, 50], { after: 100 })
      const fiber = yield* Effect.forkChild(run)
      yield* TestClock.adjust(150)
      assert.strictEqual(yield* Fiber.join(fiber), "2")
      assert.deepStrictEqual(ended, ["1 interrupted"])
      assert.strictEqual(attempts(), 2)
    }))

  it.effect("a failure does not sink an attempt that is still under way", () =>
    Effect.gen(function*() {
      const { run } = hedged([200, -10], { after: 100 })
      const fiber = yield* Effect.forkChild(run)
      yield* TestClock.adjust(200)
      assert.strictEqual(yield* Fiber.join(fiber), "1")
    }))

  it.effect("interruption interrupts every attempt", () =>
    Effect.gen(function*() {
      const { ended, run } = hedged([1_000, 1_000], { after: 100 })
      const fiber = yield* Effect.forkChild(run)
      yield* TestClock.adjust(150)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(ended.toSorted(), ["1 interrupted", "2 interrupted"])
    }))
})
