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
  /** Waits until it is there; of other programs it learns with the next change in this one. */
  readonly wait: Effect.Effect<void>
}

const arrivals = new WeakMap<McpErrorReason, Arrival>()

/** @param changes begins to listen when it is called, and ends with the next change */
export const make = (isThere: Effect.Effect<boolean>, changes: () => Effect.Effect<void>): Arrival => {
  const wait: Effect.Effect<void> = Effect.suspend(() => {
    const change = changes()
    return Effect.flatMap(isThere, (there) => there ? Effect.void : Effect.andThen(change, wait))
  })
  return { isThere, wait }
}

export const expect = (reason: McpErrorReason, arrival: Arrival): void => {
  arrivals.set(reason, arrival)
}

/** What would help against that reason, if a token of somebody else's would. */
export const after = (reason: McpErrorReason): Arrival | undefined => arrivals.get(reason)
