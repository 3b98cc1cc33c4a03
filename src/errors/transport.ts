/** How a server could not be reached, or was lost. */
import * as Schema from "effect/Schema"
import { excerpt, id, lastWords, tail } from "./shared.ts"

/** The server's process could not be started. */
export class SpawnFailed extends Schema.Error<SpawnFailed>(id("SpawnFailed"))({
  _tag: Schema.tag("SpawnFailed"),
  command: Schema.String,
  kind: Schema.Literals(["CommandNotFound", "PermissionDenied", "InvalidWorkingDirectory", "Other"]),
  /** What was looked for and where (the search path, the directory), or the system's words. */
  detail: Schema.String
}) {
  override get message() {
    return `Cannot start "${this.command}": ${this.detail}`
  }
}

/** The server's process ended. Calls in flight fail with this at once. */
export class ProcessExited extends Schema.Error<ProcessExited>(id("ProcessExited"))({
  _tag: Schema.tag("ProcessExited"),
  code: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.String),
  /** The end of what the process wrote to stderr. */
  stderr: Schema.String
}) {
  override get message() {
    const how = this.signal !== null ? `was killed by ${this.signal}` : `exited with code ${this.code ?? "unknown"}`
    return `The server's process ${how}${tail(this.stderr)}`
  }
}

/** The connection is closed: by this side's scope, or by the peer without a process exit to report. */
export class ConnectionClosed extends Schema.Error<ConnectionClosed>(id("ConnectionClosed"))({
  _tag: Schema.tag("ConnectionClosed"),
  by: Schema.Literals(["client", "server"]),
  detail: Schema.String,
  /** How a WebSocket was closed: RFC 6455, section 7.4, and the peer's own words. */
  close: Schema.optionalKey(Schema.Struct({ code: Schema.Int, reason: Schema.String })),
  ...lastWords
}) {
  override get message() {
    return `The connection was closed by the ${this.by}: ${this.detail}${tail(this.stderr)}`
  }
}

/** Why a link ended whose own scope was closed. One for all of them: making an error takes longer than the rest of closing. */
export const scopeClosed: ConnectionClosed = new ConnectionClosed({ by: "client", detail: "its scope was closed" })

/** A message is larger than the limit. The connection ends: framing cannot be trusted after it. */
export class MessageTooLarge extends Schema.Error<MessageTooLarge>(id("MessageTooLarge"))({
  _tag: Schema.tag("MessageTooLarge"),
  limitBytes: Schema.Int
}) {
  override get message() {
    return `The server sent a message larger than ${this.limitBytes} bytes; raise maxMessageBytes if this is expected`
  }
}

/** An HTTP server answered with a status that is no success. */
export class HttpStatus extends Schema.Error<HttpStatus>(id("HttpStatus"))({
  _tag: Schema.tag("HttpStatus"),
  /** `GET`, `POST` or `DELETE`; a WebSocket begins as a `GET`. */
  verb: Schema.String,
  /** Without its query, which may hold secrets. */
  url: Schema.String,
  status: Schema.Int,
  /** The beginning of the body, as text. */
  body: Schema.String,
  /** The JSON-RPC error of the body, where there is one. */
  error: Schema.optionalKey(Schema.Struct({
    code: Schema.Int,
    message: Schema.String,
    data: Schema.optionalKey(Schema.Unknown)
  })),
  /** What `Retry-After` asked for. */
  retryAfterMillis: Schema.optionalKey(Schema.Number)
}) {
  override get message() {
    const advice = this.status === 401
      ? "; it wants authorization: set headers or bearerTokenEnv"
      : this.status === 403
      ? "; the credentials do not allow it"
      : this.status === 429
      ? "; it wants fewer requests"
      : this.status >= 500
      ? "; the server or a proxy before it is in trouble"
      : ""
    return `${this.verb} ${this.url} was answered with status ${this.status}${
      this.body === "" ? "" : `: ${excerpt(this.body)}`
    }${advice}`
  }
}

/** The server could not be reached, or the connection broke before an answer. */
export class Unreachable extends Schema.Error<Unreachable>(id("Unreachable"))({
  _tag: Schema.tag("Unreachable"),
  url: Schema.String,
  /** Whether the request may have reached the server. Only one that did not is sent again. */
  delivered: Schema.Boolean,
  detail: Schema.String
}) {
  override get message() {
    return `${this.url} cannot be reached: ${this.detail}`
  }
}

/** The server has forgotten the session. A new one is begun; requests that may have been delivered are not repeated. */
export class SessionExpired extends Schema.Error<SessionExpired>(id("SessionExpired"))({
  _tag: Schema.tag("SessionExpired"),
  url: Schema.String,
  /** Whether the request may have been handled before the session was lost. */
  delivered: Schema.Boolean
}) {
  override get message() {
    return `The session at ${this.url} has expired${this.delivered ? "; the call may or may not have been handled" : ""}`
  }
}

/** This kind of server cannot be connected to here. */
export class UnsupportedTransport extends Schema.Error<UnsupportedTransport>(id("UnsupportedTransport"))({
  _tag: Schema.tag("UnsupportedTransport"),
  transport: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `The ${this.transport} transport cannot be used: ${this.detail}`
  }
}
