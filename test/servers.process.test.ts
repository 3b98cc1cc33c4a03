import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as path from "node:path"
import * as McpConfig from "../src/McpConfig.ts"
import * as McpServers from "../src/McpServers.ts"
import * as NodeMcp from "../src/node.ts"
import { fixture, live } from "./peers/behaviour.ts"

const server = (...args: ReadonlyArray<string>) => ({ command: process.execPath, args: [fixture("fault"), ...args] })

const serversOf = (entries: Readonly<Record<string, unknown>>, options?: McpServers.Options) =>
  Effect.flatMap(McpConfig.fromValue({ mcpServers: entries }), (config) => McpServers.make(config, options)).pipe(
    Effect.provide(NodeMcp.layer)
  )

const ready = (servers: McpServers.McpServers["Service"], name: string) =>
  servers.statuses.pipe(
    Stream.filter(({ server, status }) => server === name && status._tag === "Ready"),
    Stream.take(1),
    Stream.runDrain
  )

describe("real servers", () => {
  live("a replica that is killed costs its own calls; its siblings serve, and it comes back", Effect.gen(function*() {
    const servers = yield* serversOf({
      pool: { ...server("exit-on=tools/list:3"), replicas: { min: 3, max: 3, maxInFlight: 4 }, reconnect: { baseDelay: 50 } }
    })
    const echo = (text: string) => servers.use("pool", (client) => client.callTool("echo", { text }))
    const deadly = yield* Effect.flip(Effect.scoped(Effect.flatMap(servers.session("pool"), (client) => client.listTools())))
    assert.strictEqual(deadly.reason._tag, "ProcessExited")
    const results = yield* Effect.forEach(Array.from({ length: 200 }, String), echo, { concurrency: 12 })
    assert.lengthOf(results, 200)
    yield* ready(servers, "pool")
  }))

  live("a required server that is not there fails the start, and one that is only preloaded does not", Effect.gen(function*() {
    const absent = { command: path.join(import.meta.dirname, "no-such-program") }
    const error = yield* Effect.flip(Effect.scoped(serversOf({ good: server(), absent: { ...absent, required: true } })))
    assert.strictEqual(error.server, "absent")
    assert.strictEqual(error.reason._tag, "SpawnFailed")
    const servers = yield* serversOf({ good: { ...server(), required: true }, absent }, { preload: "all" })
    assert.strictEqual((yield* servers.status("good"))._tag, "Ready")
    yield* servers.statuses.pipe(Stream.filter(({ server, status }) => server === "absent" && status._tag === "Failed"), Stream.take(1), Stream.runDrain)
  }))

  live("a file that is replaced on the disk is followed", Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.makeTempDirectoryScoped()
    const file = path.join(folder, "mcp.json")
    const write = (...names: ReadonlyArray<string>) =>
      Effect.andThen(
        fs.writeFileString(`${file}.new`, JSON.stringify({ mcpServers: Object.fromEntries(names.map((name) => [name, server()])) })),
        fs.rename(`${file}.new`, file)
      )
    yield* write("a")
    yield* Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      yield* servers.use("a", (client) => client.callTool("echo", { text: "hello" }))
      yield* write("a", "b")
      yield* servers.reloads.pipe(
        Stream.filter((result) => result._tag === "Success" && result.success.added.includes("b")),
        Stream.take(1),
        Stream.runDrain
      )
      assert.strictEqual((yield* servers.status("a"))._tag, "Ready")
      yield* servers.use("b", (client) => client.callTool("echo", { text: "hello" }))
    }).pipe(Effect.provide(McpServers.layerFile(file, { watch: true }).pipe(Layer.provide(NodeMcp.layer))))
  }).pipe(Effect.provide(NodeMcp.layer)))
})
