import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as path from "node:path"
import { TransportSuite } from "../../src/testing/TransportSuite.ts"
import { startFixture } from "../support/httpServer.ts"
import { faults, fixture, transportTo } from "./behaviour.ts"

const servers = [
  { name: "modern-sdk", revision: "2026-07-28" },
  { name: "modern-sdk", revision: "2025-11-25", client: { negotiation: { preset: "legacy" } }, lacks: ["subscriptions"] },
  { name: "legacy-sdk", revision: "2025-11-25" }
] as const

/** Where a server of its own is to listen. */
const socketPath = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  return path.join(yield* fs.makeTempDirectoryScoped({ prefix: "mcp-connect-" }), "server.sock")
})

const ways = {
  "a WebSocket": (file: string) => startFixture(file, "--ws"),
  "TCP": (file: string) => startFixture(file, "--tcp"),
  "a unix domain socket": (file: string) => Effect.flatMap(socketPath, (at) => startFixture(file, "--unix", at))
}

for (const [way, start] of Object.entries(ways)) {
  for (const { name, ...capabilities } of servers) {
    TransportSuite(
      `the official SDK's server (${name}, ${capabilities.revision}) over ${way}`,
      transportTo(Effect.map(start(fixture(name)), ({ origin }) => ({ url: origin }))),
      { ...capabilities, faults }
    )
  }
}
