/** A time limit that leaves users their time: it begins anew when one was asked something. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** In milliseconds of the clock: now while a user is being asked; `undefined` if none ever was. */
export type LastAsked = () => number | undefined

export const timeoutOrElse = <A2, E2, R2>(options: {
  readonly duration: Duration.Input
  readonly lastAsked: LastAsked | undefined
  readonly orElse: () => Effect.Effect<A2, E2, R2>
}) =>
<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A | A2, E | E2, R | R2> => {
  const { duration, lastAsked, orElse } = options
  if (lastAsked === undefined) return Effect.timeoutOrElse(effect, { duration, orElse })
  const limit = Duration.toMillis(Duration.fromInputUnsafe(duration))
  const wait = (millis: number): Effect.Effect<void> =>
    Effect.andThen(
      Effect.sleep(Duration.millis(millis)),
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const left = (lastAsked() ?? -Infinity) + limit - now
        return left > 0 ? wait(left) : Effect.void
      })
    )
  return Effect.raceFirst(effect, Effect.flatMap(wait(limit), orElse))
}
