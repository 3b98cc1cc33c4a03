import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
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

  const write = (file: string, ...names: ReadonlyArray<string>) =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const text = JSON.stringify({ mcpServers: Object.fromEntries(names.map((name) => [name, server()])) })
      yield* fs.writeFileString(`${file}.new`, text)
      yield* fs.rename(`${file}.new`, file)
    })

  const following = (file: string) => McpServers.layerFile(file, { watch: true }).pipe(Layer.provide(NodeMcp.layer))

  /** Ends when the server has been added by a change of the file. */
  const adds = Effect.fnUntraced(function*<E, R>(name: string, change: Effect.Effect<void, E, R>) {
    const { reloads } = yield* McpServers.McpServers
    const added = yield* reloads.pipe(
      Stream.filter((result) => result._tag === "Success" && result.success.added.includes(name)),
      Stream.take(1),
      Stream.runDrain,
      Effect.forkChild({ startImmediately: true })
    )
    yield* change
    yield* Fiber.join(added)
  })

  live("a file that is replaced on the disk is followed", Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const file = path.join(yield* fs.makeTempDirectoryScoped(), "mcp.json")
    yield* write(file, "a")
    yield* Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      yield* servers.use("a", (client) => client.callTool("echo", { text: "hello" }))
      yield* adds("b", write(file, "a", "b"))
      assert.strictEqual((yield* servers.status("a"))._tag, "Ready")
      yield* servers.use("b", (client) => client.callTool("echo", { text: "hello" }))
    }).pipe(Effect.provide(following(file)))
  }).pipe(Effect.provide(NodeMcp.layer)))

  live("a file behind symbolic links is followed to where they lead, as Kubernetes mounts them", Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const mount = yield* fs.makeTempDirectoryScoped()
    const at = (...names: ReadonlyArray<string>) => path.join(mount, ...names)
    const version = (folder: string, ...names: ReadonlyArray<string>) =>
      Effect.gen(function*() {
        yield* fs.makeDirectory(at(folder))
        yield* write(at(folder, "mcp.json"), ...names)
        yield* fs.symlink(folder, at("..data_tmp"))
        yield* fs.rename(at("..data_tmp"), at("..data"))
      })
    yield* version("..1", "a")
    yield* fs.symlink("..data/mcp.json", at("mcp.json"))
    yield* Effect.gen(function*() {
      yield* adds("b", version("..2", "a", "b"))
      yield* fs.remove(at("..1"), { recursive: true })
      yield* adds("c", write(at("..2", "mcp.json"), "a", "b", "c"))
      yield* adds("d", version("..3", "a", "d"))
    }).pipe(Effect.provide(following(at("mcp.json"))))
  }).pipe(Effect.provide(NodeMcp.layer)))
})
