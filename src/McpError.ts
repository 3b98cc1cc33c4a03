/**
 * The one error of the library. Every failure a user can meet is an `McpError`
 * whose `reason` says what happened, with the facts to act on: match it with
 * `Effect.catchReason("McpError", "ProcessExited", …)`.
 *
 * No reason ever carries a secret: values of headers and of environment
 * variables are not facts of an error, their names are.
 */
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

const TypeId = "~mcp-connect/McpError"

const id = <const Name extends string>(name: Name): `mcp-connect/McpError/${Name}` => `mcp-connect/McpError/${name}`

/** Bounds text that came from outside before it becomes part of a message. */
const excerpt = (text: string, max = 300): string => text.length <= max ? text : `${text.slice(0, max)}…`

/** What the server said before, on failures that it may explain. */
const lastWords = {
  /** The end of what the server wrote to stderr, where it has one. */
  stderr: Schema.optionalKey(Schema.String)
}

const tail = (stderr = ""): string => stderr === "" ? "" : `; its last words on stderr: ${stderr.slice(-2_048)}`

/** One thing that is wrong with a document: where, and what was expected. */
export const ConfigIssue = Schema.Struct({
  /** Path from the root of the document, e.g. `["mcpServers", "files", "args", 0]`. */
  path: Schema.Array(Schema.Union([Schema.String, Schema.Number])),
  message: Schema.String
})
export type ConfigIssue = typeof ConfigIssue.Type

const renderPath = (path: ReadonlyArray<string | number>): string =>
  path.reduce<string>(
    (rendered, key) =>
      typeof key === "number"
        ? `${rendered}[${key}]`
        : /^[\w-]+$/.test(key)
        ? (rendered === "" ? key : `${rendered}.${key}`)
        : `${rendered}[${JSON.stringify(key)}]`,
    ""
  )

// =============================================================================
// Configuration
// =============================================================================

/** A config document or entry is not valid. Lists everything wrong at once. */
export class InvalidConfig extends Schema.Error<InvalidConfig>(id("InvalidConfig"))({
  _tag: Schema.tag("InvalidConfig"),
  /** Where the document came from: a file name, or a word such as `value`. */
  source: Schema.String,
  issues: Schema.Array(ConfigIssue)
}) {
  override get message() {
    const lines = this.issues.map(({ message, path }) => path.length === 0 ? message : `${renderPath(path)}: ${message}`)
    return lines.length === 1
      ? `Invalid config (${this.source}): ${lines[0]}`
      : `Invalid config (${this.source}), ${lines.length} problems:\n${lines.map((line) => `  - ${line}`).join("\n")}`
  }
}

/** A config file cannot be read. */
export class ConfigUnreadable extends Schema.Error<ConfigUnreadable>(id("ConfigUnreadable"))({
  _tag: Schema.tag("ConfigUnreadable"),
  file: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `Cannot read the config file ${this.file}: ${this.detail}`
  }
}

/** Variables that an entry refers to are not set and have no default. Lists all of them. */
export class UnsetVariables extends Schema.Error<UnsetVariables>(id("UnsetVariables"))({
  _tag: Schema.tag("UnsetVariables"),
  missing: Schema.Array(Schema.Struct({
    server: Schema.String,
    /** The field that refers to it, e.g. `env.TOKEN` or `args[0]`. */
    field: Schema.String,
    variable: Schema.String
  }))
}) {
  override get message() {
    const list = this.missing.map(({ field, server, variable }) => `${variable} (in ${field} of server "${server}")`)
    return `Environment variable${list.length === 1 ? "" : "s"} not set: ${list.join(", ")}. ` +
      "Set them, or give a default with ${NAME:-default}"
  }
}

/** No server of that name is configured. */
export class UnknownServer extends Schema.Error<UnknownServer>(id("UnknownServer"))({
  _tag: Schema.tag("UnknownServer"),
  name: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message() {
    return `No server "${this.name}" in the config; it has ${
      this.known.length === 0 ? "none" : this.known.map((name) => `"${name}"`).join(", ")
    }`
  }
}

// =============================================================================
// Transport
// =============================================================================

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
  ...lastWords
}) {
  override get message() {
    return `The connection was closed by the ${this.by}: ${this.detail}${tail(this.stderr)}`
  }
}

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
  /** `GET`, `POST` or `DELETE`. */
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

// =============================================================================
// Protocol
// =============================================================================

/** No protocol revision could be agreed. Tells every attempt and its answer. */
export class NegotiationFailed extends Schema.Error<NegotiationFailed>(id("NegotiationFailed"))({
  _tag: Schema.tag("NegotiationFailed"),
  detail: Schema.String,
  /** Revisions the server named, if it named any. */
  serverRevisions: Schema.Array(Schema.String),
  attempts: Schema.Array(Schema.Struct({
    method: Schema.String,
    revision: Schema.String,
    /** What came back, in one line. */
    outcome: Schema.String
  })),
  ...lastWords
}) {
  override get message() {
    const attempts = this.attempts.map(({ method, outcome, revision }) => `${method} (${revision}): ${outcome}`)
    return `No common protocol revision: ${this.detail}${attempts.length === 0 ? "" : `. Tried ${attempts.join("; ")}`}${
      tail(this.stderr)
    }`
  }
}

/** The server answered a request with a JSON-RPC error. */
export class RemoteError extends Schema.Error<RemoteError>(id("RemoteError"))({
  _tag: Schema.tag("RemoteError"),
  method: Schema.String,
  code: Schema.Int,
  detail: Schema.String,
  data: Schema.optionalKey(Schema.Unknown)
}) {
  override get message() {
    return `${this.method} was answered with error ${this.code}: ${excerpt(this.detail, 1_000)}`
  }
}

/** The server answered, but with something the protocol does not allow. */
export class InvalidResponse extends Schema.Error<InvalidResponse>(id("InvalidResponse"))({
  _tag: Schema.tag("InvalidResponse"),
  method: Schema.String,
  /** What was expected and what came, with the path inside the result. */
  detail: Schema.String
}) {
  override get message() {
    return `Invalid response to ${this.method}: ${this.detail}`
  }
}

/** No answer in time. The request was cancelled on the server. */
export class RequestTimeout extends Schema.Error<RequestTimeout>(id("RequestTimeout"))({
  _tag: Schema.tag("RequestTimeout"),
  method: Schema.String,
  /** `idle`: nothing heard for that long. `total`: the maximum total time is used up. `startup`: the server never got ready. */
  limit: Schema.Literals(["idle", "total", "startup"]),
  millis: Schema.Number,
  ...lastWords
}) {
  override get message() {
    const what = {
      idle: `had no answer or progress within ${this.millis} ms; raise timeout`,
      total: `did not end within its maximum of ${this.millis} ms; raise maxTotal`,
      startup: `had no answer within the ${this.millis} ms for the start; raise startupTimeout`
    }[this.limit]
    return `${this.method} ${what} if the server is just slow${tail(this.stderr)}`
  }
}

/** The server, in the revision spoken with it, does not have this. */
export class Unsupported extends Schema.Error<Unsupported>(id("Unsupported"))({
  _tag: Schema.tag("Unsupported"),
  method: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `${this.method} is not supported: ${this.detail}`
  }
}

/** A list does not end: a cursor came twice, or there are too many pages. */
export class PaginationLoop extends Schema.Error<PaginationLoop>(id("PaginationLoop"))({
  _tag: Schema.tag("PaginationLoop"),
  method: Schema.String,
  pages: Schema.Int,
  kind: Schema.Literals(["RepeatedCursor", "TooManyPages"])
}) {
  override get message() {
    return this.kind === "RepeatedCursor"
      ? `${this.method} gave the same cursor again after ${this.pages} pages`
      : `${this.method} has more than ${this.pages} pages; raise maxPages if this is expected`
  }
}

// =============================================================================
// Calls
// =============================================================================

/** The arguments of a call cannot be written as JSON: they hold a BigInt, a cycle, or the like. Nothing was sent. */
export class InvalidArguments extends Schema.Error<InvalidArguments>(id("InvalidArguments"))({
  _tag: Schema.tag("InvalidArguments"),
  method: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `The arguments of ${this.method} cannot be written as JSON: ${this.detail}`
  }
}

/** A tool reported failure (`isError`) and the caller asked for failures to be typed. */
export class ToolFailed extends Schema.Error<ToolFailed>(id("ToolFailed"))({
  _tag: Schema.tag("ToolFailed"),
  tool: Schema.String,
  /** The tool's text, joined. */
  text: Schema.String,
  /** The result as it came. */
  result: Schema.Unknown
}) {
  override get message() {
    return `The tool "${this.tool}" failed: ${excerpt(this.text, 1_000)}`
  }
}

/** The config does not allow this tool. */
export class ToolNotAllowed extends Schema.Error<ToolNotAllowed>(id("ToolNotAllowed"))({
  _tag: Schema.tag("ToolNotAllowed"),
  tool: Schema.String
}) {
  override get message() {
    return `The config does not allow the tool "${this.tool}"; see allowedTools and blockedTools`
  }
}

/** A tool's structured result does not fit its output schema, or the Schema the caller gave. */
export class InvalidToolResult extends Schema.Error<InvalidToolResult>(id("InvalidToolResult"))({
  _tag: Schema.tag("InvalidToolResult"),
  tool: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `The result of the tool "${this.tool}" is not what was declared: ${this.detail}`
  }
}

/** The server asked for input (elicitation, sampling, roots) that was not given, so the call cannot go on. */
export class InputRefused extends Schema.Error<InputRefused>(id("InputRefused"))({
  _tag: Schema.tag("InputRefused"),
  /** What the server asked: `elicitation/create`, `sampling/createMessage`, `roots/list`. */
  request: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `The server's ${this.request} was not answered: ${this.detail}`
  }
}

/** Every reason an `McpError` can have. */
export const McpErrorReason = Schema.Union([
  InvalidConfig,
  ConfigUnreadable,
  UnsetVariables,
  UnknownServer,
  SpawnFailed,
  ProcessExited,
  ConnectionClosed,
  MessageTooLarge,
  HttpStatus,
  Unreachable,
  SessionExpired,
  UnsupportedTransport,
  NegotiationFailed,
  RemoteError,
  InvalidResponse,
  RequestTimeout,
  Unsupported,
  PaginationLoop,
  InvalidArguments,
  ToolFailed,
  ToolNotAllowed,
  InvalidToolResult,
  InputRefused
])
export type McpErrorReason = typeof McpErrorReason.Type

/**
 * The error of every operation of this library.
 *
 * `server` is the name of the server in the config, where one is involved.
 */
export class McpError extends Schema.TaggedError<McpError>("mcp-connect/McpError")("McpError", {
  server: Schema.optionalKey(Schema.String),
  reason: McpErrorReason
}) {
  readonly [TypeId] = TypeId

  override readonly cause: McpErrorReason = this.reason

  override get message() {
    return this.server === undefined ? this.reason.message : `Server "${this.server}": ${this.reason.message}`
  }
}

/** Whether a value is an `McpError`, also one of another copy of the library. */
export const isMcpError = (u: unknown): u is McpError => Predicate.hasProperty(u, TypeId)

/** An `McpError` for a reason, naming the server where one is known. */
export const make = (reason: McpErrorReason, server?: string | undefined): McpError =>
  new McpError(server === undefined ? { reason } : { reason, server })
