/**
 * An upgrade as the HTTP request that it begins as, so that what is done for
 * any request of HTTP, such as getting a token for it, is done for it as well.
 */
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Scope from "effect/Scope"
import * as McpError from "../../McpError.ts"
import * as Failure from "../http/failure.ts"
import type { Options } from "../http/options.ts"
import type * as WebSockets from "./WebSockets.ts"

/** The URL of the request that begins an upgrade. */
export const toHttp = (url: string): string => url.replace(/^ws/i, "http")

/** Opens sockets as the service does, by a client with this decoration: it sees 401s, and may send another upgrade. */
export const decorated =
  (service: WebSockets.Service, decorate: NonNullable<Options["decorate"]>): WebSockets.Service["open"] =>
  Effect.fnUntraced(function*(request, handlers) {
    const scope = yield* Scope.Scope
    let opened: WebSockets.WebSocket | undefined
    let refusal: McpError.McpError | undefined
    const client = HttpClient.make((http) => {
      let headers: Readonly<Record<string, string>> = {}
      const fail = (error: McpError.McpError) =>
        new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request: http, cause: error }) })
      return service.open({ ...request, headers: http.headers }, {
        ...handlers,
        onRefused: (told) => {
          headers = told
        }
      }).pipe(
        Effect.map((socket) => {
          opened = socket
          // A response cannot have the status 101.
          return new Response()
        }),
        Effect.catch((error) => {
          const { reason } = error
          if (reason._tag !== "HttpStatus" || (reason.status !== 401 && reason.status !== 403)) return Effect.fail(fail(error))
          refusal = error
          return Effect.succeed(new Response("", { status: reason.status, headers }))
        }),
        Effect.map((response) => HttpClientResponse.fromWeb(http, response)),
        Scope.provide(scope)
      )
    })
    yield* decorate(client).execute(HttpClientRequest.get(toHttp(request.url), { headers: request.headers })).pipe(
      // A span would tell the URL, whose query may be a secret.
      Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
      Effect.provideService(HttpClient.TracerPropagationEnabled, false),
      Effect.mapError((error) =>
        McpError.isMcpError(error.cause) ? error.cause : McpError.make(Failure.fromError(error, request.shown))
      )
    )
    if (opened !== undefined) return opened
    return yield* refusal ?? McpError.make(
      new McpError.Unreachable({ url: request.shown, delivered: true, detail: "it was answered with nothing" })
    )
  })
