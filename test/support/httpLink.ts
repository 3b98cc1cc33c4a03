/** A link over HTTP whose reports can be waited on, to a real server or to a function. */
import { NodeHttpClient } from "@effect/platform-node"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import type * as Diagnostic from "../../src/Diagnostic.ts"
import type * as McpError from "../../src/McpError.ts"
import * as NodeMcp from "../../src/node.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import type { Receiver } from "../../src/Transport.ts"
import * as StreamableHttpTransport from "../../src/transport/StreamableHttpTransport.ts"

/** How something that was sent came out. */
export type Outcome =
  | { readonly _tag: "message"; readonly value: JsonRpc.JsonObject }
  | { readonly _tag: "failure"; readonly id: JsonRpc.RequestId; readonly reason: McpError.McpErrorReason }

export const open = Effect.fnUntraced(function*(options: StreamableHttpTransport.Options) {
  const outcomes = yield* Queue.unbounded<Outcome>()
  const diagnostics: Array<Diagnostic.Diagnostic> = []
  const closed: Array<McpError.McpErrorReason> = []
  const receiver: Receiver = {
    onMessage: (value) => Queue.offerUnsafe(outcomes, { _tag: "message", value: value as JsonRpc.JsonObject }),
    onFailure: (id, reason) => Queue.offerUnsafe(outcomes, { _tag: "failure", id, reason }),
    onDiagnostic: (diagnostic) => diagnostics.push(diagnostic),
    onClose: (reason) => closed.push(reason)
  }
  const transport = yield* StreamableHttpTransport.make(options)
  const link = yield* transport.open(receiver)
  const next = Queue.take(outcomes)
  return {
    link,
    diagnostics,
    closed,
    next,
    /** Outcomes nobody took. */
    pending: Queue.size(outcomes),
    /** The next outcome, which must be a message. */
    message: Effect.flatMap(next, (outcome) =>
      outcome._tag === "message" ? Effect.succeed(outcome.value) : Effect.die(outcome.reason)),
    /** The next outcome, which must be a failure. */
    failure: Effect.flatMap(next, (outcome) =>
      outcome._tag === "failure" ? Effect.succeed(outcome.reason) : Effect.die(outcome.value))
  }
})

export const undici: Layer.Layer<HttpClient.HttpClient> = NodeMcp.layer

/** A client that is not ours: it leaves bodies compressed, and knows only `HttpClient.withScope`. */
export const platform: Layer.Layer<HttpClient.HttpClient> = NodeHttpClient.layerUndici

export const modernMeta = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientInfo": { name: "test", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": {}
}

export const modernRequest = (id: JsonRpc.RequestId, method: string, params: JsonRpc.JsonObject = {}): JsonRpc.Request =>
  JsonRpc.request(id, method, { ...params, _meta: modernMeta })

export const modern = { revision: "2026-07-28", stateless: true, batches: false } as const
export const legacy = { revision: "2025-11-25", stateless: false, batches: false } as const

// =============================================================================
// A function in place of the network
// =============================================================================

export interface Asked {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The message of a POST. */
  readonly message: JsonRpc.JsonObject
  readonly signal: AbortSignal
}

/** A client that answers with `answer`, and every request it was asked. */
export const mock = (
  answer: (asked: Asked) => Effect.Effect<Response, { readonly code: string }>
): { readonly layer: Layer.Layer<HttpClient.HttpClient>; readonly asked: Array<Asked> } => {
  const asked: Array<Asked> = []
  return {
    asked,
    layer: Layer.succeed(
      HttpClient.HttpClient,
      HttpClient.make((request, url, signal) => {
        const { body } = request
        const text = body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : "{}"
        const one: Asked = { method: request.method, url: url.href, headers: { ...request.headers }, message: JSON.parse(text), signal }
        asked.push(one)
        return answer(one).pipe(
          Effect.map((response) => HttpClientResponse.fromWeb(request, response)),
          Effect.mapError((cause) =>
            new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
          )
        )
      })
    )
  }
}

export const json = (value: unknown, init: ResponseInit = {}): Response =>
  new Response(JSON.stringify(value), { ...init, headers: { "content-type": "application/json", ...init.headers } })

/** An answer to the request that was asked. */
export const result = ({ message }: Asked, value: JsonRpc.JsonObject = {}): Response =>
  json({ jsonrpc: "2.0", id: message.id, result: value })

/** An event stream in these pieces, which then ends, or stays open. */
export const events = (pieces: ReadonlyArray<string>, end: "close" | "open" = "close"): Response =>
  new Response(
    new ReadableStream<Uint8Array>({
      start(controller) {
        const encoder = new TextEncoder()
        for (const piece of pieces) controller.enqueue(encoder.encode(piece))
        if (end === "close") controller.close()
      }
    }),
    { headers: { "content-type": "text/event-stream" } }
  )

export const event = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`

export const accepted = (): Response => new Response(null, { status: 202 })
