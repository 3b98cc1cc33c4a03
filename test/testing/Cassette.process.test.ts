import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as McpClient from "../../src/McpClient.ts"
import * as McpConfig from "../../src/McpConfig.ts"
import * as NodeMcp from "../../src/node.ts"
import { textOf } from "../../src/protocol/McpSchema.ts"
import * as Cassette from "../../src/testing/Cassette.ts"
import { Transport } from "../../src/Transport.ts"
import { fromConfig } from "../../src/transport/fromConfig.ts"
import { serverFile } from "../support/faultServer.ts"
import { startFixture } from "../support/httpServer.ts"

const ways = {
  "stdio, modern": { file: "modern-sdk.ts" },
  "stdio, legacy": { file: "legacy-sdk.ts" },
  "HTTP, modern": { file: "modern-sdk.ts", listens: ["--http"], path: "/mcp" },
  "HTTP, legacy": { file: "legacy-sdk.ts", listens: ["--http"], path: "/mcp" },
  "HTTP+SSE, found out": { file: "legacy-sdk.ts", listens: ["--http", "sse"], path: "/sse" },
  "a WebSocket, modern": { file: "modern-sdk.ts", listens: ["--ws"], path: "" },
  "a WebSocket, legacy": { file: "legacy-sdk.ts", listens: ["--ws"], path: "" }
} as const

const program = Effect.gen(function*() {
  const client = yield* McpClient.McpClient
  const ticks: Array<number> = []
  const tools = yield* client.listTools()
  const { content } = yield* client.callTool("slow", { label: "x", steps: 2, millis: 10 }, {
    onProgress: ({ progress }) => Effect.sync(() => ticks.push(progress))
  })
  const failed = yield* Effect.flip(client.readResource("nothing://here"))
  return [client.transport, client.revision, tools.map(({ name }) => name), ticks, textOf(content), failed.reason._tag]
})

describe("a cassette of a real server", () => {
  for (const [name, way] of Object.entries(ways)) {
    it.live(`says the same as it did over ${name}`, () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const file = `${yield* fs.makeTempDirectoryScoped({ prefix: "mcp-connect-cassette-" })}/server.jsonl`
        const first = yield* Effect.gen(function*() {
          const entry = "listens" in way
            ? { url: `${(yield* startFixture(serverFile(way.file), ...way.listens)).origin}${way.path}` }
            : { command: process.execPath, args: [serverFile(way.file)] }
          const config = yield* McpConfig.fromValue({ mcpServers: { it: entry } })
          const transport = Layer.effect(Transport, Effect.flatMap(
            Effect.flatMap(McpConfig.get(config, "it"), McpConfig.resolve),
            (resolved) => fromConfig("it", resolved)
          ))
          return yield* Effect.provide(program, Layer.provide(McpClient.layer(), transport.pipe(Cassette.layer(file))))
        }).pipe(Effect.scoped)
        for (const match of ["strict", "loose"] as const) {
          const again = yield* Effect.zip(program, Cassette.Cassette.use(({ assertComplete }) => assertComplete)).pipe(
            Effect.provide(Layer.provideMerge(McpClient.layer(), Cassette.replay(file, { match })))
          )
          assert.deepStrictEqual(again[0], first)
        }
      }).pipe(Effect.provide(NodeMcp.layer)))
  }
})
