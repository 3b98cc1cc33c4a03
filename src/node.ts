/** Node.js as one layer: what the library needs of its platform. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import type { Dispatcher } from "@effect/platform-node/Undici"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type { HttpClientRequest } from "effect/http/HttpClientRequest"
import type { HttpServer } from "effect/http/HttpServer"
import type { ServeError } from "effect/http/HttpServerError"
import * as Layer from "effect/Layer"
import type * as Path from "effect/Path"
import type { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as RcMap from "effect/RcMap"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { SocketError, SocketOpenError } from "effect/socket/Socket"
import type { SocketServer, SocketServerError } from "effect/socket/SocketServer"
import { X509Certificate } from "node:crypto"
import { createConnection, type Socket } from "node:net"
import { createSecureContext } from "node:tls"
import { PublicNetwork } from "./auth/PublicNetwork.ts"
import type { SocketAddress } from "./config/SocketAddress.ts"
import * as McpError from "./McpError.ts"
import type { BrowserOptions } from "./node/browser.ts"
import type { HttpServerOptions, ListenOptions } from "./node/listening.ts"
import { publicLookup } from "./node/publicLookup.ts"
import * as Spawner from "./node/spawner.ts"
import { type ConnectionOptions, HttpClients, type Service as HttpClientsService } from "./transport/http/HttpClients.ts"
import * as Scoped from "./transport/http/scoped.ts"
import { Sockets } from "./transport/socket/Sockets.ts"
import { WebSockets } from "./transport/websocket/WebSockets.ts"

export type { BrowserOptions } from "./node/browser.ts"
export type { HttpServerOptions, ListenOptions } from "./node/listening.ts"

// =============================================================================
// HTTP
// =============================================================================

/** What the HTTP clients of a layer have in common. */
export interface HttpOptions {
  /**
   * Most connections to one origin; further requests wait for one. Every open
   * event stream takes one, so there should be several. Default: no limit.
   */
  readonly connections?: number | undefined
  /** How long a connection that is not in use is kept at most. Default: 4 seconds, or what the server offers. */
  readonly keepAlive?: Duration.Input | undefined
  /**
   * The proxy for servers whose entry names none. Default `environment`: what
   * `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` of the ConfigProvider say, also
   * in lower case, and none to this machine itself.
   */
  readonly proxy?: "environment" | "none" | string | Redacted.Redacted<string> | undefined
}

/** Proxies by scheme, and the hosts that are reached without; the empty string is none. */
interface Proxies {
  readonly httpProxy: string
  readonly httpsProxy: string
  readonly noProxy: string
}

const noProxies: Proxies = { httpProxy: "", httpsProxy: "", noProxy: "*" }

const loopback = "localhost,127.0.0.1,::1"

const invalid = (source: string, path: ReadonlyArray<string>, message: string): McpError.McpError =>
  McpError.make(new McpError.InvalidConfig({ source, issues: [{ path, message }] }))

const proxyUrl = (text: string, source: string, path: ReadonlyArray<string>): Effect.Effect<string, McpError.McpError> =>
  text === "" ? Effect.succeed(text) : Effect.try({
    try: () => {
      // The environment's are often written as `host:port`.
      const url = new URL(text.includes("://") ? text : `http://${text}`)
      return { url, credentials: decodeURIComponent(`${url.username}:${url.password}`) }
    },
    catch: () => undefined
  }).pipe(
    Effect.filterOrFail(({ url }) => url.protocol === "http:" || url.protocol === "https:"),
    Effect.mapBoth({
      onSuccess: ({ url }) => url.href,
      onFailure: () =>
        invalid(source, path, "Expected the URL of a proxy: http://host:port or https://host:port, its credentials percent-encoded")
    })
  )

const variable = Effect.fnUntraced(function*(name: string) {
  const provider = yield* ConfigProvider.ConfigProvider
  for (const spelling of [name.toLowerCase(), name]) {
    const node = yield* Effect.mapError(provider.load([spelling]), ({ message }) => invalid("environment", [spelling], message))
    if (node?.value !== undefined) return node.value
  }
  return ""
})

const proxies = Effect.fnUntraced(function*(
  entry: ConnectionOptions,
  layer: HttpOptions
): Effect.fn.Return<Proxies, McpError.McpError> {
  const { proxy = "environment" } = layer
  if (entry.socketPath !== undefined || entry.proxy === false) return noProxies
  const explicit = entry.proxy ?? (Redacted.isRedacted(proxy) ? proxy : Redacted.make(proxy))
  switch (Redacted.value(explicit)) {
    case "none":
      return noProxies
    case "environment": {
      const noProxy = yield* variable("NO_PROXY")
      return {
        httpProxy: yield* proxyUrl(yield* variable("HTTP_PROXY"), "environment", ["HTTP_PROXY"]),
        httpsProxy: yield* proxyUrl(yield* variable("HTTPS_PROXY"), "environment", ["HTTPS_PROXY"]),
        noProxy: noProxy === "" ? loopback : `${loopback},${noProxy}`
      }
    }
    default: {
      const url = yield* proxyUrl(Redacted.value(explicit), "http", ["proxy"])
      return { httpProxy: url, httpsProxy: url, noProxy: "" }
    }
  }
})

type Tls = NonNullable<ConnectionOptions["tls"]>

const certificates = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/** Node passes over a file without certificates, and tells of one that does not fit its key only when it connects. */
const checkTls = ({ ca, cert, key }: Tls, source: string): Effect.Effect<void, McpError.McpError> => {
  const check = (path: ReadonlyArray<string>, message: string, look: () => unknown) =>
    Effect.try({ try: look, catch: () => invalid(source, path, message) })
  return Effect.andThen(
    check(["tls", "ca"], "The file has no certificate in PEM form that can be read", () =>
      ca === undefined || (ca.match(certificates) ?? [ca]).map((pem) => new X509Certificate(pem))),
    check(["tls", "cert"], "The certificate and the key cannot be read as PEM, or do not belong together", () =>
      (cert === undefined && key === undefined) || createSecureContext({
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key: Redacted.value(key) })
      }))
  )
}

/** What one pool of connections is made of. Compared by value. */
interface Route {
  readonly proxies: Proxies
  readonly socketPath: string | undefined
  readonly tls: Tls | undefined
}

/** A client that looks with each request for the one to send it. */
const choosing = (
  choose: (request: HttpClientRequest) => Effect.Effect<HttpClient.HttpClient, HttpClientError.HttpClientError>
): HttpClient.HttpClient => {
  const through = <R>(how: (client: HttpClient.HttpClient) => HttpClient.HttpClient.With<HttpClientError.HttpClientError, R>) =>
    HttpClient.makeWith<HttpClientError.HttpClientError, never, HttpClientError.HttpClientError, R>(
      Effect.flatMap((request) => Effect.flatMap(choose(request), (client) => how(client).execute(request))),
      Effect.succeed
    )
  return Scoped.register(through((client) => client), {
    scoped: through(Scoped.make),
    start: (request) => Effect.flatMap(choose(Scoped.toHttp(request)), (client) => Scoped.start(client, request))
  })
}

const loadUndici = Effect.promise(() => Promise.all([import("@effect/platform-node/Undici"), import("./node/undici.ts")]))

const makeClient = Effect.fnUntraced(function*(
  { proxies, socketPath, tls }: Route,
  { connections, keepAlive }: HttpOptions
): Effect.fn.Return<HttpClient.HttpClient, never, Scope.Scope> {
  // Not by its own names: bundlers do not see what a module re-exports of CommonJS.
  const [{ default: undici }, { make }] = yield* loadUndici
  const idle = keepAlive === undefined
    ? undefined
    : Math.min(Math.max(1, Duration.toMillis(keepAlive)), 7 * 24 * 60 * 60 * 1_000)
  const endpointTls = tls === undefined ? {} : {
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: Redacted.value(tls.key) }),
    rejectUnauthorized: tls.skipVerify !== true
  }
  const open = Effect.fnUntraced(function*(lookup: { readonly lookup?: typeof publicLookup }) {
    const dispatcher = yield* Effect.acquireRelease(
      Effect.sync((): Dispatcher => {
        const agent = {
          ...(connections === undefined ? {} : { connections }),
          ...(idle === undefined ? {} : { keepAliveTimeout: idle, keepAliveMaxTimeout: idle }),
          connect: socketPath === undefined ? { ...endpointTls, ...lookup } : { socketPath }
        }
        if (proxies.httpProxy === "" && proxies.httpsProxy === "") return new undici.Agent(agent)
        // `requestTls` is for what is at the other end of a tunnel.
        return new undici.EnvHttpProxyAgent({ ...proxies, ...agent, ...(tls === undefined ? {} : { requestTls: endpointTls }) })
      }),
      (dispatcher) => Effect.promise(() => dispatcher.destroy())
    )
    return yield* make(dispatcher)
  })
  const client = yield* open({})
  // With connections of its own: others may have some to where this one must not go.
  const guarded = yield* open({ lookup: publicLookup })
  return choosing(() => Effect.withFiber((fiber) => Effect.succeed(fiber.getRef(PublicNetwork) ? guarded : client)))
})

const makeClients = Effect.fnUntraced(function*(options: HttpOptions) {
  const provider = yield* ConfigProvider.ConfigProvider
  const clients = yield* RcMap.make({ lookup: (route: Route) => makeClient(route, options) })
  return {
    for: Effect.fnUntraced(function*(entry: ConnectionOptions) {
      const { socketPath, tls } = entry
      if (tls !== undefined) yield* checkTls(tls, "http")
      const route: Route = {
        proxies: yield* Effect.provideService(proxies(entry, options), ConfigProvider.ConfigProvider, provider),
        socketPath,
        tls
      }
      return yield* RcMap.get(clients, route)
    })
  } satisfies HttpClientsService
})

/** Loads undici with the first request: programs that speak to stdio servers only never do. */
const makeDefaultClient = Effect.fnUntraced(function*(clients: HttpClientsService) {
  const scope = yield* Scope.Scope
  let client: HttpClient.HttpClient | undefined
  const get = Effect.suspend(() => client !== undefined ? Effect.succeed(client) : Effect.map(
    Scope.provide(clients.for({}), scope),
    (made) => client = made
  ))
  return choosing((request) =>
    Effect.mapError(get, (error) =>
      new HttpClientError.HttpClientError({
        reason: new HttpClientError.TransportError({
          request,
          cause: Object.assign(new Error(error.message), { code: "ERR_PROXY_INVALID_CONFIG" })
        })
      }))
  )
})

const http = (options: HttpOptions): Layer.Layer<HttpClient.HttpClient> =>
  Layer.effectContext(Effect.gen(function*() {
    const clients = yield* makeClients(options)
    return Context.make(HttpClient.HttpClient, yield* makeDefaultClient(clients)).pipe(Context.add(HttpClients, clients))
  }))

// =============================================================================
// Sockets
// =============================================================================

/** Loads `ws` with the first WebSocket. */
const loadWs = Effect.promise(() => import("./transport/websocket/ws.ts"))

const webSockets = Layer.succeed(WebSockets, {
  open: Effect.fnUntraced(function*(request, handlers) {
    if (request.tls !== undefined) yield* checkTls(request.tls, "ws")
    const { service } = yield* loadWs
    return yield* service.open(request, handlers)
  })
})

const loadNodeSocket = Effect.promise(() => import("@effect/platform-node/NodeSocket"))

/** The platform's own would wait for ever to send what a peer does not read. */
const dial = Effect.fnUntraced(function*(
  address: SocketAddress
): Effect.fn.Return<Socket, SocketError, Scope.Scope> {
  let socket: Socket | undefined
  yield* Effect.addFinalizer(() => Effect.sync(() => socket?.destroy()))
  return yield* Effect.callback<Socket, SocketError>((resume) => {
    const dialled = createConnection({ ...address, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 })
    dialled.once("connect", () => resume(Effect.succeed(dialled)))
    dialled.on("error", (cause) =>
      resume(Effect.fail(new SocketError({ reason: new SocketOpenError({ kind: "Unknown", cause }) }))))
    socket = dialled
  })
})

const sockets = Layer.succeed(Sockets, {
  make: (address) => Effect.flatMap(loadNodeSocket, ({ fromDuplex }) => fromDuplex(dial(address)))
})

// =============================================================================
// What most programs do without: loaded with the layer that needs it
// =============================================================================

const loadListening = Effect.promise(() => import("./node/listening.ts"))

const loadBrowser = Effect.promise(() => import("./node/browser.ts"))

/**
 * An HTTP server of Node.js, as `Bridge.http` needs it: it chooses the WebSocket
 * subprotocol `mcp`, compresses nothing, and closes within a second however
 * many streams and sockets are open.
 */
export const layerHttpServer = (options?: HttpServerOptions): Layer.Layer<HttpServer, ServeError> =>
  Layer.unwrap(Effect.map(loadListening, ({ layerHttpServer }) => layerHttpServer(options)))

/** A server of plain sockets, on an address or the path of a Unix socket, as `Bridge.socket` needs it. It closes within a second. */
export const layerSocketServer = (
  options?: ListenOptions | { readonly path: string }
): Layer.Layer<SocketServer, SocketServerError> =>
  Layer.unwrap(Effect.map(loadListening, ({ layerSocketServer }) => layerSocketServer(options)))

/**
 * Users log in with the browser of this machine, which is then sent back to a
 * server on loopback: at a port of its own choice, or the one of `redirectUri`
 * in the `auth` of an entry.
 *
 * @param options.open shows the page in another way than the system's
 * @param options.timeout how long a user may take; default 5 minutes
 *
 * ```ts
 * const platform = Layer.merge(NodeMcp.layer, NodeMcp.layerBrowser())
 * ```
 */
export const layerBrowser = (options?: BrowserOptions): Layer.Layer<never> =>
  Layer.unwrap(Effect.map(loadBrowser, ({ layerBrowser }) => layerBrowser(options)))

// =============================================================================
// Layers
// =============================================================================

type Platform = ChildProcessSpawner | FileSystem.FileSystem | Path.Path | HttpClient.HttpClient

/**
 * The same as {@link layer}, with a word on connections over HTTP.
 *
 * ```ts
 * const platform = NodeMcp.layerOptions({ connections: 16, keepAlive: "1 minute", proxy: "http://proxy.example:3128" })
 * ```
 */
export const layerOptions = (options: HttpOptions): Layer.Layer<Platform> =>
  Layer.mergeAll(
    Spawner.layer,
    http(options),
    webSockets,
    sockets
  ).pipe(Layer.provideMerge(Layer.merge(NodeFileSystem.layer, NodePath.layer)))

/**
 * Processes, files, paths, HTTP, WebSockets and sockets of Node.js. HTTP is spoken through undici:
 * over pooled connections, through the proxies of the environment, without a
 * time limit on silent streams, and as each entry of a config wants it
 * (certificates, proxy, unix domain socket).
 *
 * ```ts
 * program.pipe(Effect.scoped, Effect.provide(NodeMcp.layer), NodeRuntime.runMain)
 * ```
 */
export const layer: Layer.Layer<Platform> = layerOptions({})
