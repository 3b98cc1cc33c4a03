/** The clients by name, the limit first. Each is loaded only by the process that runs it. */
import { type Client, type Transport, transports } from "./Client.ts"

export interface Entry {
  readonly transports: ReadonlyArray<Transport>
  /** The limit it is measured by: the one that says the same on the wire. Default `raw`. */
  readonly limit?: string
  /** Only takes part in figures that name it. */
  readonly variant?: boolean
  readonly load: () => Promise<Client>
}

export const clients: Readonly<Record<string, Entry>> = {
  raw: { transports, load: async () => (await import("./raw.ts")).legacy },
  "raw-2026": { transports, limit: "raw-2026", load: async () => (await import("./raw.ts")).modern },
  "mcp-connect": { transports, limit: "raw-2026", load: async () => (await import("./mcpConnect.ts")).client },
  "mcp-connect-legacy": { transports, load: async () => (await import("./mcpConnect.ts")).legacy },
  "sdk-v1": { transports, load: async () => (await import("./sdkV1.ts")).client },
  "sdk-v2": { transports: ["stdio", "json", "sse"], load: async () => (await import("./sdkV2.ts")).client },
  "effect-ai": { transports: ["stdio", "json", "sse"], load: async () => (await import("./effectAi.ts")).client },
  "ai-sdk": { transports: ["stdio", "json", "sse"], limit: "raw-2026", load: async () => (await import("./aiSdk.ts")).client }
}

/** The limits a client is measured by: that of its revision, or else the other one. */
export const limitsOf = (client: string): ReadonlyArray<string> => [clients[client]?.limit ?? "raw", "raw"]
