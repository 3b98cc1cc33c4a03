/** Knows when a user was last asked: what they take is theirs, and no time limit of a request is to end it. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { Authorize } from "./Authorize.ts"

export interface Asking {
  readonly authorize: Authorize
  /** In milliseconds of the clock: now while a user is being asked; `undefined` if none ever was. */
  readonly lastAsked: () => number | undefined
}

export const make: Effect.Effect<Asking> = Effect.gen(function*() {
  const clock = yield* Clock.Clock
  const { begin } = yield* Authorize
  let pending = 0
  let last: number | undefined
  return {
    authorize: {
      begin: (question) =>
        Effect.map(begin(question), (listening) => ({
          ...listening,
          ask: (url, state) =>
            Effect.acquireUseRelease(
              Effect.sync(() => {
                pending += 1
              }),
              () => listening.ask(url, state),
              () =>
                Effect.sync(() => {
                  pending -= 1
                  last = clock.currentTimeMillisUnsafe()
                })
            )
        }))
    },
    lastAsked: () => pending > 0 ? clock.currentTimeMillisUnsafe() : last
  }
})
