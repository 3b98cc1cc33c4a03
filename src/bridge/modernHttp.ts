/**
 * Streamable HTTP as it is since 2026-07-28: every request stands for itself,
 * its answer is the response, and hanging up cancels it. All of them share one
 * link to the server.
 */
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import * as Result from "effect/Result"
import * as Base64 from "effect/encoding/Base64"
import type * as Scope from "effect/Scope"
import type { McpErrorReason } from "../McpError.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import type { Binding } from "../Transport.ts"
import * as Exchange from "./exchange.ts"
import * as Failure from "./failure.ts"
import * as Reply from "./reply.ts"

type Headers = Readonly<Record<string, string>>

const versionKey = "io.modelcontextprotocol/protocolVersion"

/** The parameter that `Mcp-Name` repeats (H-22). */
const nameOf: Partial<Record<string, string>> = {
  "tools/call": "name",
  "prompts/get": "name",
  "resources/read": "uri",
  "tasks/get": "taskId",
  "tasks/update": "taskId",
  "tasks/cancel": "taskId"
}

/** The revision a message names itself. */
export const revisionOf = (message: JsonRpc.Message): string | undefined => {
  const meta = "method" in message ? message.params?._meta : undefined
  const revision = JsonRpc.isJsonObject(meta) ? meta[versionKey] : undefined
  return typeof revision === "string" ? revision : undefined
}

/** The text in an envelope of Base64, where there is one (H-41). */
const decoded = (header: string): string | undefined => {
  const enveloped = /^=\?base64\?(.*)\?=$/.exec(header)?.[1]
  return enveloped === undefined ? header : Result.getOrUndefined(Base64.decodeString(enveloped))
}

/** What in the headers is not what the body says. Those of a tool's arguments are the server's to check: it knows its tools. */
const mismatch = ({ headers }: HttpServerRequest, request: JsonRpc.Request): string | undefined => {
  if (headers["mcp-protocol-version"] !== revisionOf(request)) return "MCP-Protocol-Version is not the revision in _meta"
  if (headers["mcp-method"] !== request.method) return "Mcp-Method is not the method"
  const key = nameOf[request.method]
  const name = key === undefined ? undefined : request.params?.[key]
  return typeof name === "string" && decoded(headers["mcp-name"] ?? "") !== name ? `Mcp-Name is not the ${key}` : undefined
}

const { HeaderMismatch, MethodNotFound, MissingRequiredClientCapability, UnsupportedProtocolVersion } = JsonRpc.ErrorCode

const badRequests: ReadonlySet<number> = new Set([HeaderMismatch, MissingRequiredClientCapability, UnsupportedProtocolVersion])

const statusOf = (answer: JsonRpc.Success | JsonRpc.Failure): number => {
  if (!JsonRpc.isFailure(answer)) return 200
  const { code } = answer.error
  return code === MethodNotFound ? 404 : badRequests.has(code) ? 400 : 200
}

/** Notifications that belong to a request. What a server tells all its clients has no place on the answer to one. */
const belongs = (message: unknown, listening: boolean): boolean =>
  !JsonRpc.isMessage(message) || !("method" in message) || listening ||
  message.method === "notifications/progress" || message.method === "notifications/message"

export interface Options extends Exchange.Options {
  /** The link that all requests share. */
  readonly shared: Binding
}

/** Answers one posted message. The request is given up with the scope, which is that of the response. */
export const post = Effect.fnUntraced(function*(
  incoming: HttpServerRequest,
  message: JsonRpc.Message,
  headers: Headers,
  options: Options
): Effect.fn.Return<HttpServerResponse, never, Scope.Scope> {
  if (!JsonRpc.isRequest(message)) {
    if (!("method" in message)) {
      return Reply.refuse(400, JsonRpc.ErrorCode.InvalidRequest, "a client sends no answers", { headers })
    }
    return yield* Effect.scoped(options.shared.open(silent)).pipe(
      Effect.map((link) => {
        link.send(message)
        return Reply.accepted(headers)
      }),
      Effect.catchTag("McpError", ({ reason }) => Effect.succeed(down(undefined, reason, headers)))
    )
  }
  const { id } = message
  const wrong = mismatch(incoming, message)
  if (wrong !== undefined) return Reply.refuse(400, HeaderMismatch, wrong, { id, headers })
  const listening = message.method === "subscriptions/listen"
  if (!Reply.acceptsEvents(incoming) || !(listening || Reply.acceptsJson(incoming))) {
    return Reply.refuse(406, JsonRpc.ErrorCode.InvalidRequest, "expected Accept: application/json, text/event-stream", { id, headers })
  }

  const exchange = yield* Exchange.make(options)
  /** A server that leaves rather than be asked for its revision is of an older one (V-26). */
  const answerTo = (reason: McpErrorReason) =>
    message.method === "server/discover" && reason._tag === "ProcessExited"
      ? JsonRpc.failure(id, { code: MethodNotFound, message: `${message.method}: ${Failure.describe(reason)}` })
      : Failure.answer(id, reason)
  /** What was said in the place of a server that is gone; it may have answered before. */
  let loss: JsonRpc.Failure | undefined
  const settle = (answer: unknown) => {
    exchange.offer(answer)
    exchange.end()
  }
  const opened = yield* options.shared.open({
    onMessage: (value) => {
      if (!belongs(value, listening)) return
      if (JsonRpc.isMessage(value) && JsonRpc.isRequest(value)) return
      if (JsonRpc.isMessage(value) && !("method" in value)) settle(value)
      // One that is not read is given up, and the server is told so.
      else if (!exchange.offer(value)) exchange.end()
    },
    onDiagnostic: () => {},
    onFailure: (_, reason) => settle(answerTo(reason)),
    onClose: (reason) => {
      loss = answerTo(reason)
      settle(loss)
    }
  }).pipe(Effect.interruptible, Effect.result)
  if (Result.isFailure(opened)) return down(id, opened.failure.reason, headers)
  const link = opened.success
  const full = link.backpressure()
  if (full !== undefined) yield* Effect.interruptible(full)
  link.send(message)
  return yield* exchange.respond({
    mode: listening ? "stream" : "either",
    headers,
    statusOf: (answer) => answer === loss && statusOf(answer) === 200 ? 502 : statusOf(answer)
  })
})

const silent = { onMessage: () => {}, onDiagnostic: () => {}, onFailure: () => {}, onClose: () => {} }

/** The server could not be started. */
const down = (id: JsonRpc.RequestId | undefined, reason: McpErrorReason, headers: Headers): HttpServerResponse =>
  Reply.refuse(502, JsonRpc.ErrorCode.InternalError, Failure.describe(reason), { id, headers })
