/** Requests for tokens, of whatever grant (A-55 … A-57). */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as oauth from "oauth4webapi"
import * as ClientAuth from "./clientAuth.ts"
import type { Credential } from "./Credential.ts"
import * as Dpop from "./dpop.ts"
import { Problem, quoted } from "./Problem.ts"
import * as Scopes from "./scopes.ts"
import type { ServerMetadata } from "./serverMetadata.ts"
import * as Wire from "./wire.ts"

/** An authorization server, and how it is spoken to. */
export interface Endpoint {
  readonly wire: Wire.Wire
  readonly metadata: ServerMetadata
  readonly nonces: Dpop.Nonces
}

export interface Grant {
  readonly type: string
  readonly parameters: Readonly<Record<string, string>>
  readonly client: ClientAuth.Client
  /** What the token is to be bound to. */
  readonly dpopKey: Dpop.Key | undefined
}

/**
 * Nobody here looks at ID tokens, so that one that is not for us is no reason to
 * fail; and what is `null` is not there.
 */
const cleaned = Effect.fnUntraced(function*(response: Response): Effect.fn.Return<Response, Problem> {
  if (response.status !== 200) return response
  const body = yield* Effect.orElseSucceed(Wire.attempt("token", () => response.clone().json()), () => undefined)
  if (!Predicate.isObject(body)) return response
  const others = Object.entries(body).filter(([name, value]) => name !== "id_token" && value !== null)
  return new Response(JSON.stringify(Object.fromEntries(others)), { status: 200, headers: { "content-type": "application/json" } })
})

const wantsNonce = Effect.fnUntraced(function*(response: Response) {
  if (response.status !== 400 && response.status !== 401) return false
  const body = yield* Effect.orElseSucceed(Wire.attempt("token", () => response.clone().json()), () => undefined)
  return Predicate.hasProperty(body, "error") && body.error === "use_dpop_nonce"
})

/** The library will have an id; what of it is sent is up to the authentication. */
const known = ({ id }: ClientAuth.Client): oauth.Client => ({ client_id: id === "" ? "none" : id })

/** Sends one, and once more when the server wants its nonce in the proof. */
const send = Effect.fnUntraced(function*(
  { metadata, nonces, wire }: Endpoint,
  { client, dpopKey, parameters, type }: Grant
): Effect.fn.Return<Response, Problem> {
  const url = metadata.token_endpoint
  if (url === undefined) return yield* new Problem({ stage: "token", detail: `${quoted(metadata.issuer)} has no token endpoint` })
  const once = Effect.gen(function*() {
    const authentication = yield* ClientAuth.make(client, metadata)
    const proof = dpopKey === undefined ? undefined : yield* Dpop.proof(dpopKey, { method: "POST", url, nonce: nonces.get(url) })
    const response = yield* Wire.exchange(wire, "token", (options) =>
      oauth.genericTokenEndpointRequest(
        { issuer: metadata.issuer, token_endpoint: url },
        known(client),
        authentication,
        type,
        { ...parameters },
        { ...options, headers: proof === undefined ? {} : { dpop: proof } }
      ))
    nonces.heed(url, response.headers.get("dpop-nonce"))
    return response
  })
  const response = yield* once
  return dpopKey !== undefined && (yield* wantsNonce(response)) ? yield* once : response
})

/** The answer, if it is that of a token endpoint. */
export const request = Effect.fnUntraced(function*(
  endpoint: Endpoint,
  grant: Grant,
  recognised?: oauth.RecognizedTokenTypes
): Effect.fn.Return<oauth.TokenEndpointResponse, Problem> {
  const response = yield* cleaned(yield* send(endpoint, grant))
  return yield* Wire.attempt("token", () =>
    oauth.processGenericTokenEndpointResponse(
      { issuer: endpoint.metadata.issuer },
      known(grant.client),
      response,
      recognised === undefined ? {} : { recognizedTokenTypes: recognised }
    ))
})

/** Seconds; whoever says more means for ever. */
const longest = 1_000_000_000

/** A token for a resource. */
export const credential = Effect.fnUntraced(function*(
  endpoint: Endpoint,
  grant: Grant,
  requested: Scopes.Scopes
): Effect.fn.Return<Credential, Problem> {
  const asked = yield* Clock.currentTimeMillis
  const { access_token, expires_in, refresh_token, scope, token_type } = yield* request(endpoint, grant)
  const type = token_type === "dpop" ? "dpop" : "bearer"
  if (type === "dpop" && grant.dpopKey === undefined) {
    return yield* new Problem({ stage: "token", detail: "the token is bound to a key, though none was given" })
  }
  if (!/^[\x21-\x7e]+$/.test(access_token)) {
    return yield* new Problem({ stage: "token", detail: "the token has characters that no header can carry" })
  }
  return {
    accessToken: Redacted.make(access_token),
    type,
    issuedAt: asked,
    clientId: grant.client.id,
    requested: Scopes.format(requested) ?? "",
    // Some say 0 for tokens that do not expire.
    ...(expires_in === undefined || expires_in <= 0 ? {} : { expiresAt: asked + Math.min(expires_in, longest) * 1_000 }),
    ...(refresh_token === undefined ? {} : { refreshToken: Redacted.make(refresh_token) }),
    ...(scope === undefined ? {} : { granted: scope }),
    ...(type === "dpop" && grant.dpopKey !== undefined ? { dpopKey: grant.dpopKey } : {})
  }
})

/** The next token of an authorization; `undefined` where there is nothing to refresh it with. */
export const refresh = Effect.fnUntraced(function*(
  endpoint: Endpoint,
  client: ClientAuth.Client,
  resource: string,
  current: Credential
): Effect.fn.Return<Credential | undefined, Problem> {
  if (current.refreshToken === undefined) return undefined
  const next = yield* credential(endpoint, {
    type: "refresh_token",
    parameters: { refresh_token: Redacted.value(current.refreshToken), resource },
    client,
    dpopKey: current.dpopKey
  }, Scopes.parse(current.requested))
  return {
    ...next,
    // Absent in the answer, both stay as they were.
    refreshToken: next.refreshToken ?? current.refreshToken,
    ...(next.granted === undefined && current.granted !== undefined ? { granted: current.granted } : {})
  }
})
