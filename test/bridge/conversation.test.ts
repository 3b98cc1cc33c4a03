import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Conversation from "../../src/bridge/conversation.ts"
import type { Binding } from "../../src/Transport.ts"

/** A server that reads nothing. */
const stuck: Binding = {
  kind: "stdio",
  network: "pipe",
  open: () => Effect.succeed({ send: () => 0, abandon: () => {}, backpressure: () => Effect.never })
}

describe("conversation", () => {
  it.effect("ends when the server takes nothing for five minutes, whether the peer is still there or not", () =>
    Effect.gen(function*() {
      const conversation = yield* Conversation.open(stuck, { maxBufferedBytes: 100 })
      const running = yield* Effect.forkChild(conversation.run<never>({
        receive: (onText) => onText("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}"),
        send: () => Effect.void
      }))
      yield* TestClock.adjust("299 seconds")
      assert.isUndefined(running.pollUnsafe())
      yield* TestClock.adjust("1 second")
      const ended = yield* Fiber.join(running)
      assert.strictEqual(ended?._tag, "Stuck")
    }).pipe(Effect.scoped))

  it.effect("refuses an empty batch as it refuses any other thing that is no message", () =>
    Effect.gen(function*() {
      const conversation = yield* Conversation.open(stuck, { maxBufferedBytes: 1_000 })
      const said: Array<unknown> = []
      yield* conversation.run<never>({
        receive: (onText) =>
          Effect.andThen(Effect.forEach(["[]", "[1]", "no", "null"], onText, { discard: true }), Effect.yieldNow),
        send: (texts) => Effect.sync(() => void said.push(...texts.map((text) => JSON.parse(text).error?.code)))
      })
      assert.deepStrictEqual(said, [-32600, -32600, -32700, -32600])
    }).pipe(Effect.scoped))
})
