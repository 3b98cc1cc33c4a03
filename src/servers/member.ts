/**
 * One supervised connection of a server: made when it is first needed, shared
 * by all who call, made again when it is lost.
 *
 * A single fiber of the member's own connects, waits for the end and connects
 * again, so a caller who is interrupted spoils nothing. Callers wait while it
 * connects. How a failure goes on:
 *
 * | it failed | status | calls | next attempt |
 * |---|---|---|---|
 * | after it was ready | `Reconnecting` | wait | after the delay of the schedule |
 * | the same, on demand, with nobody waiting | `Idle` | connect | with the next call, not before that delay |
 * | before it was ready | `Failed` | fail at once with `ServerUnavailable` | after the delay; on demand: with the first call after it |
 * | too often in a row (the circuit is open) | `Failed` | the same | one, after the cooldown |
 * | and the schedule ended | `Failed` | try | with the next call |
 * | for want of credentials | `NeedsAuthorization` | fail at once with that | when a token has arrived, or after `resume` |
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import * as PubSub from "effect/PubSub"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Arrival from "../auth/arrival.ts"
import { Attended } from "../auth/Attended.ts"
import { isOutage } from "../auth/Problem.ts"
import * as Patience from "../internal/patience.ts"
import * as Signs from "../internal/signs.ts"
import type { McpClient } from "../McpClient.ts"
import * as McpError from "../McpError.ts"
import type * as Policy from "./policy.ts"
import * as Status from "./status.ts"

export type Client = McpClient["Service"]

export interface Member {
  readonly status: SubscriptionRef.SubscriptionRef<Status.Status>
  readonly statusUnsafe: () => Status.Status
  /** The connection while it is ready. */
  readonly current: () => Client | undefined
  /**
   * The connection; makes it, or waits for it, as long as it takes. Fails with
   * the reason a first attempt failed for, and at once with
   * `ServerUnavailable` or `ServerDraining`. Interruption only ends the waiting.
   */
  readonly client: Effect.Effect<Client, McpError.McpError>
  /** A call on the connection failed. Where that means the server wants other credentials, the connection is given up. */
  readonly failed: (client: Client, cause: Cause.Cause<unknown>) => void
  /** Forgets what failed before: a waiting attempt is made now, otherwise the next call makes one. */
  readonly resume: Effect.Effect<void>
  /** When it is to be tried again although nobody calls; `undefined` when that is for a call or for `resume`. */
  readonly retryAt: () => number | undefined
  /** Refuses whoever asks for the connection from now on. It stays open until the member's scope is closed. */
  readonly drain: Effect.Effect<void>
}

export interface Options {
  readonly name: string
  /** Run in a scope of each connection's own. */
  readonly connect: Effect.Effect<Client, McpError.McpError, Scope.Scope>
  readonly policy: Pick<Policy.Policy, "health" | "reconnect">
  /** What a connection needs before it is ready; `again` when there was one before. */
  readonly restore?: (client: Client, again: boolean) => Effect.Effect<void, McpError.McpError, Scope.Scope>
  /** Whether somebody waits for news of the server, which is demand too. */
  readonly demanded?: () => boolean
  /** Whether a call is under way on the connection: for a user's call one may be asked to log in. */
  readonly inUse?: () => boolean
  /** Told of every transition, as it happens. */
  readonly onStatus?: (status: Status.Status) => void
}

/** A member that is not connected yet. Closing the scope interrupts whatever it does and closes its connection. */
export const make = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<Member, never, Scope.Scope> {
  const { health, reconnect } = options.policy
  const { breaker } = reconnect
  const lasting = Duration.toMillis(reconnect.lasting)
  const clock = yield* Clock.Clock
  const status = yield* SubscriptionRef.make(Status.Idle)
  const fiber = yield* FiberHandle.make<void>()
  const run = yield* FiberHandle.runtime(fiber)()
  const watch = yield* FiberHandle.makeRuntime<never>()

  /** The connection that is ready, and how to end it. */
  let current: { readonly client: Client; readonly lost: Deferred.Deferred<never, McpError.McpError> } | undefined
  /** Those who wait for the connection. */
  let waiting: Deferred.Deferred<Client, McpError.McpError> | undefined
  let waiters = 0
  /** Those among them who do so for a user. */
  let users = 0
  /** Whether the fiber goes on, and whether it shall make another attempt after the one it makes. */
  let running = false
  let again = false
  /** Whether there was a connection since it was last given up. */
  let had = false
  let ever = false
  let draining = false
  /** Of the connection that has not failed yet. */
  let readyAt: number | undefined
  /** Failures in a row: attempts, and connections that did not last. */
  let failures = 0
  let circuitOpen = false
  /** Attempts since the last connection that lasted, and their schedule. */
  let attempts = 0
  let backoff: Backoff | undefined
  /** When the next attempt may be made, and why it is needed. */
  let next: number | undefined = 0
  let failure: McpError.McpError | undefined
  /** The schedule has ended, or there is none: `next` is only when a call may try. */
  let isOver = false
  let sooner = Deferred.makeUnsafe<void>()

  const become = (value: Status.Status) => {
    if (status.value._tag === "Draining" || (status.value === value)) return
    status.value = value
    PubSub.publishUnsafe(status.pubsub, value)
    options.onStatus?.(value)
  }

  const settle = (result: Effect.Effect<Client, McpError.McpError>) => {
    if (waiting === undefined) return
    Deferred.doneUnsafe(waiting, result)
    waiting = undefined
  }

  const refusal = (reason: McpError.McpErrorReason) => Effect.fail(McpError.make(reason, options.name))

  // ---------------------------------------------------------------------------
  // What happens to a connection
  // ---------------------------------------------------------------------------

  const ready = (client: Client) => {
    const lost = Deferred.makeUnsafe<never, McpError.McpError>()
    current = { client, lost }
    had = ever = true
    readyAt = clock.currentTimeMillisUnsafe()
    become(Status.Ready)
    settle(Effect.succeed(client))
    return lost
  }

  /** From here on nobody is given the connection; its fiber sees to the rest. */
  const lose = (client: Client, error: McpError.McpError) => {
    if (current?.client !== client) return
    Deferred.doneUnsafe(current.lost, Effect.fail(error))
    current = undefined
  }

  const giveUp = (error: McpError.McpError, value: Status.Status) => {
    had = false
    // Whoever follows the status may call at once, and waits for the next attempt.
    const before = waiting
    waiting = undefined
    become(value)
    if (before !== undefined) Deferred.doneUnsafe(before, Effect.fail(error))
  }

  const forget = () => {
    failures = 0
    attempts = 0
    backoff = undefined
    circuitOpen = false
  }

  /** Before anything of the connection is torn down, so that nobody is given what is broken. */
  const failed = Effect.fnUntraced(function*(error: McpError.McpError) {
    const now = clock.currentTimeMillisUnsafe()
    if (readyAt !== undefined && now - readyAt >= lasting) forget()
    else failures += 1
    current = readyAt = undefined
    failure = error
    if (draining) return
    if (isUnauthorized(error)) {
      giveUp(error, Status.NeedsAuthorization({ error }))
      return awaitToken(error)
    }
    attempts += 1
    backoff ??= yield* toBackoff(reconnect.schedule)
    const delay = reconnect.when === "never" ? undefined : yield* backoff(now, error)
    isOver = delay === undefined
    circuitOpen = breaker !== undefined && failures >= breaker.failures
    again = delay !== undefined && (reconnect.when === "eager" || (had && (waiters > 0 || options.demanded?.() === true)))
    const due = circuitOpen && breaker !== undefined ? breaker.cooldown : delay ?? Duration.zero
    const given = reconnect.when === "never" && had && !circuitOpen
    next = given ? undefined : now + Math.ceil(Duration.toMillis(due))
    if (delay === undefined) {
      // The row is over; whoever calls begins another one.
      backoff = undefined
      attempts = 0
    }
    if (!had || circuitOpen || delay === undefined) return giveUp(error, Status.Failed({ error, next }))
    become(again ? Status.Reconnecting({ attempt: attempts, next: now + Duration.toMillis(due), error }) : Status.Idle)
  })

  /** Asks a server that says nothing by itself; ends with why its connection is to be given up. */
  const examine = (client: Client, { failures, interval, timeout }: Policy.Health): Effect.Effect<McpError.McpError> => {
    const silent = McpError.make(
      new McpError.ConnectionClosed({ by: "server", detail: `it did not answer ${failures} health checks in a row` }),
      options.name
    )
    const heard = () => Signs.of(client)?.receivedBytes() ?? 0
    const checks = (missed: number, before = heard()): Effect.Effect<McpError.McpError> => {
      const isHeard = () => heard() !== before
      if (missed >= failures) return Effect.succeed(silent)
      return Effect.flatMap(Effect.sleep(interval), () =>
        isHeard() ? checks(0) : Effect.flatMap(ask(client, timeout), (answer) =>
          McpError.isMcpError(answer) ? Effect.succeed(answer) : checks(answer || isHeard() ? 0 : missed + 1)))
    }
    return checks(0)
  }

  const attended = () => current === undefined ? users > 0 : options.inUse?.() === true

  /** One connection, from the attempt to its end. */
  const connection = Effect.gen(function*() {
    const client = yield* Effect.provideService(options.connect, Attended, attended)
    if (options.restore !== undefined) yield* options.restore(client, ever)
    const lost = ready(client)
    const loseWith = (why: Effect.Effect<McpError.McpError>) =>
      Effect.forkScoped(Effect.map(why, (error) => lose(client, error)), { startImmediately: true })
    yield* loseWith(client.closed)
    if (health !== undefined) yield* loseWith(examine(client, health))
    // Fails with why it ended, so that what is still in flight is told the same.
    return yield* Deferred.await(lost)
  }).pipe(
    Effect.catchCause((cause) => Effect.fail(errorOf(options.name, cause))),
    Effect.tapError(failed),
    Effect.mapError((error) => isUnauthorized(error) ? unauthorized(options.name) : error),
    Effect.scoped,
    Effect.ignore
  )

  /** Goes on by itself once somebody has logged in. */
  const awaitToken = ({ reason }: McpError.McpError) => {
    const arrival = Arrival.after(reason)
    if (arrival === undefined) return
    watch(Effect.map(arrival.wait, () => {
      resume()
      if (status.value === Status.Idle && reconnect.when === "eager") start()
    }))
  }

  const resume = () => {
    forget()
    if (current !== undefined) return
    next = 0
    Deferred.doneUnsafe(sooner, Effect.void)
    const { _tag } = status.value
    if (_tag === "NeedsAuthorization" || (_tag === "Failed" && !running)) become(Status.Idle)
  }

  const attempt = Effect.suspend(() => {
    const now = clock.currentTimeMillisUnsafe()
    const wait = Math.max(0, (next ?? now) - now)
    sooner = Deferred.makeUnsafe()
    const due = wait === 0
      ? Effect.void
      : Effect.raceFirst(Effect.sleep(Duration.millis(wait)), Deferred.await(sooner))
    return Effect.andThen(due, Effect.suspend(() => {
      if (draining) return Effect.void
      again = false
      if (!had) become(Status.Connecting)
      return connection
    }))
  })

  const supervise: Effect.Effect<void> = Effect.suspend(() => {
    running = again && !draining
    return running ? Effect.andThen(attempt, supervise) : Effect.void
  })

  /** Begins an attempt, or lets the fiber go on with another one. */
  const start = () => {
    again = true
    if (running) return
    running = true
    run(supervise)
  }

  // ---------------------------------------------------------------------------
  // What callers do
  // ---------------------------------------------------------------------------

  const wait = (begin: () => void) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Attended, (attended) => {
        // The fiber may be done before this one goes on.
        const deferred = waiting ??= Deferred.makeUnsafe()
        const user = attended() ? 1 : 0
        waiters += 1
        users += user
        begin()
        return Effect.ensuring(
          restore(Deferred.await(deferred)),
          Effect.sync(() => {
            waiters -= 1
            users -= user
          })
        )
      })
    )

  const client: Effect.Effect<Client, McpError.McpError> = Effect.suspend((): Effect.Effect<Client, McpError.McpError> => {
    if (draining) return refusal(new McpError.ServerDraining())
    if (current !== undefined) return Effect.succeed(current.client)
    const now = clock.currentTimeMillisUnsafe()
    switch (status.value._tag) {
      case "Idle": {
        if (had && failure !== undefined && next !== undefined) {
          become(Status.Reconnecting({ attempt: attempts, next, error: failure }))
        } else become(Status.Connecting)
        return wait(start)
      }
      case "Failed": {
        const { error } = status.value
        if (next !== undefined && next <= now) {
          become(Status.Connecting)
          return wait(start)
        }
        return refusal(
          new McpError.ServerUnavailable({
            ...(next === undefined ? undefined : { retryAfterMillis: next - now }),
            circuitOpen,
            failure: error.reason._tag,
            detail: error.reason.message
          })
        )
      }
      case "NeedsAuthorization": {
        const { error } = status.value
        const arrival = Arrival.after(error.reason)
        if (arrival === undefined) return Effect.fail(error)
        // Another program may have got one, of which nobody here is told.
        return Effect.flatMap(Effect.zip(arrival.isThere, Attended), ([there, attended]) => {
          if (!there && !(arrival.unasked && attended())) return Effect.fail(error)
          if (status.value._tag === "NeedsAuthorization") resume()
          return client
        })
      }
      default:
        return wait(() => {})
    }
  })

  const drain = Effect.sync(() => {
    if (draining) return
    become(Status.Draining)
    draining = true
    settle(refusal(new McpError.ServerDraining()))
    Deferred.doneUnsafe(sooner, Effect.void)
  })

  // Runs before the fiber is interrupted: nobody is left waiting for it.
  yield* Effect.addFinalizer(() => drain)

  return {
    status,
    statusUnsafe: () => status.value,
    current: () => draining ? undefined : current?.client,
    client,
    failed: (client, cause) => {
      const error = Cause.squash(cause)
      if (McpError.isMcpError(error) && isUnauthorized(error)) lose(client, error)
    },
    resume: Effect.sync(resume),
    retryAt: () => isOver ? undefined : next,
    drain
  }
})

/** How long to wait after a failure; `undefined` when the schedule has ended. */
type Backoff = (now: number, error: McpError.McpError) => Effect.Effect<Duration.Duration | undefined>

const toBackoff = (schedule: Policy.Reconnect["schedule"]): Effect.Effect<Backoff> =>
  Effect.map(Schedule.toStep(schedule), (step): Backoff => (now, error) =>
    Pull.catchDone(
      Effect.map(step(now, error), ([, delay]): Duration.Duration | undefined => delay),
      () => Effect.undefined
    ))

/** Whether nothing but other credentials helps. An authorization server in trouble is an outage like others. */
const isUnauthorized = ({ reason }: McpError.McpError): boolean => {
  switch (reason._tag) {
    case "HttpStatus":
      return reason.status === 401
    case "NeedsAuthorization":
      // With others, only one call wants more than there is.
      return reason.scopes === undefined
    case "Unauthorized":
      return reason.stage === "authorization" || reason.stage === "request" ||
        (reason.stage === "token" && !isOutage(reason.code))
    default:
      return false
  }
}

/** What the other calls of a connection are told. */
const unauthorized = (server: string): McpError.McpError =>
  McpError.make(new McpError.ConnectionClosed({ by: "client", detail: "the server refused the credentials of another call" }), server)

/** Whether a server is there, as it is whatever it answers; or why it cannot be used. */
const ask = (client: Client, timeout: Duration.Duration): Effect.Effect<boolean | McpError.McpError> =>
  client.ping.pipe(
    Effect.match({
      onSuccess: () => true,
      onFailure: (error) =>
        isUnauthorized(error)
          ? error
          : error.reason._tag === "RemoteError" || error.reason._tag === "InvalidResponse" || error.reason._tag === "Unsupported"
    }),
    // A ping may wait for a user to log in.
    Patience.timeoutOrElse({ duration: timeout, lastAsked: Signs.of(client)?.lastAsked, orElse: () => Effect.succeed(false) })
  )

/** A connect that dies is a failure like any other to those who wait for it. */
const errorOf = (server: string, cause: Cause.Cause<McpError.McpError>): McpError.McpError => {
  const error = Cause.squash(cause)
  return McpError.isMcpError(error)
    ? error
    : McpError.make(new McpError.ConnectionClosed({ by: "client", detail: `connecting died: ${String(error)}` }), server)
}
