/** What can go wrong with messages on their way, done to a binding that works. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Diagnostic from "../../Diagnostic.ts"
import * as McpError from "../../McpError.ts"
import * as JsonRpc from "../../protocol/JsonRpc.ts"
import type { Link, Receiver, Transport } from "../../Transport.ts"

/** Which messages: those for which it is true, or a share of them (0 to 1) by Effect's `Random`. `n` counts from 1 on each link. */
export type Chance = number | ((message: JsonRpc.JsonObject, n: number) => boolean)

/** What happens to messages of one direction. */
export interface Faults {
  /** It is lost. */
  readonly drop?: Chance | undefined
  /** It arrives twice. */
  readonly duplicate?: Chance | undefined
  /** It arrives after the message behind it; alone, when none comes, not at all. */
  readonly reorder?: Chance | undefined
  /** How long it takes; what is behind it waits, as on a slow line. */
  readonly delay?: Duration.Input | ((message: JsonRpc.JsonObject, n: number) => Duration.Input) | undefined
  /** It and all behind it are lost, while the other direction goes on. */
  readonly halfClose?: Chance | undefined
  /** The link breaks instead of it, for this reason. */
  readonly close?: ((message: JsonRpc.JsonObject, n: number) => McpError.McpErrorReason | undefined) | undefined
}

export interface ReceivedFaults extends Faults {
  /** Something that is no message arrives instead of it; the client reports and skips it. */
  readonly garbage?: Chance | undefined
}

export interface FaultOptions {
  /** On what the client sends. Abandoned requests are told as ever. */
  readonly sent?: Faults | undefined
  /** On what the server sends. */
  readonly received?: ReceivedFaults | undefined
  /** The first so many openings fail, or those for which there is a reason; `opening` counts from 1. */
  readonly refuse?: number | ((opening: number) => McpError.McpErrorReason | undefined) | undefined
}

/** Messages on their way in one direction; more than that break the link. */
const capacity = 1_024

const objectOf = (value: unknown): JsonRpc.JsonObject => JsonRpc.isJsonObject(value) ? value : {}

/** One direction of a link: gives what becomes of each message to `deliver`, in time. */
const line = Effect.fnUntraced(function*<A extends { readonly message: unknown }>(faults: ReceivedFaults, ends: {
  readonly deliver: (value: A) => void
  readonly garble: () => void
  readonly close: (reason: McpError.McpErrorReason) => void
}): Effect.fn.Return<(value: A) => void, never, Scope.Scope> {
  const { close, deliver, garble } = ends
  const random = yield* Random.Random
  const clock = yield* Clock.Clock
  const slow = yield* Queue.bounded<{ readonly value: A; readonly at: number }>(capacity)
  // When the last message that is on its way arrives.
  let lastAt = 0
  let sent = 0
  let waiting = 0
  let silent = false
  let held: { readonly value: A } | undefined

  yield* Effect.forkScoped(Effect.forever(
    Effect.flatMap(Queue.take(slow), ({ at, value }) =>
      Effect.andThen(
        Effect.suspend(() => Effect.sleep(Duration.millis(Math.max(0, at - clock.currentTimeMillisUnsafe())))),
        Effect.sync(() => {
          waiting -= 1
          deliver(value)
        })
      ))
  ))
  const happens = (chance: Chance | undefined, message: JsonRpc.JsonObject, n: number) =>
    typeof chance === "number" ? random.nextDoubleUnsafe() < chance : chance?.(message, n) === true
  const pass = (value: A, millis: number) => {
    if (waiting === 0 && millis === 0) return deliver(value)
    waiting += 1
    lastAt = Math.max(lastAt, clock.currentTimeMillisUnsafe()) + millis
    if (!Queue.offerUnsafe(slow, { value, at: lastAt })) {
      close(new McpError.ConnectionClosed({ by: "server", detail: "too many messages on a slow line" }))
    }
  }

  return (value) => {
    const n = ++sent
    const message = objectOf(value.message)
    const reason = faults.close?.(message, n)
    if (reason !== undefined) return close(reason)
    silent ||= happens(faults.halfClose, message, n)
    if (silent || happens(faults.drop, message, n)) return
    if (happens(faults.garbage, message, n)) return garble()
    if (held === undefined && happens(faults.reorder, message, n)) {
      held = { value }
      return
    }
    const { delay = 0 } = faults
    pass(value, Duration.toMillis(typeof delay === "function" ? delay(message, n) : delay))
    if (happens(faults.duplicate, message, n)) pass(value, 0)
    const late = held
    held = undefined
    if (late !== undefined) pass(late.value, 0)
  }
})

const encoder = new TextEncoder()

const refused = (opening: number) =>
  new McpError.ConnectionClosed({ by: "server", detail: `opening ${opening} was refused` })

const garbage = Diagnostic.Skipped({ detail: "not JSON", excerpt: "\uFFFD{\uFFFD" })

/**
 * A binding with faults. It takes time from the clock and chance from the
 * `Random` of the fiber that opens it: `Random.withSeed` repeats a run.
 */
export const faulty = (binding: Transport["Service"], options: FaultOptions): Transport["Service"] => {
  const { received = {}, refuse = 0, sent = {} } = options
  let openings = 0
  const open = Effect.fnUntraced(function*(receiver: Receiver): Effect.fn.Return<Link, McpError.McpError, Scope.Scope> {
    openings += 1
    const refusal = typeof refuse === "function" ? refuse(openings) : openings <= refuse ? refused(openings) : undefined
    if (refusal !== undefined) return yield* Effect.fail(McpError.make(refusal))
    let open = true
    const close = (reason: McpError.McpErrorReason) => {
      if (!open) return
      open = false
      receiver.onClose(reason)
    }
    const whileOpen = (deliver: () => void) => {
      if (open) deliver()
    }
    const incoming = yield* line<{ readonly message: unknown; readonly bytes: number }>(received, {
      deliver: ({ bytes, message }) => whileOpen(() => receiver.onMessage(message, bytes)),
      garble: () => whileOpen(() => receiver.onDiagnostic(garbage)),
      close
    })
    const outgoing = yield* line<{ readonly message: JsonRpc.Message; readonly send: () => void }>(sent, {
      deliver: ({ send }) => whileOpen(send),
      garble: () => undefined,
      close
    })
    const link = yield* binding.open({
      onMessage: (message, bytes) => whileOpen(() => incoming({ message, bytes })),
      onDiagnostic: (diagnostic) => whileOpen(() => receiver.onDiagnostic(diagnostic)),
      onFailure: (id, reason) => whileOpen(() => receiver.onFailure(id, reason)),
      onClose: close
    })
    return {
      ...link,
      send: (message, sendOptions) => {
        const bytes = encoder.encode(JSON.stringify(message)).length
        outgoing({ message, send: () => link.send(message, sendOptions) })
        return bytes
      }
    }
  })
  return { ...binding, open, ...(binding.fallback === undefined ? undefined : { fallback: faulty(binding.fallback, options) }) }
}
