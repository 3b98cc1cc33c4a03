/** A time limit that leaves users their time: it begins anew when one was asked something. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

type LastAsked = () => number | undefined

const known = new WeakMap<object, LastAsked>()

/** Remembers it for those who have only what it is about, such as a client. */
export const note = (about: object, lastAsked: LastAsked | undefined): void => {
  if (lastAsked !== undefined) known.set(about, lastAsked)
}

export const lastAskedOf = (about: object): LastAsked | undefined => known.get(about)

export const timeoutOrElse = <A2, E2, R2>(options: {
  readonly duration: Duration.Input
  /** In milliseconds of the clock: now while a user is being asked. */
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
