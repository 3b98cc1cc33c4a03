/** One WebSocket: one JSON-RPC message per text frame, in every revision. */
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { Scope } from "effect/Scope"
import * as Result from "effect/Result"
import * as Socket from "effect/socket/Socket"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import type { Binding } from "../Transport.ts"
import * as Conversation from "./conversation.ts"
import * as Failure from "./failure.ts"
import * as Reply from "./reply.ts"

/** The code a socket is closed with, and what is said with it. */
const closeEvent = (ended: Conversation.Ended): Socket.CloseEvent => {
  switch (ended._tag) {
    case "Slow":
      return new Socket.CloseEvent(1008, "what is sent is not read")
    case "Stuck":
      return new Socket.CloseEvent(1011, "the server does not read what is sent to it")
    case "Server":
      return new Socket.CloseEvent(1011, Failure.describe(ended.reason))
  }
}

/** Whether it asks for a socket as it must be asked for: nothing is to be started for one that will be refused. */
export const isUpgrade = ({ headers, method }: HttpServerRequest): boolean =>
  method === "GET" && headers.upgrade?.toLowerCase() === "websocket" && /\bupgrade\b/i.test(headers.connection ?? "") &&
  /^[\w+/]{22}==$/.test(headers["sec-websocket-key"] ?? "") && headers["sec-websocket-version"] === "13"

/** Serves one socket to its end. The server is opened first: where it cannot be, the upgrade is refused. */
export const serve = Effect.fnUntraced(function*(
  request: HttpServerRequest,
  binding: Binding,
  options: { readonly maxBufferedBytes: number; readonly maxMessageBytes: number }
): Effect.fn.Return<HttpServerResponse.HttpServerResponse, never, Scope> {
  const opened = yield* Effect.result(Conversation.open(binding, options))
  if (Result.isFailure(opened)) {
    return Reply.refuse(502, JsonRpc.ErrorCode.InternalError, Failure.describe(opened.failure.reason))
  }
  return yield* request.upgrade.pipe(
    Effect.flatMap(Effect.fnUntraced(function*(socket) {
      const { pull } = yield* socket.reader
      const writer = yield* socket.writer
      const decoder = new TextDecoder()
      const ended = yield* opened.success.run<Socket.SocketError>({
        receive: (onText) =>
          Effect.forever(Effect.flatMap(pull, (frames) =>
            Effect.forEach(frames, (frame) => onText(typeof frame === "string" ? frame : decoder.decode(frame)), { discard: true }))),
        send: writer.writeAll
      })
      if (ended !== undefined) yield* writer.write(closeEvent(ended))
    })),
    // A socket that breaks or is closed by its peer is the end of the session, and nothing else.
    Effect.ignore,
    Effect.as(HttpServerResponse.empty())
  )
})
