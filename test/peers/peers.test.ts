import { assert, describe } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as path from "node:path"
import type * as McpClient from "../../src/McpClient.ts"
import * as Roots from "../../src/Roots.ts"
import { TransportSuite } from "../../src/testing/TransportSuite.ts"
import { reasonOf } from "../support/reasonOf.ts"
import { connectTo, everything, faults, fixture, handlers, live, npm, Sum, textOf, transportTo } from "./behaviour.ts"

/** A server that is started by its entry. */
const connect = (
  entry: { readonly args: ReadonlyArray<string>; readonly env?: Record<string, string>; readonly [key: string]: unknown },
  options?: McpClient.Options
) => connectTo({ command: process.execPath, ...entry }, options)

/** The real environment and some variables more. */
const environment = (variables: Record<string, string>) =>
  ConfigProvider.layer(ConfigProvider.orElse(ConfigProvider.fromEnvRecord(variables), ConfigProvider.fromEnv()))

const sdks = [
  { name: "modern-sdk", revision: "2026-07-28", client: {}, lacks: [] },
  { name: "modern-sdk", revision: "2025-06-18", client: { negotiation: { pin: "2025-06-18" } }, lacks: ["subscriptions"] },
  { name: "legacy-sdk", revision: "2025-11-25", client: {}, lacks: [] },
  // The server refuses to ask a client of its first revision.
  { name: "legacy-sdk", revision: "2024-11-05", client: { negotiation: { pin: "2024-11-05" } }, lacks: ["questions"] }
] as const

for (const { name, ...capabilities } of sdks) {
  TransportSuite(
    `the official SDK's server (${name}, ${capabilities.revision}) over stdio`,
    transportTo(Effect.succeed({ command: process.execPath, args: [fixture(name)] })),
    { ...capabilities, faults }
  )
}

describe("the official SDK's server, modern only", () => {
  const args = [fixture("modern-sdk"), "--modern-only"]

  live("is found out also by a client that expects a legacy server (V-09)", Effect.gen(function*() {
    const client = yield* connect({ args, protocolEra: "legacy" })
    assert.strictEqual(client.revision, "2026-07-28")
  }))

  live("fails with what both sides speak when a legacy revision is pinned", Effect.gen(function*() {
    const reason = reasonOf(yield* Effect.exit(connect({ args, protocolVersion: "2025-06-18" })))
    assert(reason._tag === "NegotiationFailed")
    assert.deepStrictEqual(reason.serverRevisions, ["2026-07-28"])
    assert.include(reason.message, "2025-06-18")
  }))

  live("asks for several things at once, and again in another round", Effect.gen(function*() {
    const client = yield* Effect.provide(connect({ args }), handlers)
    assert.strictEqual(textOf(yield* client.callTool("ask_all")), "elicit, sampling, roots")
    assert.strictEqual(textOf(yield* client.callTool("ask_url", { url: "https://example.com/" })), "Visit: accept")
    const alone = yield* connect({ args })
    assert.deepInclude(reasonOf(yield* Effect.exit(alone.callTool("ask", { question: "?" }))), {
      _tag: "RemoteError",
      code: -32021
    })
  }))

  live("tells of a resource while it is subscribed to, and logs at the level asked for", Effect.gen(function*() {
    const client = yield* connect({ args })
    const updated = yield* Effect.forkChild(Stream.runHead(client.resourceUpdates("memo://1")), { startImmediately: true })
    yield* Effect.raceFirst(
      Fiber.join(updated),
      Effect.forever(client.callTool("touch", { uri: "memo://1" }))
    )
    yield* client.setLogLevel("warning")
    const logs = yield* Effect.forkChild(Stream.runCollect(Stream.take(client.logs, 1)), { startImmediately: true })
    yield* client.callTool("log", { level: "info", text: "too quiet" })
    yield* client.callTool("log", { level: "error", text: "loud" })
    assert.deepInclude((yield* Fiber.join(logs))[0], { level: "error", data: "loud" })
  }))
})

describe("the official SDK's legacy server", () => {
  const args = [fixture("legacy-sdk")]

  live("is told that the roots changed, and pings us", Effect.gen(function*() {
    const change = yield* Deferred.make<void>()
    const client = yield* Effect.provide(
      connect({ args }),
      Layer.succeed(Roots.Roots, {
        list: () => Effect.succeed([]),
        changes: Stream.fromEffect(Deferred.await(change))
      })
    )
    assert.strictEqual(textOf(yield* client.callTool("ping")), "pong")
    yield* Deferred.succeed(change, undefined)
    yield* Effect.repeat(client.callToolAs("roots_changes", {}, Schema.Struct({ count: Schema.Int })), {
      until: ({ count }) => count === 1
    })
  }))

  live("makes a user visit a page before a call goes through (L11-50)", Effect.gen(function*() {
    const client = yield* Effect.provide(connect({ args }), handlers)
    const call = yield* Effect.forkChild(client.callTool("needs_url", { url: "https://example.com/" }, { timeout: "1 second" }))
    assert.strictEqual(textOf(yield* Fiber.join(call)), "Visited")
  }))

  live("tells of the resources that are subscribed to", Effect.gen(function*() {
    const client = yield* connect({ args })
    const updated = yield* Effect.forkChild(Stream.runHead(client.resourceUpdates("memo://2")), { startImmediately: true })
    yield* Effect.raceFirst(
      Fiber.join(updated),
      Effect.forever(client.callTool("touch", { uri: "memo://2" }))
    )
  }))
})

describe("Effect's own McpServer", () => {
  for (const [revision, pin] of [["2026-07-28", {}], ["2025-03-26", { protocolVersion: "2025-03-26" }]] as const) {
    live(`is listed, called and read (${revision})`, Effect.gen(function*() {
      const client = yield* connect({ args: [fixture("effect-server")], ...pin }, { outputSchema: "strict" })
      assert.strictEqual(client.revision, revision)
      assert.deepStrictEqual((yield* client.listTools()).map(({ name }) => name).toSorted(), ["add", "echo", "wait"])
      assert.deepStrictEqual(yield* client.callToolAs("add", { a: 2, b: 3 }, Sum), { sum: 5 })
      assert.deepInclude((yield* client.readResource("effect://about")).contents[0], { text: "An Effect server" })
      const { messages } = yield* client.getPrompt("explain", { topic: "layers" })
      assert.deepInclude(messages[0], { content: { type: "text", text: "Explain layers" } })
    }))
  }
})

describe("servers from npm", () => {
  live("everything: tools, progress, resources, prompts, elicitation, sampling and roots", Effect.gen(function*() {
    const client = yield* Effect.provide(connect({ args: [npm("server-everything"), "stdio"] }), handlers)
    yield* everything(client)
  }))

  live("filesystem: writes and reads in the folder it was given, and nowhere else", Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.realPath(yield* fs.makeTempDirectoryScoped())
    const client = yield* connect({ args: [npm("server-filesystem"), "${FOLDER}"] }).pipe(
      Effect.provide(environment({ FOLDER: folder }))
    )
    const file = path.join(folder, "note.txt")
    yield* client.callToolOrFail("write_file", { path: file, content: "hello" })
    assert.strictEqual(yield* fs.readFileString(file), "hello")
    assert.include(textOf(yield* client.callToolOrFail("read_text_file", { path: file })), "hello")
    const outside = yield* Effect.exit(client.callToolOrFail("read_text_file", { path: "/etc/passwd" }))
    assert.deepInclude(reasonOf(outside), { _tag: "ToolFailed" })
  }))

  live("memory: remembers what it was told", Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.makeTempDirectoryScoped()
    const client = yield* connect({
      args: [npm("server-memory")],
      env: { MEMORY_FILE_PATH: path.join(folder, "memory.json") }
    })
    const entity = { name: "Ann", entityType: "person", observations: ["likes Effect"] }
    yield* client.callToolOrFail("create_entities", { entities: [entity] })
    const { structuredContent } = yield* client.callToolOrFail("read_graph")
    assert.deepInclude(structuredContent, { entities: [entity] })
  }))
})
