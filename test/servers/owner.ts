/**
 * A program that owns a server: connects to `fault.ts` over stdio, says `ready`
 * when the server answers, and then ends as it is told, or stays until it is killed.
 *
 *     node owner.ts (wait | succeed | fail | die) [fault]…
 */
import { NodeRuntime } from "@effect/platform-node"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { fileURLToPath } from "node:url"
import * as NodeMcp from "../../src/node.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import * as StdioTransport from "../../src/transport/StdioTransport.ts"

const [end = "wait", ...faults] = process.argv.slice(2)

const ends: Record<string, Effect.Effect<void, string>> = {
  wait: Effect.never,
  succeed: Effect.void,
  fail: Effect.fail("told to fail"),
  die: Effect.die("told to die")
}

const program = Effect.gen(function*() {
  const transport = yield* StdioTransport.make({
    command: process.execPath,
    args: [fileURLToPath(new URL("fault.ts", import.meta.url)), ...faults],
    env: { PATH: process.env.PATH ?? "" },
    shutdown: { stdin: "300 millis", terminate: "300 millis" }
  })
  const answered = yield* Deferred.make<void>()
  const link = yield* transport.open({
    onMessage: () => Deferred.doneUnsafe(answered, Effect.void),
    onFailure: () => {},
    onDiagnostic: () => {},
    onClose: () => {}
  })
  link.send(JsonRpc.request(1, "ping", undefined))
  yield* Deferred.await(answered)
  yield* Effect.sync(() => process.stdout.write("ready\n"))
  yield* ends[end] ?? Effect.die(`unknown end ${end}`)
})

program.pipe(Effect.scoped, Effect.provide(NodeMcp.layer), NodeRuntime.runMain)
