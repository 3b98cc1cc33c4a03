/** WebSockets of Node.js, made with the `ws` package: the one file that knows it. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { constants } from "node:buffer"
import type { IncomingMessage } from "node:http"
import type { Socket } from "node:net"
import { WebSocket as Ws } from "ws"
import * as NetworkFailure from "../../internal/networkFailure.ts"
import * as PlainText from "../../internal/plainText.ts"
import * as McpError from "../../McpError.ts"
import * as Failure from "../http/failure.ts"
import * as WebSockets from "./WebSockets.ts"

const asText = { binary: false }

/** The body of a refused upgrade is read this far and this long: it is only to be told. */
const refusalBytes = 64 * 1024
const refusalTime = "5 seconds"

/** What a timer of Node can wait. */
const longestTimer = 2 ** 31 - 1

const bodyOf = (response: IncomingMessage): Effect.Effect<string> => {
  const chunks: Array<Buffer> = []
  let length = 0
  return Effect.callback<void>((resume) => {
    const done = () => resume(Effect.void)
    response.on("data", (chunk: Buffer) => {
      chunks.push(chunk)
      length += chunk.length
      if (length >= refusalBytes) done()
    })
    response.on("end", done).on("error", done).on("close", done)
  }).pipe(
    Effect.timeoutOption(refusalTime),
    Effect.map(() => Buffer.concat(chunks).toString("utf8", 0, refusalBytes))
  )
}

/** Names in lower case; those that came several times as one. */
const headersOf = ({ headersDistinct }: IncomingMessage): Record<string, string> =>
  Object.fromEntries(Object.entries(headersDistinct).map(([name, values = []]) => [name, values.join(", ")]))

const refusal = Effect.fnUntraced(function*(response: IncomingMessage, shown: string) {
  const body = yield* bodyOf(response)
  const retryAfterMillis = Failure.retryAfter(response.headers["retry-after"], yield* Clock.currentTimeMillis)
  return yield* McpError.make(
    new McpError.HttpStatus({
      verb: "GET",
      url: shown,
      status: response.statusCode ?? 0,
      body: PlainText.excerpt(body, Failure.excerptLength),
      ...(retryAfterMillis === undefined ? {} : { retryAfterMillis })
    })
  )
})

/** Only the words of `ws` itself: those of the system may name more than may be told. */
const unreachable = (error: unknown, shown: string): McpError.McpError => {
  const undelivered = NetworkFailure.undelivered(error)
  const code = NetworkFailure.codesOf(error).at(-1)
  return McpError.make(
    new McpError.Unreachable({
      url: shown,
      delivered: undelivered === undefined,
      detail: undelivered ?? (code !== undefined
        ? `the connection broke before the upgrade (${code})`
        : `its answer to the upgrade is no WebSocket's: ${error instanceof Error ? PlainText.excerpt(error.message, 200) : ""}`)
    })
  )
}

/** What is written after this and within one tick goes out together: a system call for each message costs the most. */
const batching = (socket: Socket) => {
  let corked = false
  const uncork = () => {
    corked = false
    socket.uncork()
  }
  return () => {
    if (corked) return
    corked = true
    socket.cork()
    queueMicrotask(uncork)
  }
}

const brokeTheProtocol = (code: number, how: string) =>
  new McpError.ConnectionClosed({
    by: "server",
    detail: `it broke the protocol: ${how} (${code})`,
    close: { code, reason: "" }
  })

/** Why `ws` ends a socket by itself: the peer has broken the protocol, or the connection broke. */
const broken = (error: Error, limitBytes: number): McpError.McpErrorReason => {
  const code = NetworkFailure.codesOf(error).at(-1) ?? "no code"
  switch (code) {
    case "WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH":
    case "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH":
      return new McpError.MessageTooLarge({ limitBytes })
    case "WS_ERR_INVALID_UTF8":
      return brokeTheProtocol(1007, "a text message that is no UTF-8")
    case "WS_ERR_TOO_MANY_BUFFERED_PARTS":
      return brokeTheProtocol(1008, "a message in too many parts")
    default:
      return code.startsWith("WS_ERR_") ? brokeTheProtocol(1002, error.message) : WebSockets.closed(1006, code)
  }
}

/** Every option of a request is honoured; pings are sent and large messages refused before they are in memory. */
export const service: WebSockets.Service = {
  open: Effect.fnUntraced(function*(request, handlers) {
    const { closeTimeout, compression, headers, protocols, shown, tls, url } = request
    // A longer message could not be made a string; and from 2 GiB on `ws` would take it for no limit.
    const maxPayload = Math.min(request.maxMessageBytes, constants.MAX_STRING_LENGTH)
    let socket: Ws | undefined
    // Destroys one that is still connecting as well; what it has to say of that, its listeners ignore.
    yield* Effect.addFinalizer(() => Effect.sync(() => socket?.terminate()))
    return yield* Effect.callback<WebSockets.WebSocket, McpError.McpError>((resume) => {
      const options = {
        headers,
        maxPayload,
        perMessageDeflate: compression,
        closeTimeout: Math.min(closeTimeout, longestTimer),
        ...(tls === undefined ? {} : {
          ...(tls.ca === undefined ? {} : { ca: tls.ca }),
          ...(tls.cert === undefined ? {} : { cert: tls.cert }),
          ...(tls.key === undefined ? {} : { key: Redacted.value(tls.key) }),
          rejectUnauthorized: tls.skipVerify !== true
        })
      }
      const ws = new Ws(url, [...protocols], options)
      socket = ws
      let protocol = ""
      let bytesRead = () => 0
      let batch = () => {}
      let live = false

      const end = (reason: McpError.McpErrorReason) => {
        if (!live) return
        live = false
        handlers.onClose(reason)
      }

      ws.on("upgrade", (response) => {
        const [offered] = protocols
        const agreed = response.headers["sec-websocket-protocol"]
        protocol = agreed ?? ""
        // A server may ignore what was offered; `ws` would fail.
        if (agreed === undefined && offered !== undefined) response.headers["sec-websocket-protocol"] = offered
        bytesRead = () => response.socket.bytesRead
        batch = batching(response.socket)
        // Nothing can be answered any more. `ws` would wait until all that is unsent was read.
        response.socket.once("end", () => ws.terminate())
      })
      ws.on("unexpected-response", (_request, response) => {
        handlers.onRefused?.(headersOf(response))
        resume(refusal(response, shown))
      })
      ws.on("error", (error) => {
        resume(Effect.fail(unreachable(error, shown)))
        end(broken(error, maxPayload))
      })
      ws.on("close", (code, reason) => end(WebSockets.closed(code, reason.toString())))
      ws.on("message", (data, isBinary) => {
        if (!live) return
        // The other types of `binaryType` are never asked for.
        if (!Buffer.isBuffer(data)) return
        // A text message was checked to be UTF-8 already.
        handlers.onMessage(isBinary ? WebSockets.decodeUtf8(data) : data.toString(), data.length)
      })
      ws.on("open", () => {
        live = true
        resume(Effect.succeed({
          protocol,
          send: (text) => {
            const bytes = Buffer.from(text)
            batch()
            // A frame of bytes is written whole, one of a string in two parts.
            ws.send(bytes, asText, () => handlers.onWritten(bytes.length))
            return bytes.length
          },
          close: (code) => ws.close(code),
          terminate: () => ws.terminate(),
          liveness: {
            ping: () => {
              if (ws.readyState === Ws.OPEN) ws.ping()
            },
            heard: bytesRead
          }
        }))
      })
    })
  })
}
