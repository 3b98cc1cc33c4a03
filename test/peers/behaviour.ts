/** What every server does for every client, however it is reached: the same tests over each transport. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as path from "node:path"
import * as Elicitation from "../../src/Elicitation.ts"
import * as McpClient from "../../src/McpClient.ts"
import * as McpConfig from "../../src/McpConfig.ts"
import type * as McpError from "../../src/McpError.ts"
import * as NodeMcp from "../../src/node.ts"
import * as McpSchema from "../../src/protocol/McpSchema.ts"
import * as Roots from "../../src/Roots.ts"
import * as Sampling from "../../src/Sampling.ts"
import { reasonOf } from "../support/reasonOf.ts"

const root = path.resolve(import.meta.dirname, "../..")

/** The program of a server from npm. */
export const npm = (name: string): string => path.join(root, "node_modules/@modelcontextprotocol", name, "dist/index.js")

/** The program of a server of our own. */
export const fixture = (name: string): string => path.join(root, "test/servers", `${name}.ts`)

export type Platform = Layer.Success<typeof NodeMcp.layer>

export const live = (name: string, body: Effect.Effect<unknown, unknown, Platform | Scope.Scope>): void =>
  it.live(name, () => body.pipe(Effect.scoped, Effect.provide(NodeMcp.layer)))

/** Connects to a server of a config file, the way a program does. */
export const connectTo = Effect.fnUntraced(function*(
  entry: Readonly<Record<string, unknown>>,
  options?: McpClient.Options
) {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* Effect.orDie(fs.makeTempDirectoryScoped({ prefix: "mcp-connect-" }))
  const file = path.join(folder, "mcp.json")
  yield* Effect.orDie(fs.writeFileString(file, JSON.stringify({ mcpServers: { peer: entry } })))
  const config = yield* McpConfig.load(file)
  return yield* McpClient.fromConfig(yield* McpConfig.get(config, "peer"), options)
})

export const textOf = (result: McpSchema.CallToolResult): string => McpSchema.textOf(result.content)

export const Sum = Schema.Struct({ sum: Schema.Finite })
export const Labels = Schema.Struct({ labels: Schema.Array(Schema.String) })

/** A user who answers every question. */
export const handlers = Layer.mergeAll(
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

type Client = McpClient.McpClient["Service"]

/** What the fixtures tell of their `slow` calls, once it is this. */
export const labelsAre = (client: Client, tool: "running" | "cancelled", labels: ReadonlyArray<string>) =>
  Effect.repeat(client.callToolAs(tool, {}, Labels), { until: (now) => now.labels.join() === labels.join() })

/** Waits for a change that `tool` makes; it is called until the change is told, for a subscription may take a moment. */
export const untilTold = <A, E>(told: Stream.Stream<A, E>, client: Client, tool: string, args: Record<string, string>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(Stream.runHead(told), { startImmediately: true })
    yield* Effect.raceFirst(Fiber.join(fiber), Effect.forever(client.callTool(tool, args)))
  })

export interface Peer {
  readonly name: string
  readonly revision: string
  readonly connect: Effect.Effect<Client, McpError.McpError, Platform | Scope.Scope>
  /** What this way of serving has no room for: a stream per call, a way to find it again, a stream of the server's own. */
  readonly lacks: ReadonlyArray<"progress" | "questions" | "changes">
}

export const behaves = (title: string, { connect, lacks, name, revision }: Peer): void => {
  describe(title, () => {
    live("is spoken to in its revision, lists and calls", Effect.gen(function*() {
      const client = yield* connect
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
      const client = yield* connect
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

    live("answers many calls at once, each its own", Effect.gen(function*() {
      const client = yield* connect
      const sums = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, index) => index),
        (index) => client.callToolAs("add", { a: index, b: 1 }, Sum),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(sums.map(({ sum }) => sum), Array.from({ length: 20 }, (_, index) => index + 1))
    }))

    if (!lacks.includes("progress")) {
      live("tells progress, each step when it is made", Effect.gen(function*() {
        const client = yield* connect
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
      }))
    }

    live("stops when the call is interrupted", Effect.gen(function*() {
      const client = yield* connect
      const call = yield* Effect.forkChild(client.callTool("slow", { label: "b", steps: 100_000, millis: 5 }))
      yield* labelsAre(client, "running", ["b"])
      yield* Fiber.interrupt(call)
      yield* labelsAre(client, "cancelled", ["b"])
    }))

    live("loses a call to its deadline without harm to the others", Effect.gen(function*() {
      const client = yield* connect
      const slow = { label: "d", steps: 100_000, millis: 5 }
      const other = yield* Effect.forkChild(client.callTool("slow", { label: "e", steps: 60, millis: 5 }))
      const late = yield* Effect.exit(client.callTool("slow", slow, { timeout: "100 millis", resetOnProgress: false }))
      assert.deepInclude(reasonOf(late), { _tag: "RequestTimeout", limit: "idle", millis: 100 })
      yield* labelsAre(client, "cancelled", ["d"])
      assert.strictEqual(textOf(yield* Fiber.join(other)), "e: done")
    }))

    live("fails what is running, and what comes after, when the client is closed", Effect.gen(function*() {
      const scope = yield* Scope.make()
      const client = yield* Scope.provide(connect, scope)
      const call = yield* Effect.forkChild(client.callTool("slow", { label: "c", steps: 100_000, millis: 5 }))
      yield* labelsAre(client, "running", ["c"])
      yield* Scope.close(scope, Exit.void)
      const after = yield* Effect.exit(client.callTool("echo", { text: "too late" }))
      for (const exit of [yield* Fiber.await(call), after]) {
        assert.deepInclude(reasonOf(exit), { _tag: "ConnectionClosed", by: "client" })
      }
    }))

    if (!lacks.includes("questions")) {
      live("asks its questions and gets the answers", Effect.gen(function*() {
        const client = yield* Effect.provide(connect, handlers)
        assert.strictEqual(textOf(yield* client.callTool("ask", { question: "Who?" })), "Hello Ann.")
        assert.include(textOf(yield* client.callTool("sample", { prompt: "hi" })), "1 message")
        const { structuredContent } = yield* client.callTool("roots")
        assert.deepStrictEqual(structuredContent, { uris: ["file:///work"] })
      }))
    }

    if (!lacks.includes("changes")) {
      live("tells that a list changed", Effect.gen(function*() {
        const client = yield* connect
        const before = yield* client.listTools()
        yield* untilTold(client.toolsChanged, client, "toggle", { kind: "tool" })
        yield* client.callTool("toggle", { kind: "tool" })
        assert.isAtMost(Math.abs((yield* client.listTools()).length - before.length), 1)
      }))
    }
  })
}

/** What `server-everything` from npm does for every client. */
export const everything = Effect.fnUntraced(function*(client: Client) {
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
})
