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
import * as Authorization from "./errors/authorization.ts"
import * as Calls from "./errors/calls.ts"
import * as Config from "./errors/config.ts"
import * as Protocol from "./errors/protocol.ts"
import * as Recordings from "./errors/recordings.ts"
import * as Servers from "./errors/servers.ts"
import * as Transport from "./errors/transport.ts"

export * from "./errors/config.ts"
export * from "./errors/transport.ts"
export * from "./errors/authorization.ts"
export * from "./errors/protocol.ts"
export * from "./errors/calls.ts"
export * from "./errors/recordings.ts"
export * from "./errors/servers.ts"

const TypeId = "~mcp-connect/McpError"

/** Every reason an `McpError` can have. */
export const McpErrorReason = Schema.Union([
  Config.InvalidConfig,
  Config.ConfigUnreadable,
  Config.UnsetVariables,
  Config.UnknownServer,
  Transport.SpawnFailed,
  Transport.ProcessExited,
  Transport.ConnectionClosed,
  Transport.MessageTooLarge,
  Transport.HttpStatus,
  Transport.Unreachable,
  Transport.SessionExpired,
  Transport.UnsupportedTransport,
  Authorization.Unauthorized,
  Authorization.NeedsAuthorization,
  Authorization.Forbidden,
  Protocol.NegotiationFailed,
  Protocol.RemoteError,
  Protocol.InvalidResponse,
  Protocol.RequestTimeout,
  Protocol.Unsupported,
  Protocol.PaginationLoop,
  Calls.InvalidArguments,
  Calls.ToolFailed,
  Calls.ToolNotAllowed,
  Calls.InvalidToolResult,
  Calls.InputRefused,
  Recordings.InvalidCassette,
  Recordings.CassetteDeviation,
  Servers.Overloaded,
  Servers.UnknownTool,
  Servers.AllFailed,
  Servers.ServerUnavailable,
  Servers.ServerDraining,
  Servers.ServerDisabled
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

  /**
   * Whether the same call may be made again. `safe`: nothing of it reached the
   * server. `idempotent`: it may have been handled, so only what may happen
   * twice without harm. `no`: it was answered, or would fail the same way.
   */
  get retry(): "safe" | "idempotent" | "no" {
    switch (this.reason._tag) {
      case "Overloaded":
      case "ServerUnavailable":
      case "ServerDraining":
        return "safe"
      case "Unreachable":
      case "SessionExpired":
        return this.reason.delivered ? "idempotent" : "safe"
      case "ProcessExited":
      case "ConnectionClosed":
      case "RequestTimeout":
        return "idempotent"
      case "HttpStatus":
        return this.reason.status === 429 ? "safe" : this.reason.status >= 500 ? "idempotent" : "no"
      default:
        return "no"
    }
  }
}

/** Whether a value is an `McpError`, also one of another copy of the library. */
export const isMcpError = (u: unknown): u is McpError => Predicate.hasProperty(u, TypeId)

/** An `McpError` for a reason, naming the server where one is known. */
export const make = (reason: McpErrorReason, server?: string | undefined): McpError =>
  new McpError(server === undefined ? { reason } : { reason, server })
