/**
 * Where WebSockets come from. Effect's `Socket.WebSocketConstructor` gives one
 * for a URL and headers, and the platform's global one for a URL; neither knows
 * certificates, limits, pings or why an upgrade was refused. A platform that
 * does puts this service in their place; `NodeMcp.layer` brings that of Node.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as PlainText from "../../internal/plainText.ts"
import * as McpError from "../../McpError.ts"
import type { ConnectionOptions } from "../http/HttpClients.ts"

/** One WebSocket to open. */
export interface Request {
  /** With its query, which may be a secret. */
  readonly url: string
  /** What an error may tell of it. */
  readonly shown: string
  /** Of the upgrade, their values revealed. */
  readonly headers: Readonly<Record<string, string>>
  /** Offered; that the server does not agree to it must not fail the upgrade, where the platform can help it. */
  readonly protocols: ReadonlyArray<string>
  readonly tls?: ConnectionOptions["tls"]
  /** Whether to offer permessage-deflate. */
  readonly compression: boolean
  /** A larger message ends the socket with `MessageTooLarge`, if possible before it is in memory. */
  readonly maxMessageBytes: number
  /**
   * Milliseconds for a closing handshake, whoever begins it; then the socket is
   * destroyed, where the platform lets a program choose that.
   */
  readonly closeTimeout: number
}

/** What a socket reports to, synchronously and in order. Nothing here throws. */
export interface Handlers {
  /** One whole message; `undefined` for bytes that are no UTF-8. */
  readonly onMessage: (text: string | undefined, bytes: number) => void
  /** So many bytes that were given to `send` are out of this program's memory. */
  readonly onWritten: (bytes: number) => void
  /** Once, and only of a socket that was open: nothing comes after it. */
  readonly onClose: (reason: McpError.McpErrorReason) => void
  /** The headers of the answer that refuses the upgrade, before opening fails with its `HttpStatus`; where the platform tells them. */
  readonly onRefused?: (headers: Readonly<Record<string, string>>) => void
}

/** An open WebSocket. Nothing here waits or throws. */
export interface WebSocket {
  /** The subprotocol that was agreed on; empty for none. */
  readonly protocol: string
  /** Sends one text message, and returns its bytes. */
  readonly send: (text: string) => number
  /** Begins the closing handshake; its end is told by `onClose`. */
  readonly close: (code: number) => void
  readonly terminate: () => void
  /** Where the platform has pings. */
  readonly liveness?: {
    readonly ping: () => void
    /** A number that has changed if anything arrived, a pong or a part of a message. */
    readonly heard: () => number
  }
}

export interface Service {
  /**
   * Opens a socket, which is destroyed when the scope closes; interruption
   * destroys it at once. Fails with `HttpStatus` for a refused upgrade, with
   * `Unreachable`, `InvalidConfig` for certificates that cannot be used, or
   * `UnsupportedTransport` for what the platform cannot do.
   */
  readonly open: (request: Request, handlers: Handlers) => Effect.Effect<WebSocket, McpError.McpError, Scope.Scope>
}

/** The platform's own way; absent, `Socket.WebSocketConstructor` or the global `WebSocket`. */
export const WebSockets: Context.Reference<Service | undefined> = Context.Reference<Service | undefined>(
  "mcp-connect/WebSockets",
  { defaultValue: () => undefined }
)

const meanings: Readonly<Record<number, string>> = {
  1000: "it has ended normally",
  1001: "it is going away",
  1002: "a protocol error",
  1003: "it does not take this kind of data",
  1005: "without a code",
  1006: "the connection broke",
  1007: "invalid data",
  1008: "a policy does not allow it",
  1009: "a message is too large for it",
  1011: "it met an error of its own",
  1012: "it restarts",
  1013: "it wants to be tried again later"
}

/** The end of an open socket, by its close code. */
export const closed = (code: number, reason: string): McpError.ConnectionClosed => {
  const words = PlainText.excerpt(reason, 123)
  return new McpError.ConnectionClosed({
    by: "server",
    detail: `${meanings[code] ?? "for a reason of its own"} (${code}${words === "" ? "" : `: ${words}`})`,
    close: { code, reason: words }
  })
}

/** What to use here. */
export const get: Effect.Effect<Service> = Effect.gen(function*() {
  const service = yield* WebSockets
  if (service !== undefined) return service
  return fromConstructor(Option.getOrUndefined(yield* Effect.serviceOption(Socket.WebSocketConstructor)))
})

// =============================================================================
// By a constructor
// =============================================================================

type Construct = Socket.WebSocketConstructor["Service"]

const encoder = new TextEncoder()

/** A constructor tells nothing when bytes have left; its `bufferedAmount` is looked at while there are any. */
const lookAgain = "10 millis"

const unsupported = (detail: string) => McpError.make(new McpError.UnsupportedTransport({ transport: "WebSocket", detail }))

const needs = "needs a platform that can do it: provide NodeMcp.layer or a WebSockets service"

const missing = ({ compression, headers, tls }: Request, construct: Construct | undefined): string | undefined =>
  tls !== undefined
    ? `"tls" ${needs}`
    : compression
    ? `"compression" ${needs}`
    : construct !== undefined
    ? undefined
    : Object.keys(headers).length > 0
    ? "the global WebSocket sends no headers: provide NodeMcp.layer or a Socket.WebSocketConstructor"
    : typeof globalThis.WebSocket === "undefined"
    ? "there is no WebSocket here: provide NodeMcp.layer or a Socket.WebSocketConstructor"
    : undefined

/** Bytes of a message, or `undefined` for what a constructor gave instead of them. */
const bytesOf = (data: unknown): Uint8Array | undefined =>
  data instanceof ArrayBuffer
    ? new Uint8Array(data)
    : ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : undefined

/** Binary messages are text too; `undefined` for what is none. */
export const decodeUtf8 = (bytes: Uint8Array): string | undefined => {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

/**
 * A service on top of a constructor of WebSockets, by default the global one.
 * Without headers in the latter case, and without certificates, compression and
 * pings; the limit of a message is checked when it is there.
 */
export const fromConstructor = (construct?: Construct): Service => ({
  open: Effect.fnUntraced(function*(request, handlers) {
    const detail = missing(request, construct)
    if (detail !== undefined) return yield* unsupported(detail)
    const watch = yield* FiberHandle.makeRuntime<never>()
    let socket: Socket.WebSocketLike | undefined
    let queued = 0
    let live = false

    const end = (reason: McpError.McpErrorReason) => {
      if (!live) return
      live = false
      handlers.onClose(reason)
    }
    const tooLarge = () => {
      end(new McpError.MessageTooLarge({ limitBytes: request.maxMessageBytes }))
      close(1009)
    }
    const close = (code: number) => {
      // A browser lets a program use only these: a code of the protocol itself throws.
      if (socket !== undefined && socket.readyState < 2) socket.close(code === 1000 ? code : 4000 + (code % 1000))
    }
    const onMessage = ({ data }: Socket.WebSocketEvent) => {
      if (!live) return
      if (typeof data === "string") {
        const bytes = encoder.encode(data).length
        return bytes > request.maxMessageBytes ? tooLarge() : handlers.onMessage(data, bytes)
      }
      const bytes = bytesOf(data)
      if (bytes === undefined) return handlers.onMessage(undefined, 0)
      return bytes.length > request.maxMessageBytes
        ? tooLarge()
        : handlers.onMessage(decodeUtf8(bytes), bytes.length)
    }
    const unsent = () => {
      const now = Predicate.hasProperty(socket, "bufferedAmount") && typeof socket.bufferedAmount === "number"
        ? socket.bufferedAmount
        : 0
      if (now < queued) handlers.onWritten(queued - now)
      queued = Math.min(queued, now)
      return queued
    }
    const drain = Effect.whileLoop({
      while: () => live && unsent() > 0,
      body: () => Effect.sleep(lookAgain),
      step: () => {}
    })

    const unreachable = () =>
      Effect.fail(McpError.make(
        new McpError.Unreachable({
          url: request.shown,
          delivered: true,
          detail: "the platform's WebSocket does not say why; it may have been refused, or not agree to the subprotocol"
        })
      ))

    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        live = false
        close(1000)
      })
    )
    const opened = yield* Effect.callback<Socket.WebSocketLike, McpError.McpError>((resume) => {
      let made: Socket.WebSocketLike
      try {
        const protocols = [...request.protocols]
        made = construct === undefined
          ? new globalThis.WebSocket(request.url, protocols)
          : construct(request.url, Object.keys(request.headers).length === 0 ? protocols : { protocols, headers: request.headers })
      } catch {
        return resume(unsupported("its constructor does not take the URL or the headers"))
      }
      socket = made
      if ("binaryType" in made) made.binaryType = "arraybuffer"
      made.addEventListener("open", () => {
        live = true
        resume(Effect.succeed(made))
      })
      made.addEventListener("message", onMessage)
      made.addEventListener("error", () => resume(unreachable()))
      made.addEventListener("close", ({ code = 1006, reason = "" }) => {
        resume(unreachable())
        end(closed(code, reason))
      })
    })
    return {
      protocol: Predicate.hasProperty(opened, "protocol") && typeof opened.protocol === "string" ? opened.protocol : "",
      send: (text) => {
        const bytes = encoder.encode(text).length
        if (opened.readyState !== 1) return bytes
        queued += bytes
        opened.send(text)
        watch(drain, { onlyIfMissing: true })
        return bytes
      },
      close,
      terminate: () => {
        if (Predicate.hasProperty(opened, "terminate") && typeof opened.terminate === "function") opened.terminate()
        else close(1000)
      }
    }
  })
})
