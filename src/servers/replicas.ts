/**
 * Several connections to one server, used as one: each call goes to the ready
 * replica with the fewest calls in flight. Where all are at their limit it
 * waits, first come first served, and more replicas are started; those that
 * are idle for long are closed again.
 *
 * A replica that is not ready gets no calls while another one is. It mends
 * itself (see `member.ts`); one that has given up is asked again, here, when
 * its time has come.
 *
 * A call to a ready replica with a free place costs two counters: no fiber,
 * no timer, no lock.
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type { McpClient } from "../McpClient.ts"
import { Attended } from "../auth/Attended.ts"
import * as McpError from "../McpError.ts"
import type * as Policy from "./policy.ts"
import * as Status from "./status.ts"

type Client = McpClient["Service"]

/** What is asked of one replica; a `Member` is one. */
export interface Replica {
  /** The connection, where there is one. */
  readonly current: () => Client | undefined
  /** The same, made or waited for. */
  readonly client: Effect.Effect<Client, McpError.McpError>
  /** A use of this connection failed: there may be more to learn from it. */
  readonly failed: (client: Client, cause: Cause.Cause<unknown>) => void
  /** Forgets failures. */
  readonly resume: Effect.Effect<void>
  /** When it is to be tried again although nobody calls; `undefined` when that is for a call or for `resume`. */
  readonly retryAt: () => number | undefined
  /** Refuses new users. */
  readonly drain: Effect.Effect<void>
}

export interface UseOptions {
  /** How long it may take until the call begins: to wait for a place, and for a connection. */
  readonly within?: Duration.Input | undefined
}

export interface Replicas {
  /**
   * Lends a connection for one use. The use counts as one in flight however it
   * ends. Fails with `Overloaded` when there is no place, neither to run nor to
   * wait, or none became free in time; with `RequestTimeout` when the connection
   * did not come in time; with `ServerDraining`; with what the connection failed
   * for. Who is interrupted while waiting leaves the queue.
   */
  readonly use: <A, E, R>(
    f: (client: Client) => Effect.Effect<A, E, R>,
    options?: UseOptions
  ) => Effect.Effect<A, E | McpError.McpError, R>
  /**
   * Lends one connection until the scope closes, for what a server remembers
   * between calls. It takes one place of its replica for all that time, so
   * where `maxInFlight` is 1 nobody else uses that replica. When the connection
   * is lost its calls fail, and so they should: what was remembered is gone.
   */
  readonly session: (options?: UseOptions) => Effect.Effect<Client, McpError.McpError, Scope.Scope>
  /** Lets nobody in any more, and waits until nothing is in flight, or the grace is over. Closes nothing. */
  readonly drain: (grace: Duration.Input) => Effect.Effect<void>
  /** Lets replicas that have given up try again. */
  readonly resume: Effect.Effect<void>
  /** The connections there are. */
  readonly clients: () => ReadonlyArray<Client>
  /** Of the replica that is best off. */
  readonly statusUnsafe: () => Status.Status
  readonly replicas: () => ReadonlyArray<{ readonly status: Status.Status; readonly inFlight: number }>
  readonly inFlightUnsafe: () => number
  readonly queuedUnsafe: () => number
}

/** One replica and who is in it. */
interface Slot {
  readonly replica: Replica
  readonly scope: Scope.Closeable
  status: Status.Status
  inFlight: number
  /** Of them those who keep the connection between calls, too. */
  lent: number
  idleSince: number
  /** When it was told to connect. */
  warmedAt: number
}

/** A use on its way to a connection. */
interface Ticket {
  readonly since: number
  /** Its place in the queue. */
  number: number
  slot: Slot | undefined
  resume: (effect: Effect.Effect<void, McpError.McpError>) => void
}

/** Who is asked first. */
const rank = { Ready: 0, Connecting: 1, Idle: 1, Reconnecting: 2, Failed: 3, NeedsAuthorization: 3, Draining: 4 } as const

const rankOf = ({ status }: Slot): number => rank[status._tag]

/**
 * Makes `min` replicas; none connects before it is used. Closing the scope
 * fails who waits, and closes all of them in parallel; whoever should get a
 * grace period is given it by `drain` before.
 */
export const make = Effect.fnUntraced(function*(options: {
  readonly name: string
  /** Makes a replica, which tells each change of its status, and is told whether a call is under way on it. */
  readonly member: (
    onStatus: (status: Status.Status) => void,
    inUse: () => boolean
  ) => Effect.Effect<Replica, never, Scope.Scope>
  readonly options: Policy.Replicas
  /** Whether somebody waits for news of the server: then one replica stays, to tell them. */
  readonly demanded?: (() => boolean) | undefined
  /** Told each change of the status of all. */
  readonly onStatus?: ((status: Status.Status) => void) | undefined
}): Effect.fn.Return<Replicas, never, Scope.Scope> {
  const { max, maxInFlight, maxQueue, min } = options.options
  const growAfter = Duration.toMillis(options.options.growAfter)
  const shrinkAfter = Duration.toMillis(options.options.shrinkAfter)
  const demanded = () => options.demanded?.() === true
  const least = () => demanded() ? Math.max(min, 1) : min
  const fail = (reason: McpError.McpErrorReason) => Effect.fail(McpError.make(reason, options.name))
  const refuse = Effect.suspend(() => fail(new McpError.ServerDraining({})))

  const scope = yield* Scope.Scope
  const clock = yield* Clock.Clock
  const now = () => clock.currentTimeMillisUnsafe()
  const drained = yield* Deferred.make<void>()
  const slots: Array<Slot> = []
  /** By their numbers: a set is slow to find its first when many before it were deleted. */
  const queue = new Map<number, Ticket>()
  let firstNumber = 0
  let nextNumber = 0
  let dispatching = false
  let inFlight = 0
  let draining = false
  let status: Status.Status = Status.Idle
  /** Done with the next change of a replica's status, where somebody waits for that. */
  let news: Deferred.Deferred<void> | undefined

  // ---------------------------------------------------------------------------
  // Places
  // ---------------------------------------------------------------------------

  const pick = (): Slot | undefined => {
    let best: Slot | undefined
    for (const slot of slots) {
      const difference = best === undefined ? -1 : rankOf(slot) - rankOf(best) || slot.inFlight - best.inFlight
      if (difference < 0) best = slot
    }
    return best !== undefined && best.inFlight < maxInFlight ? best : undefined
  }

  const occupy = (slot: Slot) => {
    slot.inFlight++
    inFlight++
  }

  const oldest = (): Ticket | undefined => {
    while (firstNumber < nextNumber && !queue.has(firstNumber)) firstNumber++
    return queue.get(firstNumber)
  }

  const dispatch = () => {
    // Who is resumed may release, and come here again, before `resume` returns.
    if (dispatching) return
    dispatching = true
    for (let ticket = oldest(); ticket !== undefined; ticket = oldest()) {
      const slot = pick()
      if (slot === undefined) break
      queue.delete(ticket.number)
      occupy(slot)
      ticket.slot = slot
      ticket.resume(Effect.void)
    }
    dispatching = false
  }

  const release = (slot: Slot) => {
    slot.inFlight--
    inFlight--
    if (queue.size > 0) dispatch()
    if (slot.inFlight === 0 && slots.length > min) {
      slot.idleSince = now()
      wakeBy(slot.idleSince + shrinkAfter)
    }
    if (draining && inFlight === 0) Deferred.doneUnsafe(drained, Exit.void)
  }

  const giveUp = (ticket: Ticket) => {
    queue.delete(ticket.number)
    if (ticket.slot !== undefined) release(ticket.slot)
    ticket.slot = undefined
  }

  const overloaded = (waitedMillis?: number) =>
    fail(
      new McpError.Overloaded({
        inFlight,
        queued: queue.size,
        limit: maxQueue,
        ...(waitedMillis === undefined ? {} : { waitedMillis })
      })
    )

  const place = (ticket: Ticket): Effect.Effect<void, McpError.McpError> =>
    Effect.callback<void, McpError.McpError>((resume) => {
      if (draining) return resume(refuse)
      const isNew = ticket.number < 0
      if (isNew && inFlight + queue.size >= max * maxInFlight + maxQueue) return resume(overloaded())
      ticket.resume = resume
      if (isNew) ticket.number = nextNumber++
      // Who comes back was here before those who wait.
      else firstNumber = Math.min(firstNumber, ticket.number)
      queue.set(ticket.number, ticket)
      dispatch()
      if (ticket.slot === undefined) wakeBy(slots.length === 0 ? -Infinity : ticket.since + growAfter)
    })

  const isBetterElsewhere = (slot: Slot) =>
    slot.status._tag !== "Ready" && slots.some((other) => other !== slot && other.status._tag === "Ready")

  /** Ends when a replica serves and this one does not. */
  const better = (slot: Slot): Effect.Effect<void> =>
    Effect.suspend(() =>
      isBetterElsewhere(slot)
        ? Effect.void
        : Effect.andThen(Deferred.await(news ??= Deferred.makeUnsafe()), better(slot))
    )

  /** Nothing was sent yet: where one replica has no connection, another may take the call. */
  const obtain = (ticket: Ticket): Effect.Effect<Client, McpError.McpError> =>
    Effect.flatMap(place(ticket), () => {
      const { slot } = ticket
      if (slot === undefined) return refuse
      const client = slot.replica.current()
      if (client !== undefined) return Effect.succeed(client)
      const own = Effect.result(slot.replica.client)
      return Effect.flatMap(
        max === 1 ? own : Effect.raceFirst(own, Effect.as(better(slot), undefined)),
        (result) => {
          if (result !== undefined && (Result.isSuccess(result) || !isBetterElsewhere(slot))) return Effect.fromResult(result)
          giveUp(ticket)
          return obtain(ticket)
        }
      )
    })

  /** A connection, with a place taken on its replica. To be called where nothing interrupts. */
  const checkout = (
    restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>,
    within: Duration.Input | undefined
  ) => {
    const ticket: Ticket = { since: now(), number: -1, slot: undefined, resume: () => {} }
    const client = within === undefined ? obtain(ticket) : Effect.timeoutOrElse(obtain(ticket), {
      duration: within,
      orElse: () => {
        const millis = Duration.toMillis(within)
        return ticket.slot === undefined
          ? overloaded(millis)
          : fail(new McpError.RequestTimeout({ method: "connect", limit: "total", millis }))
      }
    })
    return Effect.onExit(
      Effect.map(restore(client), (client) => ({ client, ticket })),
      (exit) => Exit.isFailure(exit) ? Effect.sync(() => giveUp(ticket)) : Effect.void
    )
  }

  const use: Replicas["use"] = (f, useOptions) =>
    Effect.uninterruptibleMask((restore) => {
      const slot = draining || queue.size > 0 ? undefined : pick()
      const client = slot?.replica.current()
      if (slot !== undefined && client !== undefined) {
        occupy(slot)
        return Effect.onExit(restore(Effect.suspend(() => f(client))), (exit) =>
          Effect.sync(() => {
            if (Exit.isFailure(exit)) slot.replica.failed(client, exit.cause)
            release(slot)
          }))
      }
      return Effect.flatMap(checkout(restore, useOptions?.within), ({ client, ticket }) =>
        Effect.onExit(restore(Effect.suspend(() => f(client))), (exit) =>
          Effect.sync(() => {
            if (Exit.isFailure(exit)) ticket.slot?.replica.failed(client, exit.cause)
            giveUp(ticket)
          })))
    })

  const session: Replicas["session"] = (sessionOptions) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(checkout(restore, sessionOptions?.within), ({ client, ticket }) =>
        Effect.suspend(() => {
          const { slot } = ticket
          if (slot !== undefined) slot.lent++
          return Effect.as(
            Effect.addFinalizer(() =>
              Effect.sync(() => {
                if (slot !== undefined) slot.lent--
                giveUp(ticket)
              })
            ),
            client
          )
        }))
    )

  // ---------------------------------------------------------------------------
  // Replicas
  // ---------------------------------------------------------------------------

  const changed = () => {
    const best = slots.length === 0 ? undefined : slots.reduce((best, slot) => rankOf(slot) < rankOf(best) ? slot : best)
    const next = draining ? Status.Draining : best?.status ?? Status.Idle
    if (next !== status) {
      status = next
      options.onStatus?.(next)
    }
    dispatch()
    wakeBy(-Infinity)
    if (news !== undefined) Deferred.doneUnsafe(news, Exit.void)
    news = undefined
  }

  const add = Effect.uninterruptible(Effect.gen(function*() {
    const own = yield* Scope.make()
    let slot: Slot | undefined
    let first: Status.Status = Status.Idle
    const replica = yield* options.member((status) => {
      if (slot === undefined) {
        first = status
      } else {
        slot.status = status
        changed()
      }
    }, () => slot !== undefined && slot.inFlight > slot.lent).pipe(Effect.provideService(Scope.Scope, own))
    slot = { replica, scope: own, status: first, inFlight: 0, lent: 0, idleSince: now(), warmedAt: -Infinity }
    slots.push(slot)
    changed()
    return slot
  }))

  const close = (slot: Slot) => Effect.uninterruptible(Scope.close(slot.scope, Exit.void))

  const warm = (slot: Slot) => {
    slot.warmedAt = now()
    const unattended = Effect.provideService(slot.replica.client, Attended, () => false)
    return Effect.forkIn(Effect.ignore(unattended), slot.scope, { startImmediately: true })
  }

  // ---------------------------------------------------------------------------
  // Growing and shrinking
  // ---------------------------------------------------------------------------

  const signal = yield* Queue.sliding<void>(1)
  /** When the fiber below looks again by itself. */
  let next = Infinity
  const wakeBy = (time: number) => {
    if (time < next) Queue.offerUnsafe(signal, undefined)
  }

  /** When a replica that has given up is asked again, while others serve. */
  const mendingTime = ({ replica, status: own, warmedAt }: Slot): number =>
    status._tag === "Ready" && own._tag === "Failed" ? Math.max(replica.retryAt() ?? Infinity, warmedAt + 1_000) : Infinity

  const grow = Effect.fnUntraced(function*() {
    const since = oldest()?.since
    const due = since !== undefined && (slots.length === 0 || since + growAfter <= now())
    const wanted = due ? queue.size : 0
    const used = due || slots.some(({ status }) => status._tag !== "Idle")
    let coming = 0
    for (const slot of slots) {
      const startable = slot.status._tag === "Idle" && (due || (used && slot.warmedAt === -Infinity))
      if (startable || mendingTime(slot) <= now()) yield* warm(slot)
      if (rankOf(slot) === rank.Connecting) coming += maxInFlight - slot.inFlight
    }
    while (slots.length < max && (slots.length < min || wanted > coming)) {
      const slot = yield* add
      if (used) yield* warm(slot)
      coming += maxInFlight
    }
  })

  const isIdle = (slot: Slot, before: number) => slot.inFlight === 0 && slot.idleSince <= before

  const shrink = Effect.fnUntraced(function*() {
    const before = now() - shrinkAfter
    const idle = queue.size > 0 ? [] : slots.filter((slot) => isIdle(slot, before)).sort((a, b) => a.idleSince - b.idleSince)
    for (const slot of idle.slice(0, Math.max(0, slots.length - least()))) {
      slots.splice(slots.indexOf(slot), 1)
      yield* Effect.forkIn(close(slot), scope, { startImmediately: true })
      changed()
    }
  })

  const nextTime = () => {
    const since = oldest()?.since
    const times = [
      ...(since === undefined || slots.length === max ? [] : [since + growAfter]),
      ...(slots.length <= min ? [] : slots.flatMap((slot) => slot.inFlight === 0 ? [slot.idleSince + shrinkAfter] : [])),
      ...slots.map(mendingTime),
      // Nobody tells when the last of them stops waiting.
      ...(slots.length > min && demanded() ? [now() + Math.max(shrinkAfter, 1_000)] : [])
    ]
    // What is due already and was not done waits for something else to change.
    return Math.min(Infinity, ...times.filter((time) => time > now()))
  }

  const supervise = Effect.gen(function*() {
    yield* grow()
    yield* shrink()
    next = nextTime()
    const news = Queue.take(signal)
    yield* next === Infinity ? news : Effect.timeoutOption(news, next - now())
    next = Infinity
  })

  const stop = () => {
    draining = true
    const refused = [...queue.values()]
    queue.clear()
    for (const { resume } of refused) resume(refuse)
    if (inFlight === 0) Deferred.doneUnsafe(drained, Exit.void)
    changed()
  }

  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      stop()
      return Effect.forEach(slots, close, { concurrency: "unbounded", discard: true })
    })
  )
  for (let count = 0; count < min; count++) yield* add
  if (max > 1 || min === 0) yield* Effect.forkIn(Effect.forever(supervise), scope)

  return {
    use,
    session,
    drain: Effect.fnUntraced(function*(grace) {
      stop()
      yield* Effect.forEach(slots, ({ replica }) => replica.drain, { discard: true })
      yield* Effect.timeoutOption(Deferred.await(drained), grace)
    }),
    resume: Effect.suspend(() => Effect.forEach(slots, ({ replica }) => replica.resume, { discard: true })),
    clients: () => slots.flatMap(({ replica }) => replica.current() ?? []),
    statusUnsafe: () => status,
    replicas: () => slots.map(({ inFlight, status }) => ({ status, inFlight })),
    inFlightUnsafe: () => inFlight,
    queuedUnsafe: () => queue.size
  }
})
