/** The official SDK, v1. */
import { Client as Sdk } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { WebSocketClientTransport } from "@modelcontextprotocol/sdk/client/websocket.js"
import { type Address, callers, type Client, type Session, stopwatch, watchProgress } from "./Client.ts"

const connect = (sdk: Sdk, address: Address) => {
  switch (address.transport) {
    case "stdio":
      return sdk.connect(new StdioClientTransport({ command: address.command, args: [...address.args] }))
    case "ws":
      return sdk.connect(new WebSocketClientTransport(new URL(address.url)))
    default:
      return sdk.connect(new StreamableHTTPClientTransport(new URL(address.url)))
  }
}

export const client: Client = {
  connect: async (address) => {
    const sdk = new Sdk({ name: "sdk-v1", version: "1.0.0" })
    await connect(sdk, address)
    const call: Session["call"] = (args) => sdk.callTool({ name: "echo", arguments: args })
    return {
      call,
      calls: callers(call),
      timed: stopwatch(call),
      list: async () => (await sdk.listTools()).tools.length,
      progress: (count) =>
        watchProgress((onprogress) => sdk.callTool({ name: "progress", arguments: { count } }, undefined, { onprogress })),
      close: () => sdk.close()
    }
  }
}
