/**
 * Who may speak to the bridge: peers with the token where there is one, on this
 * machine only where there is none, and pages of browsers only of origins that
 * are allowed.
 */
import type * as Headers from "effect/http/Headers"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Redacted from "effect/Redacted"
import * as JsonRpc from "../protocol/JsonRpc.ts"

export interface Options {
  /** What peers have to show: `Authorization: Bearer TOKEN`. Without one, only requests to a loopback name are answered. */
  readonly token?: Redacted.Redacted<string> | undefined
  /** Origins of web pages that may connect, beside those of this machine: `https://app.example`. */
  readonly allowOrigins?: ReadonlyArray<string> | undefined
}

/** For pages of browsers, which cannot set headers on a WebSocket: a subprotocol offered beside `mcp`. */
const tokenProtocol = "mcp.bearer."

const encoder = new TextEncoder()

/** Takes the same time wherever the two differ. */
const equals = (given: string | undefined, expected: string): boolean => {
  if (given === undefined) return false
  const a = encoder.encode(given)
  const b = encoder.encode(expected)
  let difference = a.length ^ b.length
  for (let index = 0; index < b.length; index++) difference |= (a[index] ?? 0) ^ (b[index] ?? 0)
  return difference === 0
}

const isLoopbackHost = (hostname: string): boolean =>
  hostname === "localhost" || hostname.endsWith(".localhost") || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname)

const isLoopbackUrl = (text: string): boolean => {
  const url = URL.parse(text)
  return url !== null && isLoopbackHost(url.hostname)
}

const refuse = (status: number, message: string, headers: Headers.Input = {}) =>
  HttpServerResponse.jsonUnsafe(
    { jsonrpc: "2.0", id: null, error: { code: JsonRpc.ErrorCode.InvalidRequest, message } },
    { status, headers }
  )

const tokenOf = ({ headers }: HttpServerRequest): string | undefined => {
  const bearer = /^bearer +(\S+) *$/i.exec(headers.authorization ?? "")?.[1]
  if (bearer !== undefined) return bearer
  const offered = headers.upgrade === undefined ? [] : (headers["sec-websocket-protocol"] ?? "").split(",")
  return offered.map((protocol) => protocol.trim()).find((protocol) => protocol.startsWith(tokenProtocol))
    ?.slice(tokenProtocol.length)
}

/** What pages may read and send. */
const cors = (origin: string): Record<string, string> => ({
  "access-control-allow-origin": origin,
  "access-control-allow-methods": "POST, GET, DELETE",
  "access-control-expose-headers": "mcp-session-id",
  vary: "origin"
})

/** The answer to one that is not let in, or to a browser that asks in advance; otherwise what goes on every answer. */
export type Verdict =
  | { readonly refusal: HttpServerResponse.HttpServerResponse }
  | { readonly refusal?: undefined; readonly headers: Readonly<Record<string, string>> }

export const make = (options: Options): (request: HttpServerRequest) => Verdict => {
  const origins = new Set((options.allowOrigins ?? []).map((origin) => URL.parse(origin)?.origin ?? origin))
  return (request) => {
    const { host = "", origin } = request.headers
    // A page whose name was made to lead here still sends that name (DNS rebinding), and never the token.
    if (options.token === undefined && !isLoopbackUrl(`http://${host}`)) {
      return { refusal: refuse(403, "the Host header names another machine") }
    }
    if (origin !== undefined && !origins.has(origin) && !isLoopbackUrl(origin)) {
      return { refusal: refuse(403, "this origin is not allowed") }
    }
    const headers = origin === undefined ? {} : cors(origin)
    if (request.method === "OPTIONS") {
      const wanted = request.headers["access-control-request-headers"]
      return {
        refusal: HttpServerResponse.empty({
          status: 204,
          headers: { ...headers, ...(wanted === undefined ? {} : { "access-control-allow-headers": wanted }) }
        })
      }
    }
    if (options.token !== undefined && !equals(tokenOf(request), Redacted.value(options.token))) {
      return { refusal: refuse(401, "a bearer token is needed", { ...headers, "www-authenticate": "Bearer" }) }
    }
    return { headers }
  }
}
