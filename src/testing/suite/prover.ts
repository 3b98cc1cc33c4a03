/** How a test of the suite runs: with a binding that is watched, and a way to connect over it. */
import { assert, type Vitest } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as McpClient from "../../McpClient.ts"
import type * as McpError from "../../McpError.ts"
import * as McpSchema from "../../protocol/McpSchema.ts"
import { Transport } from "../../Transport.ts"
import type { Capabilities } from "./capabilities.ts"
import * as Watched from "./watched.ts"

export type Client = McpClient.McpClient["Service"]

export interface Subject {
  /** Opens the binding once more, for as long as the scope is open. */
  readonly connect: Effect.Effect<Client, McpError.McpError, Scope.Scope>
  readonly watched: Watched.Watched
}

type Body<R> = (subject: Subject) => Effect.Effect<unknown, McpError.McpError, R | Transport | Scope.Scope>

export interface Prover<R> {
  (name: string, body: Body<R>): void
  /** With a server of its own, which the test may break. */
  readonly alone: (name: string, body: Body<R>) => void
}

export const prover = <R, E>(
  it: Vitest.Test<R | Transport | Scope.Scope>,
  layer: Layer.Layer<R | Transport, E>,
  { client, timeout = 60_000 }: Capabilities<R>
): Prover<R> => {
  const run = (body: Body<R>) =>
    Effect.gen(function*() {
      const watched = Watched.make(yield* Transport)
      const connect = Effect.provideService(McpClient.make(client), Transport, watched.binding)
      yield* Effect.scoped(body({ connect, watched }))
      assert.deepStrictEqual(watched.violations, [], "The binding keeps the contract of its receiver")
      assert.strictEqual(watched.open(), 0, "Every link that was opened tells that it is gone")
    })
  return Object.assign(
    (name: string, body: Body<R>) => it(name, () => run(body), timeout),
    {
      alone: (name: string, body: Body<R>) =>
        it(name, () => Effect.provide(run(body), Layer.fresh(layer)), timeout)
    }
  )
}

// =============================================================================
// What the tests say in one word
// =============================================================================

export const Sum = Schema.Struct({ sum: Schema.Finite })
const Labels = Schema.Struct({ labels: Schema.Array(Schema.String) })

export const textOf = (result: McpSchema.CallToolResult): string => McpSchema.textOf(result.content)

/** Why an operation failed; it must have failed with a typed error. */
export const reasonOf = <A>(exit: Exit.Exit<A, McpError.McpError>): McpError.McpErrorReason => {
  assert(Exit.isFailure(exit), "It fails")
  const [reason] = exit.cause.reasons
  assert(reason?._tag === "Fail", "It fails with a typed error")
  return reason.error.reason
}

/** Reasons a link is gone for without this side's doing. */
export const gone = ["ConnectionClosed", "ProcessExited", "Unreachable"]

let labels = 0

/** Arguments for a `slow` call that does not end, under a name of its own. */
export const endless = (): { readonly label: string; readonly steps: number; readonly millis: number } => ({
  label: `call-${++labels}`,
  steps: 100_000,
  millis: 5
})

/** Waits until the server tells this of a `slow` call. */
export const until = (
  client: Client,
  tool: "running" | "cancelled",
  { label }: { readonly label: string }
): Effect.Effect<unknown, McpError.McpError> =>
  Effect.repeat(client.callToolAs(tool, {}, Labels), { until: ({ labels }) => labels.includes(label) })

/** Waits for something that a tool makes happen; it is called until that is told, for the way to tell may take a moment. */
export const untilTold = Effect.fnUntraced(function*<A, E>(
  told: Stream.Stream<A, E>,
  client: Client,
  tool: string,
  args: Readonly<Record<string, string>>
) {
  const fiber = yield* Effect.forkChild(Stream.runHead(told), { startImmediately: true })
  return yield* Effect.raceFirst(Fiber.join(fiber), Effect.forever(client.callTool(tool, args)))
})
