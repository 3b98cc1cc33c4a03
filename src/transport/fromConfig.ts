/** The tag of a config entry chooses its transport; nobody has to name the type. */
import * as Effect from "effect/Effect"
import type { HttpClient } from "effect/http/HttpClient"
import type { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import type * as Scope from "effect/Scope"
import * as McpError from "../McpError.ts"
import type { Resolved } from "../ServerConfig.ts"
import type { Binding } from "../Transport.ts"
import * as StdioTransport from "./StdioTransport.ts"

/** Waits for the event loop the first time only: what a test's clock measures stays in step. */
const lazily = <A>(load: () => Promise<A>): Effect.Effect<A> => {
  let loaded: A | undefined
  return Effect.suspend(() =>
    loaded === undefined ? Effect.map(Effect.promise(load), (module) => loaded = module) : Effect.succeed(loaded)
  )
}

const overHttp = lazily(() => import("./overHttp.ts"))
const socket = lazily(() => import("./SocketTransport.ts"))

/**
 * The transport of an entry whose variables were expanded. Nothing is started
 * yet; over HTTP, the older HTTP+SSE is its fallback unless the entry says which
 * of them it speaks. What connections of its own need is released with the scope.
 * All but stdio is loaded with the first entry that needs it.
 *
 * Fails with `UnsupportedTransport` where HTTP needs what the platform has not,
 * or `InvalidConfig` for certificates that cannot be used. What a platform has
 * not for a WebSocket or a socket is told when the link is opened.
 */
export const fromConfig = (
  name: string,
  config: Resolved
): Effect.Effect<Binding, McpError.McpError, ChildProcessSpawner | HttpClient | Scope.Scope> => {
  switch (config._tag) {
    case "Stdio":
      return StdioTransport.make(config)
    case "Http":
      return Effect.mapError(Effect.flatMap(overHttp, ({ http }) => http(config)), ({ reason }) => McpError.make(reason, name))
    case "WebSocket":
      return Effect.mapError(Effect.flatMap(overHttp, ({ webSocket }) => webSocket(config)), ({ reason }) => McpError.make(reason, name))
    case "Socket":
      return Effect.flatMap(socket, ({ make }) => make(config))
  }
}
