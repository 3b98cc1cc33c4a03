/** A server in memory, written as a table from method to answer. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import type { Transport } from "../../src/Transport.ts"
import * as InMemoryTransport from "../../src/transport/InMemoryTransport.ts"

/** Answers one request; fail with an error object to refuse. `undefined` answers nothing. */
export type Answer = (
  params: JsonRpc.JsonObject,
  peer: InMemoryTransport.Peer,
  id: JsonRpc.RequestId
) => Effect.Effect<JsonRpc.JsonObject | undefined, JsonRpc.ErrorObject>

export interface Script {
  readonly answers: Readonly<Record<string, Answer>>
  /** Every message the client sent, in order. */
  readonly received: Array<JsonRpc.Message>
  /** The server's side of the latest link. */
  peer: InMemoryTransport.Peer | undefined
}

export const value = (result: JsonRpc.JsonObject): Answer => () => Effect.succeed(result)

export const modern = (
  answers: Script["answers"],
  discover: JsonRpc.JsonObject = {}
): Script => ({
  answers: {
    "server/discover": value({
      resultType: "complete",
      supportedVersions: ["2026-07-28"],
      capabilities: { tools: { listChanged: true }, resources: { subscribe: true, listChanged: true }, prompts: {}, completions: {}, logging: {} },
      _meta: { "io.modelcontextprotocol/serverInfo": { name: "scripted", version: "1" } },
      ...discover
    }),
    ...answers
  },
  received: [],
  peer: undefined
})

export const legacy = (
  answers: Script["answers"],
  initialize: JsonRpc.JsonObject = {}
): Script => ({
  answers: {
    initialize: value({
      protocolVersion: "2025-11-25",
      capabilities: { tools: { listChanged: true }, resources: { subscribe: true, listChanged: true }, prompts: {}, completions: {}, logging: {} },
      serverInfo: { name: "scripted", version: "1" },
      ...initialize
    }),
    ...answers
  },
  received: [],
  peer: undefined
})

/** The transport to it. Unknown methods are refused, as a server should. */
export const layer = (script: Script): Layer.Layer<Transport> =>
  InMemoryTransport.layer((peer) => {
    script.peer = peer
    return Effect.forever(Effect.gen(function*() {
      const message = yield* peer.take
      script.received.push(message)
      if (!JsonRpc.isRequest(message)) return
      const answer = script.answers[message.method]
      yield* Effect.forkChild(
        Effect.matchEffect(
          answer === undefined
            ? Effect.fail<JsonRpc.ErrorObject>({ code: JsonRpc.ErrorCode.MethodNotFound, message: `no ${message.method}` })
            : answer(message.params ?? {}, peer, message.id),
          {
            onSuccess: (result) => result === undefined ? Effect.void : peer.send(JsonRpc.success(message.id, result)),
            onFailure: (error) => peer.send(JsonRpc.failure(message.id, error))
          }
        ),
        { startImmediately: true }
      )
    })).pipe(Effect.ignore)
  })

/** The parameters of every request of a method, in order. */
export const requests = (script: Script, method: string): ReadonlyArray<JsonRpc.JsonObject> =>
  script.received.flatMap((message) => "method" in message && message.method === method ? [message.params ?? {}] : [])
