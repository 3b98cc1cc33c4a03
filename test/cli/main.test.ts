import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as Exit from "../../src/cli/exit.ts"
import packageJson from "../../package.json" with { type: "json" }
import { fixture, folder, inShell, mcpConnect, project, reference } from "./support.ts"

const fault = (...faults: ReadonlyArray<string>) => fixture("fault.ts", ...faults)

const secret = "s3cr3t-0f-the-t3st"

describe("a command line that is wrong", () => {
  it.live("is told in one line, with exit code 2 and nothing on stdout", () =>
    Effect.gen(function*() {
      const cwd = yield* project({})
      const lines: ReadonlyArray<readonly [ReadonlyArray<string>, string]> = [
        [["bogus"], "error: Unknown subcommand \"bogus\""],
        [["call", "files"], "error: Missing required argument: tool"],
        [["check", "--bogus"], "error: Unrecognized flag: --bogus"],
        [["check", "--timeout", "5"], "such as 30s"],
        [["call", "files", "echo", "hello"], "error: Expected key=value"],
        [["call", "files", "echo", "{\"a\":"], "error: The arguments are not valid JSON"],
        [["call", "nobody", "echo"], "error: No server \"nobody\" in the config"],
        [["prompt", "files", "greet", "name"], "error: Expected key=value"]
      ]
      yield* Effect.forEach(lines, Effect.fnUntraced(function*([args, expected]) {
        const { code, stderr, stdout } = yield* mcpConnect(args, { cwd })
        assert.strictEqual(code, Exit.codes.usage.code, stderr)
        assert.strictEqual(stdout, "")
        assert.include(stderr, expected)
        assert.notMatch(stderr, /^\s+at /m)
      }), { concurrency: 2 })
    }))
})

describe("a config that is wrong", () => {
  it.live("is told with the file and the paths of all its problems, without what it holds", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ a: { command: 3, env: { TOKEN: [secret] } }, b: { url: secret } })
      const { code, stderr, stdout } = yield* mcpConnect(["check"], { cwd })
      assert.strictEqual(code, Exit.codes.usage.code)
      assert.strictEqual(stdout, "")
      for (const part of [join(cwd, "mcp.json"), "mcpServers.a.command", "mcpServers.a.env.TOKEN", "mcpServers.b.url"]) {
        assert.include(stderr, part)
      }
      assert.notInclude(stderr, secret)
    }))

  it.live("names the variables that are not set", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ a: { command: "a", args: ["${NOT_SET_HERE}"] } })
      const { code, stderr } = yield* mcpConnect(["tools", "a"], { cwd })
      assert.strictEqual(code, Exit.codes.usage.code)
      assert.include(stderr, "NOT_SET_HERE")
    }))

  it.live("or is not there, says how to name one", () =>
    Effect.gen(function*() {
      const cwd = yield* folder({})
      const nothing = yield* mcpConnect(["check"], { cwd })
      assert.strictEqual(nothing.code, Exit.codes.usage.code)
      assert.include(nothing.stderr, "--config FILE")
      const missing = yield* mcpConnect(["check", "--config", "other.json"], { cwd })
      assert.strictEqual(missing.code, Exit.codes.usage.code)
      assert.include(missing.stderr, join(cwd, "other.json"))
    }))

  it.live("only in a key nobody knows, is used with a warning", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ a: { ...fault(), colour: "red" } })
      const { code, stderr } = yield* mcpConnect(["tools", "a"], { cwd })
      assert.strictEqual(code, 0, stderr)
      assert.include(stderr, "warning: ")
      assert.include(stderr, "mcpServers.a.colour")
    }))
})

describe("config", () => {
  it.live("shows what was decoded and from where, without secrets, in both forms", () =>
    Effect.gen(function*() {
      const cwd = yield* folder({
        "one.json": { mcpServers: { a: { command: "a", env: { TOKEN: secret } }, b: { command: "old" } } },
        "two.toml": `[mcp_servers.b]\ncommand = "new"\nargs = ["x"]\n`
      })
      const files = ["--config", "one.json", "--config", "two.toml"]
      const shown = yield* mcpConnect(["config", ...files], { cwd })
      assert.strictEqual(shown.code, 0, shown.stderr)
      assert.include(shown.stdout, `b from ${join(cwd, "two.toml")} (instead of ${join(cwd, "one.json")})`)
      const json = yield* mcpConnect(["config", "--json", ...files], { cwd })
      assert.deepStrictEqual(JSON.parse(json.stdout), {
        mcpServers: {
          a: { type: "stdio", command: "a", env: { TOKEN: "<redacted>" } },
          b: { type: "stdio", command: "new", args: ["x"] }
        }
      })
      for (const { stderr, stdout } of [shown, json]) assert.notInclude(stdout + stderr, secret)
    }))

  it.live("is looked for in the usual places only when asked", () =>
    Effect.gen(function*() {
      const cwd = yield* folder({ ".mcp.json": { mcpServers: { here: { command: "a" } } } })
      const home = yield* folder({ ".claude.json": { mcpServers: { there: { command: "b" } } } })
      const names = (...args: ReadonlyArray<string>) =>
        Effect.map(mcpConnect(["config", "--json", ...args], { cwd, env: { HOME: home } }), ({ stderr, stdout }) => ({
          stderr,
          names: Object.keys(JSON.parse(stdout).mcpServers)
        }))
      const near = yield* names()
      assert.deepStrictEqual(near.names, ["here"])
      assert.include(near.stderr, `config: ${join(cwd, ".mcp.json")}`)
      const everywhere = yield* names("--discover")
      assert.sameMembers(everywhere.names, ["here", "there"])
      assert.include(everywhere.stderr, `config: ${join(home, ".claude.json")}`)
    }))
})

describe("help", () => {
  it.live("names every command, flag and exit code", () =>
    Effect.gen(function*() {
      const cwd = yield* folder({})
      const { code, stdout } = yield* mcpConnect(["--help"], { cwd })
      assert.strictEqual(code, 0)
      const words = ["check", "tools", "call", "resources", "read", "prompts", "prompt", "config", "watch", "demo"]
      for (const word of [...words, "--config", "--discover", "--timeout", "--json", "--log-level", "--completions"]) {
        assert.include(stdout, word)
      }
      for (const { code, meaning } of Object.values(Exit.codes)) assert.match(stdout, new RegExp(`${code} +${meaning}`))
    }))

  it.live("is not needed to know the version, which is that of the package", () =>
    Effect.gen(function*() {
      const cwd = yield* folder({})
      assert.include((yield* mcpConnect(["--version"], { cwd })).stdout, packageJson.version)
      assert.include((yield* mcpConnect(["--completions", "bash"], { cwd })).stdout, "mcp-connect")
    }))
})

describe("check", () => {
  it.live("shows one row for each server, and fails only for those that are required", () =>
    Effect.gen(function*() {
      const cwd = yield* project({
        "fine": fault("modern"),
        "off": { command: "no-such-program", disabled: true },
        "optional": { command: "no-such-program", required: false },
        "dies": { ...fault("say=no license", "exit=7"), required: false }
      })
      const { code, stderr, stdout } = yield* mcpConnect(["check"], { cwd, env: { COLUMNS: "90" } })
      assert.strictEqual(code, 0, stderr)
      const rows = stdout.trimEnd().split("\n")
      assert.lengthOf(rows, 5)
      for (const row of rows) assert.isAtMost(row.length, 90)
      assert.match(rows[0] ?? "", /^NAME +TRANSPORT +REVISION +SERVER +TOOLS +RESOURCES +PROMPTS +TIME$/)
      assert.match(rows[1] ?? "", /^fine +stdio +2026-07-28 +fault 1\.0\.0 +10 +– +– +\S+ m?s$/)
      assert.match(rows[2] ?? "", /^off +stdio +disabled$/)
      assert.match(rows[3] ?? "", /^optional +stdio +Cannot start "no-such-program".*…$/)
      assert.match(rows[4] ?? "", /^dies +stdio +The server's process exited with code 7.*…$/)
      assert.include(stderr, "warning: Server \"optional\": Cannot start \"no-such-program\"")
      assert.match(stderr, /^warning: Server "dies": .* code 7.*no license$/m)
    }))

  it.live("fails with exit code 3 when a required server is missing, and shows the others", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ fine: fault(), gone: { command: "no-such-program" } })
      const { code, stderr, stdout } = yield* mcpConnect(["check"], { cwd })
      assert.strictEqual(code, Exit.codes.unreachable.code)
      assert.match(stdout, /^fine +stdio +2025-11-25/m)
      assert.include(stderr, "error: Server \"gone\": Cannot start \"no-such-program\"")
      assert.include(stderr, "error: 1 of 2 servers could not be reached")
    }))

  it.live("gives a program everything, typed errors included", () =>
    Effect.gen(function*() {
      const cwd = yield* project({
        legacy: fixture("legacy-sdk.ts"),
        gone: { command: "no-such-program", required: false },
        off: { command: "a", disabled: true }
      })
      const { code, stdout } = yield* mcpConnect(["check", "--json"], { cwd })
      assert.strictEqual(code, 0)
      const [legacy, gone, off] = JSON.parse(stdout)
      assert.deepInclude(legacy, {
        name: "legacy",
        status: "up",
        transport: "stdio",
        era: "legacy",
        revision: "2025-11-25",
        source: join(cwd, "mcp.json"),
        required: true,
        prompts: 1
      })
      assert.isAbove(legacy.tools, 5)
      assert.strictEqual(legacy.server.name, "legacy-sdk")
      assert.deepInclude(gone, { name: "gone", status: "down", required: false })
      assert.deepInclude(gone.error, { _tag: "SpawnFailed", kind: "CommandNotFound", command: "no-such-program" })
      assert.include(gone.error.message, "Cannot start")
      assert.deepInclude(off, { name: "off", status: "disabled" })
    }))

  it.live("gives up on a server that says nothing, after --timeout", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ mute: fault("hang-on=*") })
      const { code, stdout } = yield* mcpConnect(["check", "--json", "--timeout", "500ms"], { cwd })
      assert.strictEqual(code, Exit.codes.unreachable.code)
      assert.strictEqual(JSON.parse(stdout)[0].error._tag, "RequestTimeout")
    }))

  it.live("has no colours and no live line where there is no terminal, and colours when they are forced", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ off: { command: "a", disabled: true } })
      const plain = yield* mcpConnect(["check"], { cwd })
      assert.notInclude(plain.stdout + plain.stderr, "\u001b")
      const forced = yield* mcpConnect(["check"], { cwd, env: { FORCE_COLOR: "1" } })
      assert.include(forced.stdout, "\u001b[1m")
      const never = yield* mcpConnect(["check"], { cwd, env: { FORCE_COLOR: "1", NO_COLOR: "1" } })
      assert.notInclude(never.stdout + never.stderr, "\u001b")
    }))
})

describe("tools, resources and prompts", () => {
  it.live("list one server, or all of them although one is missing", () =>
    Effect.gen(function*() {
      const cwd = yield* project({
        modern: fixture("modern-sdk.ts"),
        effect: fixture("effect-server.ts"),
        gone: { command: "no-such-program" }
      })
      const one = yield* mcpConnect(["tools", "modern"], { cwd })
      assert.strictEqual(one.code, 0, one.stderr)
      assert.match(one.stdout, /^TOOL +DESCRIPTION$/m)
      assert.match(one.stdout, /^add +\S/m)
      const all = yield* mcpConnect(["tools"], { cwd })
      assert.strictEqual(all.code, Exit.codes.unreachable.code)
      assert.match(all.stdout, /^modern +add +\S/m)
      assert.match(all.stdout, /^effect +add +Adds two numbers$/m)
      assert.include(all.stderr, "error: Server \"gone\"")
      const schemas = yield* mcpConnect(["tools", "effect", "--schema"], { cwd })
      assert.match(schemas.stdout, /effect add\n {2}Adds two numbers\n {2}arguments: \{/)
      const json = JSON.parse((yield* mcpConnect(["tools", "effect", "--json"], { cwd })).stdout)
      assert.deepInclude(json[0], { server: "effect", name: "echo" })
      assert.isObject(json[0].inputSchema)

      const resources = yield* mcpConnect(["resources", "modern"], { cwd })
      assert.match(resources.stdout, /^memo:\/\/1 /m)
      assert.match(resources.stdout, /^memo:\/\/\{name\} /m)
      const prompts = yield* mcpConnect(["prompts", "modern"], { cwd })
      assert.match(prompts.stdout, /^greet +name \[style\] /m)
    }))
})

describe("call", () => {
  const servers = {
    modern: fixture("modern-sdk.ts"),
    legacy: fixture("legacy-sdk.ts"),
    everything: reference("everything"),
    fault: fault(),
    off: { ...fault(), disabled: true },
    gone: { command: "no-such-program" }
  }

  it.live("reads its arguments by the tool's schema, as JSON, or from stdin", () =>
    Effect.gen(function*() {
      const cwd = yield* project(servers)
      const json = (args: ReadonlyArray<string>, input = "") =>
        Effect.map(mcpConnect(["call", ...args, "--json"], { cwd, input }), ({ stdout }) => JSON.parse(stdout).structuredContent)
      const sum = { sum: 5 }
      assert.deepStrictEqual(yield* json(["modern", "add", "a=2", "b=3"]), sum)
      assert.deepStrictEqual(yield* json(["modern", "add", "a:=2", "b:=3"]), sum)
      assert.deepStrictEqual(yield* json(["modern", "add", "{\"a\":2,\"b\":3}"]), sum)
      assert.deepStrictEqual(yield* json(["modern", "add", "-"], "{\"a\":2,\"b\":3}"), sum)
      const piped = yield* inShell("echo '{\"a\":2,\"b\":3}' | mcp-connect call modern add --json", { cwd })
      assert.deepStrictEqual(JSON.parse(piped.stdout).structuredContent, sum)
      const wrong = yield* mcpConnect(["call", "modern", "add", "a=two", "b=3"], { cwd })
      assert.strictEqual(wrong.code, Exit.codes.usage.code)
      assert.include(wrong.stderr, "error: \"a\" must be a number, got \"two\"")
    }))

  it.live("prints the answer and nothing else on stdout", () =>
    Effect.gen(function*() {
      const cwd = yield* project(servers)
      for (const server of ["modern", "legacy"]) {
        assert.strictEqual((yield* mcpConnect(["call", server, "echo", "text=hello"], { cwd })).stdout, "hello\n")
      }
      assert.strictEqual(
        (yield* mcpConnect(["call", "everything", "get-sum", "a=2", "b=3"], { cwd })).stdout,
        "The sum of 2 and 3 is 5.\n"
      )
    }))

  it.live("ends with exit code 1 and the tool's words on stderr when the tool fails", () =>
    Effect.gen(function*() {
      const cwd = yield* project(servers)
      const shown = yield* mcpConnect(["call", "modern", "fail", "message=ouch"], { cwd })
      assert.deepStrictEqual([shown.code, shown.stdout], [Exit.codes.failed.code, ""])
      assert.include(shown.stderr, "ouch\nerror: The tool \"fail\" of \"modern\" reports a failure")
      const json = yield* mcpConnect(["call", "modern", "fail", "message=ouch", "--json"], { cwd })
      assert.strictEqual(json.code, Exit.codes.failed.code)
      assert.isTrue(JSON.parse(json.stdout).isError)
    }))

  it.live("tells a server that dies in the middle from one that does not start and one that is off", () =>
    Effect.gen(function*() {
      const cwd = yield* project(servers)
      const dies = yield* mcpConnect(["call", "fault", "exit", "code:=9"], { cwd })
      assert.strictEqual(dies.code, Exit.codes.failed.code)
      assert.include(dies.stderr, "error: Server \"fault\": The server's process exited with code 9")
      const gone = yield* mcpConnect(["call", "gone", "echo"], { cwd })
      assert.strictEqual(gone.code, Exit.codes.unreachable.code)
      const off = yield* mcpConnect(["call", "off", "echo"], { cwd })
      assert.strictEqual(off.code, Exit.codes.usage.code)
      assert.include(off.stderr, "is disabled")
    }))

  it.live("shows nothing of a hostile server that a terminal would act on, and gives it exactly to a file", () =>
    Effect.gen(function*() {
      const cwd = yield* project(servers)
      const text = "\u001b]0;owned\u0007\u001b[2Jhello\u009b31m\n"
      const args = ["call", "modern", "echo", JSON.stringify({ text })]
      assert.strictEqual((yield* mcpConnect(args, { cwd })).stdout, "hello\n\n")
      const json = yield* mcpConnect([...args, "--json"], { cwd })
      for (const character of ["\u001b", "\u009b"]) assert.notInclude(json.stdout, character)
      assert.strictEqual(JSON.parse(json.stdout).content[0].text, text)
      const saved = yield* mcpConnect([...args, "--output", "out.txt"], { cwd })
      assert.strictEqual(saved.stdout, "")
      assert.strictEqual(readFileSync(join(cwd, "out.txt"), "utf8"), text)
    }))

  it.live("shows an answer that cannot be saved", () =>
    Effect.gen(function*() {
      const cwd = yield* project(servers)
      const { code, stderr, stdout } = yield* mcpConnect(["call", "modern", "echo", "text=a", "--output", "no/such/folder"], { cwd })
      assert.deepStrictEqual([code, stdout], [Exit.codes.failed.code, "a\n"])
      assert.include(stderr, "error: Cannot save to no/such/folder")
    }))

  it.live("says what is not text, and saves it", () =>
    Effect.gen(function*() {
      const cwd = yield* project(servers)
      const { stdout } = yield* mcpConnect(["call", "everything", "get-tiny-image", "--output", "logo.png"], { cwd })
      assert.match(stdout, /^\[image: image\/png, \d\.\d kB\]$/m)
      assert.strictEqual(readFileSync(join(cwd, "logo.png")).subarray(1, 4).toString(), "PNG")
    }))

  it.live("does not tell the server that somebody can be asked when nobody can", () =>
    Effect.gen(function*() {
      const cwd = yield* project(servers)
      const { code, stderr } = yield* mcpConnect(["call", "modern", "ask", "question=who"], { cwd })
      assert.strictEqual(code, Exit.codes.failed.code)
      assert.match(stderr, /capabilit/)
    }))

  it.live("shows lines of the server's stderr at --log-level debug only", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ talks: fault("say=good morning") })
      const quiet = yield* mcpConnect(["call", "talks", "echo", "text=a"], { cwd })
      assert.notInclude(quiet.stderr, "good morning")
      const debug = yield* mcpConnect(["call", "talks", "echo", "text=a", "--log-level", "debug"], { cwd })
      assert.include(debug.stderr, "debug: [talks] good morning")
      assert.strictEqual(debug.stdout, "a\n")
    }))
})

describe("read and prompt", () => {
  it.live("print what they get", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ modern: fixture("modern-sdk.ts") })
      const text = yield* mcpConnect(["read", "modern", "memo://1"], { cwd })
      assert.strictEqual(text.code, 0, text.stderr)
      assert.isNotEmpty(text.stdout.trim())
      const binary = yield* mcpConnect(["read", "modern", "memo://binary", "--output", "memo.bin"], { cwd })
      assert.match(binary.stdout, /^\[memo:\/\/binary: .*\]$/m)
      assert.isNotEmpty(readFileSync(join(cwd, "memo.bin")))
      const prompt = yield* mcpConnect(["prompt", "modern", "greet", "name=Ada"], { cwd })
      assert.match(prompt.stdout, /^user:\n.*Ada/)
    }))
})

describe("secrets", () => {
  it.live("of the config and the environment are on neither stdout nor stderr, whatever goes wrong", () =>
    Effect.gen(function*() {
      const env = { API_TOKEN: secret, COLUMNS: "500" }
      const from = { TOKEN: "${API_TOKEN}", OTHER: secret }
      const cwd = yield* project({
        fine: { ...fault(), env: from },
        dies: { ...fault("exit=1"), env: from, required: false },
        gone: { command: "no-such-program", env: from, required: false },
        web: { url: "https://localhost:1/mcp", headers: { Authorization: "Bearer ${API_TOKEN}", Other: secret }, required: false }
      })
      const lines = [["check"], ["check", "--json"], ["tools", "gone"], ["call", "dies", "echo"], ["config"]]
      yield* Effect.forEach(lines, Effect.fnUntraced(function*(args) {
        const { stderr, stdout } = yield* mcpConnect([...args, "--log-level", "debug"], { cwd, env })
        assert.notInclude(stdout + stderr, secret, args.join(" "))
        assert.isNotEmpty(stdout + stderr)
      }), { concurrency: 2 })
    }))
})

describe("output nobody reads", () => {
  it.live("ends the command quietly", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ fault: fault() })
      const { stderr, stdout } = yield* inShell(
        "{ mcp-connect call fault giant bytes=5000000; echo \"code $?\" >&2; } | head -c 10",
        { cwd }
      )
      assert.strictEqual(stdout, "xxxxxxxxxx")
      assert.include(stderr, `code ${Exit.codes.unread.code}`)
      assert.notMatch(stderr, /EPIPE|^\s+at /m)
    }))
})

describe("demo", () => {
  it.live("starts a server for every transport without a config, calls a tool on each and stops them", () =>
    Effect.gen(function*() {
      const cwd = yield* folder({})
      const { code, stderr, stdout } = yield* mcpConnect(["demo"], { cwd })
      assert.strictEqual(code, 0, stderr)
      const transports = { filesystem: "stdio", everything: "http", "everything-sse": "sse", memory: "ws" }
      for (const [name, transport] of Object.entries(transports)) {
        assert.match(stdout, new RegExp(`^${name} +${transport} +202`, "m"))
      }
      assert.include(stdout, "The sum of 19 and 23 is 42.")
      assert.include(stdout, "hello.txt")
      assert.include(stdout, "over the transport of 2024")
      assert.include(stdout, "connects Effect programs to MCP servers")
    }))
})
