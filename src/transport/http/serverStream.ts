/** The stream on which a server with a session speaks on its own account (L-26), and what coming back to a stream takes. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import type * as Scope from "effect/Scope"
import type * as McpError from "../../McpError.ts"
import * as Body from "./body.ts"
import type { NoAnswer } from "./failure.ts"
import type * as Sse from "./sse.ts"

/** Where an event stream is taken up again (L-40). */
export interface Position {
  /** Of the last event. */
  id: string | undefined
  /** What the server wants us to wait first, in milliseconds. */
  retry: number | undefined
  /** Attempts since something came. */
  attempts: number
}

export const start = (): Position => ({ id: undefined, retry: undefined, attempts: 0 })

/** In milliseconds, where the server did not say (L-44). */
export const backoff = (attempts: number): number => Math.min(1_000 * 1.5 ** attempts, 30_000)

export interface Options {
  /** Asks for it, and holds the answer as long as it is used. */
  readonly ask: <A, E>(
    lastEventId: string | undefined,
    use: (response: HttpClientResponse) => Effect.Effect<A, E>
  ) => Effect.Effect<A, E | McpError.HttpStatus | NoAnswer>
  /** Done when the server answered for the first time, or cannot. */
  readonly answered: Deferred.Deferred<void>
  readonly read: (
    response: HttpClientResponse,
    position: Position
  ) => Effect.Effect<Sse.End, McpError.Unreachable | McpError.MessageTooLarge, Scope.Scope>
  readonly shown: string
  readonly warn: (detail: string) => void
}

/** One opening of it; whether to come back when it ended. */
const listenOnce = (options: Options, position: Position): Effect.Effect<boolean> =>
  options.ask(position.id, (response) => {
    const { status } = response
    Deferred.doneUnsafe(options.answered, Effect.void)
    if (status === 401 || status === 403) {
      options.warn(`the server does not let us listen: GET ${options.shown} was answered with status ${status}`)
      return Effect.succeed(false)
    }
    if (status === 408 || status === 429 || (status >= 500 && status !== 501)) return Effect.succeed(true)
    if (status !== 200 || Body.mediaType(response) !== "text/event-stream") return Effect.succeed(false)
    return Effect.as(Effect.scoped(options.read(response, position)), true)
  }).pipe(
    Effect.ensuring(Deferred.succeed(options.answered, void 0)),
    Effect.catch((reason) => {
      if (reason._tag === "Unreachable") return Effect.succeed(true)
      options.warn(`the server's own stream: ${reason.message}`)
      // The message that is too large would be the first to come again.
      position.id = undefined
      return Effect.succeed(reason._tag === "MessageTooLarge")
    })
  )

/** Listens for as long as the server has such a stream; most have none, and most that have one end it often. */
export const listen = (options: Options): Effect.Effect<void> =>
  Effect.gen(function*() {
    const position = start()
    while (yield* listenOnce(options, position)) {
      yield* Effect.sleep(position.attempts === 0 && position.retry !== undefined
        ? position.retry
        : Math.max(position.retry ?? 0, backoff(position.attempts)))
      position.attempts += 1
    }
  })
