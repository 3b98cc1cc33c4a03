/** A login: becoming a client of the authorization server, and asking the user. */
import * as Effect from "effect/Effect"
import type { KeyValueStoreError } from "effect/persistence/KeyValueStore"
import type * as Scope from "effect/Scope"
import * as Authorize from "./Authorize.ts"
import * as AuthorizationCode from "./authorizationCode.ts"
import type * as ClientAuth from "./clientAuth.ts"
import type { Credential } from "./Credential.ts"
import type * as Dpop from "./dpop.ts"
import type { Grant } from "./Grant.ts"
import { Problem } from "./Problem.ts"
import * as Registration from "./registration.ts"
import * as Scopes from "./scopes.ts"
import type * as TokenEndpoint from "./tokenEndpoint.ts"
import { keyOf, type TokenStore } from "./TokenStore.ts"

type CodeGrant = Extract<Grant, { readonly _tag: "AuthorizationCode" }>

/** The user has to go there, and nobody takes them. */
export interface Elsewhere {
  readonly _tag: "Elsewhere"
  readonly url: URL
}

const kept = (error: { readonly message: string }) => new Problem({ stage: "store", detail: error.message })

/** The client that needs no registration here. */
const known = (grant: CodeGrant, { metadata }: TokenEndpoint.Endpoint): ClientAuth.Client | undefined =>
  grant.clientId !== undefined
    ? { id: grant.clientId, secret: grant.clientSecret, privateKey: grant.privateKey }
    : grant.clientMetadataUrl !== undefined && metadata.client_id_metadata_document_supported === true
    ? { id: grant.clientMetadataUrl, privateKey: grant.privateKey }
    : undefined

/** The client a credential was issued to, if it is still known: only that one can refresh it. */
export const clientOf = Effect.fnUntraced(function*(
  grant: CodeGrant,
  endpoint: TokenEndpoint.Endpoint,
  store: TokenStore,
  { clientId }: Credential
): Effect.fn.Return<ClientAuth.Client | undefined, Problem> {
  const client = known(grant, endpoint)
  if (client !== undefined) return client.id === clientId ? client : undefined
  const registration = yield* Effect.mapError(store.registrations.get(keyOf(endpoint.metadata.issuer, clientId)), kept)
  return registration === undefined ? undefined : Registration.toClient(registration)
})

export interface Options {
  readonly grant: CodeGrant
  readonly store: TokenStore
  /** For the user to know. */
  readonly shown: string
  readonly principal: string | undefined
  readonly resource: string
  readonly scopes: Scopes.Scopes
  readonly dpopKey: Dpop.Key | undefined
  /** Keeps the token: what it was got for may have ended by then. */
  readonly keep: AuthorizationCode.Ask<never>["keep"]
}

/** Drops a registration that the authorization server has dropped. */
export const forget = Effect.fnUntraced(function*(store: TokenStore, issuer: string, clientId: string) {
  if ((yield* store.registrations.get(issuer))?.clientId === clientId) yield* store.registrations.set(issuer, undefined)
  yield* store.registrations.set(keyOf(issuer, clientId), undefined)
})

export const isUnknownClient = ({ code }: Problem): boolean => code === "invalid_client" || code === "unauthorized_client"

/** A token, if the user agrees. A registration that the server has forgotten is made anew, once. */
export const run = (endpoint: TokenEndpoint.Endpoint, options: Options): Effect.Effect<Credential, Problem | Elsewhere> =>
  Effect.scoped(attempt(endpoint, options))

const attempt = Effect.fnUntraced(function*(
  endpoint: TokenEndpoint.Endpoint,
  { dpopKey, grant, keep, principal, resource, scopes, shown, store }: Options
): Effect.fn.Return<Credential, Problem | Elsewhere, Scope.Scope> {
  const { issuer } = endpoint.metadata
  const { begin } = yield* Authorize.Authorize
  const listening = yield* Effect.mapError(
    begin({ server: shown, redirectUri: grant.redirectUri, principal }),
    ({ detail }) => new Problem({ stage: "authorization", detail })
  )
  const { redirectUri } = listening

  /** One for all who come at once; anew where none is fit, or the server does not know the one there is. */
  const register = Effect.fnUntraced(function*(unknown?: ClientAuth.Client): Effect.fn.Return<ClientAuth.Client, Problem | KeyValueStoreError> {
    const there = yield* store.registrations.get(issuer)
    if (there !== undefined && there.clientId !== unknown?.id && (yield* Registration.covers(there, redirectUri))) {
      return Registration.toClient(there)
    }
    const registered = yield* Registration.register(endpoint.wire, endpoint.metadata, {
      clientName: grant.clientName ?? "mcp-connect",
      redirectUri,
      scope: Scopes.format(scopes)
    })
    yield* store.registrations.set(issuer, registered)
    // What was issued to it is refreshed by it, whatever is registered after it: each port of a loopback is another client.
    yield* store.registrations.set(keyOf(issuer, registered.clientId), registered)
    return Registration.toClient(registered)
  })
  const client = (unknown?: ClientAuth.Client) =>
    Effect.mapError(store.alone(keyOf("registration", issuer), register(unknown)), (error) =>
      error instanceof Problem ? error : kept(error))

  const visit = (url: URL, state: string) =>
    Effect.mapError(listening.ask(url, state), (error): Problem | Elsewhere =>
      error._tag === "NotAuthorized" ? new Problem({ stage: "authorization", detail: error.detail }) : { _tag: "Elsewhere", url })

  const ask = (client: ClientAuth.Client) =>
    AuthorizationCode.run(endpoint, { client, redirectUri, scopes, resource, dpopKey, visit, keep })

  const configured = known(grant, endpoint)
  if (configured !== undefined) return yield* ask(configured)
  const first = yield* client()
  return yield* Effect.catch(ask(first), (error) =>
    error._tag === "AuthProblem" && isUnknownClient(error) ? Effect.flatMap(client(first), ask) : Effect.fail(error))
})
