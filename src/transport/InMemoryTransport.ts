/**
 * A link without a process or a socket: the server is an effect in the same
 * program. Everything else is as on a wire (each value becomes JSON text and
 * back, in order, in both directions), and nothing depends on time or on the
 * operating system.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Diagnostic } from "../Diagnostic.ts"
import { WaterMark } from "../internal/waterMark.ts"
import * as McpError from "../McpError.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import { Transport } from "../Transport.ts"

/** The server's side of one link. */
export interface Peer {
  /** The next message the client sent; waits for it. Fails with `Done` when the link is gone and everything was taken. */
  readonly take: Effect.Effect<JsonRpc.Message, Cause.Done>
  /** The same as a stream, which ends when the link is gone. */
  readonly incoming: Stream.Stream<JsonRpc.Message>
  /** Delivers one JSON value to the client, whatever it is: a reply, a batch, nonsense. Ignored once the link is gone. */
  readonly send: (value: unknown) => Effect.Effect<void>
  /** Tells the client something that is not a message, such as a line on stderr. */
  readonly report: (diagnostic: Diagnostic) => Effect.Effect<void>
  /** Ends the link for this reason. What was sent before is delivered, nothing after. */
  readonly close: (reason: McpError.McpErrorReason) => Effect.Effect<void>
}

/** Unread messages above which senders wait. */
const highWaterMark = 256

/** Unread messages at which a peer counts as dead: not every sender can wait. */
const capacity = 1_024

const encoder = new TextEncoder()

/**
 * A transport to a server that runs in this program. Each opening starts
 * `serve` with a `Peer` of its own; closing the scope of the link interrupts
 * it. The link stays open when `serve` ends, and closes when it dies.
 *
 * **Example**
 *
 * ```ts
 * const echo = InMemoryTransport.layer((peer) =>
 *   Stream.runForEach(peer.incoming, (message) =>
 *     JsonRpc.isRequest(message) ? peer.send(JsonRpc.success(message.id, message.params)) : Effect.void
 *   )
 * )
 * ```
 */
export const make = <R>(
  serve: (peer: Peer) => Effect.Effect<void, never, R>
): Effect.Effect<Transport["Service"], never, Exclude<R, Scope.Scope>> =>
  Effect.map(Effect.context<Exclude<R, Scope.Scope>>(), (context) =>
    Transport.of({
      kind: "memory",
      network: "inproc",
      open: Effect.fnUntraced(function*(receiver) {
        const inbox = yield* Queue.bounded<JsonRpc.Message, Cause.Done>(capacity)
        const waterMark = new WaterMark(highWaterMark)
        let open = true

        const close = (reason: McpError.McpErrorReason) => {
          if (!open) return
          open = false
          Queue.endUnsafe(inbox)
          waterMark.release()
          receiver.onClose(reason)
        }

        const send = (message: JsonRpc.Message) => {
          if (!open) return 0
          const text = JSON.stringify(message)
          if (!Queue.offerUnsafe(inbox, JSON.parse(text))) {
            close(new McpError.ConnectionClosed({ by: "server", detail: "it does not read its messages" }))
            return 0
          }
          waterMark.rise(1)
          return encoder.encode(text).length
        }

        const take = Effect.map(Queue.take(inbox), (message) => {
          waterMark.fall(1)
          return message
        })

        const whileOpen = (deliver: () => void) =>
          Effect.sync(() => {
            if (open) deliver()
          })

        const peer: Peer = {
          take,
          incoming: Stream.fromPull(Effect.succeed(Effect.map(take, (message) => [message] as const))),
          send: (value) =>
            whileOpen(() => {
              const text = JSON.stringify(value)
              receiver.onMessage(JSON.parse(text), encoder.encode(text).length)
            }),
          report: (diagnostic) => whileOpen(() => receiver.onDiagnostic(diagnostic)),
          close: (reason) => Effect.sync(() => close(reason))
        }

        yield* Effect.forkScoped(
          serve(peer).pipe(
            Effect.scoped,
            Effect.provideContext(context),
            Effect.onError((cause) =>
              peer.close(new McpError.ConnectionClosed({ by: "server", detail: `it died: ${Cause.pretty(cause)}` }))
            )
          ),
          { startImmediately: true }
        )
        // Registered last, so that it runs first: the client hears of its own
        // close before the server is interrupted.
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => close(McpError.scopeClosed))
        )
        return {
          send,
          backpressure: () => waterMark.wait(),
          abandon: (id, reason) => send(JsonRpc.notification("notifications/cancelled", { requestId: id, reason }))
        }
      })
    }))

/** A layer of {@link make}. */
export const layer = <R>(
  serve: (peer: Peer) => Effect.Effect<void, never, R>
): Layer.Layer<Transport, never, Exclude<R, Scope.Scope>> => Layer.effect(Transport, make(serve))
