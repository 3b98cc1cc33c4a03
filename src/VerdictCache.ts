/**
 * Remembers the era of servers that are reached by URL, so that a legacy server
 * is not probed again on every connect (V-07). Kept per endpoint, not per
 * origin, as one origin may have several servers (G-12).
 *
 * What is remembered decides where a negotiation begins, never how it ends: it
 * is corrected or forgotten when the server proves it wrong. A revision pinned
 * or an era set in the options wins.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Era } from "./protocol/Revision.ts"

/** Provide one of your own to keep verdicts longer than the process, or apart from those of others. */
export interface VerdictCache {
  /** `endpoint` is a URL without anything secret. */
  readonly get: (endpoint: string) => Effect.Effect<Era | undefined>
  readonly set: (endpoint: string, era: Era) => Effect.Effect<void>
  readonly forget: (endpoint: string) => Effect.Effect<void>
}

/**
 * A cache in memory. Beyond `capacity` endpoints the one set longest ago is
 * forgotten.
 *
 * **Example**
 *
 * ```ts
 * const connect = McpClient.make({ name: "docs" }).pipe(
 *   Effect.provideService(VerdictCache.VerdictCache, VerdictCache.make(10))
 * )
 * ```
 */
export const make = (capacity: number): VerdictCache => {
  const verdicts = new Map<string, Era>()
  return {
    get: (endpoint) => Effect.sync(() => verdicts.get(endpoint)),
    set: (endpoint, era) =>
      Effect.sync(() => {
        verdicts.delete(endpoint)
        verdicts.set(endpoint, era)
        const oldest = verdicts.keys().next()
        if (verdicts.size > capacity && oldest.done !== true) verdicts.delete(oldest.value)
      }),
    forget: (endpoint) => Effect.sync(() => verdicts.delete(endpoint))
  }
}

/** The cache in use; by default one in memory for the whole process, of 1,000 endpoints. */
export const VerdictCache: Context.Reference<VerdictCache> = Context.Reference("mcp-connect/VerdictCache", {
  defaultValue: () => make(1_000)
})
