/**
 * One peer on a channel that both sides write to: what it sends goes to the
 * server as it is, and the other way round. Of WebSockets and plain sockets.
 */
import type * as Arr from "effect/Array"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { McpError, McpErrorReason } from "../McpError.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import type { Binding, Link } from "../Transport.ts"
import * as Failure from "./failure.ts"
import * as Mailbox from "./mailbox.ts"

/** Why a conversation was ended by this side. */
export type Ended =
  | { readonly _tag: "Server"; readonly reason: McpErrorReason }
  /** The peer does not read what is sent to it. */
  | { readonly _tag: "Slow" }
  /** The server does not read what the peer sends. Meanwhile nobody would see the peer leave. */
  | { readonly _tag: "Stuck" }

export interface Channel<E> {
  /** Hands over what the peer sends, text by text and in order, until it leaves. */
  readonly receive: (onText: (text: string) => Effect.Effect<void>) => Effect.Effect<void, E>
  readonly send: (texts: Arr.NonEmptyReadonlyArray<string>) => Effect.Effect<void, E>
}

export interface Conversation {
  /** Ends with the channel, or with the reason this side has to end it; what was sent before is written. */
  readonly run: <E>(channel: Channel<E>) => Effect.Effect<Ended | undefined, E>
}

/** For what was said last. */
const drainTime = "1 second"

/** For a server to take a message. */
const stuckTime = "5 minutes"

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const refusal = (value: unknown): JsonRpc.Failure =>
  value === undefined
    ? { jsonrpc: "2.0", id: null, error: { code: JsonRpc.ErrorCode.ParseError, message: "not JSON" } }
    : { jsonrpc: "2.0", id: null, error: { code: JsonRpc.ErrorCode.InvalidRequest, message: "not a JSON-RPC message" } }

/** Hands messages on, one at a time or several in an array (B-11), no faster than the server takes them. */
const hand = Effect.fnUntraced(function*(link: Link, text: string, refuse: (failure: JsonRpc.Failure) => void) {
  const value = parse(text)
  for (const item of Array.isArray(value) && value.length > 0 ? value : [value]) {
    if (!JsonRpc.isMessage(item)) {
      refuse(refusal(item))
      continue
    }
    const full = link.backpressure()
    if (full !== undefined) yield* full
    link.send(item)
  }
})

/** Opens the server for one peer. It is given up with the scope. */
export const open = Effect.fnUntraced(function*(
  binding: Binding,
  options: { readonly maxBufferedBytes: number }
): Effect.fn.Return<Conversation, McpError, Scope.Scope> {
  const mailbox = yield* Mailbox.make<string>(options.maxBufferedBytes)
  const ended = yield* Deferred.make<Ended>()
  const offer = (value: unknown) => {
    const text = JSON.stringify(value)
    if (!mailbox.offer(text, text.length)) Deferred.doneUnsafe(ended, Effect.succeed({ _tag: "Slow" }))
  }
  const link = yield* binding.open({
    onMessage: offer,
    onDiagnostic: () => {},
    onFailure: (id, reason) => offer(Failure.answer(id, reason)),
    onClose: (reason) => {
      mailbox.end()
      Deferred.doneUnsafe(ended, Effect.succeed({ _tag: "Server", reason }))
    }
  })
  return {
    run: Effect.fnUntraced(function*({ receive, send }) {
      const writing = yield* Effect.forkScoped(
        Effect.ignore(Effect.forever(Effect.flatMap(mailbox.takeAll, send))),
        { startImmediately: true }
      )
      const receiving = receive((text) =>
        Effect.timeoutOrElse(hand(link, text, offer), {
          duration: stuckTime,
          orElse: () => Effect.andThen(Deferred.succeed(ended, { _tag: "Stuck" }), Effect.never)
        }))
      const end = yield* Effect.raceFirst(receiving, Deferred.await(ended))
      if (end?._tag === "Server") yield* Effect.timeoutOption(Fiber.await(writing), drainTime)
      return end ?? undefined
    }, Effect.scoped)
  }
})
