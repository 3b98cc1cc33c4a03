import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { WaterMark } from "../../src/internal/waterMark.ts"

/** Waits its turn, then hands over so much. */
const send = (mark: WaterMark, amount: number) =>
  Effect.forkChild(
    Effect.map(mark.wait() ?? Effect.void, () => mark.rise(amount)),
    { startImmediately: true }
  )

const ended = (fibers: ReadonlyArray<Fiber.Fiber<void>>) => fibers.filter((fiber) => fiber.pollUnsafe() !== undefined).length

describe("a high-water mark", () => {
  it.effect("lets as many pass as there is room for, first come first served", () =>
    Effect.gen(function*() {
      const mark = new WaterMark(100)
      mark.rise(101)
      const senders = yield* Effect.forEach([40, 40, 40, 40, 40], (amount) => send(mark, amount))
      assert.strictEqual(ended(senders), 0)
      mark.fall(51)
      assert.strictEqual(ended(senders), 2)
      assert.isDefined(mark.wait())
      mark.fall(80)
      assert.strictEqual(ended(senders), 4)
    }))

  it.effect("passes over those who gave up, and lets everyone pass at the end", () =>
    Effect.gen(function*() {
      const mark = new WaterMark(100)
      mark.rise(200)
      const [first, second, ...others] = yield* Effect.forEach([60, 60, 60, 60], (amount) => send(mark, amount))
      assert(first !== undefined && second !== undefined)
      yield* Fiber.interrupt(first)
      mark.fall(160)
      assert.strictEqual(ended([second, ...others]), 2)
      mark.release()
      assert.strictEqual(ended(others), 2)
      assert.isUndefined(mark.wait())
    }))

  it.effect("needs no stack for senders whose every message is taken at once", () =>
    Effect.gen(function*() {
      const mark = new WaterMark(1)
      mark.rise(2)
      const senders = yield* Effect.forEach(Array.from({ length: 20_000 }), () =>
        Effect.forkChild(
          Effect.map(mark.wait() ?? Effect.void, () => {
            mark.rise(2)
            mark.fall(2)
          }),
          { startImmediately: true }
        ))
      mark.fall(2)
      yield* Fiber.joinAll(senders)
      assert.isUndefined(mark.wait())
    }))
})
