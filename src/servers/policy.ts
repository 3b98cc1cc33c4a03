/**
 * Supervision as data: when a server is connected again, whether its health is
 * asked, how many of it there are, how long an idle one stays. The config has
 * the same fields under the same names; here they get their defaults.
 *
 * | field | default |
 * |---|---|
 * | `reconnect.when` | `eager` |
 * | `reconnect.attempts` | no limit but the breaker |
 * | `reconnect.baseDelay`, `factor`, `maxDelay` | 500 ms, 2, 30 s |
 * | `reconnect.jitter` | `true`: each delay is shortened by up to a half |
 * | `reconnect.lasting` | 30 s |
 * | `reconnect.breaker` | 5 failures in a row open it for 30 s |
 * | `health` | asked every 30 s, 10 s for an answer, lost after 3 missed; stdio: not asked |
 * | `idleTimeToLive` | 5 minutes |
 * | `isolation` | `shared` |
 * | `replicas.min`, `max` | 1, 1 |
 * | `replicas.maxInFlight` | no limit for a single one; otherwise 16 |
 * | `replicas.maxQueue` | 1,024 |
 * | `replicas.growAfter`, `shrinkAfter` | 0, 60 s |
 * | `drainGrace` | 5 s |
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type { Supervision } from "../config/Supervision.ts"
import type * as McpError from "../McpError.ts"

/** As in a config; in code, durations are whatever Effect takes for one. */
type Inputs<A> = A extends Duration.Duration ? Duration.Input
  : A extends object ? { readonly [K in keyof A]: Inputs<A[K]> }
  : A

type Fields = Inputs<Supervision>
type ReconnectFields = NonNullable<Fields["reconnect"]>

/** When a server is tried again, by a Schedule of one's own. Its inputs are the errors; where it ends, the server is given up. */
export interface ReconnectSchedule extends Pick<ReconnectFields, "when" | "lasting" | "breaker"> {
  readonly schedule: Schedule.Schedule<unknown, McpError.McpError>
}

/** The fields of the config; in the place of the delays a Schedule can be given. */
export interface Options extends Omit<Fields, "reconnect"> {
  readonly reconnect?: ReconnectFields | ReconnectSchedule
}

/** Whether and when a lost connection is made again. */
export interface Reconnect {
  readonly when: "eager" | "on-demand" | "never"
  /** Of the attempts after a failure. */
  readonly schedule: Schedule.Schedule<unknown, McpError.McpError>
  readonly lasting: Duration.Duration
  /** `undefined`: nothing stops it. */
  readonly breaker: { readonly failures: number; readonly cooldown: Duration.Duration } | undefined
}

/** Asking whether a quiet server is still there. */
export interface Health {
  readonly interval: Duration.Duration
  readonly timeout: Duration.Duration
  readonly failures: number
}

/** How many there are of one server. */
export interface Replicas {
  readonly min: number
  readonly max: number
  /** On each; infinite: no limit. */
  readonly maxInFlight: number
  readonly maxQueue: number
  readonly growAfter: Duration.Duration
  readonly shrinkAfter: Duration.Duration
}

/** Everything that supervision asks for, decided. */
export interface Policy {
  readonly reconnect: Reconnect
  /** `undefined`: it is not asked. */
  readonly health: Health | undefined
  /** Infinite: as long as the runtime. */
  readonly idleTimeToLive: Duration.Duration
  readonly isolation: "shared" | "scope"
  readonly replicas: Replicas
  readonly drainGrace: Duration.Duration
}

/**
 * The policy for a server, with a default for whatever is left open. An entry
 * of a config, decoded or resolved, is such options.
 *
 * **Example**
 *
 * ```ts
 * const pool = Policy.make({ replicas: { max: 4, maxInFlight: 1 }, idleTimeToLive: "forever" })
 * const patient = Policy.make({ drainGrace: "1 minute", reconnect: { schedule: Schedule.spaced("1 minute") } })
 * ```
 */
export const make = (options: Options & { readonly _tag?: string } = {}): Policy => {
  const { drainGrace = "5 seconds", idleTimeToLive = "5 minutes", isolation = "shared" } = options
  return {
    reconnect: reconnect(options.reconnect ?? {}),
    health: options.health === undefined && options._tag === "Stdio" ? undefined : health(options.health ?? {}),
    idleTimeToLive: idleTimeToLive === "forever" ? Duration.infinity : duration(idleTimeToLive),
    isolation,
    replicas: replicas(options.replicas ?? {}),
    drainGrace: duration(drainGrace)
  }
}

const duration = Duration.fromInputUnsafe

const reconnect = (options: ReconnectFields | ReconnectSchedule): Reconnect => {
  const { breaker = {}, lasting = "30 seconds", when = "eager" } = options
  const { cooldown = "30 seconds", failures = 5 } = breaker
  return {
    when,
    schedule: "schedule" in options ? options.schedule : schedule(options),
    lasting: duration(lasting),
    breaker: failures === 0 ? undefined : { failures, cooldown: duration(cooldown) }
  }
}

const schedule = (options: ReconnectFields): Reconnect["schedule"] => {
  const {
    attempts = Infinity,
    baseDelay = "500 millis",
    factor = 2,
    jitter = true,
    maxDelay = "30 seconds"
  } = options
  const longest = Duration.toMillis(maxDelay)
  return Schedule.exponential(baseDelay, factor).pipe(
    Schedule.modifyDelay(({ duration }) =>
      Effect.map(Random.next, (random) => {
        const delay = Math.min(Duration.toMillis(duration), longest)
        return Duration.millis(jitter ? delay * (1 - random / 2) : delay)
      })
    ),
    Schedule.setInputType<McpError.McpError>(),
    Schedule.while(({ attempt, input }) => attempt <= attempts && !isPermanent(input.reason))
  )
}

const health = (options: NonNullable<Fields["health"]>): Health | undefined => {
  const { failures = 3, interval = "30 seconds", timeout = "10 seconds" } = options
  const every = duration(interval)
  return Duration.isZero(every) ? undefined : { failures, interval: every, timeout: duration(timeout) }
}

const replicas = (options: NonNullable<Fields["replicas"]>): Replicas => {
  const { growAfter = 0, maxQueue = 1_024, shrinkAfter = "1 minute" } = options
  const max = Math.max(1, options.max ?? options.min ?? 1)
  return {
    min: Math.min(options.min ?? 1, max),
    max,
    maxInFlight: options.maxInFlight ?? (max === 1 ? Infinity : 16),
    maxQueue,
    growAfter: duration(growAfter),
    shrinkAfter: duration(shrinkAfter)
  }
}

/**
 * Whether trying again is pointless until somebody changes the config, the
 * credentials, the machine or the server.
 */
export const isPermanent = (reason: McpError.McpErrorReason): boolean => {
  switch (reason._tag) {
    case "InvalidConfig":
    case "ConfigUnreadable":
    case "UnsetVariables":
    case "UnknownServer":
    case "UnsupportedTransport":
    case "NegotiationFailed":
      return true
    case "SpawnFailed":
      return reason.kind !== "Other"
    case "HttpStatus":
      return reason.status >= 400 && reason.status < 500 && ![408, 425, 429].includes(reason.status)
    default:
      return false
  }
}
