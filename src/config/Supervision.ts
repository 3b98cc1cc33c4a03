/**
 * How a server of a config is kept: when it is connected again, whether its
 * health is asked, how many of it there are, how long an idle one stays. These
 * fields are for every kind of server; `servers/policy.ts` has their defaults.
 */
import * as Schema from "effect/Schema"
import { Timeout, Wait } from "./Time.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Positive = Schema.Int.check(Schema.isGreaterThan(0))

/** What happens when the connection is lost, or could not be made. */
const Reconnect = Schema.Struct({
  /** `eager`: at once. `on-demand`: with the next call. `never`: not by itself. */
  when: Schema.optionalKey(Schema.Literals(["eager", "on-demand", "never"])),
  /** Attempts in a row, after which it is given up. */
  attempts: Schema.optionalKey(Count),
  /** Before the first of them. */
  baseDelay: Schema.optionalKey(Wait),
  /** By which the delay grows with each. */
  factor: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(1))),
  maxDelay: Schema.optionalKey(Wait),
  /** Whether delays are shortened at random. */
  jitter: Schema.optionalKey(Schema.Boolean),
  /** A connection that lasted this long ends a row of failures. */
  lasting: Schema.optionalKey(Wait),
  /** What stops a server that keeps crashing. */
  breaker: Schema.optionalKey(Schema.Struct({
    /** After this many failures in a row it is left alone; 0: never. */
    failures: Schema.optionalKey(Count),
    /** For this long. Then one attempt decides. */
    cooldown: Schema.optionalKey(Timeout)
  }))
})

/** Asking a quiet server whether it is still there. */
const Health = Schema.Struct({
  /** How often; `0` is never. */
  interval: Schema.optionalKey(Wait),
  /** How long one answer may take. */
  timeout: Schema.optionalKey(Timeout),
  /** Answers missed in a row, after which the connection counts as lost. */
  failures: Schema.optionalKey(Positive)
})

/** Several processes, or connections, of one server. */
const Replicas = Schema.Struct({
  /** Kept also without any call. */
  min: Schema.optionalKey(Count),
  max: Schema.optionalKey(Positive),
  /** Calls in flight on each of them; further calls wait. */
  maxInFlight: Schema.optionalKey(Positive),
  /** Calls that may wait. */
  maxQueue: Schema.optionalKey(Count),
  /** How long calls have to wait before another replica is started. */
  growAfter: Schema.optionalKey(Wait),
  /** How long a replica has to be idle before it is closed. */
  shrinkAfter: Schema.optionalKey(Timeout)
}).check(
  Schema.makeFilter(({ max, min }) =>
    min !== undefined && max !== undefined && min > max
      ? { path: ["min"], issue: "Must not be greater than \"max\"" }
      : undefined
  )
)

/** The fields, to be part of every entry. */
export const fields = {
  reconnect: Schema.optionalKey(Reconnect),
  health: Schema.optionalKey(Health),
  replicas: Schema.optionalKey(Replicas),
  /** How long a connection nobody uses stays open. */
  idleTimeToLive: Schema.optionalKey(Schema.Union([Schema.Literal("forever"), Wait])),
  /** Whether users share a connection, or each scope has its own. */
  isolation: Schema.optionalKey(Schema.Literals(["shared", "scope"])),
  /** How long calls in flight may go on when the server is closed. */
  drainGrace: Schema.optionalKey(Wait)
}

export const names = ["reconnect", "health", "replicas", "idleTimeToLive", "isolation", "drainGrace"] as const

const Fields = Schema.Struct(fields)

/** The same, decoded. */
export type Supervision = typeof Fields.Type
