/** Plain sockets: one JSON-RPC message per line, as over stdio (S-16). */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as SocketServer from "effect/socket/SocketServer"
import { LineSplitter } from "../internal/lineSplitter.ts"
import type { Binding } from "../Transport.ts"
import * as Conversation from "./conversation.ts"

export interface Options {
  readonly maxMessageBytes: number
  readonly maxBufferedBytes: number
  /** Counts one more session in, or refuses it. */
  readonly admit: () => { readonly leave: () => void } | undefined
}

const converse = Effect.fnUntraced(function*(socket: Socket.Socket, binding: Binding, options: Options) {
  const admitted = options.admit()
  // Only a closed connection says no where there is nothing but lines.
  if (admitted === undefined) return
  yield* Effect.addFinalizer(() => Effect.sync(admitted.leave))
  const conversation = yield* Conversation.open(binding, options)
  const pull = yield* Socket.readerBytes(socket)
  const { writeAll } = yield* socket.writer
  yield* conversation.run<Socket.SocketError>({
    receive: Effect.fnUntraced(function*(onText) {
      /** Ended by one that is too long: what follows it is not a line. */
      let lines: Array<string | undefined> = []
      const splitter = new LineSplitter({
        maxBytes: options.maxMessageBytes,
        onLine: (line) => {
          if (line.trim() !== "") lines.push(line)
        },
        onTooLong: () => {
          lines.push(undefined)
        }
      })
      while (true) {
        for (const bytes of yield* pull) splitter.push(bytes)
        const complete = lines
        lines = []
        for (const line of complete) {
          if (line === undefined) return
          yield* onText(line)
        }
      }
    }),
    send: ([first, ...rest]) => writeAll([`${first}\n`, ...rest.map((text) => `${text}\n`)])
  })
}, Effect.scoped)

/** Serves every connection until the scope closes. */
export const serve = Effect.fnUntraced(function*(
  binding: Binding,
  options: Options
): Effect.fn.Return<void, never, SocketServer.SocketServer | Scope.Scope> {
  const server = yield* SocketServer.SocketServer
  // One connection that breaks, or whose server cannot be started, is no concern of the others.
  yield* Effect.forkScoped(
    server.run((socket) => Effect.ignore(converse(socket, binding, options))),
    { startImmediately: true }
  )
})
