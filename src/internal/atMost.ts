import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

/** Waits no longer than that and leaves the rest running: nothing a platform does may hold up a closing scope. */
export const atMost = <A, E>(effect: Effect.Effect<A, E>, duration: Duration.Input): Effect.Effect<void> =>
  Effect.forkDetach(effect, { startImmediately: true }).pipe(
    Effect.flatMap(Fiber.await),
    Effect.timeoutOption(duration),
    Effect.asVoid
  )
