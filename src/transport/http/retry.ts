/** Whether and when a request is made again (see `RetryPolicy`). */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as McpError from "../../McpError.ts"
import { isIdempotent } from "../../protocol/Idempotent.ts"
import type { RetryPolicy } from "./options.ts"

export interface Policy {
  readonly attempts: number
  readonly base: number
  readonly max: number
  readonly jitter: boolean
}

export const resolve = (policy: RetryPolicy | undefined): Policy => ({
  attempts: policy?.attempts ?? 2,
  base: Duration.toMillis(policy?.baseDelay ?? "250 millis"),
  max: Duration.toMillis(policy?.maxDelay ?? "10 seconds"),
  jitter: policy?.jitter ?? true
})

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

/** Runs a request again as the policy allows. Each run closes what it opened. */
export const run = <A, R>(
  policy: Policy,
  situation: () => Situation,
  attempt: Effect.Effect<A, McpError.McpErrorReason, R>
): Effect.Effect<A, McpError.McpErrorReason, R> => {
  const go = (tries: number): Effect.Effect<A, McpError.McpErrorReason, R> =>
    Effect.catch(attempt, (reason) => {
      const wait = asked(reason, situation())
      if (wait === undefined || wait > policy.max || tries >= policy.attempts) return Effect.fail(reason)
      const backoff = Math.min(policy.base * 2 ** tries, policy.max)
      return Random.next.pipe(
        Effect.flatMap((random) => Effect.sleep(Math.max(wait, policy.jitter ? backoff * (1 - random / 2) : backoff))),
        Effect.andThen(go(tries + 1))
      )
    })
  return Effect.suspend(() => go(0))
}
