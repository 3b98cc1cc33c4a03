/**
 * Many servers at run time: who shares which connection, how long it stays,
 * what changes when the config does, and the end.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as PubSub from "effect/PubSub"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { Attended } from "../auth/Attended.ts"
import * as Broadcast from "../internal/broadcast.ts"
import * as Deadlines from "../internal/deadlines.ts"
import type * as McpConfig from "../McpConfig.ts"
import * as McpError from "../McpError.ts"
import * as ServerConfig from "../ServerConfig.ts"
import * as Catalog from "./catalog.ts"
import type { Client } from "./member.ts"
import * as News from "./news.ts"
import * as Policy from "./policy.ts"
import * as Principal from "./principal.ts"
import * as Status from "./status.ts"
import * as Telemetry from "./telemetry.ts"
import * as Unit from "./unit.ts"

// =============================================================================
// Models
// =============================================================================

/** Whose connection to use, and whether to share it. */
export interface ClientOptions {
  /** On whose behalf. Connections are never shared between principals. */
  readonly principal?: Principal.Principal | undefined
  /** `scope`: a connection of one's own, which ends with the scope. Default: what the entry says, or `shared`. */
  readonly isolation?: "shared" | "scope" | undefined
}

/** A server has got another status. */
export interface Transition {
  readonly server: string
  /** The id of the principal whose connection it is, where it is of one. */
  readonly principal: string | undefined
  readonly status: Status.Status
}

/** What a reload did, by name. */
export interface Reload {
  readonly added: ReadonlyArray<string>
  readonly replaced: ReadonlyArray<string>
  readonly removed: ReadonlyArray<string>
  readonly unchanged: ReadonlyArray<string>
}

export interface Options {
  /** The only servers to use; all when absent. */
  readonly allowedServers?: ReadonlyArray<string> | undefined
  /** Servers to connect in the background at once, instead of with their first use. Default `none`. */
  readonly preload?: "none" | "all" | ReadonlyArray<string> | undefined
  /** Servers connected at once while starting. Default 16. */
  readonly concurrency?: number | undefined
  /** How a server is supervised. Default: what its entry says. */
  readonly policy?: ((entry: McpConfig.Entry) => Policy.Options) | undefined
}

/** How an entry becomes a client that is connected. */
export type Connect<R> = (entry: McpConfig.Entry) => Effect.Effect<Client, McpError.McpError, R | Scope.Scope>

/** See `McpServers`, the service. */
export interface Runtime {
  /** The servers that may be used, in the order of the config. */
  readonly names: Effect.Effect<ReadonlyArray<string>>
  /**
   * The client of a server, for as long as the scope is open; connects when
   * nobody has before. It stays usable when its connection is lost and made
   * again, and ends when the server is removed or replaced. The last scope to
   * close starts the idle time to live. Interruption gives back what was taken,
   * and disturbs nobody else who waits for the same connection.
   */
  readonly client: (name: string, options?: ClientOptions) => Effect.Effect<Client, McpError.McpError, Scope.Scope>
  /** The same for one use. */
  readonly use: <A, E, R>(
    name: string,
    f: (client: Client) => Effect.Effect<A, E, R>,
    options?: ClientOptions
  ) => Effect.Effect<A, E | McpError.McpError, R>
  /** One and the same connection until the scope closes, for servers that remember something between calls. */
  readonly session: (
    name: string,
    options?: Pick<ClientOptions, "principal">
  ) => Effect.Effect<Client, McpError.McpError, Scope.Scope>
  readonly status: (name: string, options?: Pick<ClientOptions, "principal">) => Effect.Effect<Status.Status, McpError.McpError>
  /** The status of the connection that is of no principal, to be followed. */
  readonly statusOf: (name: string) => Effect.Effect<SubscriptionRef.SubscriptionRef<Status.Status>, McpError.McpError>
  /** The status of every server, then each transition. A slow reader loses the oldest. Ends with the runtime. */
  readonly statuses: Stream.Stream<Transition>
  /** Adds a server, or replaces the one of its name; one that is not to be used only goes. Who uses the old one has its grace period. */
  readonly set: (entry: McpConfig.Entry) => Effect.Effect<void, McpError.McpError>
  /** Drains the server and closes its connections. */
  readonly remove: (name: string) => Effect.Effect<void, McpError.McpError>
  /**
   * Makes the servers those of a config, or of what an effect gives, such as
   * `McpConfig.load("mcp.json")`; when it fails, nothing changes. A server whose
   * entry is the same keeps its connections.
   */
  readonly reload: <R = never>(
    config: McpConfig.McpConfig | Effect.Effect<McpConfig.McpConfig, McpError.McpError, R>
  ) => Effect.Effect<Reload, McpError.McpError, R>
  /** What came of each reload, those of a watched file included. */
  readonly reloads: Stream.Stream<Result.Result<Reload, McpError.McpError>>
  /** Forgets failures, of all principals: a server that has given up, or wanted credentials, is tried again. */
  readonly resume: (name: string) => Effect.Effect<void, McpError.McpError>
  /**
   * One view over the tools, resources and prompts of all servers. Looking at
   * it connects them. Makes nothing by itself; any number can be made.
   */
  readonly catalog: (options?: Catalog.Options) => Catalog.Catalog
  /**
   * Closes everything, as closing the layer does: no new calls; those in flight
   * have the grace period of their server; then all connections are closed, in
   * parallel.
   */
  readonly drain: Effect.Effect<void>
}

// =============================================================================
// Runtime
// =============================================================================

/** A server of the config. */
interface Server {
  readonly entry: McpConfig.Entry
  readonly policy: Policy.Policy
  /** Where connections are shared, by principal. The seat of no principal stays, for its status. */
  readonly seats: Map<string, Seat>
  /** Everything of it that is not closed yet, shared or not. */
  readonly held: Set<Held>
  /** Removed or replaced, or the runtime is closed. */
  retired: boolean
}

/** Where those of one principal share a connection. */
interface Seat extends Deadlines.Entry {
  readonly server: Server
  readonly principal: Principal.Principal | undefined
  readonly status: SubscriptionRef.SubscriptionRef<Status.Status>
  held: Held | undefined
  users: number
}

interface Held {
  readonly unit: Unit.Unit
  /** Drains and closes; whoever comes second waits for the first. */
  readonly close: Effect.Effect<void>
}

/** Transitions a slow reader may be behind. */
const readerCapacity = 4_096

/** Connections closed at once. */
const closeConcurrency = 64

/** Whether two entries come to the same connection. Secrets are compared too. */
const isSame = (a: McpConfig.Entry, b: McpConfig.Entry): boolean =>
  a.directory === b.directory && Equal.equals(ServerConfig.encode(a.config), ServerConfig.encode(b.config))

/** The runtime, for as long as the scope is open. See `McpServers.make`. */
export const make = Effect.fnUntraced(function*(
  config: McpConfig.McpConfig,
  connect: Connect<never>,
  options: Options
): Effect.fn.Return<Runtime, McpError.McpError, Scope.Scope> {
  const context = yield* Effect.context<never>()
  const clock = yield* Clock.Clock
  const allowed = options.allowedServers === undefined ? undefined : new Set(options.allowedServers)
  const concurrency = options.concurrency ?? 16
  const servers = new Map<string, Server>()
  const unused = new Map<string, McpError.ServerDisabled["by"]>()
  const building = Semaphore.makeUnsafe(1)
  const closingPermits = Semaphore.makeUnsafe(closeConcurrency)
  const transitions = Broadcast.make<Transition>({ capacity: readerCapacity })
  const reloads = Broadcast.make<Result.Result<Reload, McpError.McpError>>({ capacity: 64 })
  let draining = false

  const fail = (reason: McpError.McpErrorReason, name: string) => Effect.fail(McpError.make(reason, name))

  const find = (name: string) =>
    Effect.suspend((): Effect.Effect<Server, McpError.McpError> => {
      if (draining) return fail(new McpError.ServerDraining(), name)
      const server = servers.get(name)
      if (server !== undefined) return Effect.succeed(server)
      const by = unused.get(name)
      return by === undefined
        ? Effect.fail(McpError.make(new McpError.UnknownServer({ name, known: [...servers.keys()] })))
        : fail(new McpError.ServerDisabled({ by }), name)
    })

  // ---------------------------------------------------------------------------
  // Connections
  // ---------------------------------------------------------------------------

  const publish = ({ principal, server, status }: Seat) =>
    transitions.publish({ server: server.entry.name, principal: principal?.id, status: status.value })

  const count = ({ server }: Seat, before: Status.Status | undefined, now: Status.Status | undefined) =>
    Telemetry.count(server.entry.name, context, before, now)

  const become = (seat: Seat, status: Status.Status) => {
    const before = seat.status.value
    if (status === before || before === Status.Draining) return
    seat.status.value = status
    PubSub.publishUnsafe(seat.status.pubsub, status)
    count(seat, before, status)
    publish(seat)
  }

  /** Not connected yet. Whoever takes it has to see to it that it is closed. */
  const hold = Effect.fnUntraced(function*(
    server: Server,
    principal: Principal.Principal | undefined,
    onStatus?: (status: Status.Status) => void
  ) {
    const { entry, policy } = server
    const own = yield* Scope.make()
    const unit = yield* Unit.make({
      name: entry.name,
      policy,
      limits: entry.config,
      connect: Effect.flatMap(Principal.apply(entry, principal), connect),
      onStatus
    }).pipe(Effect.provideService(Scope.Scope, own))
    const close = unit.drain(policy.drainGrace).pipe(
      Effect.andThen(closingPermits.withPermits(1)(Scope.close(own, Exit.void))),
      Effect.ensuring(Effect.sync(() => server.held.delete(held))),
      Effect.uninterruptible
    )
    const held: Held = { unit, close: yield* Effect.cached(close) }
    server.held.add(held)
    if (!server.retired) return held
    yield* held.close
    return yield* fail(new McpError.ServerDraining(), entry.name)
  })

  const makeSeat = (server: Server, principal: Principal.Principal | undefined) =>
    Effect.map(SubscriptionRef.make(Status.Idle), (status): Seat => {
      const seat: Seat = { server, principal, status, held: undefined, users: 0, at: 0, slot: -1 }
      server.seats.set(Principal.keyOf(principal), seat)
      return seat
    })

  const forget = (seat: Seat) => {
    deadlines.remove(seat)
    if (seat.server.seats.delete(Principal.keyOf(seat.principal))) count(seat, seat.status.value, undefined)
  }

  /** What is being closed goes on when whoever asked for it is interrupted. */
  const closing = yield* FiberSet.make<void>()
  const closeLater = yield* FiberSet.runtime(closing)()
  const deadlines = yield* Deadlines.make<Seat>((seat) => {
    const { held, principal, server } = seat
    if (held === undefined || server.retired) return
    seat.held = undefined
    become(seat, Status.Idle)
    if (principal !== undefined) forget(seat)
    closeLater(held.close)
  })

  const take = (seat: Seat, held: Held) => {
    seat.users += 1
    deadlines.remove(seat)
    return { seat, held }
  }

  /** Counted in from the moment it succeeds. To be called where nothing interrupts. */
  const acquire = (server: Server, principal: Principal.Principal | undefined) =>
    Effect.suspend(() => {
      const key = Principal.keyOf(principal)
      const there = server.seats.get(key)
      if (there?.held !== undefined && !server.retired) return Effect.succeed(take(there, there.held))
      return building.withPermits(1)(Effect.gen(function*() {
        if (server.retired) return yield* fail(new McpError.ServerDraining(), server.entry.name)
        let seat = server.seats.get(key)
        if (seat === undefined) {
          seat = yield* makeSeat(server, principal)
          count(seat, undefined, seat.status.value)
        }
        if (seat.held !== undefined) return take(seat, seat.held)
        const held: Held = yield* hold(server, principal, (status) => {
          if (seat.held === held) become(seat, status)
        })
        seat.held = held
        return take(seat, held)
      }))
    })

  const release = (seat: Seat) =>
    Effect.sync(() => {
      seat.users -= 1
      const { retired, policy: { idleTimeToLive } } = seat.server
      if (seat.users > 0 || retired || !Duration.isFinite(idleTimeToLive)) return
      seat.at = clock.currentTimeMillisUnsafe() + Duration.toMillis(idleTimeToLive)
      deadlines.add(seat)
    })

  const unitOf = Effect.fnUntraced(function*(name: string, options: ClientOptions = {}) {
    const server = yield* find(name)
    if ((options.isolation ?? server.policy.isolation) === "scope") {
      return (yield* Effect.acquireRelease(hold(server, options.principal), (held) => held.close)).unit
    }
    const { held } = yield* Effect.acquireRelease(acquire(server, options.principal), ({ seat }) => release(seat))
    return held.unit
  })

  const client: Runtime["client"] = (name, options) => Effect.flatMap(unitOf(name, options), ({ client }) => client)

  // ---------------------------------------------------------------------------
  // Changes
  // ---------------------------------------------------------------------------

  const makeServer = (entry: McpConfig.Entry): Effect.Effect<Server> => {
    const policy = Policy.make({ ...(options.policy?.(entry) ?? entry.config), _tag: entry.config._tag })
    const server: Server = { entry, policy, seats: new Map(), held: new Set(), retired: false }
    return Effect.as(makeSeat(server, undefined), server)
  }

  const install = (server: Server) => {
    servers.set(server.entry.name, server)
    for (const seat of server.seats.values()) {
      count(seat, undefined, seat.status.value)
      publish(seat)
    }
  }

  /** At once, nobody gets in any more; the effect waits until they are closed. */
  const retire = (retired: ReadonlyArray<Server>) => {
    const held = retired.flatMap((server) => {
      server.retired = true
      for (const seat of server.seats.values()) {
        become(seat, Status.Draining)
        forget(seat)
      }
      return [...server.held]
    })
    for (const { close } of held) closeLater(close)
    return Effect.forEach(held, ({ close }) => close, { concurrency: "unbounded", discard: true })
  }

  const exclusion = ({ config, name }: McpConfig.Entry): McpError.ServerDisabled["by"] | undefined =>
    config.disabled === true ? "disabled" : allowed?.has(name) === false ? "allowedServers" : undefined

  /** Whether a server is not to be used; then `unused` knows why. */
  const isExcluded = (entry: McpConfig.Entry): boolean => {
    unused.delete(entry.name)
    const by = exclusion(entry)
    if (by !== undefined) unused.set(entry.name, by)
    return by !== undefined
  }

  const apply = Effect.fnUntraced(function*(config: McpConfig.McpConfig) {
    const fresh = yield* Effect.forEach(
      [...config.servers.values()].filter((entry) => exclusion(entry) === undefined),
      makeServer
    )
    // From here on nothing is waited for, so that no other change comes between.
    unused.clear()
    for (const entry of config.servers.values()) isExcluded(entry)
    const before = new Map(servers)
    const made = new Map(fresh.map((server) => {
      const { name } = server.entry
      const there = before.get(name)
      return [name, there !== undefined && isSame(there.entry, server.entry) ? there : server]
    }))
    const among = (names: Iterable<string>, test: (name: string) => boolean) => [...names].filter(test)
    const changes: Reload = {
      added: among(made.keys(), (name) => !before.has(name)),
      replaced: among(made.keys(), (name) => before.has(name) && before.get(name) !== made.get(name)),
      removed: among(before.keys(), (name) => !made.has(name)),
      unchanged: among(made.keys(), (name) => before.get(name) === made.get(name))
    }
    const gone = [...before.values()].filter((server) => made.get(server.entry.name) !== server)
    servers.clear()
    for (const server of made.values()) {
      if (before.get(server.entry.name) === server) servers.set(server.entry.name, server)
      else install(server)
    }
    yield* retire(gone)
    return changes
  })

  const end = Effect.suspend(() => {
    draining = true
    // What was removed, or nobody used any more, may be closing already.
    return Effect.andThen(retire([...servers.values()]), FiberSet.awaitEmpty(closing))
  })
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      end,
      Effect.sync(() => {
        transitions.end(Cause.fail(Cause.Done()))
        reloads.end(Cause.fail(Cause.Done()))
      })
    )
  )
  yield* apply(config)

  // ---------------------------------------------------------------------------
  // Start
  // ---------------------------------------------------------------------------

  const connectNow = (name: string) => Effect.scoped(client(name))
  const required = [...servers.values()].filter(({ entry }) => entry.config.required === true).map(({ entry }) => entry.name)
  const { preload = "none" } = options
  const background = preload === "none" ? [] : preload === "all" ? [...servers.keys()] : preload
  yield* Effect.forEach(background, find, { discard: true })
  yield* Effect.forEach(
    background.filter((name) => !required.includes(name)),
    (name) =>
      Effect.catch(Effect.provideService(connectNow(name), Attended, () => false), (error) => Effect.logWarning(`The server "${name}" cannot be used yet: ${error.message}`)),
    { concurrency, discard: true }
  ).pipe(Effect.forkScoped)
  yield* Effect.forEach(required, (name) =>
    Effect.mapError(connectNow(name), ({ reason }) => McpError.make(reason, name)), { concurrency, discard: true })

  const runtime: Runtime = {
    names: Effect.sync(() => [...servers.keys()]),
    client,
    use: (name, f, options) =>
      Effect.flatMap(find(name), (server) =>
        (options?.isolation ?? server.policy.isolation) === "scope"
          ? Effect.acquireUseRelease(
            hold(server, options?.principal),
            ({ unit }) => Effect.flatMap(unit.client, f),
            ({ close }) => close
          )
          : Effect.acquireUseRelease(
            acquire(server, options?.principal),
            ({ held }) => Effect.flatMap(held.unit.client, f),
            ({ seat }) => release(seat)
          )),
    session: (name, options) => Effect.flatMap(unitOf(name, options), ({ session }) => session),
    status: (name, options) =>
      Effect.map(find(name), ({ seats }) => seats.get(Principal.keyOf(options?.principal))?.status.value ?? Status.Idle),
    statusOf: (name) =>
      Effect.flatMap(find(name), (server) => {
        const seat = server.seats.get(Principal.keyOf(undefined))
        return seat === undefined ? fail(new McpError.ServerDraining(), name) : Effect.succeed(seat.status)
      }),
    statuses: Stream.unwrap(Effect.map(transitions.subscribe, (queue) => {
      const now = [...servers.values()].flatMap(({ entry, seats }) =>
        [...seats.values()].map(({ principal, status }): Transition => ({
          server: entry.name,
          principal: principal?.id,
          status: status.value
        }))
      )
      return Stream.concat(Stream.fromIterable(now), Stream.fromQueue(queue))
    })),
    set: (entry) =>
      Effect.suspend(() =>
        draining ? fail(new McpError.ServerDraining(), entry.name) : Effect.flatMap(makeServer(entry), (server) => {
          const before = servers.get(entry.name)
          if (isExcluded(entry)) servers.delete(entry.name)
          else install(server)
          return before === undefined ? Effect.void : retire([before])
        })
      ),
    remove: (name) =>
      Effect.flatMap(find(name), (server) => {
        if (servers.get(name) === server) servers.delete(name)
        return retire([server])
      }),
    reload: (config) =>
      Effect.gen(function*() {
        const loaded = Effect.isEffect(config) ? yield* config : config
        if (draining) return yield* Effect.fail(McpError.make(new McpError.ServerDraining()))
        return yield* apply(loaded)
      }).pipe(
        Effect.tap((changes) => Effect.sync(() => reloads.publish(Result.succeed(changes)))),
        Effect.tapError((error) => Effect.sync(() => reloads.publish(Result.fail(error))))
      ),
    reloads: reloads.stream,
    resume: (name) =>
      Effect.flatMap(find(name), ({ held }) => Effect.forEach([...held], ({ unit }) => unit.resume, { discard: true })),
    catalog: (options) =>
      Catalog.make({
        names: () => [...servers.keys()],
        has: (name) => servers.has(name),
        use: runtime.use,
        changes: News.make(runtime)
      }, options),
    drain: end
  }
  return runtime
})
