/** What peers are told when a server fails: enough to act on, and nothing of its config, environment or stderr. */
import type { McpErrorReason } from "../McpError.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"

/** At most 123 bytes of ASCII, which is what the close frame of a WebSocket has room for. */
export const describe = (reason: McpErrorReason): string => {
  switch (reason._tag) {
    case "ProcessExited":
      return reason.signal === null
        ? `the server's process exited with code ${reason.code ?? "unknown"}`
        : `the server's process was killed by ${reason.signal}`
    case "SpawnFailed":
      return "the server could not be started"
    case "MessageTooLarge":
      return `the server sent a message larger than ${reason.limitBytes} bytes`
    case "ConnectionClosed":
      return `the connection to the server was closed by the ${reason.by === "client" ? "bridge" : "server"}`
    default:
      return `the server failed: ${reason._tag}`
  }
}

/** The answer to a request that the server will not answer any more. */
export const answer = (id: JsonRpc.RequestId, reason: McpErrorReason): JsonRpc.Failure =>
  JsonRpc.failure(id, { code: JsonRpc.ErrorCode.InternalError, message: describe(reason) })
