import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import { Outbox } from "../../src/internal/outbox.ts"
import { anyText } from "../support/anyText.ts"

const encoder = new TextEncoder()

/** Runs the outbox into a sink that takes one batch each time the latch opens. */
const slowSink = (outbox: Outbox) =>
  Effect.gen(function*() {
    const latch = yield* Latch.make(false)
    const batches: Array<ReadonlyArray<Uint8Array>> = []
    const fiber = yield* Stream.runForEachArray(outbox.stream, (batch) =>
      Effect.suspend(() => {
        batches.push(batch)
        return Effect.andThen(latch.await, Effect.sync(() => latch.closeUnsafe()))
      })).pipe(Effect.forkChild({ startImmediately: true }))
    return { batches, fiber, takeNext: Effect.andThen(latch.open, Effect.yieldNow) }
  })

const text = (parts: ReadonlyArray<Uint8Array>) => Buffer.concat(parts).toString()

describe("outbox", () => {
  it.effect("takes nothing after its end, but what was written before still goes out", () =>
    Effect.gen(function*() {
      const outbox = new Outbox(100)
      outbox.write("before")
      outbox.end()
      assert.strictEqual(outbox.write("after"), 0)
      assert.strictEqual(text(yield* Stream.runCollect(outbox.stream)), "before\n")
    }))

  it.effect("above the mark senders wait until half of it is written", () =>
    Effect.gen(function*() {
      const outbox = new Outbox(100)
      const sink = yield* slowSink(outbox)
      assert.strictEqual(outbox.write("x".repeat(39)), 40)
      yield* Effect.yieldNow
      outbox.write("y".repeat(59))
      assert.isUndefined(outbox.backpressure())
      outbox.write("z")
      const waiting = yield* Effect.forkChild(outbox.backpressure() ?? Effect.void, { startImmediately: true })
      // The first 40 bytes are written, 62 are left.
      yield* sink.takeNext
      assert.lengthOf(sink.batches, 2)
      assert.isUndefined(waiting.pollUnsafe())
      yield* sink.takeNext
      yield* Fiber.join(waiting)
      assert.isUndefined(outbox.backpressure())
    }))

  it.effect("a sender that is interrupted while it waits is forgotten, the others go on", () =>
    Effect.gen(function*() {
      const outbox = new Outbox(10)
      outbox.write("x".repeat(20))
      const given = yield* Effect.forkChild(outbox.backpressure() ?? Effect.void, { startImmediately: true })
      const waiting = yield* Effect.forkChild(outbox.backpressure() ?? Effect.void, { startImmediately: true })
      yield* Fiber.interrupt(given)
      const sink = yield* slowSink(outbox)
      yield* sink.takeNext
      yield* Fiber.join(waiting)
    }))

  it.effect("nobody waits for an outbox that has ended", () =>
    Effect.gen(function*() {
      const outbox = new Outbox(10)
      outbox.write("x".repeat(20))
      const waiting = yield* Effect.forkChild(outbox.backpressure() ?? Effect.void, { startImmediately: true })
      outbox.end()
      yield* Fiber.join(waiting)
      assert.isUndefined(outbox.backpressure())
    }))

  it.effect("what is written in one tick is handed over in one piece", () =>
    Effect.gen(function*() {
      const outbox = new Outbox(1_000)
      const sink = yield* slowSink(outbox)
      for (let i = 0; i < 50; i++) outbox.write(`message ${i}`)
      yield* Effect.yieldNow
      assert.deepStrictEqual(sink.batches.map((batch) => batch.length), [1])
      assert.strictEqual(text(sink.batches.flat()).split("\n").length, 51)
    }))

  it("whatever is written comes out once, in order and unchanged, and is counted in bytes", () =>
    fc.assert(fc.asyncProperty(
      fc.array(fc.oneof(anyText, fc.nat(15_000).map((n) => "é".repeat(n)))),
      (lines) =>
        Effect.runPromise(Effect.gen(function*() {
          const outbox = new Outbox(1_000_000)
          const collecting = yield* Effect.forkChild(Stream.runCollect(outbox.stream), { startImmediately: true })
          for (const [i, line] of lines.entries()) {
            assert.strictEqual(outbox.write(line), encoder.encode(line).length + 1)
            if (i % 3 === 0) yield* Effect.yieldNow
          }
          outbox.end()
          const expected = text(lines.map((line) => encoder.encode(`${line}\n`)))
          assert.strictEqual(text(yield* Fiber.join(collecting)), expected)
        }))
    )))
})
