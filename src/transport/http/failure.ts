/** What went wrong with a request, as facts: the status with the beginning of its body, or why there is none. */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as HttpClientError from "effect/http/HttpClientError"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as PlainText from "../../internal/plainText.ts"
import * as McpError from "../../McpError.ts"
import * as JsonRpc from "../../protocol/JsonRpc.ts"
import * as Body from "./body.ts"

/** Bodies of failures are read this far and this long: they are only to be told. */
const maxBytes = 64 * 1024
const maxTime = "5 seconds"

const excerptLength = 2_048

/** JSON has no `undefined`: it stands for what is not JSON. */
export const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What `Retry-After` asks for, from now on: seconds or a date (RFC 9110, 10.2.3). */
const retryAfter = (header: string | undefined, now: number): number | undefined => {
  if (header === undefined) return undefined
  if (/^\s*\d+\s*$/.test(header)) return Number(header) * 1_000
  return Option.getOrUndefined(Option.map(DateTime.make(header), (date) => Math.max(0, DateTime.toEpochMillis(date) - now)))
}

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
): Effect.fn.Return<Failed, never, Scope.Scope> {
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

/** Failures that come before a request can have left, and what they mean. */
const undelivered: ReadonlyMap<string, string> = new Map([
  ["ECONNREFUSED", "the connection was refused"],
  ["EHOSTUNREACH", "there is no route to the host"],
  ["ENETUNREACH", "there is no route to its network"],
  ["EHOSTDOWN", "the host is down"],
  ["EADDRNOTAVAIL", "there is no local address to connect from"],
  ["ENOTFOUND", "the name of the host is unknown"],
  ["EAI_AGAIN", "the name of the host could not be looked up"],
  ["EAI_FAIL", "the name of the host could not be looked up"],
  ["ENOENT", "there is no such socket"],
  ["EACCES", "the socket may not be opened"],
  ["UND_ERR_CONNECT_TIMEOUT", "connecting took too long"],
  ["UND_ERR_ABORTED", "the proxy refused to connect to it"],
  ["ERR_PROXY_INVALID_CONFIG", "HTTP_PROXY or HTTPS_PROXY is not the URL of a proxy"],
  ["CERT_HAS_EXPIRED", "its certificate has expired"],
  ["CERT_NOT_YET_VALID", "its certificate is not valid yet"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "its certificate is self-signed"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "a certificate in its chain is self-signed"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "its certificate cannot be verified"],
  ["UNABLE_TO_GET_ISSUER_CERT", "the issuer of its certificate is unknown"],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "the issuer of its certificate is unknown"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "its certificate is for another host"],
  ["ERR_SSL_WRONG_VERSION_NUMBER", "it does not speak TLS"],
  ["ERR_SSL_PACKET_LENGTH_TOO_LONG", "it does not speak TLS"]
])

/** Codes of a failure and of what caused it; the innermost is the most exact. */
const codesOf = (error: unknown): ReadonlyArray<string> => {
  const codes: Array<string> = []
  for (let cause = error, depth = 0; cause !== undefined && depth < 8; depth++) {
    if (Predicate.hasProperty(cause, "code") && typeof cause.code === "string") codes.push(cause.code)
    cause = Predicate.hasProperty(cause, "cause") ? cause.cause : undefined
  }
  return codes
}

/** No answer: what the platform's words are worth, without the request they may quote. */
export const fromError = (error: HttpClientError.HttpClientError, shown: string): McpError.Unreachable => {
  const { reason } = error
  if (reason._tag === "InvalidUrlError" || reason._tag === "EncodeError") {
    return new McpError.Unreachable({ url: shown, delivered: false, detail: "the request could not be written" })
  }
  const codes = codesOf("cause" in reason ? reason.cause : undefined)
  const known = codes.find((code) => undelivered.has(code))
  if (reason._tag === "TransportError" && known !== undefined) {
    return new McpError.Unreachable({ url: shown, delivered: false, detail: `${undelivered.get(known)} (${known})` })
  }
  const code = codes.at(-1)
  return new McpError.Unreachable({
    url: shown,
    delivered: true,
    detail: `the connection broke before ${reason._tag === "TransportError" ? "an answer" : "the answer was complete"}${
      code === undefined ? "" : ` (${code})`
    }`
  })
}
