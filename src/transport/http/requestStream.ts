/** The event stream of one request, taken until its answer came: resumed where the server lets us (L-40 … L-43). */
import * as Effect from "effect/Effect"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import type * as Scope from "effect/Scope"
import * as McpError from "../../McpError.ts"
import * as Body from "./body.ts"
import * as ServerStream from "./serverStream.ts"
import type * as Sse from "./sse.ts"

/** Attempts to resume while nothing comes. */
const maxResumes = 5

export interface Options {
  /** What is known of the request by now. */
  readonly request: {
    readonly modern: boolean
    readonly settled: boolean
    readonly session: { expired: boolean } | undefined
  }
  readonly position: ServerStream.Position
  /** Takes the events of the beginning. */
  readonly first: Effect.Effect<unknown, McpError.McpErrorReason>
  readonly open: (lastEventId: string | undefined) => Effect.Effect<HttpClientResponse, McpError.McpErrorReason, Scope.Scope>
  readonly read: (
    response: HttpClientResponse
  ) => Effect.Effect<Sse.End, McpError.Unreachable | McpError.MessageTooLarge, Scope.Scope>
  readonly shown: string
}

export const follow = Effect.fnUntraced(function*(
  { first, open, position, read, request, shown }: Options
): Effect.fn.Return<void, McpError.McpErrorReason> {
  const lost = (detail: string) =>
    request.session?.expired === true
      ? new McpError.SessionExpired({ url: shown, delivered: true })
      : new McpError.Unreachable({ url: shown, delivered: true, detail })

  let ending = "its event stream ended before the answer"
  const unlessBroken = <A, R>(reading: Effect.Effect<A, McpError.McpErrorReason, R>) =>
    Effect.catchTag(reading, "Unreachable", (reason) =>
      Effect.sync(() => {
        ending = reason.detail
      }))

  const resume = Effect.gen(function*() {
    const response = yield* Effect.catchTag(open(position.id), "Unreachable", () => Effect.undefined)
    if (response === undefined || response.status === 429 || response.status >= 500) return
    if (response.status === 200 && Body.mediaType(response) === "text/event-stream") return yield* unlessBroken(read(response))
    if (response.status === 404 && request.session !== undefined) request.session.expired = true
    return yield* Effect.fail(lost(`${ending}, and resuming it was answered with status ${response.status}`))
  }).pipe(Effect.scoped)

  yield* unlessBroken(first)
  while (!request.settled) {
    if (request.modern || position.id === undefined || position.attempts >= maxResumes) return yield* Effect.fail(lost(ending))
    yield* Effect.sleep(position.retry ?? ServerStream.backoff(position.attempts))
    position.attempts += 1
    yield* resume
  }
})
