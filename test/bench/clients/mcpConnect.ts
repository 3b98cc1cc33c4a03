/** mcp-connect as one would use it: one platform for all connections, everything on that is on by default, callers made of Effects. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Scope from "effect/Scope"
import * as McpClient from "../../../src/McpClient.ts"
import * as McpConfig from "../../../src/McpConfig.ts"
import * as McpServers from "../../../src/McpServers.ts"
import * as NodeMcp from "../../../src/node.ts"
import { Transport } from "../../../src/Transport.ts"
import * as StdioTransport from "../../../src/transport/StdioTransport.ts"
import * as StreamableHttpTransport from "../../../src/transport/StreamableHttpTransport.ts"
import * as WebSocketTransport from "../../../src/transport/WebSocketTransport.ts"
import { type Address, type Client, watchProgress } from "./Client.ts"
import { effectful } from "./effects.ts"

const runtime = ManagedRuntime.make(NodeMcp.layer)

/** With the platform, in a scope that is closed by whoever wants to. */
export const run = <A, E>(
  effect: Effect.Effect<A, E, McpServers.Platform | Scope.Scope>,
  scope: Scope.Scope = Scope.makeUnsafe()
): Promise<A> => runtime.runPromise(Scope.provide(effect, scope))

const transport = (address: Address): Effect.Effect<Transport["Service"], never, McpServers.Platform> => {
  switch (address.transport) {
    case "stdio": {
      const { args, command } = address
      return StdioTransport.make({ command, args, env: {} })
    }
    case "ws":
      return WebSocketTransport.make({ url: address.url })
    default:
      return StreamableHttpTransport.make({ url: address.url })
  }
}

export const open = (address: Address, options: McpClient.Options) =>
  Effect.provideServiceEffect(McpClient.make(options), Transport, transport(address))

/** The runtime for many servers, with so many that are reached in the same way. */
export const openServers = (count: number, address: Address) => {
  const { transport: _, ...entry } = address
  const servers = Object.fromEntries(Array.from({ length: count }, (_, index) => [`server-${index}`, entry]))
  return Effect.flatMap(McpConfig.fromValue({ mcpServers: servers }), (config) => McpServers.make(config))
}

/** A client with options of its own. */
export const make = (options: McpClient.Options): Client => ({
  connect: async (address) => {
    const scope = Scope.makeUnsafe()
    const client = await run(open(address, options), scope)
    return {
      ...effectful(run, (args) => client.callTool("echo", args)),
      list: () => run(Effect.map(client.listTools(), (tools) => tools.length)),
      progress: (count) =>
        watchProgress((onProgress) => run(client.callTool("progress", { count }, { onProgress: () => Effect.sync(onProgress) }))),
      close: () => run(Scope.close(scope, Exit.void))
    }
  }
})

export const client: Client = {
  ...make({}),
  fleet: async (count, address) => {
    const servers = await run(openServers(count, address))
    let next = 0
    return effectful(run, (args) => servers.use(`server-${next++ % count}`, (client) => client.callTool("echo", args)))
  }
}

/** The revision the other clients speak. */
export const legacy: Client = make({ negotiation: { pin: "2025-11-25" } })
