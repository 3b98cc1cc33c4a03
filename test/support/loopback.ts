/** Servers in this process, on loopback, for as long as a scope is open. */
import * as Effect from "effect/Effect"
import { once } from "node:events"
import * as Http from "node:http"
import * as Https from "node:https"
import type { ListenOptions, Socket } from "node:net"

export interface Loopback {
  readonly server: Http.Server
  /** Without a slash at its end; the empty string for a unix domain socket. */
  readonly origin: string
  /** Connections that were ever made. */
  readonly sockets: ReadonlyArray<Socket>
}

export const serve = (
  handler: Http.RequestListener,
  options: { readonly listen?: ListenOptions; readonly tls?: Https.ServerOptions } = {}
) =>
  Effect.acquireRelease(
    Effect.promise(async (): Promise<Loopback> => {
      const server = options.tls === undefined ? Http.createServer(handler) : Https.createServer(options.tls, handler)
      const sockets: Array<Socket> = []
      server.on("connection", (socket: Socket) => sockets.push(socket))
      server.listen(options.listen?.path === undefined ? { host: "127.0.0.1", port: 0, ...options.listen } : options.listen)
      await once(server, "listening")
      const address = server.address()
      const scheme = options.tls === undefined ? "http" : "https"
      const origin = typeof address === "object" && address !== null ? `${scheme}://${address.address}:${address.port}` : ""
      return { server, origin, sockets }
    }),
    ({ server, sockets }) =>
      Effect.promise(async () => {
        const closed = once(server, "close")
        server.close()
        for (const socket of sockets) socket.destroy()
        await closed
      })
  )

/** The whole body of a request, as text. */
export const bodyOf = async (request: Http.IncomingMessage): Promise<string> => {
  let body = ""
  for await (const chunk of request.setEncoding("utf8")) body += chunk
  return body
}
