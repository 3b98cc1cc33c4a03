/** The shortest link there is: messages are handed over as they are, without JSON, without a queue in between. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as McpError from "../../McpError.ts"
import * as JsonRpc from "../../protocol/JsonRpc.ts"
import type { Transport } from "../../Transport.ts"
import type { Peer } from "../../transport/InMemoryTransport.ts"

/** Messages a server may be behind; a mock takes them as they come. */
const capacity = 1_024

export const make = (serve: (peer: Peer) => Effect.Effect<void, never, Scope.Scope>): Transport["Service"] => ({
  kind: "mock",
  network: "inproc",
  open: Effect.fnUntraced(function*(receiver) {
    const inbox = yield* Queue.bounded<JsonRpc.Message, Cause.Done>(capacity)
    let open = true
    const close = (reason: McpError.McpErrorReason) => {
      if (!open) return
      open = false
      Queue.endUnsafe(inbox)
      receiver.onClose(reason)
    }
    const send = (message: JsonRpc.Message) => {
      if (open && !Queue.offerUnsafe(inbox, message)) {
        close(new McpError.ConnectionClosed({ by: "server", detail: "it does not read its messages" }))
      }
      return 0
    }
    const whileOpen = (deliver: () => void) =>
      Effect.sync(() => {
        if (open) deliver()
      })
    yield* Effect.forkScoped(
      Effect.scoped(serve({
        take: Queue.take(inbox),
        incoming: Stream.fromQueue(inbox),
        send: (value) => whileOpen(() => receiver.onMessage(value, 0)),
        report: (diagnostic) => whileOpen(() => receiver.onDiagnostic(diagnostic)),
        close: (reason) => Effect.sync(() => close(reason))
      })).pipe(
        Effect.onError((cause) =>
          Effect.sync(() =>
            close(new McpError.ConnectionClosed({ by: "server", detail: `it died: ${Cause.pretty(cause)}` }))
          )
        )
      ),
      { startImmediately: true }
    )
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => close(McpError.scopeClosed))
    )
    return {
      send,
      backpressure: () => undefined,
      abandon: (id, reason) => send(JsonRpc.notification("notifications/cancelled", { requestId: id, reason }))
    }
  })
})
