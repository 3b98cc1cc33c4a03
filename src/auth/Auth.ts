/**
 * OAuth 2.1 for a server over HTTP (section 21 of the requirements): a
 * decorator of an `HttpClient` that adds tokens, and gets them when the server
 * asks for them. It knows nothing of the messages.
 *
 * ```ts
 * const auth = yield* Auth.make({ url: "https://example.com/mcp" })
 * const client = auth.decorate(yield* HttpClient.HttpClient)
 * ```
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as McpError from "../McpError.ts"
import * as Scoped from "../transport/http/scoped.ts"
import * as Arrival from "./arrival.ts"
import { Attended } from "./Attended.ts"
import * as Authorize from "./Authorize.ts"
import * as Challenge from "./challenge.ts"
import * as Credential from "./Credential.ts"
import * as Dpop from "./dpop.ts"
import { Problem } from "./Problem.ts"
import * as ResourceMetadata from "./resourceMetadata.ts"
import * as Scopes from "./scopes.ts"
import * as Sharing from "./sharing.ts"
import * as Source from "./source.ts"
import * as TokenStore from "./TokenStore.ts"
import * as Wire from "./wire.ts"

export type { Options } from "./source.ts"

/**
 * Adds authorization to a client. Requests to other origins than the server's
 * pass unchanged. Not for a client that follows redirects by itself: it would
 * take the token along.
 */
export type Decorate = <R>(
  client: HttpClient.HttpClient.With<HttpClientError.HttpClientError, R>
) => HttpClient.HttpClient.With<HttpClientError.HttpClientError, R>

export interface Auth {
  readonly decorate: Decorate
  /** When a user was last asked, in milliseconds of the clock: now while one is; `undefined` if none ever was. */
  readonly lastAsked: () => number | undefined
}

/** Rounds of one request: a refresh, a login, what others have got meanwhile, and wider scopes. */
const maxRounds = 6

/** How often one request asks for wider scopes: a server may name others each time. */
const maxWidenings = 2

/** Answers that only ask for authorization are read no longer than this. */
const readTime = "10 seconds"

/** How long a token that was refused when it was new is not asked for again, in milliseconds: nobody is to log in without end. */
const reluctance = 60_000

const bearer = ({ accessToken }: Credential.Credential): string => `Bearer ${Redacted.value(accessToken)}`

const isInsufficient = (status: number, { error }: Challenge.Wanted): boolean =>
  (status === 403 || status === 401) && error === "insufficient_scope"

/**
 * Authorization for one server, for as long as the scope is open. Discovery,
 * registration and tokens go through the `HttpClient` of the context, what is
 * kept through `TokenStore`, and users are asked through `Authorize`.
 *
 * A request fails with a `TransportError` whose cause is an `McpError`:
 * `NeedsAuthorization` when nobody asks the user, `Unauthorized` when there is
 * no token or none that the server takes, `Forbidden` when its scopes do not
 * suffice. A server that wants authorization but has nothing of OAuth keeps its
 * own 401. One login or refresh goes on for all requests that wait for it, also
 * those of others with the same store and options in this process; it is
 * interrupted when none of them waits any longer.
 */
export const make = Effect.fnUntraced(function*(
  options: Source.Options
): Effect.fn.Return<Auth, McpError.McpError, HttpClient.HttpClient | Scope.Scope> {
  const source = yield* Source.make(options)
  const store = yield* TokenStore.TokenStore
  const { asking, flight, renewal, widening } = yield* Sharing.join(store, source.server, options)
  const context = yield* Effect.context<never>()
  const clock = yield* Clock.Clock
  const closed = yield* Deferred.make<never>()
  yield* Effect.addFinalizer(() => Deferred.interrupt(closed))
  const nonces = source.nonces
  let current: Credential.Credential | undefined
  let loaded = false
  /** One that could not be renewed: it is used until the server refuses it. */
  let lasting: Credential.Credential | undefined

  /** One that was refused when it was new, and has not been taken since: for a while, asking again would end the same way. */
  let unwelcome: { readonly credential: Credential.Credential; readonly until: number } | undefined

  /** Whether there is another token than the one that did not do. */
  const isThere = (known: Credential.Credential | undefined) =>
    Effect.gen(function*() {
      const kept = yield* source.load
      if (kept === undefined || Credential.isSame(kept, known)) return false
      return source.isRenewable(kept) || !Credential.isExpired(kept, yield* Clock.currentTimeMillis)
    }).pipe(Effect.orElseSucceed(() => false))

  const attended = yield* Attended

  const toReason = (error: Problem | Source.Elsewhere, unasked = false, wider?: Scopes.Scopes): McpError.McpErrorReason => {
    const reason = Source.toReason(source, error, wider)
    if (reason._tag === "NeedsAuthorization" || reason.stage === "authorization" || reason.stage === "request") {
      Arrival.expect(reason, Arrival.make({ isThere: isThere(current), changes: store.changes, unasked }))
    }
    return reason
  }

  /** What another one was told for whom nobody was asked says nothing to a user who waits. */
  const mayAsk = (reason: McpError.McpErrorReason) => Arrival.after(reason)?.unasked === true && attended()

  const fly = (
    by: typeof flight,
    work: Effect.Effect<Source.Outcome, Problem | Source.Elsewhere>,
    wider?: Scopes.Scopes
  ): Effect.Effect<Source.Outcome, McpError.McpErrorReason> =>
    Effect.suspend(() => {
      const unasked = !attended()
      return by.run(work.pipe(
        Effect.provideService(Authorize.Authorize, unasked ? Authorize.nobody : asking.authorize),
        // It may outlive the request that began it.
        Effect.provideContext(context),
        Effect.mapError((error) => toReason(error, unasked && error._tag === "Elsewhere", wider))
      ))
    }).pipe(
      Effect.catch((reason) => mayAsk(reason) ? fly(by, work, wider) : Effect.fail(reason)),
      Effect.raceFirst(Deferred.await(closed)),
      Effect.tap((outcome) =>
        Effect.sync(() => {
          current = outcome?.credential ?? current
        })
      )
    )

  /** The token to send now: renewed if it is about to expire, and none if it has. */
  const ready = Effect.gen(function*() {
    if (!loaded) {
      const kept = yield* Effect.orElseSucceed(source.load, () => undefined)
      // Meanwhile others may have got one.
      current ??= kept
      loaded = true
    }
    if (current === undefined || !Credential.isExpiring(current, yield* Clock.currentTimeMillis)) return current
    const old = current
    if (old !== lasting && source.isRenewable(old)) {
      // What goes wrong here shows again, with all its reasons, when the server refuses.
      yield* Effect.ignore(fly(renewal, source.renew(old)))
      if (current === old) lasting = old
    }
    return Credential.isSame(current, old) && Credential.isExpired(old, yield* Clock.currentTimeMillis) ? undefined : current
  })

  const authorized = Effect.fnUntraced(function*(
    request: HttpClientRequest.HttpClientRequest,
    credential: Credential.Credential | undefined
  ) {
    if (credential === undefined) return request
    if (credential.dpopKey === undefined) return HttpClientRequest.setHeader(request, "authorization", bearer(credential))
    const proof = yield* Dpop.proof(credential.dpopKey, {
      method: request.method,
      url: request.url,
      nonce: nonces.get(request.url),
      token: credential.accessToken
    })
    return HttpClientRequest.setHeaders(request, { authorization: `DPoP ${Redacted.value(credential.accessToken)}`, dpop: proof })
  })

  /** Sends a request until it is answered with something else than the wish for another token. */
  const handle = <R>(
    request: HttpClientRequest.HttpClientRequest,
    send: (request: HttpClientRequest.HttpClientRequest) => Effect.Effect<
      HttpClientResponse.HttpClientResponse,
      HttpClientError.HttpClientError,
      R
    >
  ): Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError, R> => {
    const fail = (reason: McpError.McpErrorReason) =>
      new HttpClientError.HttpClientError({
        reason: new HttpClientError.TransportError({ request, cause: McpError.make(reason) })
      })
    return Effect.gen(function*() {
      let credential = yield* ready
      let how: Source.How | undefined
      let nonceTried = false
      let widenings = 0
      for (let round = 1;; round += 1) {
        const moment = flight.now()
        const response = yield* send(yield* Effect.mapError(authorized(request, credential), (error) => fail(toReason(error))))
        nonces.heed(request.url, response.headers["dpop-nonce"])
        if (response.status !== 401 && response.status !== 403) {
          if (credential === unwelcome?.credential) unwelcome = undefined
          return response
        }
        const wanted = Challenge.wanted(response.headers["www-authenticate"])
        const insufficient = isInsufficient(response.status, wanted)
        if (response.status === 403 && !insufficient) return response

        // Read to its end, so that its connection is free while somebody logs in.
        const answer = yield* Wire.reread(response).pipe(
          Effect.timeoutOption(readTime),
          Effect.mapError((error) => error instanceof Problem ? fail(toReason(error)) : error)
        )
        const refused = answer._tag === "Some" ? HttpClientResponse.fromWeb(request, answer.value) : response

        if (wanted.error === "use_dpop_nonce" && credential?.dpopKey !== undefined && !nonceTried) {
          nonceTried = true
          continue
        }
        const challenged = Scopes.parse(wanted.scope)
        if (insufficient && (widenings >= maxWidenings || !source.mayWiden(credential, challenged))) {
          return yield* fail(
            new McpError.Forbidden({
              url: source.shown,
              scopes: [...challenged],
              detail: "a wider authorization was asked for, and it still does not suffice"
            })
          )
        }
        const now = yield* Clock.currentTimeMillis
        if (how === "granted" && credential !== undefined && !insufficient) unwelcome = { credential, until: now + reluctance }
        const isUnwelcome = unwelcome !== undefined && credential === unwelcome.credential && now < unwelcome.until &&
          !(yield* isThere(credential))
        if (round >= maxRounds || (isUnwelcome && !insufficient)) {
          return yield* fail(toReason(
            new Problem({ stage: "request", detail: `status ${response.status} to a token that was just issued` })
          ))
        }
        // A user who is asked for more than a call has, holds up nobody who has enough.
        const by = insufficient ? widening(challenged) : flight
        const before = by.failedSince(moment)
        if (before !== undefined && !mayAsk(before)) return yield* fail(before)
        if (insufficient) widenings += 1
        const need = { rejected: credential, wanted, refreshable: how !== "refreshed" && !insufficient }
        const outcome = yield* Effect.mapError(fly(by, source.obtain(need), insufficient ? challenged : undefined), fail)
        if (outcome === undefined) return refused
        // Somebody else's outcome may be the very token that was refused.
        how = Credential.isSame(outcome.credential, credential) ? undefined : outcome.how
        credential = outcome.credential
      }
    })
  }

  const decorate: Decorate = (client) =>
    HttpClient.makeWith(
      Effect.flatMap((request) =>
        ResourceMetadata.covers(source.server, request.url)
          ? handle(request, (request) => client.postprocess(Effect.succeed(request)))
          : client.postprocess(Effect.succeed(request))
      ),
      client.preprocess
    )

  /** The URLs of transports are few, and always the same. */
  const covered = new WeakMap<URL, boolean>()
  const covers = (url: URL): boolean => {
    const known = covered.get(url) ?? ResourceMetadata.covers(source.server, url.href)
    covered.set(url, known)
    return known
  }

  /** Most requests need nothing but the token that is there. The server is asked for another one by `handle` alone. */
  const shortcut: Scoped.Shortcut = (url) => {
    if (!covers(url)) return Scoped.nothing
    const credential = current
    const takesTime = !loaded || credential?.dpopKey !== undefined ||
      (credential !== undefined && Credential.isExpiring(credential, clock.currentTimeMillisUnsafe()))
    return takesTime ? undefined : {
      headers: credential === undefined ? {} : { authorization: bearer(credential) },
      refuses: ({ headers, status }) => {
        if (status === 401) return true
        if (status === 403) return isInsufficient(status, Challenge.wanted(headers["www-authenticate"]))
        if (credential === unwelcome?.credential) unwelcome = undefined
        return false
      }
    }
  }

  return { lastAsked: asking.lastAsked, decorate: Scoped.registerShortcut(decorate, shortcut) }
})
