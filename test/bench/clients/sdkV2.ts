/** The official SDK, v2, in the era it speaks by default. */
import { Client as Sdk, StreamableHTTPClientTransport } from "@modelcontextprotocol/client"
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio"
import { callers, type Client, type Session, stopwatch, watchProgress } from "./Client.ts"

export const client: Client = {
  connect: async (address) => {
    const sdk = new Sdk({ name: "sdk-v2", version: "1.0.0" })
    await sdk.connect(
      address.transport === "stdio"
        ? new StdioClientTransport({ command: address.command, args: [...address.args] })
        : new StreamableHTTPClientTransport(new URL(address.url))
    )
    const call: Session["call"] = (args) => sdk.callTool({ name: "echo", arguments: args })
    return {
      call,
      calls: callers(call),
      timed: stopwatch(call),
      list: async () => (await sdk.listTools()).tools.length,
      progress: (count) =>
        watchProgress((onprogress) => sdk.callTool({ name: "progress", arguments: { count } }, { onprogress })),
      close: () => sdk.close()
    }
  }
}
