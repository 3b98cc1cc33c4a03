/** Short answers of the HTTP endpoint, and the reading of what is posted to it. */
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as JsonRpc from "../protocol/JsonRpc.ts"

type Headers = Readonly<Record<string, string>>

/** A refusal, as an error that belongs to the request `id`, or to none that could be read (B-05). */
export const refuse = (
  status: number,
  code: number,
  message: string,
  options: { readonly id?: JsonRpc.RequestId | undefined; readonly headers?: Headers } = {}
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe(
    { jsonrpc: "2.0", id: options.id ?? null, error: { code, message } },
    { status, headers: options.headers }
  )

/** There are as many as there may be. */
export const busy = (what: "sessions" | "requests", headers: Headers): HttpServerResponse.HttpServerResponse =>
  refuse(503, JsonRpc.ErrorCode.InternalError, `there are too many ${what}`, { headers: { ...headers, "retry-after": "5" } })

export const accepted = (headers: Headers): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.empty({ status: 202, headers })

/** The path of a request, without its query. */
export const pathOf = ({ url }: HttpServerRequest): string => url.split(/[?#]/, 1)[0] ?? ""

const accepts = (request: HttpServerRequest, type: string): boolean => {
  const { accept = "*/*" } = request.headers
  const [family] = type.split("/", 1)
  return accept.toLowerCase().split(",").some((range) => [type, `${family}/*`, "*/*"].includes(range.split(";")[0]?.trim() ?? ""))
}

/** Whether the peer reads this kind of answer. */
export const acceptsEvents = (request: HttpServerRequest): boolean => accepts(request, "text/event-stream")
export const acceptsJson = (request: HttpServerRequest): boolean => accepts(request, "application/json")

export interface Body {
  readonly messages: ReadonlyArray<JsonRpc.Message>
  /** Whether they came as an array. */
  readonly batch: boolean
}

/** What was posted. Fails with the refusal of anything that is not JSON-RPC, or larger than the limit. */
export const read = Effect.fnUntraced(function*(
  request: HttpServerRequest,
  options: { readonly maxMessageBytes: number; readonly headers: Headers }
): Effect.fn.Return<Body, HttpServerResponse.HttpServerResponse> {
  const { headers, maxMessageBytes } = options
  const { InvalidRequest, ParseError } = JsonRpc.ErrorCode
  if (!/^application\/json\s*(?:;|$)/i.test(request.headers["content-type"] ?? "")) {
    return yield* Effect.fail(refuse(415, InvalidRequest, "expected Content-Type: application/json", { headers }))
  }
  const value = yield* request.json.pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(maxMessageBytes)),
    Effect.mapError(({ reason }) =>
      "reason" in reason && reason.reason === "BodyTooLarge"
        ? refuse(413, InvalidRequest, `larger than ${maxMessageBytes} bytes`, { headers })
        : refuse(400, ParseError, "not JSON", { headers })
    )
  )
  const batch = Array.isArray(value)
  const items: ReadonlyArray<unknown> = batch ? value : [value]
  const messages = items.filter(JsonRpc.isMessage)
  if (messages.length === 0 || messages.length < items.length) {
    return yield* Effect.fail(refuse(400, InvalidRequest, "not a JSON-RPC message", { headers }))
  }
  return { messages, batch }
})
