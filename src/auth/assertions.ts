/** Grants that nobody has to be asked for (A-85 … A-96). */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as ClientAuth from "./clientAuth.ts"
import type { Credential } from "./Credential.ts"
import type * as Dpop from "./dpop.ts"
import type { Assertion, Grant } from "./Grant.ts"
import { Problem } from "./Problem.ts"
import * as Scopes from "./scopes.ts"
import * as TokenEndpoint from "./tokenEndpoint.ts"
import type * as Wire from "./wire.ts"

export type Unattended = Exclude<Grant, { readonly _tag: "AuthorizationCode" }>

const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"
const idJag = "urn:ietf:params:oauth:token-type:id-jag"

const reveal = (assertion: Assertion): Effect.Effect<string, Problem> =>
  Redacted.isRedacted(assertion)
    ? Effect.succeed(Redacted.value(assertion))
    : Effect.mapBoth(assertion, {
      onSuccess: Redacted.value,
      onFailure: ({ message }) => new Problem({ stage: "token", detail: `there is no assertion: ${message}` })
    })

/** What the identity provider says, for this authorization server and this resource only. */
const exchange = Effect.fnUntraced(function*(
  { metadata, nonces }: TokenEndpoint.Endpoint,
  wire: Wire.Wire,
  { idp }: Extract<Grant, { readonly _tag: "EnterpriseManaged" }>,
  resource: string,
  scopes: Record<string, string>
): Effect.fn.Return<string, Problem> {
  const answer = yield* TokenEndpoint.request(
    { wire, nonces, metadata: { issuer: URL.parse(idp.tokenEndpoint)?.origin ?? idp.tokenEndpoint, token_endpoint: idp.tokenEndpoint } },
    {
      type: "urn:ietf:params:oauth:grant-type:token-exchange",
      parameters: {
        requested_token_type: idJag,
        audience: metadata.issuer,
        resource,
        subject_token: yield* reveal(idp.subjectToken),
        subject_token_type: idp.subjectTokenType ?? "urn:ietf:params:oauth:token-type:id_token",
        ...scopes
      },
      client: { id: idp.clientId, secret: idp.clientSecret },
      dpopKey: undefined
    },
    // "Not applicable": it is no access token.
    { n_a: () => undefined }
  )
  if (answer["issued_token_type"] === idJag && answer.token_type === "n_a") return answer.access_token
  return yield* new Problem({ stage: "token", detail: "the identity provider gave something else than an ID-JAG" })
})

/** Who asks. */
export const clientOf = (grant: Unattended): ClientAuth.Client =>
  grant._tag === "WorkloadIdentity"
    ? { id: grant.clientId ?? "" }
    : { id: grant.clientId, secret: grant.clientSecret, privateKey: grant.privateKey }

/** A token of one of these grants. */
export const run = Effect.fnUntraced(function*(
  endpoint: TokenEndpoint.Endpoint,
  grant: Unattended,
  options: { readonly trustful: Wire.Wire; readonly resource: string; readonly scopes: Scopes.Scopes; readonly dpopKey: Dpop.Key | undefined }
): Effect.fn.Return<Credential, Problem> {
  const { dpopKey, resource, scopes, trustful } = options
  const scope = Scopes.format(scopes)
  const parameters = scope === undefined ? {} : { scope }
  const client = clientOf(grant)
  const request = (type: string, more: Record<string, string>) =>
    TokenEndpoint.credential(endpoint, { type, parameters: { resource, ...parameters, ...more }, client, dpopKey }, scopes)
  switch (grant._tag) {
    case "ClientCredentials":
      return yield* request("client_credentials", {})
    case "EnterpriseManaged":
      return yield* request(jwtBearer, { assertion: yield* exchange(endpoint, trustful, grant, resource, parameters) })
    case "WorkloadIdentity":
      return yield* request(jwtBearer, { assertion: yield* reveal(grant.assertion) })
  }
})
