/** Lists that come in pages (PG-01 … PG-04), and how long they may be kept (CACHE-02). */
import * as Result from "effect/Result"
import { isJsonObject, type JsonObject } from "../JsonRpc.ts"
import type { Decoder } from "./Decoder.ts"

/** How long a result stays fresh, and who may share it. */
export interface CacheHints {
  /** Milliseconds from the moment it arrived; 0 means do not keep it. */
  readonly ttlMs: number
  /** `private`: not to be shared with another principal. */
  readonly cacheScope: "public" | "private"
}

/** Reads the hints of a result. What is missing or makes no sense means "do not keep, do not share". */
export const cacheHints = (result: JsonObject): CacheHints => {
  const { cacheScope, ttlMs } = result
  return {
    ttlMs: typeof ttlMs === "number" && Number.isFinite(ttlMs) && ttlMs > 0 ? ttlMs : 0,
    cacheScope: cacheScope === "public" ? "public" : "private"
  }
}

/** One page of a list. */
export interface Page<A> {
  readonly items: ReadonlyArray<A>
  /** Items that were left out because they are malformed: one bad item does not lose the list. */
  readonly rejected: ReadonlyArray<{ readonly index: number; readonly detail: string }>
  /** `undefined` at the end and only there: the empty string is a cursor (PG-02). */
  readonly nextCursor: string | undefined
  readonly hints: CacheHints
  readonly _meta: JsonObject | undefined
}

/** Decodes a list result whose items are under `key`, each on its own. */
export const pageDecoder = <A>(key: string, decodeItem: Decoder<A>): Decoder<Page<A>> => (result) => {
  if (!isJsonObject(result)) return Result.fail("Expected an object")
  // Servers written in Go say `null` for an empty list.
  const list = result[key] === null ? [] : result[key]
  if (!Array.isArray(list)) return Result.fail(`${key}: ${list === undefined ? "Missing key" : "Expected an array"}`)
  const cursor = result.nextCursor ?? undefined
  if (cursor !== undefined && typeof cursor !== "string") return Result.fail("nextCursor: Expected string")

  const items: Array<A> = []
  const rejected: Array<{ readonly index: number; readonly detail: string }> = []
  for (const [index, item] of list.entries()) {
    const decoded = decodeItem(item)
    if (Result.isSuccess(decoded)) items.push(decoded.success)
    else rejected.push({ index, detail: decoded.failure })
  }
  return Result.succeed({
    items,
    rejected,
    nextCursor: cursor,
    hints: cacheHints(result),
    _meta: isJsonObject(result._meta) ? result._meta : undefined
  })
}
