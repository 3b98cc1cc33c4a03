/**
 * The server listens on a plain socket, TCP or unix domain: one JSON message
 * per line in both directions, as on the pipes of stdio (section 8 of the
 * requirements), and one session per connection.
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Stream from "effect/Stream"
import type { SocketAddress } from "../config/SocketAddress.ts"
import { atMost } from "../internal/atMost.ts"
import * as JsonLines from "../internal/jsonLines.ts"
import * as NetworkFailure from "../internal/networkFailure.ts"
import { Outbox } from "../internal/outbox.ts"
import * as McpError from "../McpError.ts"
import { type Link, type Receiver, Transport } from "../Transport.ts"
import * as LineLink from "./lineLink.ts"
import * as Sockets from "./socket/Sockets.ts"

export interface Options {
  /** `{ host, port }` for TCP, `{ path }` for a unix domain socket. */
  readonly address: SocketAddress
  /** Largest message taken, in bytes. Default 64 MiB. */
  readonly maxMessageBytes?: number | undefined
  /** Bytes not yet written above which senders wait. Default 1 MiB. */
  readonly highWaterMark?: number | undefined
  /** How long the server may take to close its side once ours is closed; then the connection is destroyed. Default 2 seconds. */
  readonly closeTimeout?: Duration.Input | undefined
}

/** For the platform to destroy a socket. */
const destroyTime: Duration.Input = "1 second"

/** The address as a URL. */
const show = (address: SocketAddress): string =>
  "path" in address
    ? `unix://${address.path}`
    : `tcp://${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`

const unreachable = (error: Socket.SocketError, url: string): McpError.McpError =>
  McpError.make(
    new McpError.Unreachable({
      url,
      delivered: false,
      detail: NetworkFailure.undelivered(error.reason) ??
        `the connection could not be made (${NetworkFailure.codesOf(error.reason).at(-1) ?? error.reason._tag})`
    })
  )

const ended = ({ reason }: Socket.SocketError): McpError.ConnectionClosed => {
  const code = NetworkFailure.codesOf(reason).at(-1)
  return new McpError.ConnectionClosed({
    by: "server",
    detail: reason._tag === "SocketCloseError" && reason.code === 1000
      ? "it closed the connection"
      : `the connection broke${code === undefined ? "" : ` (${code})`}`
  })
}

/** An open connection. */
interface Session {
  readonly link: Link
  /** Closes the link for this side, and ends when the server has closed its own, or after its time. */
  readonly close: Effect.Effect<void>
}

const start = Effect.fnUntraced(function*(
  sockets: Sockets.Service,
  options: Options,
  receiver: Receiver
): Effect.fn.Return<Session, McpError.McpError, Scope.Scope> {
  const maxMessageBytes = options.maxMessageBytes ?? 64 * 1024 * 1024
  const socket = yield* sockets.make(options.address)
  const pull = yield* Effect.mapError(Socket.readerBytes(socket), (error) => unreachable(error, show(options.address)))
  const outbox = new Outbox(options.highWaterMark ?? 1024 * 1024)
  let open = true
  let readable = true

  const close = (reason: McpError.McpErrorReason) => {
    if (!open) return
    open = false
    outbox.end()
    receiver.onClose(reason)
  }

  const lines = JsonLines.make({
    line: "a line",
    maxBytes: maxMessageBytes,
    onTooLong: () => {
      readable = false
      close(new McpError.MessageTooLarge({ limitBytes: maxMessageBytes }))
    },
    onMessage: (value, bytes) => {
      if (open) receiver.onMessage(value, bytes)
    },
    onDiagnostic: (diagnostic) => {
      if (open) receiver.onDiagnostic(diagnostic)
    }
  })

  const gone = yield* Deferred.make<void>()
  yield* Effect.flatMap(pull, (chunks) => {
    chunks.forEach((chunk) => lines.push(chunk))
    // Nothing that comes now can be understood, and a server that cannot send will notice.
    return readable ? Effect.void : Effect.interrupt
  }).pipe(
    Effect.forever,
    Effect.catch((error) =>
      Effect.sync(() => {
        lines.end()
        close(ended(error))
      })
    ),
    Effect.ensuring(Deferred.succeed(gone, undefined)),
    Effect.forkScoped
  )

  // The end of the writer's scope is the end of our side of the connection: what was written before goes out first.
  const writing = yield* socket.writer.pipe(
    Effect.flatMap((writer) => Stream.runForEachArray(outbox.stream, writer.writeAll)),
    Effect.scoped,
    Effect.catch((error) => Effect.sync(() => close(ended(error)))),
    Effect.forkScoped
  )

  return {
    link: LineLink.make(outbox),
    close: Effect.suspend(() => {
      close(McpError.scopeClosed)
      return Fiber.await(writing).pipe(
        Effect.andThen(Deferred.await(gone)),
        Effect.timeoutOption(options.closeTimeout ?? "2 seconds"),
        Effect.asVoid
      )
    })
  }
})

/**
 * A transport to a server on a socket, which is connected to for each link.
 *
 * Opening fails with `Unreachable`, which names the address, or with
 * `UnsupportedTransport` where the platform has no sockets. It has no time
 * limit of its own; interruption destroys the connection at once. The link
 * closes with `ConnectionClosed` when the server closes or breaks the
 * connection, after every whole line it sent; with `MessageTooLarge` when a
 * line passes `maxMessageBytes`. Lines that are not JSON are skipped and
 * reported. Closing the scope sends what was written, closes this side, waits
 * for the other, then destroys the connection.
 *
 * Nothing is encrypted and nobody is asked who they are: this is for servers on
 * this machine and in networks that are safe.
 *
 * **Example**
 *
 * ```ts
 * const program = Effect.gen(function*() {
 *   const transport = yield* SocketTransport.make({ address: { host: "127.0.0.1", port: 7000 } })
 *   const link = yield* transport.open(receiver)
 *   link.send(JsonRpc.request(1, "ping", undefined))
 * })
 * ```
 */
export const make = (options: Options): Effect.Effect<Transport["Service"]> =>
  Effect.map(Sockets.Sockets, (sockets) => {
    const kind = "path" in options.address ? "unix" : "tcp"
    return Transport.of({
      kind,
      network: kind,
      open: Effect.fnUntraced(function*(receiver) {
        // The connection's own scope: a start that fails leaves nothing behind in the caller's.
        const scope = yield* Effect.acquireRelease(
          Scope.make(),
          (scope, exit) => atMost(Scope.close(scope, exit), destroyTime)
        )
        const session = yield* start(sockets, options, receiver).pipe(
          Scope.provide(scope),
          Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
        )
        yield* Effect.addFinalizer(() => session.close)
        return session.link
      })
    })
  })

/** A layer of {@link make}. */
export const layer = (options: Options): Layer.Layer<Transport> => Layer.effect(Transport, make(options))
