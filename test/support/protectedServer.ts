/**
 * A server of the official SDK over Streamable HTTP (`/mcp`), HTTP+SSE (`/sse`) and WebSocket (`/ws`), and an authorization
 * server beside it that agrees to everything at once: real sockets, no pages.
 */
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js"
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import type { IncomingMessage, RequestListener } from "node:http"
import { WebSocketServer } from "ws"
import { TextTransport } from "../servers/channel.ts"
import * as Http from "../servers/http.ts"
import { bodyOf, serve } from "./loopback.ts"

export interface Protected {
  readonly origin: string
  /** `METHOD /path`, and whether a valid token came with it. */
  readonly requests: Array<string>
  /** Grants of the token endpoint, in order. */
  readonly grants: Array<string>
  /** Kinds of tokens that were taken back. */
  readonly revoked: Array<string>
  /** Access tokens that count no more; refresh tokens go on. */
  readonly expire: () => void
  /** Ends every WebSocket. */
  readonly drop: () => void
  /** Everything that was ever issued. */
  readonly tokens: ReadonlySet<string>
}

const tools = () => {
  const server = new McpServer({ name: "protected", version: "1" })
  server.registerTool("hello", {}, () => ({ content: [{ type: "text", text: "hello" }] }))
  return server
}

/** For as long as the scope is open. */
export const start = Effect.fnUntraced(function*(options: {
  readonly revocation?: boolean
  readonly refuse?: boolean
  /** Seconds that a token is said to be good for. */
  readonly expiresIn?: number
} = {}) {
  const handler = { current: undefined as RequestListener | undefined }
  const { origin, server } = yield* serve((request, response) => handler.current?.(request, response))
  const requests: Array<string> = []
  const grants: Array<string> = []
  const revoked: Array<string> = []
  const codes = new Set<string>()
  const valid = new Set<string>()
  /** Refresh tokens, and whose they are. */
  const refreshes = new Map<string, string>()
  let clients = 0
  const tokens = new Set<string>()

  const json = (response: Parameters<RequestListener>[1], value: unknown, status = 200) =>
    void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value))

  const isAuthorized = (request: IncomingMessage, path: string) => {
    const authorized = valid.has(request.headers.authorization?.replace("Bearer ", "") ?? "")
    requests.push(`${request.method} ${path}${authorized ? "" : " refused"}`)
    return authorized
  }
  const challenge = (path: string) => `Bearer resource_metadata="${origin}/.well-known/oauth-protected-resource${path}"`

  const http = Http.stateless(tools)
  const sse = Http.sse(tools)

  handler.current = async (request, response) => {
    const url = new URL(request.url ?? "/", origin)
    const { pathname, searchParams } = url
    const prefix = "/.well-known/oauth-protected-resource"
    if (pathname.startsWith(prefix)) {
      return json(response, { resource: `${origin}${pathname.slice(prefix.length)}`, authorization_servers: [origin] })
    }
    switch (pathname) {
      case "/.well-known/oauth-authorization-server":
        return json(response, {
          issuer: origin,
          authorization_endpoint: `${origin}/authorize`,
          token_endpoint: `${origin}/token`,
          registration_endpoint: `${origin}/register`,
          ...(options.revocation === false ? {} : { revocation_endpoint: `${origin}/revoke` }),
          code_challenge_methods_supported: ["S256"],
          token_endpoint_auth_methods_supported: ["none"]
        })
      case "/register":
        clients += 1
        return json(response, { client_id: `client-${clients}` }, 201)
      case "/authorize": {
        const back = new URL(searchParams.get("redirect_uri") ?? "")
        back.searchParams.set("state", searchParams.get("state") ?? "")
        if (options.refuse === true) back.searchParams.set("error", "access_denied")
        else {
          const code = randomUUID()
          codes.add(code)
          back.searchParams.set("code", code)
        }
        return void response.writeHead(302, { location: back.href }).end()
      }
      case "/token": {
        const form = new URLSearchParams(await bodyOf(request))
        const type = form.get("grant_type") ?? ""
        grants.push(type)
        const client = form.get("client_id") ?? ""
        const before = form.get("refresh_token") ?? ""
        const isGood = codes.delete(form.get("code") ?? "") || (refreshes.get(before) === client && refreshes.delete(before))
        if (!isGood) return json(response, { error: "invalid_grant" }, 400)
        const [access, refresh] = [`access-${randomUUID()}`, `refresh-${randomUUID()}`]
        valid.add(access)
        refreshes.set(refresh, client)
        tokens.add(access).add(refresh)
        return json(response, { access_token: access, refresh_token: refresh, token_type: "Bearer", expires_in: options.expiresIn ?? 3_600, scope: "tools" })
      }
      case "/revoke": {
        const form = new URLSearchParams(await bodyOf(request))
        const token = form.get("token") ?? ""
        if (valid.delete(token) || refreshes.delete(token)) revoked.push(form.get("token_type_hint") ?? "")
        return void response.writeHead(200).end()
      }
    }
    if (!isAuthorized(request, pathname)) {
      // Both paths of HTTP+SSE are one resource.
      return void response.writeHead(401, { "www-authenticate": challenge(pathname === "/messages" ? "/sse" : pathname) }).end("no")
    }
    return pathname === "/mcp" ? http(request, response) : sse(request, response)
  }

  const sockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => offered.has("mcp") ? "mcp" : false })
  server.on("upgrade", (request, socket, head) => {
    if (!isAuthorized(request, "/ws")) {
      socket.end(`HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: ${challenge("/ws")}\r\nContent-Length: 2\r\n\r\nno`)
      return
    }
    sockets.handleUpgrade(request, socket, head, (ws) => {
      const transport = new TextTransport({ say: (text) => ws.send(text), stall: () => {}, end: () => ws.close() })
      ws.on("message", (data) => transport.onmessage?.(JSON.parse(data.toString())))
      ws.on("close", () => transport.onclose?.())
      void tools().connect(transport)
    })
  })

  return {
    origin,
    requests,
    grants,
    revoked,
    tokens,
    expire: () => valid.clear(),
    drop: () => {
      for (const socket of sockets.clients) socket.terminate()
    }
  } satisfies Protected
})
