/** The authorization of an entry, as options of `Auth`. */
import * as Redacted from "effect/Redacted"
import type { Resolved, ResolvedAuthorization } from "../ServerConfig.ts"
import { toHttp } from "../transport/websocket/upgrade.ts"
import { Grant } from "./Grant.ts"
import type { Options } from "./source.ts"

/** The way to a token that an entry names; its schema has seen to it that what it takes is there. */
const grantOf = (auth: ResolvedAuthorization): Grant => {
  const { assertion, clientId = "", clientSecret, idp, privateKey } = auth
  if (auth.type === "client_credentials") return Grant.ClientCredentials({ clientId, clientSecret, privateKey })
  if (auth.type === "enterprise_managed" && idp !== undefined) {
    return Grant.EnterpriseManaged({ clientId, clientSecret, privateKey, idp })
  }
  if (auth.type === "workload_identity" && assertion !== undefined) {
    return Grant.WorkloadIdentity({ clientId: auth.clientId, assertion })
  }
  return Grant.AuthorizationCode(auth)
}

/** What a server may want to know of the way to a token. */
export const extensionOf = (auth: ResolvedAuthorization | undefined): string | undefined =>
  auth?.type === "client_credentials"
    ? "io.modelcontextprotocol/oauth-client-credentials"
    : auth?.type === "enterprise_managed"
    ? "io.modelcontextprotocol/enterprise-managed-authorization"
    : undefined

/**
 * How tokens for an entry are got; `undefined` where they are not, or need not
 * be. A WebSocket has those of the `https:` URL that its upgrade is sent to.
 */
export const optionsOf = (config: Resolved): Options | undefined => {
  if ((config._tag !== "Http" && config._tag !== "WebSocket") || config.auth === undefined) return undefined
  const { auth, url } = config
  const { allowPrivateNetwork, dpop, issuer, principal, scopes } = auth
  return {
    url: Redacted.isRedacted(url) ? Redacted.make(toHttp(Redacted.value(url))) : toHttp(url),
    grant: grantOf(auth),
    allowPrivateNetwork,
    dpop,
    issuer,
    principal,
    scopes
  }
}
