/** The client of the AI SDK. */
import { createMCPClient } from "@ai-sdk/mcp"
import { StdioMCPTransport } from "@ai-sdk/mcp/mcp-stdio"
import { callers, type Client, type Session, stopwatch } from "./Client.ts"

export const client: Client = {
  connect: async (address) => {
    const sdk = await createMCPClient({
      transport: address.transport === "stdio"
        ? new StdioMCPTransport({ command: address.command, args: [...address.args] })
        : { type: "http", url: address.url }
    })
    const call: Session["call"] = (args) => sdk.callTool({ name: "echo", arguments: args })
    return {
      call,
      calls: callers(call),
      timed: stopwatch(call),
      list: async () => (await sdk.listTools()).tools.length,
      close: () => sdk.close()
    }
  }
}
