import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as Exit from "../../src/cli/exit.ts"
import * as Format from "../../src/recording/format.ts"
import { fixture, mcpConnect, project } from "./support.ts"

const cassette = (cwd: string) => {
  const file = join(cwd, "out.jsonl")
  return Format.parse(file, readFileSync(file, "utf8"))
}

const methodsOf = ({ lines }: Format.Contents) =>
  lines.flatMap(({ frame }) => frame.type === "send" && "method" in frame.message ? [frame.message.method] : [])

describe("mcp-connect record", () => {
  it.live("writes what a server lists and answers, without the secrets of the config", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ sdk: { ...fixture("legacy-sdk.ts"), env: { GREETING: "very-secret-greeting" } } })
      const { code, stderr, stdout } = yield* mcpConnect([
        "record",
        "sdk",
        "--out",
        "out.jsonl",
        "--redact",
        "b",
        "--call",
        "echo {\"text\":\"say very-secret-greeting to them\"}",
        "--call",
        "add {\"a\":1,\"b\":2}"
      ], { cwd })
      assert.strictEqual(stdout, "")
      assert.strictEqual(code, 0, stderr)
      assert.match(stderr, /CASSETTE +FRAMES +REQUESTS +REDACTIONS\nout\.jsonl +\d+ +\d+ +[1-9]/)
      const contents = yield* cassette(cwd)
      assert.strictEqual(contents.header.server, "sdk")
      assert.strictEqual(contents.header.kind, "stdio")
      assert.strictEqual(contents.header.revision, "2025-11-25")
      const methods = methodsOf(contents)
      for (const method of ["initialize", "tools/list", "tools/call"]) assert.include(methods, method)
      const text = readFileSync(join(cwd, "out.jsonl"), "utf8")
      assert.notInclude(text, "very-secret-greeting")
      assert.include(text, "say [redacted] to them")
    }))

  it.live("is a stdio server that records whoever speaks to it", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ sdk: fixture("legacy-sdk.ts") })
      const request = (id: number, method: string, params: unknown) => JSON.stringify({ jsonrpc: "2.0", id, method, params })
      const input = [
        request(1, "initialize", { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "other", version: "1" } }),
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}",
        request(2, "tools/call", { name: "echo", arguments: { text: "hello" } })
      ].join("\n")
      const { code, stderr, stdout } = yield* mcpConnect(["record", "sdk", "--out", "out.jsonl", "--stdio"], { cwd, input: `${input}\n` })
      assert.strictEqual(code, 0, stderr)
      const answers = stdout.trim().split("\n").map((line): { id?: number; result?: unknown } => JSON.parse(line))
      assert.deepStrictEqual(answers.map(({ id }) => id), [1, 2])
      assert.include(JSON.stringify(answers[1]?.result), "hello")
      const contents = yield* cassette(cwd)
      assert.strictEqual(contents.header.revision, "2025-06-18")
      assert.deepStrictEqual(methodsOf(contents), ["initialize", "notifications/initialized", "tools/call"])
    }))

  it.live("leaves a whole file behind after Ctrl-C", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ slow: { ...fixture("fault.ts", "tell"), shutdown: { stdin: 300, terminate: 300 } } })
      let sent = false
      const { code, stderr } = yield* mcpConnect(
        ["record", "slow", "--out", "out.jsonl", "--call", "never", "--log-level", "debug"],
        {
          cwd,
          onOutput: (output, command) => {
            if (sent || !output.stderr.includes("\"tools/call\"")) return
            sent = true
            command.kill("SIGINT")
          }
        }
      )
      assert.strictEqual(code, Exit.codes.interrupted.code, stderr)
      const contents = yield* cassette(cwd)
      assert.strictEqual(methodsOf(contents).at(-1), "tools/call")
      assert.strictEqual(contents.lines.filter(({ frame }) => frame.type === "abandon").length, 1)
      assert.deepStrictEqual(readdirSync(cwd).sort(), ["mcp.json", "out.jsonl"])
    }))

  it.live("exits 1 when a tool fails, and has recorded the failure", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ sdk: fixture("legacy-sdk.ts") })
      const { code, stderr } = yield* mcpConnect(["record", "sdk", "--out", "out.jsonl", "--call", "no-such-tool"], { cwd })
      assert.strictEqual(code, Exit.codes.failed.code)
      assert.include(stderr, "failures of no-such-tool")
      assert.strictEqual(methodsOf(yield* cassette(cwd)).at(-1), "tools/call")
    }))

  it.live("exits 2 for a file that cannot be written, and for calls that are none, before anything is started", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ sdk: fixture("legacy-sdk.ts") })
      const unwritable = yield* mcpConnect(["record", "sdk", "--out", "no/such/folder/out.jsonl"], { cwd })
      assert.strictEqual(unwritable.code, Exit.codes.usage.code)
      assert.include(unwritable.stderr, "no/such/folder/out.jsonl")
      const wrong = yield* mcpConnect(["record", "sdk", "--out", "out.jsonl", "--call", "echo {"], { cwd })
      assert.strictEqual(wrong.code, Exit.codes.usage.code)
      const both = yield* mcpConnect(["record", "sdk", "--out", "out.jsonl", "--call", "echo", "--stdio"], { cwd })
      assert.strictEqual(both.code, Exit.codes.usage.code)
      assert.isFalse(existsSync(join(cwd, "out.jsonl")))
    }))

  it.live("exits 3 for a server that does not start, and records that", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ gone: { command: "no-such-command-anywhere" } })
      const { code } = yield* mcpConnect(["record", "gone", "--out", "out.jsonl"], { cwd })
      assert.strictEqual(code, Exit.codes.unreachable.code)
      const { lines } = yield* cassette(cwd)
      assert.deepStrictEqual(lines.map(({ frame }) => frame.type), ["open", "refused"])
    }))
})
