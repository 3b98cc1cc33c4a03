/**
 * The answer to one HTTP request, while it is not known yet whether it will be
 * one JSON document or a stream of events: a document, when the answer is the
 * first that is said in good time.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import * as Mailbox from "./mailbox.ts"

export interface Exchange {
  /** Takes one message for the peer; `false` when it reads too slowly, and then the exchange has ended. */
  readonly offer: (message: unknown) => boolean
  /** Nothing more will be said. */
  readonly end: () => void
  /** The response. `release` is run with the scope of the request: when all is written, or the peer has gone. */
  readonly respond: (options: {
    readonly mode: "either" | "stream"
    readonly headers?: Readonly<Record<string, string>>
    readonly statusOf?: (answer: JsonRpc.Success | JsonRpc.Failure) => number
    /** When the exchange has ended with nothing said. Default: 503, what was to be said is too long for it. */
    readonly emptyStatus?: () => number
    readonly release?: Effect.Effect<void>
  }) => Effect.Effect<HttpServerResponse.HttpServerResponse, never, Scope.Scope>
}

export interface Options {
  readonly maxBufferedBytes: number
  /** How often a silent stream says that it is alive. */
  readonly keepAlive: Duration.Duration
}

interface Item {
  readonly message: unknown
  readonly text: string
}

const encoder = new TextEncoder()

const comment = encoder.encode(": keep-alive\n\n")

const event = ({ text }: Item): Uint8Array => encoder.encode(`event: message\ndata: ${text}\n\n`)

const isAnswer = (message: unknown): message is JsonRpc.Success | JsonRpc.Failure =>
  JsonRpc.isMessage(message) && !("method" in message)

const streamHeaders = { "cache-control": "no-cache, no-transform", "x-accel-buffering": "no" }

export const make = Effect.fnUntraced(function*({ keepAlive, maxBufferedBytes }: Options): Effect.fn.Return<Exchange> {
  const mailbox = yield* Mailbox.make<Item>(maxBufferedBytes)
  const next = Effect.timeoutOption(mailbox.takeAll, keepAlive)

  /** What is said from now on, and a sign of life where nothing is. */
  const rest = Effect.map(next, Option.match({
    onNone: () => Arr.of(comment),
    onSome: Arr.map(event)
  }))

  return {
    offer(message) {
      const text = JSON.stringify(message)
      const taken = mailbox.offer({ message, text }, text.length)
      if (!taken) mailbox.end()
      return taken
    },
    end: mailbox.end,
    respond: Effect.fnUntraced(function*(
      { emptyStatus = () => 503, headers = {}, mode, release = Effect.void, statusOf = () => 200 }
    ) {
      yield* Effect.addFinalizer(() => release)
      const events = (first: ReadonlyArray<Uint8Array>) =>
        HttpServerResponse.stream(
          Stream.concat(Stream.fromIterable(first), Stream.fromPull(Effect.succeed(rest))),
          { contentType: "text/event-stream", headers: { ...streamHeaders, ...headers } }
        )
      // The comment sends the head on its way.
      if (mode === "stream") return events([comment])
      return yield* next.pipe(
        Effect.interruptible,
        Effect.map((first) => {
          if (Option.isNone(first)) return events([comment])
          const [{ message }] = first.value
          if (first.value.length > 1 || !isAnswer(message)) return events(first.value.map(event))
          return HttpServerResponse.jsonUnsafe(message, { status: statusOf(message), headers })
        }),
        Effect.catchIf(Cause.isDone, () => Effect.sync(() => HttpServerResponse.empty({ status: emptyStatus(), headers })))
      )
    })
  }
})
