/** What all who authorize alike have in common in this process: one refresh or one login at a time, and one user. */
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import type * as Scope from "effect/Scope"
import type { McpErrorReason } from "../McpError.ts"
import * as Asking from "./asking.ts"
import { Authorize } from "./Authorize.ts"
import { Grant } from "./Grant.ts"
import type * as Scopes from "./scopes.ts"
import * as SingleFlight from "./singleFlight.ts"
import type * as Source from "./source.ts"
import { keyOf, type TokenStore } from "./TokenStore.ts"

type Flight = SingleFlight.SingleFlight<Source.Outcome, McpErrorReason>

export interface Shared {
  readonly asking: Asking.Asking
  readonly flight: Flight
  /** Apart for each set of scopes that is missing: a user who declines one of them has said nothing of the others. */
  readonly widening: (scopes: Scopes.Scopes) => Flight
  /** Apart, as what comes of it means something else: who is refused needs more than this tries. */
  readonly renewal: Flight
}

/** Sets of scopes at a time; a server may name any number. */
const maxWidenings = 100

const widenings = (): Shared["widening"] => {
  const flights = new Map<string, Flight>()
  return (scopes) => {
    const key = [...scopes].sort().join(" ")
    const flight = flights.get(key) ?? SingleFlight.make()
    const [oldest] = flights.keys()
    if (flights.size >= maxWidenings && oldest !== undefined) flights.delete(oldest)
    flights.set(key, flight)
    return flight
  }
}

interface Entry {
  readonly alike: object
  readonly shared: Shared
  users: number
}

/** By server and principal, so that one among thousands of principals is found at once. */
const known = new WeakMap<TokenStore, Map<string, Array<Entry>>>()

/**
 * Joins those with the same store, server, options and `Authorize`, for as long
 * as the scope is open. Whoever came first may leave first.
 */
export const join = Effect.fnUntraced(function*(
  store: TokenStore,
  server: URL,
  options: Source.Options
): Effect.fn.Return<Shared, never, Scope.Scope> {
  const alike = {
    server: server.href,
    grant: options.grant ?? Grant.AuthorizationCode({}),
    scopes: [...options.scopes ?? []],
    principal: options.principal ?? "",
    issuer: options.issuer,
    dpop: options.dpop,
    allowPrivateNetwork: options.allowPrivateNetwork ?? false,
    authorize: yield* Authorize
  }
  const key = keyOf(alike.server, alike.principal)
  const asking = yield* Asking.make
  const enter = Effect.sync(() => {
    const places = known.get(store) ?? new Map<string, Array<Entry>>()
    known.set(store, places)
    const entries = places.get(key) ?? []
    places.set(key, entries)
    const found = entries.find((entry) => Equal.equals(entry.alike, alike))
    const entry = found ?? { alike, shared: { asking, flight: SingleFlight.make(), widening: widenings(), renewal: SingleFlight.make() }, users: 0 }
    if (found === undefined) entries.push(entry)
    entry.users += 1
    return { places, entries, entry }
  })
  const { entry } = yield* Effect.acquireRelease(enter, ({ entries, entry, places }) =>
    Effect.sync(() => {
      entry.users -= 1
      if (entry.users === 0) entries.splice(entries.indexOf(entry), 1)
      if (entries.length === 0) places.delete(key)
    }))
  return entry.shared
})
