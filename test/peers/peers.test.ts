import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as path from "node:path"
import * as Elicitation from "../../src/Elicitation.ts"
import * as McpClient from "../../src/McpClient.ts"
import * as McpConfig from "../../src/McpConfig.ts"
import * as NodeMcp from "../../src/node.ts"
import * as McpSchema from "../../src/protocol/McpSchema.ts"
import * as Roots from "../../src/Roots.ts"
import * as Sampling from "../../src/Sampling.ts"
import { reasonOf } from "../support/reasonOf.ts"

const root = path.resolve(import.meta.dirname, "../..")
const npm = (name: string) => path.join(root, "node_modules/@modelcontextprotocol", name, "dist/index.js")
const fixture = (name: string) => path.join(root, "test/servers", `${name}.ts`)

/** Connects to a server of a config file, the way a program does. */
const connect = Effect.fnUntraced(function*(
  entry: { readonly args: ReadonlyArray<string>; readonly env?: Record<string, string>; readonly [key: string]: unknown },
  options?: McpClient.Options
) {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* Effect.orDie(fs.makeTempDirectoryScoped({ prefix: "mcp-connect-" }))
  const file = path.join(folder, "mcp.json")
  const document = { mcpServers: { peer: { command: process.execPath, ...entry } } }
  yield* Effect.orDie(fs.writeFileString(file, JSON.stringify(document)))
  const config = yield* McpConfig.load(file)
  return yield* McpClient.fromConfig(yield* McpConfig.get(config, "peer"), options)
})

const live = (name: string, body: Effect.Effect<unknown, unknown, Layer.Success<typeof NodeMcp.layer> | Scope.Scope>) =>
  it.live(name, () => body.pipe(Effect.scoped, Effect.provide(NodeMcp.layer)))

/** The real environment and some variables more. */
const environment = (variables: Record<string, string>) =>
  ConfigProvider.layer(ConfigProvider.orElse(ConfigProvider.fromEnvRecord(variables), ConfigProvider.fromEnv()))

const textOf = (result: McpSchema.CallToolResult) => McpSchema.textOf(result.content)

const Sum = Schema.Struct({ sum: Schema.Finite })
const Labels = Schema.Struct({ labels: Schema.Array(Schema.String) })

const handlers = Layer.mergeAll(
  Elicitation.layer({
    form: () => Effect.succeed({ action: "accept", content: { name: "Ann" } }),
    url: () => Effect.succeed({ action: "accept" })
  }),
  Sampling.layer({
    createMessage: ({ messages }) =>
      Effect.succeed({ role: "assistant", model: "test", content: { type: "text", text: `${messages.length} message` } })
  }),
  Roots.layer([{ uri: "file:///work", name: "work" }])
)

const sdks = [
  { name: "modern-sdk", revision: "2026-07-28", fresh: {} },
  { name: "modern-sdk", revision: "2025-11-25", fresh: { protocolEra: "legacy" } },
  { name: "modern-sdk", revision: "2025-06-18", fresh: { protocolVersion: "2025-06-18" } },
  { name: "legacy-sdk", revision: "2025-11-25", fresh: {} },
  { name: "legacy-sdk", revision: "2024-11-05", fresh: { protocolVersion: "2024-11-05" } }
] as const

for (const { fresh, name, revision } of sdks) {
  describe(`the official SDK's server (${name}, ${revision})`, () => {
    const entry = { args: [fixture(name)], ...fresh }

    live("is spoken to in its revision, lists and calls", Effect.gen(function*() {
      const client = yield* connect(entry)
      assert.strictEqual(client.revision, revision)
      assert.strictEqual(client.server.info?.name, name)
      assert.strictEqual(client.server.instructions, "A fixture: every tool is harmless.")
      assert.includeMembers((yield* client.listTools()).map((tool) => tool.name), ["echo", "add", "fail"])
      assert.strictEqual(textOf(yield* client.callTool("echo", { text: "Grüße, 世界" })), "Grüße, 世界")
      assert.deepStrictEqual(yield* client.callToolAs("add", { a: 1, b: 2 }, Sum), { sum: 3 })
      assert.deepInclude(reasonOf(yield* Effect.exit(client.callToolOrFail("fail", { message: "no luck" }))), {
        _tag: "ToolFailed",
        text: "no luck"
      })
      yield* client.ping
    }))

    live("gives its resources page by page, its templates, prompts and completions", Effect.gen(function*() {
      const client = yield* connect(entry)
      const pages = yield* Stream.runCollect(client.resourcePages())
      assert.deepStrictEqual(pages.map((page) => page.length), [2, 2, 2])
      assert.strictEqual((yield* client.listResources()).length, 6)
      assert.strictEqual((yield* client.listResourceTemplates()).length, 1)
      assert.deepInclude((yield* client.readResource("memo://1")).contents[0], { text: "This is memo://1" })
      assert.deepInclude((yield* client.readResource("memo://binary")).contents[0], { blob: "AAH+/w==" })
      assert.strictEqual(reasonOf(yield* Effect.exit(client.readResource("memo://missing")))._tag, "RemoteError")
      const { messages } = yield* client.getPrompt("greet", { name: "Ann", style: "formal" })
      assert.deepInclude(messages[0], { content: { type: "text", text: "Greet Ann, formal" } })
      const { completion } = yield* client.complete({
        ref: { type: "ref/prompt", name: "greet" },
        argument: { name: "style", value: "f" }
      })
      assert.deepStrictEqual(completion.values, ["formal", "friendly", "funny"])
    }))

    live("tells progress, and stops when the call is interrupted", Effect.gen(function*() {
      const client = yield* connect(entry)
      const heard: Array<number> = []
      yield* client.callTool("slow", { label: "a", steps: 3, millis: 5 }, {
        onProgress: ({ progress }) => Effect.sync(() => heard.push(progress))
      })
      assert.deepStrictEqual(heard, [1, 2, 3])
      const started = yield* Deferred.make<void>()
      const call = yield* Effect.forkChild(client.callTool("slow", { label: "b", steps: 100_000, millis: 5 }, {
        onProgress: () => Deferred.succeed(started, undefined)
      }))
      yield* Deferred.await(started)
      yield* Fiber.interrupt(call)
      assert.deepStrictEqual(yield* client.callToolAs("cancelled", {}, Labels), { labels: ["b"] })
    }))

    if (revision !== "2024-11-05") {
      live("asks its questions and gets the answers", Effect.gen(function*() {
        const client = yield* Effect.provide(connect(entry), handlers)
        assert.strictEqual(textOf(yield* client.callTool("ask", { question: "Who?" })), "Hello Ann.")
        assert.include(textOf(yield* client.callTool("sample", { prompt: "hi" })), "1 message")
        const { structuredContent } = yield* client.callTool("roots")
        assert.deepStrictEqual(structuredContent, { uris: ["file:///work"] })
      }))
    }

    live("tells that a list changed", Effect.gen(function*() {
      const client = yield* connect(entry)
      const changed = yield* Effect.forkChild(Stream.runDrain(Stream.take(client.toolsChanged, 1)), { startImmediately: true })
      const before = yield* client.listTools()
      // The subscription may take a moment to be agreed upon; toggling is told from then on.
      yield* Effect.raceFirst(
        Fiber.join(changed),
        Effect.forever(client.callTool("toggle", { kind: "tool" }))
      )
      yield* client.callTool("toggle", { kind: "tool" })
      assert.isAtMost(Math.abs((yield* client.listTools()).length - before.length), 1)
    }))
  })
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
    assert.strictEqual(textOf(yield* client.callTool("echo", { message: "hi" })), "Echo: hi")
    assert.isAbove((yield* client.listTools()).length, 10)
    assert.isAbove((yield* client.listResources()).length, 0)
    assert.isAbove((yield* client.listPrompts()).length, 0)
    const heard: Array<number> = []
    yield* client.callTool("trigger-long-running-operation", { duration: 0.2, steps: 4 }, {
      onProgress: ({ progress }) => Effect.sync(() => heard.push(progress))
    })
    assert.deepStrictEqual(heard, [1, 2, 3, 4])
    const { structuredContent } = yield* client.callTool("get-structured-content", { location: "New York" })
    assert.property(structuredContent, "temperature")
    assert.include(textOf(yield* client.callTool("trigger-sampling-request", { prompt: "x", maxTokens: 5 })), "1 message")
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
