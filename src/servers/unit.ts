/** One server for one principal: its replicas, what outlives their connections, and the client in front of them. */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Limits } from "../Connection.ts"
import * as McpError from "../McpError.ts"
import * as Facade from "./client.ts"
import * as Continuity from "./continuity.ts"
import * as Member from "./member.ts"
import type * as Policy from "./policy.ts"
import * as Replicas from "./replicas.ts"
import type { Status } from "./status.ts"

export interface Unit {
  /** The client; connects when there was no connection yet. */
  readonly client: Effect.Effect<Member.Client, McpError.McpError>
  /** One connection, waited for no longer than a call without limits of its own. */
  readonly session: Effect.Effect<Member.Client, McpError.McpError, Scope.Scope>
  readonly resume: Effect.Effect<void>
  /** Refuses new calls, and waits for those in flight as long as the grace lasts. */
  readonly drain: (grace: Duration.Input) => Effect.Effect<void>
}

/** Connects nothing yet. Closing the scope closes every connection. */
export const make = Effect.fnUntraced(function*(options: {
  readonly name: string
  readonly policy: Policy.Policy
  readonly limits: Limits
  readonly connect: Effect.Effect<Member.Client, McpError.McpError, Scope.Scope>
  readonly onStatus: ((status: Status) => void) | undefined
}): Effect.fn.Return<Unit, never, Scope.Scope> {
  const { connect, limits, name, policy } = options
  const continuity = Continuity.make()
  const closed = yield* Deferred.make<McpError.McpError>()
  const replicas = yield* Replicas.make({
    name,
    options: policy.replicas,
    member: (onStatus, inUse) =>
      Member.make({ name, connect, policy, restore: continuity.restore, demanded: continuity.demanded, inUse, onStatus }),
    demanded: continuity.demanded,
    onStatus: options.onStatus
  })
  // Registered last, so that it runs first: readers learn of the end before the connections are gone.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      const error = McpError.make(new McpError.ServerDraining(), name)
      continuity.end(error)
      Deferred.doneUnsafe(closed, Effect.succeed(error))
    })
  )

  let client: Member.Client | undefined
  return {
    client: Effect.suspend(() => {
      if (client !== undefined) return Effect.succeed(client)
      // Where there is a connection no place has to be free: that is for calls to wait for.
      const [there] = replicas.clients()
      return Effect.map(there === undefined ? replicas.use(Effect.succeed) : Effect.succeed(there), (first) =>
        client ??= Facade.make({ name, continuity, replicas, first, limits, closed: Deferred.await(closed) }))
    }),
    session: replicas.session({ within: Facade.waitingTime(limits) }),
    resume: replicas.resume,
    drain: replicas.drain
  }
})
