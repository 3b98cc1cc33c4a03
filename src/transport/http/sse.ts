/** Server-Sent Events of one answer, read as far and as fast as they are taken. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as McpError from "../../McpError.ts"
import type * as Body from "./body.ts"
import * as EventParser from "./eventParser.ts"
import * as Failure from "./failure.ts"
import type { Answer } from "./scoped.ts"

export interface Event {
  /** `message` when the server named none. */
  readonly event: string
  readonly data: string
  /** The last id the server gave, on this event or before. */
  readonly id: string | undefined
  /** What the stream took since the event before. */
  readonly bytes: number
}

export interface Options {
  /** What errors may tell of the URL. */
  readonly shown: string
  /** Longest event, in characters of its lines of data. */
  readonly maxMessageBytes: number
  readonly idleTimeout?: Duration.Input | undefined
  /** Takes one event; `false` when no more are wanted. */
  readonly onEvent: (event: Event) => boolean
  /** The server tells how long to wait before coming back, in milliseconds. */
  readonly onRetry?: ((millis: number, lastEventId: string | undefined) => void) | undefined
}

/** Streams that end by themselves now leave their connection to the next request; one that is aborted takes it along. */
const grace = "100 millis"

/** How a stream came to its end: the server closed it, or no more was wanted. */
export type End = "ended" | "enough"

/** Takes pieces of text and how many bytes each was. */
const taking = ({ maxMessageBytes, onEvent, onRetry }: Options) => {
  let bytes = 0
  const parser = EventParser.make({
    maxLength: maxMessageBytes,
    onEvent: (event, data, id) => {
      const taken = bytes
      bytes = 0
      return onEvent({ event, data, id, bytes: taken })
    },
    onRetry
  })
  return (piece: string, length: number): EventParser.Verdict => {
    bytes += length
    return parser.push(piece)
  }
}

/** The events of a stream that is here already, from its beginning to its end. */
export const take = ({ bytes, text }: Body.Text, options: Options): End | McpError.MessageTooLarge => {
  const verdict = taking(options)(text, bytes)
  if (verdict === "too large") return new McpError.MessageTooLarge({ limitBytes: options.maxMessageBytes })
  return verdict === "more" ? "ended" : verdict
}

/**
 * Reads events until the stream ends or no more are wanted. An event that is
 * cut off by the end is dropped, as the format asks. Fails with `Unreachable`
 * (delivered) when the stream breaks or is silent for longer than
 * `idleTimeout`, and with `MessageTooLarge`.
 */
export const read = Effect.fnUntraced(function*(
  response: Answer,
  options: Options
): Effect.fn.Return<End, McpError.Unreachable | McpError.MessageTooLarge, Scope.Scope> {
  const { idleTimeout, maxMessageBytes, shown } = options
  const decoder = new TextDecoder()
  const push = taking(options)
  const pull = yield* Stream.toPull(response.stream)
  const timed = idleTimeout === undefined ? pull : Effect.timeoutOrElse(pull, {
    duration: idleTimeout,
    orElse: () => Effect.fail(new McpError.Unreachable({ url: shown, delivered: true, detail: "its event stream went silent" }))
  })
  const next = timed.pipe(
    Effect.map((chunks): EventParser.Verdict | "ended" => {
      for (const chunk of chunks) {
        const verdict = push(decoder.decode(chunk, { stream: true }), chunk.length)
        if (verdict !== "more") return verdict
      }
      return "more"
    }),
    Pull.catchDone(() => Effect.succeed("ended" as const)),
    Effect.catchTag("HttpClientError", (error) => Effect.fail(Failure.fromError(error, shown)))
  )
  let came: EventParser.Verdict | "ended" = "more"
  while (came === "more") came = yield* next
  if (came === "too large") return yield* Effect.fail(new McpError.MessageTooLarge({ limitBytes: maxMessageBytes }))
  // Mostly the end has come with the answer.
  if (came === "enough" && response.whole?.() === undefined) {
    const rest = yield* Effect.forkScoped(Effect.exit(Effect.forever(pull)), { startImmediately: true })
    if (rest.pollUnsafe() === undefined) yield* Effect.timeoutOption(Fiber.await(rest), grace)
  }
  return came
})
