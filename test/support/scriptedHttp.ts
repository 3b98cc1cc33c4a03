/** A server over HTTP without HTTP: a table from method to answer, where an answer may be a failure of its own. */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type { McpErrorReason } from "../../src/McpError.ts"
import * as McpError from "../../src/McpError.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import type { Agreement, Receiver, Transport } from "../../src/Transport.ts"

/** Answers one request. Fails with an error object to refuse by JSON-RPC, with a reason when HTTP brings no answer. */
export type Answer = (params: JsonRpc.JsonObject) => Effect.Effect<JsonRpc.JsonObject, JsonRpc.ErrorObject | McpErrorReason>

export interface Script {
  readonly answers: Readonly<Record<string, Answer>>
  /** Every message the client sent, in order. */
  readonly received: Array<JsonRpc.Message>
  /** What the link was told, in order with the number of messages sent before. */
  readonly agreements: Array<Agreement & { readonly after: number }>
  /** Links that are open. */
  open: number
  receiver: Receiver | undefined
}

export const url = "https://example.com/mcp"

export const value = (result: JsonRpc.JsonObject): Answer => () => Effect.succeed(result)

/** An answer that is a status. */
export const status = (status: number, error?: JsonRpc.ErrorObject): Answer => () =>
  Effect.fail(
    new McpError.HttpStatus({ verb: "POST", url, status, body: "no", ...(error === undefined ? {} : { error }) })
  )

export const expired = (delivered: boolean): McpErrorReason => new McpError.SessionExpired({ url, delivered })

const capabilities = {
  tools: { listChanged: true },
  resources: { subscribe: true, listChanged: true },
  prompts: {},
  logging: {}
}

export const modern = value({ resultType: "complete", supportedVersions: ["2026-07-28"], capabilities })

export const legacy = value({
  protocolVersion: "2025-11-25",
  capabilities,
  serverInfo: { name: "scripted", version: "1" }
})

export const make = (answers: Script["answers"]): Script => ({
  answers,
  received: [],
  agreements: [],
  open: 0,
  receiver: undefined
})

/** The binding to it. What it has no answer for has no page either. */
export const binding = (
  script: Script,
  options?: Partial<Transport["Service"]>
): Transport["Service"] => ({
  kind: "http",
  network: "tcp",
  http: true,
  open: Effect.fnUntraced(function*(receiver) {
    const run = yield* FiberSet.makeRuntime<never, void, never>()
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        script.open += 1
        script.receiver = receiver
      }),
      () =>
        Effect.sync(() => {
          script.open -= 1
        })
    )
    const deliver = (message: JsonRpc.Message) => receiver.onMessage(JSON.parse(JSON.stringify(message)), 1)
    return {
      send: (message) => {
        script.received.push(message)
        if (!JsonRpc.isRequest(message)) return 1
        const { id, method, params = {} } = message
        const answer = script.answers[method] ?? status(404)
        run(Effect.match(Effect.suspend(() => answer(params)), {
          onSuccess: (result) => deliver(JsonRpc.success(id, result)),
          onFailure: (error) =>
            "_tag" in error ? receiver.onFailure(id, error) : deliver(JsonRpc.failure(id, error))
        }))
        return 1
      },
      backpressure: () => undefined,
      abandon: () => {},
      agreed: (agreement) => {
        script.agreements.push({ ...agreement, after: script.received.length })
      }
    }
  }),
  ...options
})

/** The methods of everything that was sent, in order. */
export const methods = (script: Script): ReadonlyArray<string> =>
  script.received.map((message) => "method" in message ? message.method : "reply")
