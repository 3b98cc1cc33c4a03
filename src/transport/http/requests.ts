/**
 * One HTTP request of a connection: the user's headers on it, redirects within
 * the origin, and an answer or the reason there is none.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
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
}

type Failed = McpError.HttpStatus | Failure.NoAnswer

/**
 * An answer of whatever status, its body not yet read. Fails with `Unreachable`,
 * with what a decorated client fails with, and with `HttpStatus` for a redirect
 * that is not followed.
 */
export interface Requests {
  /** For as long as the scope is open: closing it, or interruption, aborts the request and the server sees its stream closed. */
  readonly open: (request: Request) => Effect.Effect<HttpClientResponse, Failed, Scope.Scope>
  /** For as long as what is done with it takes. The same, but the quickest. */
  readonly use: <A, E>(
    request: Request,
    use: (response: HttpClientResponse) => Effect.Effect<A, E>
  ) => Effect.Effect<A, E | Failed>
  /**
   * Without a fiber; `undefined` where the platform cannot, `use` was never called, or something has to be waited for
   * first. What is told goes to `follow`, or is read at once; without a head, the request is to be made with `use`.
   */
  readonly begin: (request: Request, answered: (head: Scoped.Head | undefined) => void) => (() => void) | undefined
  /** As `use`, once there is an answer. */
  readonly follow: <A, E>(
    request: Request,
    head: Effect.Effect<HttpClientResponse, HttpClientError>,
    use: (response: HttpClientResponse) => Effect.Effect<A, E>
  ) => Effect.Effect<A, E | Failed>
}

const maxRedirects = 5

const isRedirect = (status: number): boolean =>
  status === 301 || status === 302 || status === 303 || status === 307 || status === 308

export const make = Effect.fnUntraced(function*(
  endpoint: Endpoint.Endpoint,
  options: Pick<Options, "decorate" | "redirects">
): Effect.fn.Return<Requests, never, HttpClient.HttpClient> {
  const plain = yield* HttpClient.HttpClient
  const scoped = Scoped.make(plain)
  const client = options.decorate?.(scoped) ?? scoped
  const init = yield* Effect.serviceOption(FetchHttpClient.RequestInit)
  const redirects = options.redirects === "none" ? 0 : maxRedirects
  const { origin } = endpoint.url
  // Traces go in `_meta`, from the call itself; a span here would tell the whole URL and belong to no call.
  const context = Context.make(HttpClient.TracerDisabledWhen, () => true).pipe(
    // The platform's `fetch` would follow redirects on its own, with all headers.
    Context.add(FetchHttpClient.RequestInit, { ...Option.getOrUndefined(init), redirect: "manual" })
  )
  const shortcut = Scoped.shortcut(options.decorate)
  let start: Scoped.Start | undefined
  /** Whether it is still to be found out if there is a shortest way. */
  let unknown = shortcut !== undefined

  const written = ({ body, headers, verb }: Request, url: URL, added?: Scoped.Addition["headers"]): Scoped.Request => ({
    method: verb,
    url,
    headers: {
      ...(url.origin === origin ? endpoint.headers : undefined),
      ...headers,
      ...added,
      ...(body === undefined ? undefined : { "content-type": "application/json" })
    },
    body
  })

  const noAnswer = (url: URL) => (error: HttpClientError) => Effect.fail(Failure.noAnswer(error, Endpoint.shown(url)))

  const attempt = (request: Request, url: URL, left: number): Effect.Effect<HttpClientResponse, Failed, Scope.Scope> =>
    Effect.suspend(() => {
      return Effect.matchEffect(Effect.provideContext(client.execute(Scoped.toHttp(written(request, url))), context), {
        onFailure: noAnswer(url),
        onSuccess: (response) =>
          isRedirect(response.status) ? redirected(request, url, left, response) : Effect.succeed(response)
      })
    })

  const redirected = (
    request: Request,
    url: URL,
    left: number,
    response: HttpClientResponse
  ): Effect.Effect<HttpClientResponse, Failed, Scope.Scope> => {
    const location = URL.parse(response.headers.location ?? "", url.href)
    if (left > 0 && location !== null && location.origin === url.origin && response.status >= 307) {
      return attempt(request, location, left - 1)
    }
    const target = location === null
      ? "it names no place to go to"
      : location.origin !== url.origin
      ? `it leads to another origin, ${location.origin}, where headers must not follow; use that URL if it is meant`
      : "it was not followed"
    const shown = Endpoint.shown(url)
    const detail = `a redirect: ${target}`
    return Effect.flatMap(Failure.fromResponse(response, { verb: request.verb, shown, detail }), ({ reason }) =>
      Effect.fail(reason))
  }

  const open: Requests["open"] = (request) => attempt(request, request.url ?? endpoint.url, redirects)

  const follow: Requests["follow"] = (request, head, use) => {
    const url = request.url ?? endpoint.url
    return Effect.matchEffect(head, {
      onFailure: noAnswer(url),
      onSuccess: (response) =>
        isRedirect(response.status)
          ? Effect.scoped(Effect.flatMap(redirected(request, url, redirects, response), use))
          : use(response)
    })
  }

  const send: Requests["use"] = (request, use) => {
    const url = request.url ?? endpoint.url
    if (unknown) {
      return Effect.matchEffect(Scoped.start(plain, written(request, url)), {
        onFailure: noAnswer(url),
        onSuccess: (found) => {
          unknown = false
          start = found
          return send(request, use)
        }
      })
    }
    const known = options.decorate === undefined ? start : undefined
    if (known === undefined) return Effect.scoped(Effect.flatMap(open(request), use))
    return Effect.suspend(() => {
      let giveUp: (() => void) | undefined
      const head = Effect.callback<HttpClientResponse, HttpClientError>((resume) => {
        giveUp = known(written(request, url), resume)
      })
      return Effect.ensuring(follow(request, head, use), Effect.sync(() => giveUp?.()))
    })
  }

  const begin: Requests["begin"] = (request, answered) => {
    const url = request.url ?? endpoint.url
    const addition = start === undefined ? undefined : shortcut?.(url)
    if (start === undefined || addition === undefined) return undefined
    const giveUp = start(written(request, url, addition.headers), (head) => {
      if (Exit.isFailure(head) || !addition.refuses(head.value)) return answered(head)
      giveUp()
      answered(undefined)
    })
    return giveUp
  }

  return { open, use: send, follow, begin }
})
