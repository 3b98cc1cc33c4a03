/**
 * A real authorization server (`oidc-provider`, with its own pages for login and consent) and a real MCP server (the official
 * SDK) that takes its tokens: JWTs for this resource, signed with a key the authorization server publishes and not revoked.
 */
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js"
import * as Effect from "effect/Effect"
import * as jose from "jose"
import * as NodeHttp from "node:http"
import { type Adapter, type AdapterPayload, type Configuration, type JWK, Provider } from "oidc-provider"
import * as Http from "../servers/http.ts"
import { serve } from "./loopback.ts"

export interface Peers {
  readonly issuer: string
  /** Of the MCP server. */
  readonly url: string
  /** Grants of the token endpoint, in order, and what came of them. */
  readonly tokens: Array<string>
  /** Every grant that there is now is gone, with its refresh tokens, and the MCP server takes its access tokens no longer. */
  readonly revoke: () => Promise<void>
  /** New tokens are signed with another key, and what was signed before counts no more. */
  readonly rotateKeys: () => Promise<void>
}

export interface Options {
  /** Seconds an access token is good for. */
  readonly accessTokenTtl?: number
  /** Seconds by which the clock of the MCP server is ahead. */
  readonly ahead?: number
  /** Seconds for which the MCP server takes a token after its end. Those of a token are whole: one of a second may be at its end at once. */
  readonly tolerance?: number
  /** Takes tokens only with a proof that they are in the right hands. */
  readonly dpop?: boolean
  readonly clients?: Configuration["clients"]
}

const newKey = async (kid: string): Promise<JWK> => {
  const { privateKey } = await jose.generateKeyPair("RS256", { extractable: true })
  return { ...await jose.exportJWK(privateKey), kid, alg: "RS256", use: "sig" } as JWK
}

/** What an authorization server keeps, also over its being made anew. What has expired it finds out itself. */
const memory = (): (name: string) => Adapter => {
  const kept = new Map<string, AdapterPayload>()
  return (name) => {
    const key = (id: string) => `${name}:${id}`
    const by = async (is: (payload: AdapterPayload) => boolean) =>
      [...kept].find(([key, payload]) => key.startsWith(`${name}:`) && is(payload))?.[1]
    return {
      upsert: async (id, payload) => void kept.set(key(id), payload),
      find: async (id) => kept.get(key(id)),
      findByUid: (uid) => by((payload) => payload.uid === uid),
      findByUserCode: (code) => by((payload) => payload.userCode === code),
      consume: async (id) => void Object.assign(kept.get(key(id)) ?? {}, { consumed: Math.floor(Date.now() / 1_000) }),
      destroy: async (id) => void kept.delete(key(id)),
      revokeByGrantId: async (grantId) => {
        for (const [key, payload] of kept) if (payload.grantId === grantId) kept.delete(key)
      }
    }
  }
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
  const issued = new Set<string>()
  const revoked = new Set<string>()

  const adapter = memory()
  const make = () => {
    const provider = new Provider(as.origin, {
      adapter,
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
      issued.add(token.jti)
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
        currentDate: new Date(Date.now() + (options.ahead ?? 0) * 1_000),
        clockTolerance: options.tolerance ?? 0
      })
      if (revoked.has(String(payload.jti))) throw new Error("revoked")
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
    revoke: async () => {
      for (const grant of grants) {
        await provider.Grant.find(grant).then((found) => found?.destroy())
        await provider.RefreshToken.revokeByGrantId(grant)
      }
      // Last, with what was refreshed meanwhile: what comes now is from a new login.
      for (const token of issued) revoked.add(token)
    },
    rotateKeys: async () => {
      key = await newKey(`key-${Date.now()}`)
      provider = make()
      handlers.issuer = provider.callback()
    }
  } satisfies Peers
})
