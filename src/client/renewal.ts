/**
 * What happens when a server has forgotten its session, as it may after a
 * restart or a while of silence (L-22): a new one is begun once for all who
 * notice, others wait for it, and then only what is safe to ask again is asked
 * again.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type * as Connection from "../Connection.ts"
import * as McpError from "../McpError.ts"
import { isIdempotent } from "../protocol/Idempotent.ts"

/**
 * The same connection, whose requests outlive the server's session. A request
 * that met the end of a session is made once more when it was never handled, or
 * is safe to repeat; any other fails with `SessionExpired`. When no new session
 * can be begun, those that waited for it fail with that reason, and the next
 * request tries again. Waiting counts as silence of the server.
 */
export const make = (options: {
  readonly server: string
  readonly connection: Connection.Connection
  readonly limits: Connection.Limits
  /** Begins a new session, over `connection` itself. */
  readonly renew: Effect.Effect<void, McpError.McpError>
  /** A renewal is everybody's: it ends with the connection, not with the caller that noticed first. */
  readonly scope: Scope.Scope
}): Connection.Connection => {
  const { connection, limits, renew, scope, server } = options
  /** Sessions that were lost; tells a late failure of an old one from a failure of the present one. */
  let lost = 0
  let alive = true
  let renewal: Deferred.Deferred<void, McpError.McpError> | undefined

  const end = (renewed: Deferred.Deferred<void, McpError.McpError>, exit: Exit.Exit<void, McpError.McpError>) => {
    renewal = undefined
    alive = Exit.isSuccess(exit)
    // Interrupted by its scope alone: for those who wait, the connection was closed.
    const closed = Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
    Deferred.doneUnsafe(renewed, closed ? Exit.fail(McpError.make(McpError.scopeClosed, server)) : exit)
  }

  const renewed = Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      if (renewal !== undefined) return restore(Deferred.await(renewal))
      const begun = renewal = Deferred.makeUnsafe<void, McpError.McpError>()
      return Effect.andThen(
        Effect.forkIn(Effect.onExit(renew, (exit) => Effect.sync(() => end(begun, exit))), scope),
        restore(Deferred.await(begun))
      )
    })
  )

  const waitForSession = (method: string, request: Connection.RequestOptions | undefined) => {
    const timeout = request?.timeout ?? limits.timeout ?? "60 seconds"
    return Effect.timeoutOrElse(renewed, {
      duration: timeout,
      orElse: () => {
        const millis = Duration.toMillis(timeout)
        return Effect.fail(McpError.make(new McpError.RequestTimeout({ method, limit: "idle", millis }), server))
      }
    })
  }

  const send = <A>(
    method: string,
    params: Connection.Params,
    request: Connection.RequestOptions | undefined,
    read: Connection.Read<A>,
    first: boolean
  ): Effect.Effect<A, McpError.McpError> =>
    Effect.suspend(() => {
      if (!alive) return Effect.andThen(waitForSession(method, request), send(method, params, request, read, first))
      const session = lost
      return Effect.catch(connection.requestAs(method, params, request, read), (error) => {
        const { reason } = error
        if (reason._tag !== "SessionExpired") return Effect.fail(error)
        if (session === lost) {
          lost += 1
          alive = false
        }
        const ready = alive ? Effect.void : waitForSession(method, request)
        return first && (!reason.delivered || isIdempotent(method))
          ? Effect.andThen(ready, send(method, params, request, read, false))
          // What became of this request matters more to its caller than what became of the session.
          : Effect.andThen(Effect.ignore(ready), Effect.fail(error))
      })
    })

  return {
    ...connection,
    request: (method, params, request) => send(method, params, request, Effect.succeed, true),
    requestAs: (method, params, request, read) => send(method, params, request, read, true)
  }
}
