/** Tokens that are needed no more (RFC 7009). */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as oauth from "oauth4webapi"
import * as ClientAuth from "./clientAuth.ts"
import type { Credential } from "./Credential.ts"
import type { Problem } from "./Problem.ts"
import type * as TokenEndpoint from "./tokenEndpoint.ts"
import * as Wire from "./wire.ts"

const revoke = Effect.fnUntraced(function*(
  { metadata, wire }: TokenEndpoint.Endpoint,
  endpoint: string,
  client: ClientAuth.Client,
  token: Redacted.Redacted<string>,
  hint: "refresh_token" | "access_token"
): Effect.fn.Return<boolean, Problem> {
  const authentication = yield* ClientAuth.make(client, metadata)
  const { status } = yield* Wire.exchange(wire, "token", (options) =>
    oauth.revocationRequest(
      { issuer: metadata.issuer, revocation_endpoint: endpoint },
      { client_id: client.id },
      authentication,
      Redacted.value(token),
      { ...options, additionalParameters: { token_type_hint: hint } }
    ))
  return status === 200
})

/** Whether the authorization server has taken both back. `false` where it has no such endpoint. */
export const run = Effect.fnUntraced(function*(
  endpoint: TokenEndpoint.Endpoint,
  client: ClientAuth.Client,
  { accessToken, refreshToken }: Credential
): Effect.fn.Return<boolean, Problem> {
  const { revocation_endpoint: url } = endpoint.metadata
  if (url === undefined) return false
  // The refresh token first: with it, most servers take back what came of it.
  const refresh = refreshToken === undefined || (yield* revoke(endpoint, url, client, refreshToken, "refresh_token"))
  return (yield* revoke(endpoint, url, client, accessToken, "access_token")) && refresh
})
