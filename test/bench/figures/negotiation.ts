/**
 * The same with a server that only knows the older revisions: `mcp-connect-legacy` is told so, `mcp-connect` has to find
 * out, which is one question more.
 */
import { connecting } from "./connecting.ts"

export const figure = connecting({
  name: "negotiation",
  title: "Connect, legacy",
  slow: true,
  server: ["--legacy"],
  clients: ["raw", "mcp-connect-legacy", "mcp-connect"],
  targets: [{ case: "1 server", metric: "millis", client: "mcp-connect-legacy", of: "raw", atMost: 1.3 }]
})
