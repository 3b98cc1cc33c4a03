import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type { Diagnostic } from "../../src/Diagnostic.ts"
import type { McpErrorReason } from "../../src/McpError.ts"
import type { RequestId } from "../../src/protocol/JsonRpc.ts"
import type { Receiver } from "../../src/Transport.ts"

/** A receiver that can be waited on. */
export const makeReceiver = Effect.gen(function*() {
  const messages = yield* Queue.unbounded<{ readonly value: unknown; readonly bytes: number }>()
  const failures = yield* Queue.unbounded<{ readonly id: RequestId; readonly reason: McpErrorReason }>()
  const diagnostics = yield* Queue.unbounded<Diagnostic>()
  const closed = yield* Deferred.make<McpErrorReason>()
  const afterClose: Array<unknown> = []
  const note = (what: unknown) => {
    if (Deferred.isDoneUnsafe(closed)) afterClose.push(what)
  }
  const receiver: Receiver = {
    onMessage(value, bytes) {
      note(value)
      Queue.offerUnsafe(messages, { value, bytes })
    },
    onFailure(id, reason) {
      note(reason)
      Queue.offerUnsafe(failures, { id, reason })
    },
    onDiagnostic: (diagnostic) => Queue.offerUnsafe(diagnostics, diagnostic),
    onClose(reason) {
      note(reason)
      Deferred.doneUnsafe(closed, Effect.succeed(reason))
    }
  }
  return {
    receiver,
    messages,
    failures,
    diagnostics,
    /** The reason the link closed for. */
    closed: Deferred.await(closed),
    isClosed: () => Deferred.isDoneUnsafe(closed),
    /** What came although the link was closed. */
    afterClose,
    /** The next message. */
    next: Effect.map(Queue.take(messages), ({ value }) => value)
  }
})
