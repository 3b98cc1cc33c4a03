/**
 * What a refusal waits for: a token that somebody else may get, in this program
 * or in another one that shares the store. Kept beside the reason, as it is no
 * fact to be told.
 */
import * as Effect from "effect/Effect"
import type { McpErrorReason } from "../McpError.ts"

export interface Arrival {
  /** Whether it is there now. */
  readonly isThere: Effect.Effect<boolean>
  /** Waits until it is there: what this program puts there is seen at once, what others do within seconds. */
  readonly wait: Effect.Effect<void>
  /** Whether a user was left in peace who would be asked if it were for them. */
  readonly unasked: boolean
}

/** How often the store is looked at for what other programs have put there. */
const glance = "5 seconds"

const arrivals = new WeakMap<McpErrorReason, Arrival>()

export const make = (options: {
  readonly isThere: Effect.Effect<boolean>
  /** Begins to listen when it is called, and ends with the next change. */
  readonly changes: () => Effect.Effect<void>
  readonly unasked: boolean
}): Arrival => {
  const { changes, isThere, unasked } = options
  const wait: Effect.Effect<void> = Effect.suspend(() => {
    const change = Effect.raceFirst(changes(), Effect.sleep(glance))
    return Effect.flatMap(isThere, (there) => there ? Effect.void : Effect.andThen(change, wait))
  })
  return { isThere, wait, unasked }
}

export const expect = (reason: McpErrorReason, arrival: Arrival): void => {
  arrivals.set(reason, arrival)
}

/** What would help against that reason, if a token of somebody else's would. */
export const after = (reason: McpErrorReason): Arrival | undefined => arrivals.get(reason)
