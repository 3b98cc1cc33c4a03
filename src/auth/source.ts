/**
 * Where one server's tokens come from: found out from the server, kept in the
 * store, refreshed or asked for anew. One caller at a time; see `Auth`.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { HttpClient } from "effect/http/HttpClient"
import type { KeyValueStoreError } from "effect/persistence/KeyValueStore"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as McpError from "../McpError.ts"
import * as Assertions from "./assertions.ts"
import type * as Challenge from "./challenge.ts"
import * as Credential from "./Credential.ts"
import * as Dpop from "./dpop.ts"
import { Grant, issues as grantIssues } from "./Grant.ts"
import * as Login from "./login.ts"
import { isOutage, Problem, quoted } from "./Problem.ts"
import * as ResourceMetadata from "./resourceMetadata.ts"
import * as Revocation from "./revocation.ts"
import * as Scopes from "./scopes.ts"
import * as ServerMetadata from "./serverMetadata.ts"
import * as TokenEndpoint from "./tokenEndpoint.ts"
import * as TokenStore from "./TokenStore.ts"
import * as Wire from "./wire.ts"

export interface Options {
  /** The server. Its query never appears in errors. */
  readonly url: string | Redacted.Redacted<string>
  /** How tokens are got. Default: a user agrees, in a browser. */
  readonly grant?: Grant | undefined
  /** Asked for in any case, beside what the server asks for. */
  readonly scopes?: ReadonlyArray<string> | undefined
  /** On whose behalf. Tokens of different principals are kept apart. Default: nobody in particular. */
  readonly principal?: string | undefined
  /** The only authorization server to trust. Credentials of a client that was registered by hand are safest with it. */
  readonly issuer?: string | undefined
  /** Whether tokens are to be bound to a key (DPoP). Default: when the server asks for it. */
  readonly dpop?: boolean | undefined
  /** Whether a public server may lead into private networks. Default false. */
  readonly allowPrivateNetwork?: boolean | undefined
}

export type Elsewhere = Login.Elsewhere

/** `reused`: somebody else has got it meanwhile. */
export type How = "reused" | "refreshed" | "granted"

/** `undefined`: there is nothing of OAuth at this server. */
export type Outcome = { readonly credential: Credential.Credential; readonly how: How } | undefined

export interface Need {
  /** What the server has just refused; none if it was sent none. */
  readonly rejected: Credential.Credential | undefined
  readonly wanted: Challenge.Wanted
  /** Whether a refresh could help. */
  readonly refreshable: boolean
}

export interface Source {
  readonly server: URL
  readonly shown: string
  readonly nonces: Dpop.Nonces
  /** What is kept from before. */
  readonly load: Effect.Effect<Credential.Credential | undefined, Problem>
  /** The same, and whose it is. */
  readonly kept: Effect.Effect<{ readonly key: TokenStore.Key; readonly credential: Credential.Credential } | undefined, Problem>
  /** Removes what is kept; tells whether the authorization server has taken it back as well, `undefined` if there was nothing. */
  readonly end: Effect.Effect<boolean | undefined, Problem>
  /** Whether a newer one can be had without asking anybody. */
  readonly isRenewable: (old: Credential.Credential) => boolean
  /** A newer one before it expires, without asking anybody. */
  readonly renew: (old: Credential.Credential) => Effect.Effect<Outcome, Problem | Elsewhere>
  /** What the server will take. */
  readonly obtain: (need: Need) => Effect.Effect<Outcome, Problem | Elsewhere>
  /** Whether there is any use in asking for these scopes: not if they were asked for before. */
  readonly mayWiden: (credential: Credential.Credential | undefined, challenged: Scopes.Scopes) => boolean
}

/** A server, and whom it trusts. */
interface Site {
  readonly resource: string
  readonly scopes: Scopes.Scopes
  readonly dpop: boolean
  readonly endpoint: TokenEndpoint.Endpoint
}

const kept = ({ message }: { readonly message: string }) => new Problem({ stage: "store", detail: message })

const scopesOf = (credential: Credential.Credential | undefined): Scopes.Scopes =>
  Scopes.union(Scopes.parse(credential?.requested), Scopes.parse(credential?.granted))

export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<Source, McpError.McpError, HttpClient> {
  const { grant = Grant.AuthorizationCode({}), principal = "" } = options
  const server = URL.parse(Redacted.isRedacted(options.url) ? Redacted.value(options.url) : options.url)
  if (server === null) {
    return yield* McpError.make(
      new McpError.InvalidConfig({ source: "authorization", issues: [{ path: ["url"], message: "expected an absolute URL" }] })
    )
  }
  const issues = grantIssues(grant)
  if (issues.length > 0) return yield* McpError.make(new McpError.InvalidConfig({ source: "authorization", issues }))
  const shown = `${server.origin}${server.pathname}`
  const store = yield* TokenStore.TokenStore
  const wire = yield* Wire.make({ server, allowPrivateNetwork: options.allowPrivateNetwork ?? false })
  // For URLs that the user has written, not a server.
  const trustful = yield* Wire.make({ server, allowPrivateNetwork: true })
  const nonces = Dpop.nonces()
  const configured = new Set(options.scopes ?? [])
  const bindingKey = TokenStore.keyOf(server.href, principal)
  const binding = Effect.mapError(store.bindings.get(bindingKey), kept)
  const keyOf = ({ issuer, resource }: Credential.Binding): TokenStore.Key => ({ issuer, resource, principal })

  const chooseIssuer = (offered: ReadonlyArray<string>): Effect.Effect<string, Problem> => {
    const issuer = options.issuer ?? offered[0]
    return issuer !== undefined && offered.includes(issuer)
      ? Effect.succeed(issuer)
      : Effect.fail(new Problem({ stage: "discovery", detail: "the server does not name the issuer that its config does" }))
  }

  const discover = Effect.fnUntraced(function*(wanted: Challenge.Wanted): Effect.fn.Return<Site, Problem> {
    const found = yield* ResourceMetadata.discover(wire, wanted.resourceMetadata)
    const issuer = found === undefined ? options.issuer : yield* chooseIssuer(found.authorization_servers)
    const metadata = issuer === undefined ? yield* ServerMetadata.legacy(wire) : yield* ServerMetadata.discover(wire, issuer)
    return {
      resource: found?.resource ?? ResourceMetadata.canonical(server),
      scopes: Scopes.parse(found?.scopes_supported?.join(" ")),
      dpop: options.dpop ?? (wanted.dpop || found?.dpop_bound_access_tokens_required === true),
      endpoint: { wire, metadata, nonces }
    }
  })

  /** Credentials that somebody made by hand are for one authorization server. */
  const checkBinding = Effect.fnUntraced(function*(site: Site): Effect.fn.Return<void, Problem> {
    const { issuer } = site.endpoint.metadata
    const before = yield* binding
    if (before === undefined || before.issuer === issuer || options.issuer !== undefined) return
    if (grant._tag === "AuthorizationCode" && grant.clientId === undefined) return
    return yield* new Problem({
      stage: "registration",
      detail: `the client was registered at ${quoted(before.issuer)}, but the server now names ${quoted(issuer)}; say which in "issuer"`
    })
  })

  const bind = Effect.fnUntraced(function*({ endpoint, resource }: Site): Effect.fn.Return<void, Problem> {
    const { issuer } = endpoint.metadata
    const before = yield* binding
    if (before?.issuer === issuer && before.resource === resource) return
    yield* Effect.mapError(store.bindings.set(bindingKey, { issuer, resource }), kept)
  })

  const dpopKey = (site: Site, before: Credential.Credential | undefined): Effect.Effect<Dpop.Key | undefined, Problem> =>
    !site.dpop && before?.dpopKey === undefined
      ? Effect.undefined
      : site.endpoint.metadata.dpop_signing_alg_values_supported?.includes(Dpop.algorithm) === false
      ? Effect.fail(new Problem({ stage: "token", detail: `the authorization server does not take proofs signed with ${Dpop.algorithm}` }))
      : before?.dpopKey === undefined
      ? Dpop.generate
      : Effect.succeed(before.dpopKey)

  type Save = (next: Credential.Credential | undefined, options?: TokenStore.SaveOptions) => Effect.Effect<void, Problem>

  /** A token without what was there before; saved. */
  const ask = Effect.fnUntraced(function*(
    site: Site,
    before: Credential.Credential | undefined,
    challenged: Scopes.Scopes,
    save: Save
  ): Effect.fn.Return<Credential.Credential, Problem | Elsewhere> {
    const { endpoint, resource } = site
    const selected = Scopes.select({ configured, challenged, before: scopesOf(before), resource: site.scopes })
    const key = yield* dpopKey(site, before)
    return grant._tag === "AuthorizationCode"
      ? yield* Login.run(endpoint, {
        grant,
        store,
        shown,
        principal: options.principal,
        resource,
        dpopKey: key,
        keep: save,
        scopes: Scopes.withOfflineAccess(selected, endpoint.metadata.scopes_supported)
      })
      : yield* Effect.tap(Assertions.run(endpoint, grant, { trustful, resource, scopes: selected, dpopKey: key }), save)
  })

  /** What cannot be found again is not kept: together, or neither. */
  const keepAt = (site: Site, save: Save): Save => (next, options) =>
    Effect.uninterruptible(Effect.andThen(save(next, options), next === undefined ? Effect.void : bind(site)))

  /** Users would be led to an authorization server that does not know who asks, and does not send them back. */
  const forget = ({ endpoint }: Site, { clientId }: Credential.Credential): Effect.Effect<void, Problem> =>
    Effect.mapError(Login.forget(store, endpoint.metadata.issuer, clientId), kept)

  /** `undefined` where only asking anew can help. What an outage is in the way of is not asked for anew. */
  const refresh = Effect.fnUntraced(function*(
    site: Site,
    current: Credential.Credential,
    save: Save
  ): Effect.fn.Return<Credential.Credential | undefined, Problem> {
    const client = grant._tag === "AuthorizationCode" ? yield* Login.clientOf(grant, site.endpoint, store, current) : undefined
    if (client === undefined) return undefined
    const { refreshToken: _, ...spent } = current
    return yield* TokenEndpoint.refresh(site.endpoint, client, site.resource, current).pipe(
      Effect.catch((error) =>
        isOutage(error.code)
          ? Effect.fail(error)
          : Effect.as(
            error.code === "invalid_grant" ? save(spent) : Login.isUnknownClient(error) ? forget(site, current) : Effect.void,
            undefined
          )
      ),
      // A token that cannot be kept is one all the same; the store remembers it.
      Effect.tap((next) =>
        next === undefined ? Effect.void : Effect.catch(save(next, { remember: true }), ({ detail }) => Effect.logWarning(`A renewed token for ${shown} is not kept: ${detail}`))),
      // Between the answer and its being kept lies the only copy of a rotated token.
      Effect.uninterruptible
    )
  })

  /** Runs while nobody else works on the same credential, with what is then there. */
  const exclusively = <E>(
    key: TokenStore.Key,
    work: (current: Credential.Credential | undefined, save: Save) => Effect.Effect<Outcome, E>
  ): Effect.Effect<Outcome, E | Problem> =>
    Effect.mapError(
      store.modify(key, (current, save) => work(current, (next, options) => Effect.mapError(save(next, options), kept))),
      (error) => error instanceof Problem || !isStoreError(error) ? error : kept(error)
    )

  const obtain = Effect.fnUntraced(function*({ refreshable, rejected, wanted }: Need): Effect.fn.Return<Outcome, Problem | Elsewhere> {
    const site = yield* discover(wanted)
    const { issuer } = site.endpoint.metadata
    yield* checkBinding(site)
    const challenged = Scopes.parse(wanted.scope)
    const key = keyOf({ issuer, resource: site.resource })
    const exclusive = <E>(work: (current: Credential.Credential | undefined, save: Save) => Effect.Effect<Outcome, E>) =>
      exclusively(key, (current, save) => work(current, keepAt(site, save)))

    const reuse = Effect.fnUntraced(function*(current: Credential.Credential | undefined): Effect.fn.Return<Outcome, Problem> {
      const now = yield* Clock.currentTimeMillis
      const usable = current !== undefined && !Credential.isSame(current, rejected) && !Credential.isExpired(current, now)
      if (!usable || !(refreshable || Scopes.includes(scopesOf(current), challenged))) return undefined
      yield* bind(site)
      return { credential: current, how: "reused" }
    })

    const quietly = exclusive((current, save) =>
      Effect.gen(function*() {
        const reused = yield* reuse(current)
        if (reused !== undefined) return reused
        const refreshed = refreshable && current !== undefined ? yield* refresh(site, current, save) : undefined
        if (refreshed !== undefined) return { credential: refreshed, how: "refreshed" }
        if (grant._tag === "AuthorizationCode") return undefined
        return { credential: yield* ask(site, current, challenged, save), how: "granted" }
      }))

    // One after the other, but while a user takes their time others may still renew the token, or remove it.
    const login = store.alone(TokenStore.keyOf("login", issuer, site.resource, principal), Effect.gen(function*() {
      const current = yield* store.get(key)
      const reused = yield* reuse(current)
      if (reused !== undefined) return reused
      const keep: Save = (next) => Effect.asVoid(exclusive((_, save) => Effect.as(save(next), undefined)))
      const granted: Outcome = { credential: yield* ask(site, current, challenged, keep), how: "granted" }
      return granted
    })).pipe(Effect.mapError((error) => isStoreError(error) ? kept(error) : error))

    return yield* Effect.flatMap(quietly, (outcome) => outcome === undefined ? login : Effect.succeed(outcome)).pipe(
        // Endpoints that were only assumed prove nothing: the server's own answer says more.
        Effect.catch((error) =>
          site.endpoint.metadata.assumed === true && error._tag === "AuthProblem" && error.stage === "registration"
            ? Effect.undefined
            : Effect.fail(error)
        )
      )
  })

  const renew = Effect.fnUntraced(function*(old: Credential.Credential): Effect.fn.Return<Outcome, Problem | Elsewhere> {
    const bound = yield* binding
    if (bound === undefined) return undefined
    const metadata = yield* ServerMetadata.discover(wire, bound.issuer)
    const site: Site = {
      resource: bound.resource,
      scopes: Scopes.none,
      dpop: old.dpopKey !== undefined,
      endpoint: { wire, metadata, nonces }
    }
    return yield* exclusively(keyOf(bound), (current, save) =>
      Effect.gen(function*() {
        if (current === undefined) return undefined
        const now = yield* Clock.currentTimeMillis
        if (!Credential.isSame(current, old) && !Credential.isExpiring(current, now)) return { credential: current, how: "reused" }
        if (grant._tag !== "AuthorizationCode") {
          const granted = yield* ask(site, current, Scopes.none, save)
          return { credential: granted, how: "granted" }
        }
        const refreshed = yield* refresh(site, current, save)
        return refreshed === undefined ? undefined : { credential: refreshed, how: "refreshed" }
      }))
  })

  const found = Effect.gen(function*() {
    const bound = yield* binding
    if (bound === undefined) return undefined
    const credential = yield* Effect.mapError(store.get(keyOf(bound)), kept)
    return credential === undefined ? undefined : { key: keyOf(bound), credential }
  })

  const revoke = Effect.fnUntraced(function*({ issuer }: Credential.Binding, credential: Credential.Credential) {
    const endpoint = { wire, metadata: yield* ServerMetadata.discover(wire, issuer), nonces }
    const client = grant._tag === "AuthorizationCode" ? yield* Login.clientOf(grant, endpoint, store, credential) : Assertions.clientOf(grant)
    return client === undefined ? false : yield* Revocation.run(endpoint, client, credential)
  })

  const end = Effect.gen(function*() {
    const bound = yield* binding
    if (bound === undefined) return undefined
    return yield* store.modify(keyOf(bound), (current, save) =>
      Effect.gen(function*() {
        // It is removed in any case.
        const revoked = current === undefined ? undefined : yield* Effect.orElseSucceed(revoke(bound, current), () => false)
        if (current !== undefined) yield* save(undefined)
        yield* store.bindings.set(bindingKey, undefined)
        return revoked
      }))
  })

  return {
    server,
    shown,
    nonces,
    kept: found,
    end: Effect.mapError(end, (error) => error instanceof Problem ? error : kept(error)),
    load: Effect.map(found, (found) => found?.credential),
    isRenewable: ({ refreshToken }) => grant._tag !== "AuthorizationCode" || refreshToken !== undefined,
    renew,
    obtain,
    mayWiden: (credential, challenged) =>
      credential === undefined || (challenged.size > 0 && !Scopes.includes(scopesOf(credential), challenged))
  }
})

/** The same for those who use it. `wider`: what one call needs beyond the authorization there is. */
export const toReason = (
  { shown: url }: Pick<Source, "shown">,
  error: Problem | Elsewhere,
  wider?: Scopes.Scopes
): McpError.Unauthorized | McpError.NeedsAuthorization =>
  error._tag === "Elsewhere"
    ? new McpError.NeedsAuthorization({
      url,
      authorizationUrl: error.url.href,
      ...(wider === undefined ? {} : { scopes: [...wider] })
    })
    : new McpError.Unauthorized({
      url,
      stage: error.stage,
      detail: error.detail,
      ...(error.code === undefined ? {} : { code: error.code })
    })

const isStoreError = Predicate.isTagged("KeyValueStoreError") as <E>(error: E | KeyValueStoreError) => error is KeyValueStoreError
