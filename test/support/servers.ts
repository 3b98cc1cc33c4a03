/** A server whose connections a test can refuse, hold up and end, and which counts them. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as McpClient from "../../src/McpClient.ts"
import * as McpError from "../../src/McpError.ts"
import type { Client } from "../../src/servers/member.ts"
import * as ScriptedServer from "./scriptedServer.ts"

export const refused = (detail = "refused"): McpError.McpError =>
  McpError.make(new McpError.Unreachable({ url: "http://x", delivered: false, detail }), "s")

export const closedByServer = new McpError.ConnectionClosed({ by: "server", detail: "it went away" })

export interface Controlled {
  /** Attempts, connections made, and those open now. */
  attempts: number
  open: number
  /** What the next attempts meet: an error, or a gate to wait at. The rest succeed. */
  readonly obstacles: Array<McpError.McpError | Deferred.Deferred<void>>
  readonly script: ScriptedServer.Script
  readonly connect: Effect.Effect<Client, McpError.McpError, Scope.Scope>
  /** Ends the latest connection. */
  readonly lose: Effect.Effect<void>
}

export const controlled = (script: ScriptedServer.Script = ScriptedServer.modern({})): Controlled => {
  const it: Controlled = {
    attempts: 0,
    open: 0,
    obstacles: [],
    script,
    connect: Effect.gen(function*() {
      it.attempts += 1
      const obstacle = it.obstacles.shift()
      if (McpError.isMcpError(obstacle)) return yield* Effect.fail(obstacle)
      if (obstacle !== undefined) yield* Deferred.await(obstacle)
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          it.open += 1
        }),
        () =>
          Effect.sync(() => {
            it.open -= 1
          })
      )
      const transport = yield* Layer.build(Layer.fresh(ScriptedServer.layer(script)))
      return yield* Effect.provideContext(McpClient.make({ name: "s" }), transport)
    }),
    lose: Effect.suspend(() => script.peer?.close(closedByServer) ?? Effect.die("not connected"))
  }
  return it
}
