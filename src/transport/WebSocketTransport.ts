/**
 * The server is one WebSocket: a JSON-RPC message per text message (section 10
 * of the requirements, W-01 …). Beyond that it is a shared channel such as
 * stdio: requests are given up by a message, both sides may speak at any time.
 *
 * What arrives is handed on in the callback of the socket, so nothing is kept
 * for a reader who is slow, and there is nothing to pause.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Diagnostic from "../Diagnostic.ts"
import { atMost } from "../internal/atMost.ts"
import { excerptLength } from "../internal/jsonLines.ts"
import { parseJson } from "../internal/parseJson.ts"
import * as PlainText from "../internal/plainText.ts"
import { WaterMark } from "../internal/waterMark.ts"
import * as McpError from "../McpError.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import { type Link, type Receiver, Transport } from "../Transport.ts"
import * as Endpoint from "./http/endpoint.ts"
import type { ConnectionOptions } from "./http/HttpClients.ts"
import type { Options as HttpOptions } from "./http/options.ts"
import * as Upgrade from "./websocket/upgrade.ts"
import * as WebSockets from "./websocket/WebSockets.ts"

/** Which server, and how to treat it. */
export interface Options {
  /** Absolute, `ws:` or `wss:`. Its query, fragment and credentials never appear in errors. */
  readonly url: string | Redacted.Redacted<string>
  /** Sent with the upgrade. They cannot replace the handshake's own. */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
  /**
   * What is done about an upgrade that is refused for want of authorization, as
   * to the `https:` request that it is; see `Auth`. Needs a platform that tells
   * why an upgrade is refused: Node's does, a constructor of WebSockets does not.
   */
  readonly decorate?: HttpOptions["decorate"]
  /** Certificates, as PEM. Default: what the platform trusts. */
  readonly tls?: ConnectionOptions["tls"] | undefined
  /**
   * Whether the server must agree to the subprotocol `mcp`, which is always
   * offered first. Default false: it may ignore or refuse it.
   */
  readonly requireSubprotocol?: boolean | undefined
  /** Whether to offer permessage-deflate. Default false: it costs memory and time, and helps little with small messages. */
  readonly compression?: boolean | undefined
  /** Largest message taken, in bytes. Default 64 MiB. */
  readonly maxMessageBytes?: number | undefined
  /** Bytes not yet written above which senders wait. Default 1 MiB. */
  readonly highWaterMark?: number | undefined
  /**
   * How a dead peer is found out, where the platform has pings (Node has, a
   * browser has not). `false` turns it off.
   */
  readonly ping?: false | {
    /** Between the end of one check and the next ping. Default 30 seconds. */
    readonly interval?: Duration.Input | undefined
    /** How long nothing at all may arrive after a ping. Default 10 seconds. */
    readonly timeout?: Duration.Input | undefined
  } | undefined
  /** How long the closing handshake may take, whichever side began it; then the connection is destroyed. Default 2 seconds. */
  readonly closeTimeout?: Duration.Input | undefined
}

const subprotocol = "mcp"

const closeTime = Duration.seconds(2)

/** A ping waits behind what is being sent; a server that takes nothing of it for so long is taken for gone all the same. */
const sendTime = Duration.minutes(5)

/** For what was destroyed to say so. */
const terminateTime = Duration.seconds(1)

const owned = new Set(["connection", "content-length", "host", "transfer-encoding", "upgrade"])

const scheme: Endpoint.Scheme = {
  protocols: ["ws:", "wss:"],
  source: "WebSocket transport",
  isReserved: (name) => owned.has(name) || name.startsWith("sec-websocket-")
}

/** A server may refuse the upgrade for what is offered; most platforms do not tell that from other refusals. */
const mayBeForTheSubprotocol = ({ reason }: McpError.McpError): boolean =>
  reason._tag === "HttpStatus" ? reason.status === 400 : reason._tag === "Unreachable" && reason.delivered

const dial = Effect.fnUntraced(function*(
  service: WebSockets.Service,
  endpoint: Endpoint.Endpoint,
  options: Options,
  handlers: WebSockets.Handlers
): Effect.fn.Return<WebSockets.WebSocket, McpError.McpError, Scope.Scope> {
  const upgrade = options.decorate === undefined ? service.open : Upgrade.decorated(service, options.decorate)
  const open = (protocols: ReadonlyArray<string>) =>
    upgrade({
      url: endpoint.url.href,
      shown: endpoint.shown,
      headers: endpoint.headers,
      protocols,
      ...(options.tls === undefined ? {} : { tls: options.tls }),
      compression: options.compression === true,
      maxMessageBytes: options.maxMessageBytes ?? 64 * 1024 * 1024,
      closeTimeout: Duration.toMillis(options.closeTimeout ?? closeTime)
    }, handlers)
  if (options.requireSubprotocol !== true) {
    return yield* Effect.catchIf(open([subprotocol]), mayBeForTheSubprotocol, () => open([]))
  }
  const socket = yield* open([subprotocol])
  if (socket.protocol === subprotocol) return socket
  return yield* McpError.make(
    new McpError.InvalidResponse({
      method: "the WebSocket upgrade",
      detail: `expected the subprotocol "${subprotocol}", got ${
        socket.protocol === "" ? "none" : `"${PlainText.excerpt(socket.protocol, 100)}"`
      }`
    })
  )
})

/** An open socket. */
interface Session {
  readonly link: Link
  /** Closes the link for this side, and ends when the socket is closed or was destroyed. */
  readonly close: Effect.Effect<void>
}

const start = Effect.fnUntraced(function*(
  service: WebSockets.Service,
  options: Options,
  receiver: Receiver
): Effect.fn.Return<Session, McpError.McpError, Scope.Scope> {
  const endpoint = yield* Endpoint.make(options, scheme)
  for (const name of endpoint.dropped) {
    receiver.onDiagnostic(Diagnostic.Warning({
      detail: `the header "${name}" of the config is not sent: the protocol sets it itself`
    }))
  }
  const waterMark = new WaterMark(options.highWaterMark ?? 1024 * 1024)
  const gone = yield* Deferred.make<void>()
  let open = true

  const close = (reason: McpError.McpErrorReason) => {
    if (!open) return
    open = false
    waterMark.release()
    receiver.onClose(reason)
  }

  const socket = yield* dial(service, endpoint, options, {
    onMessage: (text, bytes) => {
      if (!open) return
      const value = text === undefined ? undefined : parseJson(text)
      if (value !== undefined) return receiver.onMessage(value, bytes)
      if (text?.trim() === "") return
      receiver.onDiagnostic(Diagnostic.Skipped({
        detail: `a message that is not ${text === undefined ? "UTF-8" : "JSON"}`,
        excerpt: PlainText.excerpt(text ?? "", excerptLength)
      }))
    },
    onWritten: (bytes) => waterMark.fall(bytes),
    onClose: (reason) => {
      close(reason)
      Deferred.doneUnsafe(gone, Exit.void)
    }
  })

  const { liveness } = socket
  if (liveness !== undefined && options.ping !== false) {
    const interval = Duration.fromInputUnsafe(options.ping?.interval ?? "30 seconds")
    const timeout = Duration.fromInputUnsafe(options.ping?.timeout ?? "10 seconds")
    const round = Duration.toMillis(Duration.sum(interval, timeout))
    let alive = true
    /** Milliseconds of sending without a sign of life. */
    let sending = 0
    const check = Effect.flatMap(Effect.sleep(interval), () => {
      const before = liveness.heard()
      liveness.ping()
      return Effect.map(Effect.sleep(timeout), () => {
        const answered = liveness.heard() !== before
        sending = answered || waterMark.isEmpty ? 0 : sending + round
        return answered || (sending > 0 && sending < Duration.toMillis(sendTime))
      })
    })
    yield* Effect.whileLoop({
      while: () => alive,
      body: () => check,
      step: (answered) => {
        alive = answered
      }
    }).pipe(
      Effect.andThen(Effect.sync(() => {
        const millis = Duration.toMillis(timeout)
        close(new McpError.ConnectionClosed({ by: "server", detail: `it is silent: no answer to a ping within ${millis} ms` }))
        socket.terminate()
      })),
      Effect.forkScoped
    )
  }

  const send = (message: JsonRpc.Message): number => {
    const text = JSON.stringify(message)
    if (!open) return 0
    const bytes = socket.send(text)
    waterMark.rise(bytes)
    return bytes
  }

  return {
    link: {
      send,
      backpressure: () => waterMark.wait(),
      abandon: (id, reason) => send(JsonRpc.notification("notifications/cancelled", { requestId: id, reason }))
    },
    close: Effect.gen(function*() {
      close(McpError.scopeClosed)
      if (Deferred.isDoneUnsafe(gone)) return
      socket.close(1000)
      const ended = yield* Effect.timeoutOption(Deferred.await(gone), options.closeTimeout ?? closeTime)
      if (ended._tag === "Some") return
      socket.terminate()
      yield* Effect.timeoutOption(Deferred.await(gone), terminateTime)
    })
  }
})

/**
 * A transport to a server behind a WebSocket, which is opened for each link.
 *
 * Opening fails with `HttpStatus` when the upgrade is refused (401: it wants
 * authorization; 403: it does not allow it), with `NeedsAuthorization`,
 * `Unauthorized` or `Forbidden` of what `decorate` does about it, with `Unreachable`, with
 * `InvalidConfig` for a URL, header or certificate that cannot be used, with
 * `InvalidResponse` when a required subprotocol is not agreed on, or with
 * `UnsupportedTransport` where the platform cannot do what is asked. If the
 * upgrade fails in a way that may be due to the offered subprotocol (status
 * 400, or no reason at all), it is tried once more without. Opening has no time
 * limit of its own; interruption destroys the socket at once.
 *
 * The link closes with `ConnectionClosed`, which has the code and the words of
 * the server's close frame, or tells that it does not answer a ping; and with
 * `MessageTooLarge`. Messages that are not JSON are skipped and reported.
 * Closing the scope makes the closing handshake, then destroys the connection.
 *
 * A proxy is not used, neither of a config nor of the environment.
 *
 * **Example**
 *
 * ```ts
 * const program = Effect.gen(function*() {
 *   const transport = yield* WebSocketTransport.make({
 *     url: "wss://example.com/mcp",
 *     headers: { Authorization: Redacted.make("Bearer …") }
 *   })
 *   const link = yield* transport.open(receiver)
 *   link.send(JsonRpc.request(1, "ping", undefined))
 * })
 * ```
 */
export const make = (options: Options): Effect.Effect<Transport["Service"]> =>
  Effect.map(WebSockets.get, (service) =>
    Transport.of({
      kind: "ws",
      network: "tcp",
      outlives: true,
      endpoint: Endpoint.describe(options.url, scheme),
      open: Effect.fnUntraced(function*(receiver) {
        // The socket's own scope: a start that fails leaves nothing behind in the caller's.
        const scope = yield* Effect.acquireRelease(
          Scope.make(),
          (scope, exit) => atMost(Scope.close(scope, exit), terminateTime)
        )
        const session = yield* start(service, options, receiver).pipe(
          Scope.provide(scope),
          Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
        )
        yield* Effect.addFinalizer(() => session.close)
        return session.link
      })
    }))

/** A layer of {@link make}. */
export const layer = (options: Options): Layer.Layer<Transport> => Layer.effect(Transport, make(options))
