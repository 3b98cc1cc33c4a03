/**
 * A real authorization server (`oidc-provider`, with its own pages for login and consent) and a real MCP server (the official
 * SDK) that takes its tokens: JWTs for this resource, signed with a key the authorization server publishes and not revoked.
 */
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js"
import * as Effect from "effect/Effect"
import * as jose from "jose"
import * as NodeHttp from "node:http"
import { type Configuration, type JWK, Provider } from "oidc-provider"
import * as Http from "../servers/http.ts"
import { serve } from "./loopback.ts"

export interface Peers {
  readonly issuer: string
  /** Of the MCP server. */
  readonly url: string
  /** Grants of the token endpoint, in order, and what came of them. */
  readonly tokens: Array<string>
  /** Tokens that the MCP server takes no longer, whoever signed them. */
  readonly revokeAccess: () => void
  /** Every grant is gone, and with it every refresh token. */
  readonly revokeGrants: () => Promise<void>
  /** New tokens are signed with another key, and what was signed before counts no more. */
  readonly rotateKeys: () => Promise<void>
}

export interface Options {
  /** Seconds an access token is good for. */
  readonly accessTokenTtl?: number
  /** Seconds by which the clock of the MCP server is ahead. */
  readonly ahead?: number
  /** Takes tokens only with a proof that they are in the right hands. */
  readonly dpop?: boolean
  readonly clients?: Configuration["clients"]
}

const newKey = async (kid: string): Promise<JWK> => {
  const { privateKey } = await jose.generateKeyPair("RS256", { extractable: true })
  return { ...await jose.exportJWK(privateKey), kid, alg: "RS256", use: "sig" } as JWK
}

const tools = () => {
  const server = new McpServer({ name: "protected", version: "1" })
  server.registerTool("whoami", {}, (extra) => ({ content: [{ type: "text", text: String(extra.authInfo?.extra?.["sub"]) }] }))
  return server
}

/** For as long as the scope is open. */
export const start = Effect.fnUntraced(function*(options: Options = {}) {
  const handlers = { issuer: undefined as NodeHttp.RequestListener | undefined, mcp: undefined as NodeHttp.RequestListener | undefined }
  const as = yield* serve((request, response) => handlers.issuer?.(request, response))
  const mcp = yield* serve((request, response) => handlers.mcp?.(request, response))
  const resource = `${mcp.origin}/mcp`
  const tokens: Array<string> = []
  const grants = new Set<string>()
  let key = yield* Effect.promise(() => newKey("first"))
  let notBefore = 0

  const make = () => {
    const provider = new Provider(as.origin, {
      jwks: { keys: [key] },
      cookies: { keys: ["only for tests"] },
      clients: options.clients ?? [],
      scopes: ["openid", "offline_access"],
      pkce: { required: () => true },
      rotateRefreshToken: true,
      issueRefreshToken: (_ctx, client) => client.grantTypeAllowed("refresh_token"),
      findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
      ttl: { AccessToken: options.accessTokenTtl ?? 3_600, ClientCredentials: options.accessTokenTtl ?? 3_600, RefreshToken: 86_400, Grant: 86_400, Interaction: 600, Session: 3_600 },
      features: {
        registration: { enabled: true },
        clientCredentials: { enabled: true },
        revocation: { enabled: true },
        dPoP: { enabled: true },
        devInteractions: { enabled: true },
        resourceIndicators: {
          enabled: true,
          useGrantedResource: () => true,
          getResourceServerInfo: () => ({
            scope: "mcp:tools",
            audience: resource,
            accessTokenFormat: "jwt",
            jwt: { sign: { alg: "RS256" } }
          })
        }
      }
    })
    provider.on("grant.success", (ctx) => void tokens.push(`${String(ctx.oidc.params?.["grant_type"])} ok`))
    provider.on("grant.error", (ctx, error) => void tokens.push(`${String(ctx.oidc.params?.["grant_type"])} ${error.message}`))
    provider.on("access_token.issued", (token) => {
      if (token.grantId !== undefined) grants.add(token.grantId)
    })
    return provider
  }
  let provider = make()
  handlers.issuer = provider.callback()

  const challenge = `resource_metadata="${mcp.origin}/.well-known/oauth-protected-resource/mcp"`
  const mcpHandler = Http.stateless(tools)
  handlers.mcp = async (request: NodeHttp.IncomingMessage & { auth?: unknown }, response) => {
    if (request.url === "/.well-known/oauth-protected-resource/mcp") {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({
        resource,
        authorization_servers: [as.origin],
        scopes_supported: ["openid", "offline_access", "mcp:tools"],
        ...(options.dpop === true ? { dpop_bound_access_tokens_required: true } : {})
      }))
      return
    }
    try {
      const [scheme, token = ""] = (request.headers.authorization ?? "").split(" ")
      const published = await (await fetch(`${as.origin}/jwks`)).json() as jose.JSONWebKeySet
      const { payload } = await jose.jwtVerify(token, jose.createLocalJWKSet(published), {
        issuer: as.origin,
        audience: resource,
        currentDate: new Date(Date.now() + (options.ahead ?? 0) * 1_000)
      })
      if ((payload.iat ?? 0) < notBefore) throw new Error("revoked")
      const bound = (payload["cnf"] as { readonly jkt?: string } | undefined)?.jkt
      if ((options.dpop === true) !== (scheme === "DPoP") || (bound !== undefined) !== (scheme === "DPoP")) throw new Error("scheme")
      if (bound !== undefined) {
        const proof = await jose.jwtVerify(String(request.headers["dpop"]), jose.EmbeddedJWK, { typ: "dpop+jwt" })
        const jkt = await jose.calculateJwkThumbprint(proof.protectedHeader.jwk as jose.JWK)
        if (jkt !== bound || proof.payload["htu"] !== resource || proof.payload["htm"] !== request.method) throw new Error("proof")
      }
      request.auth = { token, clientId: String(payload["client_id"]), scopes: [], extra: { sub: payload.sub } }
    } catch {
      response.writeHead(401, { "www-authenticate": `Bearer error="invalid_token", ${challenge}` }).end()
      return
    }
    return mcpHandler(request, response)
  }

  return {
    issuer: as.origin,
    url: resource,
    tokens,
    revokeAccess: () => {
      notBefore = Math.floor(Date.now() / 1_000) + 1
    },
    revokeGrants: async () => {
      for (const grant of grants) {
        await provider.Grant.find(grant).then((found) => found?.destroy())
        await provider.RefreshToken.revokeByGrantId(grant)
      }
    },
    rotateKeys: async () => {
      key = await newKey(`key-${Date.now()}`)
      provider = make()
      handlers.issuer = provider.callback()
    }
  } satisfies Peers
})
