/** Server-Sent Events of one answer, read as far and as fast as they are taken. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Sse from "effect/encoding/Sse"
import * as Fiber from "effect/Fiber"
import type * as HttpClientError from "effect/http/HttpClientError"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as McpError from "../../McpError.ts"
import * as Failure from "./failure.ts"

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
  /** Longest event, in characters. */
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

/**
 * Reads events until the stream ends or no more are wanted. An event that is
 * cut off by the end is dropped, as the format asks. Fails with `Unreachable`
 * (delivered) when the stream breaks or is silent for longer than
 * `idleTimeout`, and with `MessageTooLarge`.
 */
export const read = Effect.fnUntraced(function*(
  response: HttpClientResponse,
  options: Options
): Effect.fn.Return<End, McpError.Unreachable | McpError.MessageTooLarge, Scope.Scope> {
  const { idleTimeout, maxMessageBytes, shown } = options
  const decoder = new TextDecoder()
  let bytes = 0
  let wanted = true
  let tooLarge = false
  const parser = Sse.makeParser((event) => {
    if (!wanted) return
    if (event._tag === "Retry") return options.onRetry?.(Duration.toMillis(event.duration), event.lastEventId)
    const { data, event: name, id } = event
    // The parser measures only what is still to be continued.
    if (data.length > maxMessageBytes) {
      tooLarge = true
      wanted = false
      return
    }
    wanted = options.onEvent({ event: name, data, id, bytes })
    bytes = 0
  }, { maxEventSize: maxMessageBytes })

  const pull = yield* Stream.toPull(response.stream)
  const timed = idleTimeout === undefined ? pull : Effect.timeoutOrElse(pull, {
    duration: idleTimeout,
    orElse: () => Effect.fail(new McpError.Unreachable({ url: shown, delivered: true, detail: "its event stream went silent" }))
  })
  const next = Effect.flatMap(timed, (chunks) => {
    for (const chunk of chunks) {
      bytes += chunk.length
      if (parser.feed(decoder.decode(chunk, { stream: true })) !== undefined || tooLarge) {
        return Effect.fail(new McpError.MessageTooLarge({ limitBytes: maxMessageBytes }))
      }
      if (!wanted) return Effect.succeed<End | undefined>("enough")
    }
    return Effect.undefined
  })
  let end: End | undefined
  while (end === undefined) {
    end = yield* Pull.catchDone(next, () => Effect.succeed<End>("ended")).pipe(Effect.catchTag(
      "HttpClientError",
      (error: HttpClientError.HttpClientError) => Effect.fail(Failure.fromError(error, shown))
    ))
  }
  if (end === "enough") {
    const rest = yield* Effect.forkScoped(Effect.exit(Effect.forever(pull)), { startImmediately: true })
    // Mostly its end has come with the answer.
    if (rest.pollUnsafe() === undefined) yield* Effect.timeoutOption(Fiber.await(rest), grace)
  }
  return end
})
