/** Streamable HTTP of the older revisions: a handshake begins a session, and every request names it. */
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Exit from "effect/Exit"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Scope from "effect/Scope"
import * as Result from "effect/Result"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import type { Binding } from "../Transport.ts"
import * as Failure from "./failure.ts"
import * as LegacySession from "./legacySession.ts"
import * as Reply from "./reply.ts"

type Headers = Readonly<Record<string, string>>

export interface Options extends LegacySession.Options {
  /** What a session opens. */
  readonly binding: Binding
  /** Counts one more session in, or refuses it. */
  readonly admit: () => { readonly leave: () => void } | undefined
}

export interface LegacyHttp {
  readonly post: (request: HttpServerRequest, body: Reply.Body, headers: Headers) => Effect.Effect<HttpServerResponse.HttpServerResponse, never, Scope.Scope>
  readonly get: (request: HttpServerRequest, headers: Headers) => Effect.Effect<HttpServerResponse.HttpServerResponse, never, Scope.Scope>
  readonly delete: (request: HttpServerRequest, headers: Headers) => Effect.Effect<HttpServerResponse.HttpServerResponse, never, Scope.Scope>
}

/** What other servers answer, too, for a session they do not know. */
const sessionNotFound = -32001

const { InternalError, InvalidRequest } = JsonRpc.ErrorCode

/** Whoever knows it is in the session: not to be guessed. */
const newId = (): string => Base64Url.encode(crypto.getRandomValues(new Uint8Array(24)))

/** The sessions of one server. They are closed with the scope. */
export const make = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<LegacyHttp, never, Scope.Scope> {
  const parent = yield* Scope.Scope
  const sessions = new Map<string, { readonly session: LegacySession.Session; readonly close: Effect.Effect<void> }>()

  const begin = Effect.fnUntraced(function*(body: Reply.Body, headers: Headers) {
    const admitted = options.admit()
    if (admitted === undefined) return Reply.busy("sessions", headers)
    const scope = yield* Scope.fork(parent)
    const id = newId()
    yield* Scope.addFinalizer(scope, Effect.sync(() => {
      sessions.delete(id)
      admitted.leave()
    }))
    const close = Scope.close(scope, Exit.void)
    const opened = yield* LegacySession.open(options.binding, options).pipe(
      Scope.provide(scope),
      Effect.interruptible,
      Effect.onError(() => close),
      Effect.result
    )
    if (Result.isFailure(opened)) return Reply.refuse(502, InternalError, Failure.describe(opened.failure.reason), { headers })
    const session = opened.success
    sessions.set(id, { session, close })
    yield* Effect.forkIn(Effect.andThen(session.ended, close), parent)
    // Who left before the session was named cannot come back to it.
    return yield* Effect.onInterrupt(session.post(body, { ...headers, "mcp-session-id": id }), () => close)
  })

  const find = (request: HttpServerRequest, headers: Headers) => {
    const id = request.headers["mcp-session-id"]
    const found = id === undefined ? undefined : sessions.get(id)
    return found !== undefined
      ? Result.succeed(found)
      : Result.fail(
        id === undefined
          ? Reply.refuse(400, InvalidRequest, "expected Mcp-Session-Id, or a request that begins a session", { headers })
          : Reply.refuse(404, sessionNotFound, "there is no such session", { headers })
      )
  }

  return {
    post: (request, body, headers) => {
      if (!Reply.acceptsEvents(request) || !Reply.acceptsJson(request)) {
        return Effect.succeed(
          Reply.refuse(406, InvalidRequest, "expected Accept: application/json, text/event-stream", { headers })
        )
      }
      const [first] = body.messages
      if (request.headers["mcp-session-id"] === undefined && first !== undefined && "method" in first && first.method === "initialize") {
        return begin(body, headers)
      }
      const found = find(request, headers)
      return Result.isSuccess(found) ? found.success.session.post(body, headers) : Effect.succeed(found.failure)
    },
    get: (request, headers) => {
      // Without a session there is nothing to listen to: revisions without sessions have no such stream (H-09).
      if (request.headers["mcp-session-id"] === undefined || !Reply.acceptsEvents(request)) {
        return Effect.succeed(HttpServerResponse.empty({ status: 405, headers: { ...headers, allow: "POST, GET, DELETE" } }))
      }
      const found = find(request, headers)
      return Result.isSuccess(found) ? found.success.session.stream(headers) : Effect.succeed(found.failure)
    },
    delete: (request, headers) => {
      const found = find(request, headers)
      return Result.isSuccess(found)
        ? Effect.as(found.success.close, HttpServerResponse.empty({ status: 204, headers }))
        : Effect.succeed(found.failure)
    }
  }
})
