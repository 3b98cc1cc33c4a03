import { NodeFileSystem } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { McpClient } from "mcp-connect"
import { Cassette } from "mcp-connect/testing"
import { fileURLToPath } from "node:url"

// Recorded with: mcp-connect record sdk --out sum.cassette.jsonl --call 'add {"a":2,"b":3}' --call 'echo {"text":"hello"}'
const file = fileURLToPath(new URL("./sum.cassette.jsonl", import.meta.url))

const add = (a: number, b: number) => McpClient.McpClient.use((client) => client.callTool("add", { a, b }))

// The real client; the server is the file.
const recorded = (options?: Cassette.ReplayOptions) =>
  McpClient.layer().pipe(Layer.provide(Cassette.replay(file, options)), Layer.provide(NodeFileSystem.layer))

it.effect("a recorded server answers as often as it is asked", () =>
  Effect.gen(function*() {
    const [first, second] = yield* Effect.all([add(2, 3), add(2, 3)])
    assert.deepStrictEqual(first.structuredContent, { sum: 5 })
    assert.deepStrictEqual(second.structuredContent, { sum: 5 })
  }).pipe(Effect.provide(recorded({ match: "loose" }))))

it.effect("a call that was not recorded fails with the difference", () =>
  Effect.gen(function*() {
    const { reason } = yield* Effect.flip(add(2, 4))
    assert(reason._tag === "CassetteDeviation")
    assert.match(reason.diff, /^- +"b": 3$/m)
    assert.match(reason.diff, /^\+ +"b": 4$/m)
  }).pipe(Effect.provide(recorded({ match: "loose" }))))
