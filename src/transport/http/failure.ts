/** What went wrong with a request, as facts: the status with the beginning of its body, or why there is none. */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as HttpClientError from "effect/http/HttpClientError"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as NetworkFailure from "../../internal/networkFailure.ts"
import { parseJson } from "../../internal/parseJson.ts"
import * as PlainText from "../../internal/plainText.ts"
import * as McpError from "../../McpError.ts"
import * as JsonRpc from "../../protocol/JsonRpc.ts"
import * as Body from "./body.ts"

/** Bodies of failures are read this far and this long: they are only to be told. */
const maxBytes = 64 * 1024
const maxTime = "5 seconds"

export const excerptLength = 2_048

/** What `Retry-After` asks for, from now on: seconds or a date (RFC 9110, 10.2.3). */
export const retryAfter = (header: string | undefined, now: number): number | undefined => {
  if (header === undefined) return undefined
  if (/^\s*\d+\s*$/.test(header)) return Number(header) * 1_000
  return Option.getOrUndefined(Option.map(DateTime.make(header), (date) => Math.max(0, DateTime.toEpochMillis(date) - now)))
}

/** 404 says that a session is no more (L-22); some servers say it with 400. A method nobody knows is another matter (H-11). */
export const saysExpired = ({ error, status }: McpError.HttpStatus): boolean =>
  status === 404
    ? error?.code !== JsonRpc.ErrorCode.MethodNotFound
    : status === 400 && error !== undefined && /session/i.test(error.message)

export interface Failed {
  readonly reason: McpError.HttpStatus
  /** The id the JSON-RPC error of the body is for; `null` when it names none. */
  readonly id: JsonRpc.RequestId | null
  /** What was read of the body. */
  readonly bytes: number
}

/** Reads the beginning of the body of an answer that is no success. Never fails. */
export const fromResponse = Effect.fnUntraced(function*(
  response: HttpClientResponse,
  request: { readonly verb: string; readonly shown: string; readonly detail?: string | undefined }
): Effect.fn.Return<Failed> {
  const body = yield* Body.read(response, maxBytes).pipe(
    Effect.timeoutOption(maxTime),
    Effect.orElseSucceed(Option.none<Body.Text>),
    Effect.map(Option.getOrElse(() => ({ text: "", bytes: 0 })))
  )
  const retryAfterMillis = retryAfter(response.headers["retry-after"], yield* Clock.currentTimeMillis)
  const value = parseJson(body.text)
  const failure = JsonRpc.isMessage(value) && JsonRpc.isFailure(value) ? value : undefined
  return {
    id: failure?.id ?? null,
    bytes: body.bytes,
    reason: new McpError.HttpStatus({
      verb: request.verb,
      url: request.shown,
      status: response.status,
      body: request.detail ?? PlainText.excerpt(body.text, excerptLength),
      ...(failure === undefined ? {} : { error: failure.error }),
      ...(retryAfterMillis === undefined ? {} : { retryAfterMillis })
    })
  }
})

/** No answer: what the platform's words are worth, without the request they may quote. */
export const fromError = (error: HttpClientError.HttpClientError, shown: string): McpError.Unreachable => {
  const { reason } = error
  if (reason._tag === "InvalidUrlError" || reason._tag === "EncodeError") {
    return new McpError.Unreachable({ url: shown, delivered: false, detail: "the request could not be written" })
  }
  const cause = "cause" in reason ? reason.cause : undefined
  const undelivered = reason._tag === "TransportError" ? NetworkFailure.undelivered(cause) : undefined
  if (undelivered !== undefined) return new McpError.Unreachable({ url: shown, delivered: false, detail: undelivered })
  const code = NetworkFailure.codesOf(cause).at(-1)
  return new McpError.Unreachable({
    url: shown,
    delivered: true,
    detail: `the connection broke before ${reason._tag === "TransportError" ? "an answer" : "the answer was complete"}${
      code === undefined ? "" : ` (${code})`
    }`
  })
}

/** Why a request has no answer: the platform's reason, or that of whoever decorated the client. */
export type NoAnswer = McpError.Unreachable | McpError.Unauthorized | McpError.NeedsAuthorization | McpError.Forbidden

const isDecorators = (reason: McpError.McpErrorReason): reason is NoAnswer =>
  reason._tag === "Unauthorized" || reason._tag === "NeedsAuthorization" || reason._tag === "Forbidden"

export const noAnswer = (error: HttpClientError.HttpClientError, shown: string): NoAnswer =>
  McpError.isMcpError(error.cause) && isDecorators(error.cause.reason) ? error.cause.reason : fromError(error, shown)
