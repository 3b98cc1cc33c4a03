/**
 * Where plain sockets come from: Effect's `Socket` is one that knows its
 * address already, so a platform has to bring what makes them.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Socket from "effect/socket/Socket"
import type { SocketAddress } from "../../config/SocketAddress.ts"
import * as McpError from "../../McpError.ts"

export interface Service {
  /**
   * A socket that dials the address when its reader is acquired, with a time
   * limit of nobody's but the caller's; closing the reader's scope closes it.
   */
  readonly make: (address: SocketAddress) => Effect.Effect<Socket.Socket, McpError.McpError>
}

/** `NodeMcp.layer` brings that of Node; without one, sockets fail with `UnsupportedTransport`. */
export const Sockets: Context.Reference<Service> = Context.Reference<Service>("mcp-connect/Sockets", {
  defaultValue: () => ({
    make: () =>
      Effect.fail(McpError.make(
        new McpError.UnsupportedTransport({
          transport: "socket",
          detail: "connecting to a socket needs the platform: provide NodeMcp.layer or a Sockets service"
        })
      ))
  })
})
