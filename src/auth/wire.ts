/**
 * Requests to authorization servers: to permitted URLs only, without following
 * redirects, bounded in size and time. `oauth4webapi` writes them and reads the
 * answers; in between they go through the `HttpClient` of the program.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Predicate from "effect/Predicate"
import * as oauth from "oauth4webapi"
import * as NetworkFailure from "../internal/networkFailure.ts"
import * as Body from "../transport/http/body.ts"
import { Problem, quoted } from "./Problem.ts"
import * as PublicNetwork from "./PublicNetwork.ts"
import * as Urls from "./urls.ts"

/** Documents and tokens are small; whoever sends more means no good. */
export const maxBytes = 1024 * 1024
const maxTime: Duration.Input = "30 seconds"

/** The part of `fetch` that is used. */
type Fetch = NonNullable<oauth.HttpRequestOptions<"GET" | "POST", URLSearchParams | string | undefined>[typeof oauth.customFetch]>

interface Written {
  readonly url: string
  readonly method: "GET" | "POST"
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

export interface Wire {
  readonly policy: Urls.Policy
  /** The answer of whatever status, wholly read. */
  readonly send: (stage: Problem["stage"], request: Written) => Effect.Effect<Response, Problem>
}

/** Spans would tell whole URLs, and their headers credentials; no redirect is followed. */
export const quietly = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  effect.pipe(
    Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
    Effect.provideService(HttpClient.TracerPropagationEnabled, false),
    Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" })
  )

/** The answer with a body that can still be read, after this one was. */
export const reread = (response: HttpClientResponse): Effect.Effect<Response, HttpClientError.HttpClientError | Problem> =>
  Effect.flatMap(Effect.scoped(Body.read(response, maxBytes)), ({ cut, text }) =>
    cut
      ? Effect.fail(new Problem({ stage: "request", detail: `an answer is larger than ${maxBytes} bytes` }))
      : Effect.succeed(
        new Response([101, 204, 205, 304].includes(response.status) ? null : text, {
          status: response.status,
          headers: response.headers
        })
      ))

export const make = Effect.fnUntraced(function*(
  policy: Urls.Policy
): Effect.fn.Return<Wire, never, HttpClient.HttpClient> {
  const client = yield* HttpClient.HttpClient
  return {
    policy,
    send: Effect.fnUntraced(function*(stage, { body, headers, method, url }) {
      const checked = Urls.check(url, policy)
      if (typeof checked === "string") return yield* new Problem({ stage, detail: checked })
      checked.hash = ""
      const shown = quoted(`${checked.origin}${checked.pathname}`)
      const { "content-type": type, ...others } = headers
      return yield* client.execute(
        HttpClientRequest.make(method)(checked.href, {
          headers: others,
          body: body === undefined ? HttpBody.empty : HttpBody.text(body, type)
        })
      ).pipe(
        Effect.flatMap(reread),
        Effect.timeoutOrElse({
          duration: maxTime,
          orElse: () => Effect.fail(new Problem({ stage, detail: `${shown} does not answer` }))
        }),
        // The platform's words may quote the request.
        Effect.mapError((error) =>
          error instanceof Problem
            ? new Problem({ stage, detail: `${shown}: ${error.detail}` })
            : NetworkFailure.codesOf(error).includes(PublicNetwork.refused)
            ? new Problem({ stage, detail: Urls.inPrivate(checked) })
            : new Problem({ stage, detail: `${shown} cannot be reached` })
        ),
        Effect.provideService(PublicNetwork.PublicNetwork, Urls.isGuarded(checked, policy)),
        quietly
      )
    })
  }
})

const fetchOptions = (fetch: Fetch) => ({ [oauth.customFetch]: fetch, [oauth.allowInsecureRequests]: true })

/** What the library writes with these; {@link Wire.send} judges the URL, so that it need not. */
export type WireOptions = ReturnType<typeof fetchOptions>

/** The request that `oauth4webapi` would make. */
const written = (stage: Problem["stage"], write: (options: WireOptions) => Promise<Response>): Effect.Effect<Written, Problem> =>
  Effect.tryPromise({
    try: async () => {
      let found: Written | undefined
      await write(fetchOptions((url, { body, headers, method }) => {
        found = { url, method, headers, ...(body === undefined || body === null ? {} : { body: String(body) }) }
        return Promise.resolve(new Response())
      }))
      if (found === undefined) throw new TypeError("no request was written")
      return found
    },
    catch: (error) => problem(stage, error)
  })

/** Facts of an error of `oauth4webapi`, never its words about values. */
const problem = (stage: Problem["stage"], error: unknown): Problem => {
  if (error instanceof oauth.ResponseBodyError) {
    const description = error.error_description === undefined ? "" : `: ${quoted(error.error_description)}`
    const detail = `${quoted(error.error)}${description}`
    // Whatever it calls it, this only means "later".
    return error.status === 429 ? new Problem({ stage, detail }) : new Problem({ stage, code: quoted(error.error), detail })
  }
  if (error instanceof oauth.WWWAuthenticateChallengeError) {
    return new Problem({ stage, code: "invalid_client", detail: `status ${error.status}: the client's credentials are not accepted` })
  }
  if (error instanceof oauth.OperationProcessingError && Predicate.hasProperty(error.cause, "status")) {
    return new Problem({ stage, detail: `status ${String(error.cause.status)} without an error of OAuth` })
  }
  if (error instanceof oauth.OperationProcessingError || error instanceof oauth.UnsupportedOperationError) {
    return new Problem({ stage, detail: quoted(error.message) })
  }
  return new Problem({ stage, detail: "the request could not be written or its answer not be read" })
}

/** Runs a part of a library that gives promises. */
export const attempt = <A>(stage: Problem["stage"], run: () => Promise<A>): Effect.Effect<A, Problem> =>
  Effect.tryPromise({ try: run, catch: (error) => problem(stage, error) })

/** What a request keeps secret. */
const secretsOf = ({ body, headers }: Written): ReadonlyArray<string> => {
  const form = new URLSearchParams(body)
  const secrets = [...secretParameters.flatMap((name) => form.getAll(name)), headers["dpop"] ?? ""]
  // Written by the library: form-encoded, so that it is ASCII.
  const basic = /^Basic ([A-Za-z0-9+/]+=*)$/.exec(headers["authorization"] ?? "")?.[1]
  if (basic === undefined) return secrets
  const password = atob(basic).replace(/^[^:]*:/, "")
  return [...secrets, basic, password, new URLSearchParams(`p=${password}`).get("p") ?? ""]
}

const secretParameters = ["code", "code_verifier", "refresh_token", "assertion", "client_assertion", "client_secret", "subject_token", "token"]

/** An error without what its request kept secret: some servers repeat it, and it would be in our words. */
const withoutSecrets = Effect.fnUntraced(function*(response: Response, request: Written): Effect.fn.Return<Response, never> {
  if (response.ok) return response
  const body = yield* Effect.orElseSucceed(attempt("token", () => response.clone().json()), () => undefined)
  if (!Predicate.isObject(body)) return response
  const secrets = secretsOf(request).filter((secret) => secret !== "").flatMap((secret) => [secret, encodeURIComponent(secret)])
  const clean = (value: unknown) =>
    typeof value === "string" ? secrets.reduce((text, secret) => text.replaceAll(secret, "***"), value) : value
  const cleaned = Object.fromEntries(Object.entries(body).map(([name, value]) => [name, clean(value)]))
  return new Response(JSON.stringify(cleaned), { status: response.status, headers: response.headers })
})

/** One round trip that `oauth4webapi` writes. */
export const exchange = Effect.fnUntraced(function*(
  wire: Wire,
  stage: Problem["stage"],
  write: (options: WireOptions) => Promise<Response>
): Effect.fn.Return<Response, Problem> {
  const request = yield* written(stage, write)
  return yield* withoutSecrets(yield* wire.send(stage, request), request)
})

/** A JSON document; `undefined` where there is none: any answer but 200 below 500, or not an object. */
export const getJson = Effect.fnUntraced(function*(
  wire: Wire,
  url: string
): Effect.fn.Return<Record<string, unknown> | undefined, Problem> {
  const response = yield* wire.send("discovery", {
    url,
    method: "GET",
    // What servers of 2025-03-26 tell their revisions apart by.
    headers: { accept: "application/json", "mcp-protocol-version": "2025-11-25" }
  })
  if (response.status >= 500) {
    return yield* new Problem({ stage: "discovery", detail: `${quoted(Urls.shown(url))} was answered with status ${response.status}` })
  }
  if (response.status !== 200) return undefined
  const value = yield* Effect.orElseSucceed(attempt("discovery", () => response.json()), () => undefined)
  // Some write `null` for what they do not have.
  return Predicate.isObject(value) && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null))
    : undefined
})
