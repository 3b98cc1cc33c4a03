/**
 * The same call to several servers, or to several replicas of one. Whatever is
 * not needed any more is interrupted, which cancels it at its server.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as McpError from "../McpError.ts"

/** A call for each server, by the server's name. */
export type Calls<A, R> = Readonly<Record<string, Effect.Effect<A, McpError.McpError, R>>>

/** What became of each call. */
export interface Outcomes<A> {
  readonly successes: ReadonlyMap<string, A>
  readonly failures: ReadonlyMap<string, McpError.McpError>
}

const allFailed = (failures: ReadonlyArray<readonly [server: string, error: McpError.McpError]>) =>
  McpError.make(
    new McpError.AllFailed({
      failures: failures.map(([server, { reason }]) => ({ server, tag: reason._tag, detail: reason.message }))
    })
  )

/**
 * What ends first, be it a failure. The others are interrupted. Fails with
 * `AllFailed` when there are no calls.
 */
export const first = <A, R>(calls: Calls<A, R>): Effect.Effect<A, McpError.McpError, R> => {
  const effects = Object.values(calls)
  return effects.length === 0 ? Effect.fail(allFailed([])) : Effect.raceAllFirst(effects)
}

/**
 * The first success; the others are interrupted. When there is none it fails
 * with `AllFailed`, which tells what each failed with.
 *
 * **Example**
 *
 * ```ts
 * const query = { query: "effect" }
 * const fastest = Race.firstSuccess({
 *   near: servers.use("near", (client) => client.callTool("search", query)),
 *   far: servers.use("far", (client) => client.callTool("search", query))
 * })
 * ```
 */
export const firstSuccess = <A, R>(calls: Calls<A, R>): Effect.Effect<A, McpError.McpError, R> =>
  Effect.suspend(() => {
    const failures = new Map<string, McpError.McpError>()
    const attempts = Object.entries(calls).map(([server, call]) =>
      Effect.tapError(call, (error) => Effect.sync(() => failures.set(server, error)))
    )
    const failed = () => allFailed(Object.keys(calls).flatMap((server) => {
      const error = failures.get(server)
      return error === undefined ? [] : [[server, error] as const]
    }))
    return attempts.length === 0 ? Effect.fail(failed()) : Effect.mapError(Effect.raceAll(attempts), failed)
  })

/** All of them, however they end. Default concurrency: all at once. */
export const all = <A, R>(
  calls: Calls<A, R>,
  options?: { readonly concurrency?: number | undefined }
): Effect.Effect<Outcomes<A>, never, R> =>
  Effect.map(
    Effect.forEach(
      Object.entries(calls),
      ([server, call]) => Effect.map(Effect.result(call), (result) => [server, result] as const),
      { concurrency: options?.concurrency ?? "unbounded" }
    ),
    (results) => {
      const successes = new Map<string, A>()
      const failures = new Map<string, McpError.McpError>()
      for (const [server, result] of results) {
        if (Result.isSuccess(result)) successes.set(server, result.success)
        else failures.set(server, result.failure)
      }
      return { successes, failures }
    }
  )

export interface HedgePolicy {
  /** How long an attempt may go without an answer until another is made beside it. */
  readonly after: Duration.Input
  /** Attempts in all. Default 2. */
  readonly max?: number | undefined
}

/**
 * Makes a call again, beside the first, when its answer is late; the first
 * success counts and the others are interrupted. A failure lets the next
 * attempt begin at once; when all have failed, the last failure is the result.
 *
 * **The call must be safe to make more than once**: a server may have done it
 * several times. On a pool, the second goes to another replica, since the
 * first is busy with the first.
 *
 * **Example**
 *
 * ```ts
 * const search = servers.use("web", (client) => client.callTool("search", { query: "effect" }))
 * const answer = Race.hedge(search, { after: "200 millis" })
 * ```
 */
export const hedge = <A, E, R>(call: Effect.Effect<A, E, R>, policy: HedgePolicy): Effect.Effect<A, E, R> =>
  // Not in the scope of the call, if that has one: what a call opens there is the caller's.
  Effect.acquireUseRelease(
    Scope.make(),
    Effect.fnUntraced(function*(attempts) {
      const max = Math.max(1, policy.max ?? 2)
      const after = Duration.fromInputUnsafe(policy.after)
      const ended = yield* Queue.bounded<Exit.Exit<A, E>>(max)
      let running = 0
      for (let attempt = 1;; attempt++) {
        if (attempt <= max) {
          running++
          yield* Effect.forkIn(Effect.onExit(call, (exit) => Queue.offer(ended, exit)), attempts, { startImmediately: true })
        }
        const next = Queue.take(ended)
        const exit = attempt < max ? yield* Effect.timeoutOption(next, after) : Option.some(yield* next)
        if (Option.isNone(exit)) continue
        running--
        if (Exit.isSuccess(exit.value) || (running === 0 && attempt >= max)) return yield* exit.value
      }
    }),
    Scope.close
  )
