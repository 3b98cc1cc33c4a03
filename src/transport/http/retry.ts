/** Whether and when a request is made again (see `RetryPolicy`). */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type * as McpError from "../../McpError.ts"
import { isIdempotent } from "../../protocol/Idempotent.ts"
import type { Options } from "./options.ts"

export interface Policy {
  readonly schedule: Schedule.Schedule<unknown, McpError.McpErrorReason>
  /** Milliseconds that a server may ask us to wait. */
  readonly longest: number
}

const backoff = (
  { attempts = 2, baseDelay = "250 millis", jitter = true, maxDelay = "10 seconds" }: Exclude<Options["retry"], Policy["schedule"] | undefined>
): Policy => {
  const longest = Duration.toMillis(maxDelay)
  return {
    longest,
    schedule: Schedule.exponential(baseDelay).pipe(
      Schedule.modifyDelay(({ duration }) =>
        Effect.map(Random.next, (random) => {
          const delay = Math.min(Duration.toMillis(duration), longest)
          return Duration.millis(jitter ? delay * (1 - random / 2) : delay)
        })
      ),
      Schedule.while(({ attempt }) => attempt <= attempts)
    )
  }
}

const standard = backoff({})

export const resolve = (policy: Options["retry"]): Policy =>
  policy === undefined
    ? standard
    : Schedule.isSchedule(policy)
    ? { schedule: policy, longest: Infinity }
    : backoff(policy)

export interface Situation {
  readonly method: string
  /** While nothing is agreed, a server that cannot be reached is reported at once. */
  readonly agreed: boolean
}

/** The wait the failure itself asks for; `undefined` when the request must not be repeated for it. */
const asked = (reason: McpError.McpErrorReason, { agreed, method }: Situation): number | undefined => {
  switch (reason._tag) {
    case "Unreachable":
      return agreed && !reason.delivered ? 0 : undefined
    case "HttpStatus":
      return (reason.status === 429 || reason.status === 503) && isIdempotent(method) ? reason.retryAfterMillis : undefined
    default:
      return undefined
  }
}

/** Runs a request again as the policy allows; the first time it may be under way already. Each run closes what it opened. */
export const run = <A, R>(
  { longest, schedule }: Policy,
  situation: () => Situation,
  attempt: Effect.Effect<A, McpError.McpErrorReason, R>,
  first = attempt
): Effect.Effect<A, McpError.McpErrorReason, R> =>
  Effect.catch(first, (reason) =>
    Effect.flatMap(Schedule.toStep(schedule), (step) => {
      const again = (reason: McpError.McpErrorReason): Effect.Effect<A, McpError.McpErrorReason, R> => {
        const wait = asked(reason, situation())
        if (wait === undefined || wait > longest) return Effect.fail(reason)
        const delay = Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Pull.catchDone(
            Effect.map(step(now, reason), ([, duration]) => Math.max(Duration.toMillis(duration), wait)),
            () => Effect.fail(reason)
          ))
        return Effect.flatMap(delay, (millis) => Effect.andThen(Effect.sleep(millis), Effect.catch(attempt, again)))
      }
      return again(reason)
    }))
