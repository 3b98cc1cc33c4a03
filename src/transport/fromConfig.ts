/** The tag of a config entry chooses its transport; nobody has to name the type. */
import * as Effect from "effect/Effect"
import type { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as McpError from "../McpError.ts"
import type { Resolved } from "../ServerConfig.ts"
import type { Transport } from "../Transport.ts"
import * as StdioTransport from "./StdioTransport.ts"

/**
 * The transport of an entry whose variables were expanded. Nothing is started
 * yet. Fails with `UnsupportedTransport`.
 */
export const fromConfig = (
  name: string,
  config: Resolved
): Effect.Effect<Transport["Service"], McpError.McpError, ChildProcessSpawner> => {
  switch (config._tag) {
    case "Stdio":
      return StdioTransport.make(config)
    case "Http":
    case "WebSocket":
      return Effect.fail(McpError.make(
        new McpError.UnsupportedTransport({
          transport: config._tag,
          detail: "this version connects to stdio servers only; give the server a command"
        }),
        name
      ))
  }
}
