import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Mailbox from "../../src/bridge/mailbox.ts"

describe("mailbox", () => {
  it.effect("takes a single message of any size, and no more than fits beside others", () =>
    Effect.gen(function*() {
      const mailbox = yield* Mailbox.make<string>(10)
      assert.isTrue(mailbox.offer("large", 100))
      assert.isFalse(mailbox.offer("one more", 1))
      assert.deepStrictEqual(yield* mailbox.takeAll, ["large"])
      assert.isTrue(mailbox.offer("a", 9))
      mailbox.end()
      assert.deepStrictEqual(yield* mailbox.takeAll, ["a"])
      assert.strictEqual((yield* Effect.flip(mailbox.takeAll))._tag, "Done")
    }))
})
