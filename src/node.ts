/** Node.js as one layer: what the library needs of its platform. */
import * as NodeChildProcessSpawner from "@effect/platform-node/NodeChildProcessSpawner"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodePath from "@effect/platform-node/NodePath"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpServer from "effect/http/HttpServer"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Path from "effect/Path"
import * as Predicate from "effect/Predicate"
import * as Spawner from "effect/process/ChildProcessSpawner"
import * as RcMap from "effect/RcMap"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { SocketError, SocketOpenError } from "effect/socket/Socket"
import * as SocketServer from "effect/socket/SocketServer"
import * as Stream from "effect/Stream"
import { ChildProcess } from "node:child_process"
import { X509Certificate } from "node:crypto"
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import { createConnection, type Socket } from "node:net"
import { createSecureContext } from "node:tls"
import { PublicNetwork } from "./auth/PublicNetwork.ts"
import type { SocketAddress } from "./config/SocketAddress.ts"
import * as McpError from "./McpError.ts"
import { publicLookup } from "./node/publicLookup.ts"
import { type ConnectionOptions, HttpClients, type Service as HttpClientsService } from "./transport/http/HttpClients.ts"
import { Sockets } from "./transport/socket/Sockets.ts"
import { WebSockets } from "./transport/websocket/WebSockets.ts"

export { layerBrowser } from "./node/browser.ts"

/**
 * Destroys the pipes of a process when its scope closes. A helper that left the
 * process group may hold their other ends, and an open pipe keeps this program
 * alive. The spawner's handle does not reach them, Node's diagnostics do.
 */
const closingPipes = Layer.effect(
  Spawner.ChildProcessSpawner,
  Effect.map(Spawner.ChildProcessSpawner, (spawner) =>
    Spawner.make(Effect.fnUntraced(function*(command) {
      // Other fibers may start theirs meanwhile, and none has its pid when it is announced.
      const started = new Set<ChildProcess>()
      const onStart = (message: unknown) => {
        if (Predicate.hasProperty(message, "process") && message.process instanceof ChildProcess) {
          started.add(message.process)
        }
      }
      // Registered before the spawner's own finalizer, so that it runs after it.
      let pid: number | undefined
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          for (const child of started) {
            if (child.pid === pid) for (const pipe of child.stdio) pipe?.destroy()
          }
        })
      )
      const handle = yield* Effect.acquireUseRelease(
        Effect.sync(() => subscribe("child_process", onStart)),
        () => spawner.spawn(command),
        () => Effect.sync(() => unsubscribe("child_process", onStart))
      )
      pid = handle.pid
      return handle
    })))
)

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

/** undici leaves bodies as they came. None is asked for, but a proxy may still send one compressed. */
const decompressed = (response: HttpClientResponse.HttpClientResponse): HttpClientResponse.HttpClientResponse => {
  const coding = /^(?:x-)?(gzip|deflate)$/.exec(response.headers["content-encoding"]?.trim().toLowerCase() ?? "")?.[1]
  if ((coding !== "gzip" && coding !== "deflate") || [101, 204, 205, 304].includes(response.status)) return response
  const body = Stream.toReadableStream(response.stream).pipeThrough(new DecompressionStream(coding))
  const headers = Headers.removeMany(response.headers, ["content-encoding", "content-length"])
  return HttpClientResponse.fromWeb(response.request, new Response(body, { status: response.status, headers }))
}

const loadUndici = Effect.promise(() => import("@effect/platform-node/Undici"))

const makeClient = Effect.fnUntraced(function*(
  { proxies, socketPath, tls }: Route,
  { connections, keepAlive }: HttpOptions
): Effect.fn.Return<HttpClient.HttpClient, never, Scope.Scope> {
  const undici = yield* loadUndici
  const idle = keepAlive === undefined
    ? undefined
    : Math.min(Math.max(1, Duration.toMillis(keepAlive)), 7 * 24 * 60 * 60 * 1_000)
  const endpointTls = tls === undefined ? {} : {
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: Redacted.value(tls.key) }),
    rejectUnauthorized: tls.skipVerify !== true
  }
  const make = Effect.fnUntraced(function*(lookup: { readonly lookup?: typeof publicLookup }) {
    const dispatcher = yield* Effect.acquireRelease(
      Effect.sync(() =>
        new undici.EnvHttpProxyAgent({
          ...proxies,
          ...(connections === undefined ? {} : { connections }),
          ...(idle === undefined ? {} : { keepAliveTimeout: idle, keepAliveMaxTimeout: idle }),
          connect: socketPath === undefined ? { ...endpointTls, ...lookup } : { socketPath },
          // What is at the other end of a tunnel.
          ...(tls === undefined ? {} : { requestTls: endpointTls })
        })
      ),
      (dispatcher) => Effect.promise(() => dispatcher.destroy())
    )
    return yield* Effect.provideService(NodeHttpClient.makeUndici, NodeHttpClient.Dispatcher, dispatcher)
  })
  const client = yield* make({})
  // With connections of its own: others may have some to where this one must not go.
  const guarded = yield* make({ lookup: publicLookup })
  return HttpClient.makeWith<HttpClientError.HttpClientError, never, HttpClientError.HttpClientError, never>(
    Effect.flatMap((request) =>
      Effect.flatMap(PublicNetwork, (isGuarded) => Effect.map((isGuarded ? guarded : client).execute(request), decompressed))
    ),
    Effect.succeed
  )
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
  return HttpClient.makeWith<HttpClientError.HttpClientError, never, HttpClientError.HttpClientError, never>(
    Effect.flatMap((request) =>
      get.pipe(
        Effect.mapError((error) =>
          new HttpClientError.HttpClientError({
            reason: new HttpClientError.TransportError({
              request,
              cause: Object.assign(new Error(error.message), { code: "ERR_PROXY_INVALID_CONFIG" })
            })
          })
        ),
        Effect.flatMap((client) => client.execute(request))
      )
    ),
    Effect.succeed
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
// Listening
// =============================================================================

/** Where to listen. */
export interface ListenOptions {
  /** Default: `127.0.0.1`, which only this machine reaches. */
  readonly host?: string | undefined
  /** Default 0: any that is free. */
  readonly port?: number | undefined
}

export interface HttpServerOptions extends ListenOptions {
  /** Largest frame of a WebSocket; a larger one closes it. Default: 16 MiB. */
  readonly maxMessageBytes?: number | undefined
  /** Most that waits on a WebSocket whose peer does not read; more than that ends it. Default: 16 MiB. */
  readonly maxBufferedBytes?: number | undefined
}

const defaultBytes = 16 * 1024 * 1024

/** For goodbyes on open connections. */
const lingerTime = "500 millis"

/** Connections of a server that is to close: each may say goodbye, none is waited for longer. */
const makeConnections = () => {
  const sockets = new Set<Socket>()
  return {
    add(socket: Socket) {
      sockets.add(socket)
      socket.once("close", () => sockets.delete(socket))
    },
    close: Effect.suspend(() =>
      Effect.forEach(sockets, (socket) =>
        Effect.callback<void>((resume) => {
          const gone = () => resume(Effect.void)
          socket.once("close", gone)
          return Effect.sync(() => socket.off("close", gone))
        }), { concurrency: "unbounded", discard: true })
    ).pipe(
      Effect.timeoutOption(lingerTime),
      Effect.andThen(Effect.sync(() => sockets.forEach((socket) => socket.destroy())))
    )
  }
}

/** Runs `acquire` in a scope of its own, before whose end `before` is run. */
const endingWith = <A, E>(before: Effect.Effect<void>, acquire: Effect.Effect<A, E, Scope.Scope>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer((exit) => Effect.andThen(before, Scope.close(scope, exit)))
    return yield* Scope.provide(acquire, scope)
  })

/**
 * An HTTP server of Node.js, as `Bridge.http` needs it: it chooses the WebSocket
 * subprotocol `mcp`, compresses nothing, and closes within a second however
 * many streams and sockets are open.
 */
export const layerHttpServer = (options: HttpServerOptions = {}): Layer.Layer<HttpServer.HttpServer, HttpServerError.ServeError> => {
  const { host = "127.0.0.1", maxBufferedBytes = defaultBytes, maxMessageBytes = defaultBytes, port = 0 } = options
  return Layer.effect(
    HttpServer.HttpServer,
    Effect.gen(function*() {
      const [Http, NodeHttpServer, { WebSocket }] = yield* Effect.promise(() =>
        Promise.all([import("node:http"), import("@effect/platform-node/NodeHttpServer"), import("@effect/platform-node/NodeWS")])
      )
      /** What is written to a socket of `ws` waits in memory without end. */
      class Bounded extends WebSocket {
        override send(data: Parameters<InstanceType<typeof WebSocket>["send"]>[0], ...rest: ReadonlyArray<unknown>) {
          if (this.bufferedAmount > maxBufferedBytes) this.terminate()
          else Reflect.apply(super.send, this, [data, ...rest])
        }
      }
      const connections = makeConnections()
      const server = Http.createServer({ keepAlive: true, keepAliveInitialDelay: 60_000 })
      server.on("connection", connections.add)
      return yield* endingWith(
        Effect.suspend(() => {
          server.closeIdleConnections()
          return connections.close
        }),
        NodeHttpServer.make(() => server, {
          host,
          port,
          disablePreemptiveShutdown: true,
          websocket: {
            WebSocket: Bounded,
            maxPayload: maxMessageBytes,
            perMessageDeflate: false,
            handleProtocols: (offered) => offered.has("mcp") ? "mcp" : false
          }
        })
      )
    })
  )
}

/** A server of plain sockets, on an address or the path of a Unix socket, as `Bridge.socket` needs it. It closes within a second. */
export const layerSocketServer = (
  options: ListenOptions | { readonly path: string } = {}
): Layer.Layer<SocketServer.SocketServer, SocketServer.SocketServerError> =>
  Layer.effect(
    SocketServer.SocketServer,
    Effect.gen(function*() {
      const [NodeSocketServer, { NetSocket }] = yield* Effect.promise(() =>
        Promise.all([import("@effect/platform-node/NodeSocketServer"), import("@effect/platform-node/NodeSocket")])
      )
      const connections = makeConnections()
      const server = yield* endingWith(
        connections.close,
        NodeSocketServer.make("path" in options ? { path: options.path } : { host: "127.0.0.1", port: 0, ...options })
      )
      return SocketServer.SocketServer.of({
        address: server.address,
        run: (handler) =>
          server.run((socket) =>
            Effect.serviceOption(NetSocket).pipe(
              Effect.map(Option.map(connections.add)),
              Effect.andThen(handler(socket))
            )
          )
      })
    })
  )

// =============================================================================
// Layers
// =============================================================================

type Platform = Spawner.ChildProcessSpawner | FileSystem.FileSystem | Path.Path | HttpClient.HttpClient

/**
 * The same as {@link layer}, with a word on connections over HTTP.
 *
 * ```ts
 * const platform = NodeMcp.layerOptions({ connections: 16, keepAlive: "1 minute", proxy: "http://proxy.example:3128" })
 * ```
 */
export const layerOptions = (options: HttpOptions): Layer.Layer<Platform> =>
  Layer.mergeAll(
    Layer.provide(closingPipes, NodeChildProcessSpawner.layer),
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
