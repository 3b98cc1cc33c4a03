/** WebSocket servers in this process, on loopback, for as long as a scope is open. */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import { once } from "node:events"
import type { IncomingMessage } from "node:http"
import * as Net from "node:net"
import { type ServerOptions, WebSocket, WebSocketServer } from "ws"

export interface Served {
  readonly url: string
  /** The next connection. */
  readonly next: Effect.Effect<{ readonly socket: WebSocket; readonly request: IncomingMessage }>
  /** What the next text message of any connection says. */
  readonly message: Effect.Effect<string>
}

/** A server that does nothing but say who came and what they said. */
export const serve = (options: ServerOptions = {}) =>
  Effect.gen(function*() {
    const connections = yield* Queue.unbounded<{ readonly socket: WebSocket; readonly request: IncomingMessage }>()
    const messages = yield* Queue.unbounded<string>()
    const server = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const server = new WebSocketServer({
          host: "127.0.0.1",
          port: 0,
          handleProtocols: (offered) => offered.has("mcp") ? "mcp" : false,
          ...options
        })
        server.on("connection", (socket, request) => {
          socket.on("error", () => {})
          socket.on("message", (data) => Queue.offerUnsafe(messages, data.toString()))
          Queue.offerUnsafe(connections, { socket, request })
        })
        await once(server, "listening")
        return server
      }),
      (server) =>
        Effect.promise(async () => {
          for (const socket of server.clients) socket.terminate()
          const closed = once(server, "close")
          server.close()
          await closed
        })
    )
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    return { url: `ws://127.0.0.1:${port}/mcp`, next: Queue.take(connections), message: Queue.take(messages) } satisfies Served
  })

/** Reads a connection to its end, and waits until both sides have closed it. */
export const awaitGone = (socket: Net.Socket) =>
  Effect.callback<void>((resume) => {
    const gone = () => resume(Effect.void)
    if (socket.destroyed) return gone()
    socket.once("close", gone)
    socket.on("end", () => socket.end()).resume()
  })

/** A server of plain connections, each of which is given to `handle`. */
export const serveRaw = (handle: (socket: Net.Socket) => void, listen: Net.ListenOptions = { host: "127.0.0.1", port: 0 }) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const sockets = new Set<Net.Socket>()
      const server = Net.createServer({ allowHalfOpen: true }, (socket) => {
        sockets.add(socket)
        socket.on("close", () => sockets.delete(socket))
        socket.on("error", () => {})
        handle(socket)
      })
      server.listen(listen)
      await once(server, "listening")
      const address = server.address()
      return { server, sockets, port: typeof address === "object" && address !== null ? address.port : 0 }
    }),
    ({ server, sockets }) =>
      Effect.promise(async () => {
        const closed = once(server, "close")
        server.close()
        for (const socket of sockets) socket.destroy()
        await closed
      })
  )
