import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"

/** Lets other fibers run until something holds; everything here happens without time. */
export const waitUntil = (condition: () => boolean): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (let turn = 0; turn < 1_000 && !condition(); turn++) yield* Effect.yieldNow
    assert(condition(), "it never came to hold")
  })
