/**
 * Work that is done once for all who want it at the same time. It goes on for
 * as long as one of them waits, whoever began it.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

export interface SingleFlight<in out A, in out E> {
  /** Joins what is under way, or begins it. */
  readonly run: (work: Effect.Effect<A, E>) => Effect.Effect<A, E>
  /** A moment in the order of things, which is that of all flights: for {@link failedSince}. */
  readonly now: () => number
  /** The failure of what ended after that moment, if it was the last to end and did fail. */
  readonly failedSince: (moment: number) => E | undefined
}

interface Flight<A, E> {
  readonly outcome: Deferred.Deferred<A, E>
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  waiting: number
}

/** How long who leaves last waits for an end that cannot be hastened. */
const patience = "5 seconds"

/** How many flights have ended. */
let moment = 0

/** Belongs to no scope: only those who wait keep the work going. */
export const make = <A, E>(): SingleFlight<A, E> => {
  let current: Flight<A, E> | undefined
  let failure: { readonly at: number; readonly error: E } | undefined

  const start = (work: Effect.Effect<A, E>): Effect.Effect<Flight<A, E>> => {
    const flight: Flight<A, E> = { outcome: Deferred.makeUnsafe(), fiber: undefined, waiting: 0 }
    current = flight
    const settled = work.pipe(
      Effect.tapError((error) =>
        Effect.sync(() => {
          failure = { at: moment + 1, error }
        })
      ),
      Effect.tap(() =>
        Effect.sync(() => {
          failure = undefined
        })
      ),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          moment += 1
          if (current === flight) current = undefined
          Deferred.doneUnsafe(flight.outcome, exit)
        })
      )
    )
    return Effect.map(Effect.forkDetach(Effect.exit(settled)), (fiber) => {
      flight.fiber = fiber
      return flight
    })
  }

  const leave = (flight: Flight<A, E>) =>
    Effect.suspend(() => {
      flight.waiting -= 1
      if (flight.waiting > 0 || Deferred.isDoneUnsafe(flight.outcome)) return Effect.void
      // Who comes now begins anew: this one ends in interruption.
      if (current === flight) current = undefined
      if (flight.fiber === undefined) return Effect.void
      flight.fiber.interruptUnsafe()
      // What cannot be interrupted is waited for, as the program may end as soon as this has; but closing must not hang.
      // In a fiber of its own, as this one may have been interrupted already.
      return Effect.flatMap(Effect.forkDetach(Effect.timeoutOption(Fiber.await(flight.fiber), patience)), Fiber.await)
    })

  return {
    run: (work) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(current === undefined ? start(work) : Effect.succeed(current), (flight) => {
          flight.waiting += 1
          return Effect.ensuring(restore(Deferred.await(flight.outcome)), leave(flight))
        })
      ),
    now: () => moment,
    failedSince: (since) => failure !== undefined && failure.at > since ? failure.error : undefined
  }
}
