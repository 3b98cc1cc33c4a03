/** Effect's own client, in the older of its two revisions, as the others speak it; HTTP through undici, its fastest way. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as McpClient from "effect/ai/McpClient"
import * as McpProtocol from "effect/ai/McpProtocol"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as ChildProcess from "effect/process/ChildProcess"
import type { Address, Client } from "./Client.ts"
import { effectful } from "./effects.ts"

const options = { protocol: McpProtocol.v2025_11_25, name: "effect-ai", version: "1.0.0" }

const layer = (address: Address) =>
  address.transport === "stdio"
    ? Layer.provide(
      McpClient.layerStdio({ ...options, command: ChildProcess.make(address.command, address.args) }),
      NodeServices.layer
    )
    : Layer.provide(McpClient.layerHttp({ ...options, url: address.url }), NodeHttpClient.layerUndici)

export const client: Client = {
  connect: async (address) => {
    const runtime = ManagedRuntime.make(layer(address))
    const client = await runtime.runPromise(McpClient.McpClient)
    const tools = await runtime.runPromise(client.listTools())
    const tool = tools.find(({ name }) => name === "echo")
    if (tool === undefined) throw new Error("the server has no echo")
    return {
      ...effectful(runtime.runPromise, (args) => client.callTool({ tool, arguments: args })),
      list: () => runtime.runPromise(Effect.map(client.listTools(), (tools) => tools.length)),
      close: () => runtime.dispose()
    }
  }
}
