/**
 * One HTTP request of a connection: the user's headers on it, redirects within
 * the origin, and an answer or the reason there is none.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as McpError from "../../McpError.ts"
import * as Endpoint from "./endpoint.ts"
import * as Failure from "./failure.ts"
import type { Options } from "./options.ts"
import * as Scoped from "./scoped.ts"

export interface Request {
  readonly verb: "DELETE" | "GET" | "POST"
  /** Another URL than that of the endpoint; of the same origin, or the user's headers are not sent. */
  readonly url?: URL | undefined
  /** Those of the protocol; they win over the user's. */
  readonly headers: Readonly<Record<string, string>>
  /** JSON, already written. */
  readonly body?: Uint8Array | undefined
  /** Called at the moment the request is handed to the client: from now on it may be delivered. */
  readonly onStart?: (() => void) | undefined
}

/**
 * An answer of whatever status, its body not yet read, as long as the scope is
 * open: closing it, or interruption, aborts the request and the server sees its
 * stream closed. Fails with `Unreachable`, with what a decorated client fails
 * with, and with `HttpStatus` for a redirect that is not followed.
 */
export type Send = (
  request: Request
) => Effect.Effect<HttpClientResponse, McpError.HttpStatus | Failure.NoAnswer, Scope.Scope>

const maxRedirects = 5

const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status)

export const make = Effect.fnUntraced(function*(
  endpoint: Endpoint.Endpoint,
  options: Pick<Options, "decorate" | "redirects">
): Effect.fn.Return<Send, never, HttpClient.HttpClient> {
  const scoped = Scoped.make(yield* HttpClient.HttpClient)
  const client = options.decorate?.(scoped) ?? scoped
  const init = yield* Effect.serviceOption(FetchHttpClient.RequestInit)
  const redirects = options.redirects === "none" ? 0 : maxRedirects

  const attempt = (
    request: Request,
    url: URL,
    left: number
  ): Effect.Effect<HttpClientResponse, McpError.HttpStatus | Failure.NoAnswer, Scope.Scope> =>
    Effect.suspend(() => {
      request.onStart?.()
      const { body } = request
      const made = HttpClientRequest.make(request.verb)(url.href, {
        headers: { ...(url.origin === endpoint.url.origin ? endpoint.headers : {}), ...request.headers },
        body: body === undefined ? HttpBody.empty : HttpBody.uint8Array(body, "application/json")
      })
      return client.execute(made).pipe(
        Effect.mapError((error) => Failure.noAnswer(error, Endpoint.shown(url))),
        Effect.flatMap((response) =>
          isRedirect(response.status) ? redirected(request, url, left, response) : Effect.succeed(response))
      )
    })

  const redirected = Effect.fnUntraced(function*(request: Request, url: URL, left: number, response: HttpClientResponse) {
    const location = URL.parse(response.headers.location ?? "", url.href)
    if (
      left > 0 && location !== null && location.origin === url.origin && response.status >= 307
    ) {
      return yield* attempt(request, location, left - 1)
    }
    const target = location === null
      ? "it names no place to go to"
      : location.origin !== url.origin
      ? `it leads to another origin, ${location.origin}, where headers must not follow; use that URL if it is meant`
      : "it was not followed"
    const shown = Endpoint.shown(url)
    const { reason } = yield* Failure.fromResponse(response, { verb: request.verb, shown, detail: `a redirect: ${target}` })
    return yield* Effect.fail(reason)
  })

  // Traces go in `_meta`, from the call itself; a span here would tell the whole URL and belong to no call.
  const context = Context.make(HttpClient.TracerDisabledWhen, () => true).pipe(
    // The platform's `fetch` would follow redirects on its own, with all headers.
    Context.add(FetchHttpClient.RequestInit, { ...Option.getOrUndefined(init), redirect: "manual" })
  )
  return (request) => Effect.provideContext(attempt(request, request.url ?? endpoint.url, redirects), context)
})
