/**
 * Transports that go wrong on purpose: a script of messages and faults played
 * to the client, or faults done to another binding. All delays are Effect's
 * clock and all chance Effect's `Random`, so a test repeats exactly.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Progress } from "../Connection.ts"
import * as McpError from "../McpError.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import type { ServerCapabilities } from "../protocol/McpSchema.ts"
import * as Revision from "../protocol/Revision.ts"
import { Transport } from "../Transport.ts"
import * as InMemoryTransport from "../transport/InMemoryTransport.ts"
import { faulty, type FaultOptions } from "./mock/faults.ts"
import * as Script from "./mock/script.ts"

export { type Chance, type FaultOptions, type Faults, faulty, type ReceivedFaults } from "./mock/faults.ts"
export type { Step } from "./mock/script.ts"

type Step = Script.Step

// =============================================================================
// Steps
// =============================================================================

/**
 * The next message of the client must be this; `params` may have more than is
 * given here. A request that no step answers is dropped. `as` names it for
 * steps that answer out of order, or twice.
 */
export const expect = (
  method: string,
  options: { readonly params?: JsonRpc.JsonObject; readonly as?: string } = {}
): Step => ({ _tag: "Expect", method, ...options })

/** Answers the latest request that was expected, or the one named `to`. */
export const reply = (result: JsonRpc.JsonObject, options: { readonly to?: string } = {}): Step => ({
  _tag: "Reply",
  result,
  ...options
})

/** Answers with an error. */
export const refuse = (error: JsonRpc.ErrorObject, options: { readonly to?: string } = {}): Step => ({
  _tag: "Refuse",
  error,
  ...options
})

/** Progress of the latest request, or of the one named `to`. */
export const progress = (progress: Progress, options: { readonly to?: string } = {}): Step => ({
  _tag: "Progress",
  params: { ...progress },
  ...options
})

/** Any JSON value. */
export const send = (value: unknown): Step => ({ _tag: "Send", value })

/** Something that is no JSON at all; the client reports and skips it. */
export const garbage = (text: string): Step => ({ _tag: "Garbage", text })

/** The server takes its time; what the client sends meanwhile waits. */
export const delay = (duration: Duration.Input): Step => ({ _tag: "Delay", duration })

/** From here on the client hears nothing more, while the server still takes what it sends. */
export const halfClose: Step = { _tag: "HalfClose" }

/** The link ends. Default reason: the server closed it. */
export const close = (
  reason: McpError.McpErrorReason = new McpError.ConnectionClosed({ by: "server", detail: "the script closed it" })
): Step => ({ _tag: "Close", reason })

/** The steps by which a client and a server agree on a revision: the newest when none is given. */
export const agree = (
  revision: Revision.Revision = Revision.modern[0],
  capabilities: ServerCapabilities = { tools: {} }
): ReadonlyArray<Step> =>
  Revision.isModern(revision)
    ? [expect("server/discover"), reply({ resultType: "complete", supportedVersions: [revision], capabilities })]
    : [
      expect("server/discover"),
      refuse({ code: JsonRpc.ErrorCode.MethodNotFound, message: "Method not found" }),
      expect("initialize"),
      reply({ protocolVersion: revision, capabilities, serverInfo: { name: "script", version: "1.0.0" } }),
      expect("notifications/initialized")
    ]

// =============================================================================
// Transports
// =============================================================================

/** What a test may ask of a script that is played. */
export class MockTransport extends Context.Service<MockTransport, {
  readonly binding: Transport["Service"]
  /**
   * Waits until an opening has gone through all steps. Fails with
   * `ConnectionClosed` when the program deviated or ended before, which says
   * what was expected and what came.
   */
  readonly finished: Effect.Effect<void, McpError.McpError>
}>()("mcp-connect/testing/MockTransport") {}

/** Openings that fail; see `FaultOptions`. */
export interface Options extends Pick<FaultOptions, "refuse"> {}

/**
 * Plays a script; every opening that is not refused plays it from the
 * beginning. When the program deviates, the link closes, and every call in
 * flight fails with what was expected and what came. After the last step the
 * link stays open for notifications, and a request is a deviation.
 *
 * **Example**
 *
 * ```ts
 * const script = yield* MockTransport.make([
 *   ...MockTransport.agree(),
 *   MockTransport.expect("tools/call", { params: { name: "slow" } }),
 *   MockTransport.delay("4 seconds"),
 *   MockTransport.garbage("Listening on port 3000"),
 *   MockTransport.reply({ content: [] })
 * ])
 * ```
 */
export const make = Effect.fnUntraced(function*(
  steps: ReadonlyArray<Step>,
  options: Options = {}
): Effect.fn.Return<MockTransport["Service"]> {
  const finished = yield* Deferred.make<void, McpError.McpError>()
  const reasonOf = (deviation: Script.Deviation) =>
    new McpError.ConnectionClosed({ by: "server", detail: `not in the script: ${deviation.message}` })
  const deviated = (deviation: Script.Deviation) =>
    Effect.asVoid(Deferred.fail(finished, McpError.make(reasonOf(deviation))))
  const memory = yield* InMemoryTransport.make((peer) =>
    Script.play(steps, peer, { finished: Effect.asVoid(Deferred.succeed(finished, undefined)), cut: deviated }).pipe(
      Effect.catch((end) =>
        end instanceof Script.Deviation ? Effect.andThen(deviated(end), peer.close(reasonOf(end))) : Effect.void
      )
    )
  )
  return MockTransport.of({ binding: faulty(memory, options), finished: Deferred.await(finished) })
})

/** A layer of {@link make}. */
export const layer = (steps: ReadonlyArray<Step>, options?: Options): Layer.Layer<Transport | MockTransport> =>
  Layer.effectContext(
    Effect.map(make(steps, options), (script) =>
      Context.make(MockTransport, script).pipe(Context.add(Transport, script.binding)))
  )
