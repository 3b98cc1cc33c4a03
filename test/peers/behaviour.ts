/** What the tests with real servers have in common. */
import { assert, it } from "@effect/vitest"
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
import { Transport } from "../../src/Transport.ts"
import { fromConfig } from "../../src/transport/fromConfig.ts"

const root = path.resolve(import.meta.dirname, "../..")

/** The program of a server from npm. */
export const npm = (name: string): string => path.join(root, "node_modules/@modelcontextprotocol", name, "dist/index.js")

/** The program of a server of our own. */
export const fixture = (name: string): string => path.join(root, "test/servers", `${name}.ts`)

export type Platform = Layer.Success<typeof NodeMcp.layer>

export const live = (name: string, body: Effect.Effect<unknown, unknown, Platform | Scope.Scope>): void =>
  it.live(name, () => body.pipe(Effect.scoped, Effect.provide(NodeMcp.layer)))

type Entry = Readonly<Record<string, unknown>>

const loadEntry = Effect.fnUntraced(function*(entry: Entry) {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* Effect.orDie(fs.makeTempDirectoryScoped({ prefix: "mcp-connect-" }))
  const file = path.join(folder, "mcp.json")
  yield* Effect.orDie(fs.writeFileString(file, JSON.stringify({ mcpServers: { peer: entry } })))
  return yield* McpConfig.get(yield* McpConfig.load(file), "peer")
})

/** Connects to a server of a config file, the way a program does. */
export const connectTo = Effect.fnUntraced(function*(entry: Entry, options?: McpClient.Options) {
  return yield* McpClient.fromConfig(yield* loadEntry(entry), options)
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

// =============================================================================
// For the suite
// =============================================================================

/** A transport as a config makes it, to a server that the entry names or starts. */
export const transportTo = <R>(entry: Effect.Effect<Entry, unknown, R>) =>
  Layer.effect(
    Transport,
    Effect.gen(function*() {
      const config = yield* loadEntry(yield* entry)
      return yield* fromConfig("peer", yield* McpConfig.resolve(config))
    })
  ).pipe(Layer.provide(NodeMcp.layer))

/** The fixtures have tools to break themselves; over a channel also one to send anything, and one to read no more. */
export const faults = {
  dies: (client: Client) => client.callTool("die"),
  sends: (client: Client, text: string) => client.callTool("say", { text }),
  stalls: (client: Client) => client.callTool("stall")
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
