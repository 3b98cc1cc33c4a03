/**
 * The JSON-RPC 2.0 envelope, checked by hand: this runs for every message, so
 * it allocates nothing and looks at no more than it needs (B-02 … B-06).
 */

/** Ids are compared with their type: `1` is not `"1"` (B-04). */
export type RequestId = string | number

export type JsonObject = { readonly [key: string]: unknown }

export interface Request {
  readonly jsonrpc: "2.0"
  readonly id: RequestId
  readonly method: string
  readonly params?: JsonObject
}

export interface Notification {
  readonly jsonrpc: "2.0"
  readonly method: string
  readonly params?: JsonObject
}

export interface Success {
  readonly jsonrpc: "2.0"
  readonly id: RequestId
  readonly result: unknown
}

export interface ErrorObject {
  readonly code: number
  readonly message: string
  readonly data?: unknown
}

/** `id` is absent or null when the peer could not read ours (B-05). */
export interface Failure {
  readonly jsonrpc: "2.0"
  readonly id?: RequestId | null
  readonly error: ErrorObject
}

export type Message = Request | Notification | Success | Failure

export const isJsonObject = (u: unknown): u is JsonObject => typeof u === "object" && u !== null && !Array.isArray(u)

export const isRequestId = (u: unknown): u is RequestId => typeof u === "string" || (typeof u === "number" && Number.isInteger(u))

/**
 * Whether a decoded JSON value is one message. Unknown extra members are
 * tolerated; a wrong version, a fractional id or a malformed error is not.
 */
export const isMessage = (u: unknown): u is Message => {
  if (!isJsonObject(u) || u.jsonrpc !== "2.0") return false
  if (u.method !== undefined) {
    return typeof u.method === "string" &&
      (u.id === undefined || isRequestId(u.id)) &&
      (u.params === undefined || isJsonObject(u.params))
  }
  // A habit from JSON-RPC 1.0: both members, one of them `null`.
  if (u.error !== undefined && u.error !== null) {
    return isJsonObject(u.error) && typeof u.error.message === "string" && Number.isSafeInteger(u.error.code) &&
      (u.id === undefined || u.id === null || isRequestId(u.id))
  }
  return u.result !== undefined && isRequestId(u.id)
}

/** The request that a value is meant to answer, as far as that can be told, be it a valid answer or not. */
export const answeredBy = (u: unknown): RequestId | undefined =>
  isJsonObject(u) && u.jsonrpc === "2.0" && u.method === undefined && isRequestId(u.id) ? u.id : undefined

export const isRequest = (message: Message): message is Request => "method" in message && "id" in message

/** Ask this before reading `result`: an answer may have both members. */
export const isFailure = (message: Message): message is Failure => "error" in message && isJsonObject(message.error)

export const request = (id: RequestId, method: string, params: JsonObject | undefined): Request =>
  params === undefined ? { jsonrpc: "2.0", id, method } : { jsonrpc: "2.0", id, method, params }

export const notification = (method: string, params?: JsonObject | undefined): Notification =>
  params === undefined ? { jsonrpc: "2.0", method } : { jsonrpc: "2.0", method, params }

export const success = (id: RequestId, result: unknown): Success => ({ jsonrpc: "2.0", id, result })

export const failure = (id: RequestId, error: ErrorObject): Failure => ({ jsonrpc: "2.0", id, error })

/** Error codes with a meaning to a client (section 4 of the requirements). */
export const ErrorCode = {
  ParseError: -32700,
  InvalidRequest: -32600,
  MethodNotFound: -32601,
  InvalidParams: -32602,
  InternalError: -32603,
  HeaderMismatch: -32020,
  MissingRequiredClientCapability: -32021,
  UnsupportedProtocolVersion: -32022,
  ResourceNotFound: -32002,
  UrlElicitationRequired: -32042,
  UserRejected: -1
} as const
