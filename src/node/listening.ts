/** Servers of Node.js, as `Bridge` needs them. */
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as SocketServer from "effect/socket/SocketServer"
import type { Socket } from "node:net"

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

/** See `NodeMcp.layerHttpServer`. */
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

/** See `NodeMcp.layerSocketServer`. */
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
