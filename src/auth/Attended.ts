/**
 * Whether a user waits for what is being done. Nobody is led to a login for the
 * sake of a program that only keeps its connections: its health checks,
 * reconnects and streams fail with `NeedsAuthorization`, and whoever calls next
 * is asked.
 */
import * as Context from "effect/Context"

/** Looked at when a login is needed. Default: somebody always waits. */
export const Attended: Context.Reference<() => boolean> = Context.Reference<() => boolean>("mcp-connect/auth/Attended", {
  defaultValue: () => () => true
})
