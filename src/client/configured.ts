/** What an entry of a config says about its client, besides how to reach the server. */
import type { ServerConfig } from "../ServerConfig.ts"

type Fields = Pick<
  ServerConfig,
  "allowedTools" | "blockedTools" | "maxTotal" | "protocolEra" | "protocolVersion" | "startupTimeout" | "timeout"
>

/** As options of `McpClient.make`. None of these fields has variables, so they are the same before and after expansion. */
export const options = ({ allowedTools, blockedTools, maxTotal, protocolEra, protocolVersion, startupTimeout, timeout }: Fields) => ({
  timeout,
  maxTotal,
  startupTimeout,
  allowedTools,
  blockedTools,
  negotiation: { pin: protocolVersion, preset: protocolEra }
})
