/**
 * Lists that come in pages: opaque cursors, guards against lists without an
 * end, and a cache that keeps what the server allowed to keep.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Diagnostic from "../Diagnostic.ts"
import type { PageCache } from "../internal/pageCache.ts"
import * as McpError from "../McpError.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import type * as McpSchema from "../protocol/McpSchema.ts"
import type { CallOptions, InternalCallOptions } from "./exchange.ts"

/** One kind of list. */
export interface List<A> {
  /** Page by page, in the server's order; asks for the next page only when it is wanted. */
  readonly pages: (options?: CallOptions) => Stream.Stream<ReadonlyArray<A>, McpError.McpError>
  /** All of it. Starts again once when a cursor has become invalid on the way (CACHE-15). */
  readonly all: (options?: CallOptions) => Effect.Effect<ReadonlyArray<A>, McpError.McpError>
}

const isInvalidCursor = (error: McpError.McpError): boolean =>
  error.reason._tag === "RemoteError" && error.reason.code === JsonRpc.ErrorCode.InvalidParams

const isMethodNotFound = (error: McpError.McpError): boolean =>
  error.reason._tag === "RemoteError" && error.reason.code === JsonRpc.ErrorCode.MethodNotFound

export const make = <A>(options: {
  readonly server: string
  readonly method: string
  readonly decode: (result: unknown) => Result.Result<McpSchema.Page<A>, string>
  /** The result, not yet decoded. */
  readonly call: (
    method: string,
    params: JsonRpc.JsonObject | undefined,
    options?: InternalCallOptions
  ) => Effect.Effect<JsonRpc.JsonObject, McpError.McpError>
  readonly cache: PageCache
  /** Whether to keep anything at all. */
  readonly cached: boolean
  readonly maxPages: number
  /** The server has no such list: it is empty, without asking. */
  readonly absent: boolean
  /** Called with each page that arrives from the server; gives what of it is kept and shown. */
  readonly admit: (items: ReadonlyArray<A>) => ReadonlyArray<A>
  /** Called when a page is kept, so that its list is watched for changes. */
  readonly onKept: Effect.Effect<void>
  readonly onDiagnostic: (diagnostic: Diagnostic.Diagnostic) => void
}): List<A> => {
  const { cache, maxPages, method, onDiagnostic, server } = options
  const fail = (reason: McpError.McpErrorReason) => Effect.fail(McpError.make(reason, server))

  const fetch = (cursor: string | undefined, call: InternalCallOptions | undefined, clock: Clock.Clock) => {
    const generation = cache.generation(method)
    return Effect.flatMap(options.call(method, cursor === undefined ? undefined : { cursor }, call), (result) => {
      const page = options.decode(result)
      if (Result.isFailure(page)) return fail(new McpError.InvalidResponse({ method, detail: page.failure }))
      const { hints, items, rejected } = page.success
      for (const { detail, index } of rejected) {
        onDiagnostic(Diagnostic.Warning({ detail: `${method} has an invalid item at ${index}, left out: ${detail}` }))
      }
      const admitted = { ...page.success, items: options.admit(items) }
      if (!options.cached || hints.ttlMs <= 0) return Effect.succeed(admitted)
      cache.set(method, keyOf(cursor), admitted, clock.currentTimeMillisUnsafe(), hints.ttlMs, generation)
      return Effect.as(options.onKept, admitted)
    })
  }

  const page = (cursor: string | undefined, call: InternalCallOptions | undefined) =>
    Effect.clockWith((clock) => {
      const kept = cache.get(method, keyOf(cursor), clock.currentTimeMillisUnsafe())
      return kept === undefined ? fetch(cursor, call, clock) : Effect.succeed(kept as McpSchema.Page<A>)
    })

  /** Page by page, each but the first by the cursor of the one before; a walk that goes in circles or has no end fails. */
  const walk = (call: InternalCallOptions | undefined) => {
    const seen = new Set<string>()
    return (cursor: string | undefined) =>
      Effect.flatMap(page(cursor, call), ({ items, nextCursor }) => {
        if (nextCursor !== undefined && seen.has(nextCursor)) {
          return fail(new McpError.PaginationLoop({ method, pages: seen.size + 1, kind: "RepeatedCursor" }))
        }
        if (nextCursor !== undefined) seen.add(nextCursor)
        return seen.size < maxPages
          ? Effect.succeed({ items, nextCursor })
          : fail(new McpError.PaginationLoop({ method, pages: maxPages, kind: "TooManyPages" }))
      })
  }

  const pages = (call?: CallOptions) =>
    Stream.suspend(() => {
      const step = walk(call)
      return Stream.paginate<string | undefined, ReadonlyArray<A>, McpError.McpError>(undefined, (cursor) =>
        Effect.map(step(cursor), ({ items, nextCursor }) =>
          [[items], nextCursor === undefined ? Option.none() : Option.some(nextCursor)] as const))
    })

  if (options.absent) return { pages: () => Stream.empty, all: () => Effect.succeed([]) }

  /** Most lists have one page, for which a stream would cost more than all the rest. All pages have one `maxTotal`. */
  const collect = (call: InternalCallOptions | undefined) =>
    Effect.suspend(() => {
      const step = walk(call)
      const from = (cursor: string | undefined, before: ReadonlyArray<A>): Effect.Effect<ReadonlyArray<A>, McpError.McpError> =>
        Effect.flatMap(step(cursor), ({ items, nextCursor }) => {
          const all = [...before, ...items]
          return nextCursor === undefined ? Effect.succeed(all) : from(nextCursor, all)
        })
      return from(undefined, [])
    })

  const all = (call: InternalCallOptions) =>
    collect(call).pipe(
      Effect.catch((error) => {
        // Some servers declare a capability and do not have it; there is nothing to list then.
        if (isMethodNotFound(error)) {
          onDiagnostic(Diagnostic.Warning({ detail: `${method} is declared but not there` }))
          return Effect.succeed([])
        }
        if (!isInvalidCursor(error)) return Effect.fail(error)
        cache.invalidate(method)
        return collect(call)
      })
    )

  return { pages, all: (call) => Effect.clockWith((clock) => all({ ...call, since: clock.currentTimeMillisUnsafe() })) }
}

/** The same list without the items that do not match. */
export const filter = <A>(self: List<A>, predicate: (item: A) => boolean): List<A> => ({
  pages: (options) => Stream.map(self.pages(options), (page) => page.filter(predicate)),
  all: (options) => Effect.map(self.all(options), (items) => items.filter(predicate))
})

/** The first page has no cursor; an empty string is a cursor like any other (PG-02). */
const keyOf = (cursor: string | undefined): string => cursor === undefined ? "" : `=${cursor}`
