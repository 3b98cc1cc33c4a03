/**
 * Servers for other programs: any binding, such as the stdio server of a config
 * entry, served over Streamable HTTP, WebSocket or a plain socket. Messages
 * pass through as they are; the bridge knows no tools and no capabilities.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as NetAddress from "effect/net/NetAddress"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type * as SocketServer from "effect/socket/SocketServer"
import * as McpError from "../McpError.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import type { Binding } from "../Transport.ts"
import { shallow } from "../transport/shallow.ts"
import type * as Exchange from "./exchange.ts"
import * as Guard from "./guard.ts"
import * as LegacyHttp from "./legacyHttp.ts"
import * as ModernHttp from "./modernHttp.ts"
import * as PlainSocket from "./plainSocket.ts"
import * as Reply from "./reply.ts"
import * as Shared from "./shared.ts"
import * as WebSocket from "./webSocket.ts"

export interface Options {
  /**
   * `session` (default): every session opens the binding for itself, so that a
   * stdio server has a process per client. `shared`: one link for all of them;
   * the handshake, the log level and the state of the server are everybody's.
   * Requests over modern HTTP have no session, and share one link either way.
   */
  readonly sharing?: "session" | "shared" | undefined
  /** Largest message of a peer. Default: 16 MiB. */
  readonly maxMessageBytes?: number | undefined
  /** Most that waits for a peer to read it; one that reads slower loses its session. Default: 16 MiB. */
  readonly maxBufferedBytes?: number | undefined
  /** Most sessions of one server at a time; a further one is refused. Default: 100. */
  readonly maxSessions?: number | undefined
  /** Most requests of one server in flight at a time, over HTTP and on a shared link; a further one is refused. Default: 1,000. */
  readonly maxRequests?: number | undefined
}

export interface HttpOptions extends Options {
  /** The servers by name. A single one is found at `/mcp` too, all of them at `/NAME`. */
  readonly servers: Readonly<Record<string, Binding>>
  /** What peers have to show: `Authorization: Bearer TOKEN`, or the WebSocket subprotocol `mcp.bearer.TOKEN` beside `mcp`. */
  readonly token?: Redacted.Redacted<string> | undefined
  /** Origins of web pages that may connect, beside those of this machine. */
  readonly allowOrigins?: ReadonlyArray<string> | undefined
  /** How long an HTTP session, or the link behind modern requests, lives without a request in flight. Default: 10 minutes. */
  readonly idleTimeout?: Duration.Input | undefined
  /** How often a silent event stream says that it is alive. Default: 15 seconds. */
  readonly keepAlive?: Duration.Input | undefined
}

/** Where a server is found. */
export interface Endpoint {
  readonly name: string
  readonly http: string
  readonly websocket: string
}

const mebibyte = 1024 * 1024

const defaults = (options: Options) => ({
  maxBufferedBytes: options.maxBufferedBytes ?? 16 * mebibyte,
  maxMessageBytes: options.maxMessageBytes ?? 16 * mebibyte,
  maxSessions: options.maxSessions ?? 100,
  maxRequests: options.maxRequests ?? 1_000,
  sharing: options.sharing ?? "session"
})

/** The path of a server; names are in the URL as they are in the config. */
const pathOf = (name: string): string => `/${encodeURIComponent(name)}`

/** Counts sessions or requests in and out. */
const makeDoor = (limit: number) => {
  let inside = 0
  return () => {
    if (inside >= limit) return undefined
    inside++
    return {
      leave: () => {
        inside--
      }
    }
  }
}

type Handler = (
  request: HttpServerRequest.HttpServerRequest,
  headers: Readonly<Record<string, string>>
) => Effect.Effect<HttpServerResponse.HttpServerResponse, never, Scope.Scope>

/** The endpoint of one server. */
const makeServer = Effect.fnUntraced(function*(
  server: Binding,
  options: HttpOptions
): Effect.fn.Return<Handler, never, Scope.Scope> {
  const { maxMessageBytes, maxRequests, maxSessions, sharing, ...limits } = defaults(options)
  const idleTimeout = Duration.fromInputUnsafe(options.idleTimeout ?? "10 minutes")
  const exchange: Exchange.Options = { ...limits, keepAlive: Duration.fromInputUnsafe(options.keepAlive ?? "15 seconds") }
  const binding = shallow(server)
  const shared = yield* Shared.make(binding, { idleTimeout, maxRequests })
  const own = sharing === "shared" ? shared : binding
  const admit = makeDoor(maxSessions)
  const begin = makeDoor(maxRequests)
  const legacy = yield* LegacyHttp.make({ ...exchange, idleTimeout, binding: own, admit })

  const upgrade: Handler = Effect.fnUntraced(function*(request, headers) {
    const admitted = admit()
    if (admitted === undefined) return Reply.busy("sessions", headers)
    yield* Effect.addFinalizer(() => Effect.sync(admitted.leave))
    return yield* WebSocket.serve(request, own, { ...limits, maxMessageBytes })
  })

  const post: Handler = Effect.fnUntraced(function*(request, headers) {
    const begun = begin()
    if (begun === undefined) return Reply.busy("requests", headers)
    yield* Effect.addFinalizer(() => Effect.sync(begun.leave))
    return yield* Reply.read(request, { maxMessageBytes, headers }).pipe(
      Effect.interruptible,
      Effect.flatMap((body) => {
        const [first] = body.messages
        return request.headers["mcp-session-id"] === undefined && !body.batch && first !== undefined && isModern(request, first)
          ? ModernHttp.post(request, first, headers, { ...exchange, shared })
          : legacy.post(request, body, headers)
      }),
      Effect.catch(Effect.succeed)
    )
  })

  return (request, headers) => {
    if (WebSocket.isUpgrade(request)) return Effect.scoped(Effect.interruptible(upgrade(request, headers)))
    switch (request.method) {
      case "POST":
        return post(request, headers)
      case "GET":
        return legacy.get(request, headers)
      case "DELETE":
        return legacy.delete(request, headers)
      default:
        return Effect.succeed(HttpServerResponse.empty({ status: 405, headers: { ...headers, allow: "POST, GET, DELETE" } }))
    }
  }
})

/** Answers every request, whatever becomes of it. */
export type App = Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest | Scope.Scope>

/** Whether a message is of a revision without sessions: it says so itself, or its headers do where they are all there is. */
const isModern = (request: HttpServerRequest.HttpServerRequest, message: JsonRpc.Message): boolean =>
  ModernHttp.revisionOf(message) !== undefined || request.headers["mcp-method"] !== undefined

/**
 * The servers as an HTTP app, to be served under the root of whatever serves
 * it. Sessions and links are closed with the scope.
 */
export const app = (options: HttpOptions): Effect.Effect<App, never, Scope.Scope> =>
  Effect.map(
    Effect.forEach(Object.entries(options.servers), ([name, binding]) =>
      Effect.map(makeServer(binding, options), (handler) => [pathOf(name), handler] as const)),
    (servers) => {
      const guard = Guard.make(options)
      const handlers = new Map(servers)
      const [first] = servers
      if (first !== undefined && servers.length === 1) handlers.set("/mcp", first[1])
      return Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
        const verdict = guard(request)
        if (verdict.refusal !== undefined) return Effect.succeed(verdict.refusal)
        const handler = handlers.get(Reply.pathOf(request))
        return handler === undefined
          ? Effect.succeed(Reply.refuse(404, JsonRpc.ErrorCode.InvalidRequest, "there is no server at this path", verdict))
          : handler(request, verdict.headers)
      })
    }
  )

const wide = (address: NetAddress.SocketAddress): McpError.McpError =>
  McpError.make(
    new McpError.InvalidConfig({
      source: "bridge",
      issues: [{ path: ["token"], message: `Expected a token: others reach ${NetAddress.formatSocketAddress(address)}, too` }]
    })
  )

/**
 * Serves the servers on the `HttpServer` of the context until the scope closes,
 * and tells where each of them is. Its links, sessions and streams are closed
 * before the server itself.
 *
 * Fails with `InvalidConfig` when other machines reach the address and there is
 * no token.
 *
 * **Example**
 *
 * ```ts
 * const [endpoint] = yield* Bridge.http({ servers: { files: binding } })
 * // { name: "files", http: "http://127.0.0.1:43121/mcp", websocket: "ws://127.0.0.1:43121/mcp" }
 * ```
 */
export const http = Effect.fnUntraced(function*(
  options: HttpOptions
): Effect.fn.Return<ReadonlyArray<Endpoint>, McpError.McpError, HttpServer.HttpServer | Scope.Scope> {
  const server = yield* HttpServer.HttpServer
  const { address } = server
  if (options.token === undefined && NetAddress.isInetAddress(address) && !NetAddress.isLoopback(address.address)) {
    return yield* Effect.fail(wide(address))
  }
  yield* server.serve(yield* app(options))
  const names = Object.keys(options.servers)
  return names.map((name) => {
    const path = names.length === 1 ? "/mcp" : pathOf(name)
    const at = (scheme: string) => `${NetAddress.formatUrlUnsafe(address, scheme).replace(/\/$/, "")}${path}`
    return { name, http: at("http"), websocket: at("ws") }
  })
})

/**
 * Serves a binding on the `SocketServer` of the context until the scope closes:
 * one JSON-RPC message per line, every connection a session. Whoever can
 * connect may use it; listen on loopback, or on a Unix socket with permissions.
 */
export const socket = Effect.fnUntraced(function*(
  server: Binding,
  options: Options = {}
): Effect.fn.Return<void, never, SocketServer.SocketServer | Scope.Scope> {
  const { maxRequests, maxSessions, sharing, ...limits } = defaults(options)
  const binding = shallow(server)
  const own = sharing === "shared" ? yield* Shared.make(binding, { maxRequests }) : binding
  yield* PlainSocket.serve(own, { ...limits, admit: makeDoor(maxSessions) })
})
