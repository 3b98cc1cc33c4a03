import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import * as McpConfig from "../src/McpConfig.ts"
import * as McpError from "../src/McpError.ts"
import * as ServerConfig from "../src/ServerConfig.ts"

const reason = <A, R>(effect: Effect.Effect<A, McpError.McpError, R>) => Effect.map(Effect.flip(effect), ({ reason }) => reason)

const issues = <A, R>(effect: Effect.Effect<A, McpError.McpError, R>) =>
  Effect.map(reason(effect), (reason) => {
    assert.strictEqual(reason._tag, "InvalidConfig")
    return reason._tag === "InvalidConfig" ? reason.issues.map(({ message, path }) => `${path.join(".")}: ${message}`) : []
  })

const problems = (value: unknown, options?: McpConfig.Options) => issues(McpConfig.fromValue(value, options))

const canonical = (value: unknown, options?: McpConfig.Options) => Effect.map(McpConfig.fromValue(value, options), McpConfig.encode)

const npx = { command: "npx" }
const stdio = { type: "stdio", command: "npx" }

/** Writes files below a temporary folder, and gives the folder. */
const folder = Effect.fnUntraced(function*(files: Readonly<Record<string, unknown>>) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const root = yield* fs.makeTempDirectoryScoped()
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(root, name)
    yield* fs.makeDirectory(path.dirname(file), { recursive: true })
    yield* fs.writeFileString(file, typeof content === "string" ? content : JSON.stringify(content))
  }
  return root
})

const environment = (env: Record<string, string>) => ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))

describe("McpConfig: documents", () => {
  it.effect("what is no document says what was expected", () =>
    Effect.gen(function*() {
      for (const value of [null, undefined, 1, "x", []]) {
        assert.deepStrictEqual(yield* problems(value), [": Expected an object with a key \"mcpServers\""])
      }
      for (const value of [{}, { mcpServer: {} }, { a: 1 }, { a: {}, b: 1 }, { a: npx, b: 1 }]) {
        assert.deepStrictEqual(yield* problems(value), [
          ": Expected a map of servers under \"mcpServers\" (or \"servers\", \"mcp_servers\", \"mcp\"), or a bare map of servers"
        ])
      }
      assert.deepStrictEqual(yield* problems(npx), [
        ": Expected a map of servers, but this is a single one: put it under { \"mcpServers\": { \"its-name\": … } }"
      ])
      assert.deepStrictEqual(yield* problems({ mcpServers: {}, servers: {} }), [
        ": Expected one map of servers, but there are \"mcpServers\" and \"servers\""
      ])
      for (const servers of [null, 1, "x", [npx]]) {
        assert.deepStrictEqual(yield* problems({ mcpServers: servers }), [
          "mcpServers: Expected an object: a server for each name"
        ])
      }
      assert.match((yield* problems({ dialect: "x", mcpServers: {} }))[0] ?? "", /^: Expected "dialect" to be one of mcp-connect, /)
    }))

  it.effect("the problems of all servers are told at once, each with its path, and the message names the document", () =>
    Effect.gen(function*() {
      const value = { servers: { a: {}, b: { command: 1 }, ok: npx, "c d": { ...npx, env: { X: 1 }, args: [1] } } }
      const error = yield* Effect.flip(McpConfig.fromValue(value, { source: "mcp.json" }))
      assert.strictEqual(
        error.message,
        "Invalid config (mcp.json), 4 problems:\n" +
          "  - servers.a: Expected \"command\" (a program to start: stdio) or \"url\" (http://, https://, ws://, wss://, tcp:// or unix://)\n" +
          "  - servers.b.command: Expected string\n" +
          "  - servers[\"c d\"].args[0]: Expected string\n" +
          "  - servers[\"c d\"].env.X: Expected string"
      )
    }))

  it.effect("names of servers that are empty, have a NUL or a meaning in JavaScript are refused", () =>
    Effect.gen(function*() {
      const text = "{ \"mcpServers\": { \"\": {}, \"__proto__\": { \"command\": \"x\" }, \"constructor\": {}, \"prototype\": {}, \"a\\u0000\": {} } }"
      const expected = [
        "mcpServers.: A server's name must not be empty",
        "mcpServers.__proto__: The name \"__proto__\" is not allowed: it has a meaning of its own in JavaScript",
        "mcpServers.constructor: The name \"constructor\" is not allowed: it has a meaning of its own in JavaScript",
        "mcpServers.prototype: The name \"prototype\" is not allowed: it has a meaning of its own in JavaScript",
        "mcpServers.a\0: Must not contain a NUL character"
      ]
      assert.deepStrictEqual(yield* problems(JSON.parse(text)), expected)
      assert.deepStrictEqual(yield* issues(McpConfig.fromString(text)), expected)
      assert.deepStrictEqual(
        yield* issues(McpConfig.fromString("[mcp_servers.__proto__]\ncommand = 'x'", { format: "toml" })),
        ["mcp_servers.__proto__: The name \"__proto__\" is not allowed: it has a meaning of its own in JavaScript"]
      )
      assert.isUndefined(Reflect.get({}, "command"))
      for (const name of ["toString", "hasOwnProperty", "a b", "ü", "1", "mcpServers"]) {
        const config = yield* McpConfig.fromValue(JSON.parse(JSON.stringify({ mcpServers: { [name]: npx } })))
        assert.strictEqual((yield* McpConfig.get(config, name)).name, name)
      }
    }))

  it.effect("a syntax error tells the document, line and column", () =>
    Effect.gen(function*() {
      const json = yield* Effect.flip(McpConfig.fromString("{\n  \"mcpServers\": {,} }", { source: "mcp.json" }))
      assert.strictEqual(json.message, "Invalid config (mcp.json): Line 2, column 18: expected a value")
      const toml = yield* Effect.flip(McpConfig.fromString("[mcp_servers.a]\ncommand = npx", { format: "toml" }))
      assert.strictEqual(toml.message, "Invalid config (value): Line 2, column 14: invalid value")
    }))

  it.effect("every way to name the servers decodes to the same", () =>
    Effect.gen(function*() {
      const expected = { mcpServers: { a: stdio } }
      for (const root of ["mcpServers", "servers", "mcp_servers", "mcp"]) {
        assert.deepStrictEqual(yield* canonical({ [root]: { a: npx } }), expected)
      }
      assert.deepStrictEqual(yield* canonical({ a: npx }), expected)
      assert.deepStrictEqual(yield* canonical({ mcpServers: {} }), { mcpServers: {} })
      assert.deepStrictEqual(yield* canonical({ mcp: npx }), { mcpServers: { mcp: stdio } })
      assert.deepStrictEqual(yield* canonical({ mcpServers: { command: npx, url: npx } }), {
        mcpServers: { command: stdio, url: stdio }
      })
      assert.deepStrictEqual(yield* canonical({ mcp: { allowed: ["a"] }, mcpServers: { a: npx } }), expected)
      assert.deepStrictEqual(yield* problems({ mcp: { allowed: ["a"] } }, { dialect: "gemini" }), yield* problems({}))
      assert.deepStrictEqual(yield* canonical({ inputs: [], servers: { a: npx } }), expected)
    }))

  it.effect("Claude Code: type, headers and templates", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* canonical({
          mcpServers: {
            api: { type: "http", url: "${API_URL:-https://api.example.com}/mcp", headers: { Authorization: "Bearer ${KEY}" } },
            events: { type: "sse", url: "https://example.com/sse" },
            socket: { type: "ws", url: "wss://example.com" }
          }
        }),
        {
          mcpServers: {
            api: { type: "http", url: "${API_URL:-https://api.example.com}/mcp", headers: { Authorization: "Bearer ${KEY}" } },
            events: { type: "sse", url: "https://example.com/sse" },
            socket: { type: "ws", url: "wss://example.com" }
          }
        }
      )
    }))

  it.effect("Codex: TOML, names of variables, seconds", () =>
    Effect.gen(function*() {
      const config = yield* McpConfig.fromString(
        `
model = "x"
[mcp_servers.docs]
command = "npx"
args = ["-y", "docs"]
env_vars = ["API_KEY"]
startup_timeout_sec = 20
tool_timeout_sec = 45.5
enabled = false
enabled_tools = ["search"]

[mcp_servers.docs.env]
MODE = "fast"

[mcp_servers.figma]
url = "https://mcp.figma.com/mcp"
bearer_token_env_var = "FIGMA_TOKEN"
http_headers = { "X-Region" = "us" }
env_http_headers = { "X-Key" = "KEY" }
startup_timeout_ms = 500
`,
        { format: "toml" }
      )
      assert.deepStrictEqual(McpConfig.encode(config), {
        mcpServers: {
          docs: {
            type: "stdio",
            command: "npx",
            args: ["-y", "docs"],
            env: { MODE: "fast" },
            passEnv: ["API_KEY"],
            disabled: true,
            timeout: 45_500,
            startupTimeout: 20_000,
            allowedTools: ["search"]
          },
          figma: {
            type: "http",
            url: "https://mcp.figma.com/mcp",
            headers: { "X-Region": "us", "X-Key": "${KEY}" },
            bearerTokenEnv: "FIGMA_TOKEN",
            startupTimeout: 500
          }
        }
      })
      assert.deepStrictEqual(
        yield* issues(McpConfig.fromString("[mcp_servers.a]\ncommand = 'x'\nenv = 1979-05-27T07:32:00Z", { format: "toml" })),
        ["mcp_servers.a.env: Expected object"]
      )
    }))

  it.effect("opencode: array commands, environment, enabled, {env:NAME}", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* canonical({
          mcp: {
            local: { type: "local", command: ["bun", "x", "srv"], environment: { A: "{env:A}" }, enabled: true, timeout: 5000 },
            remote: { type: "remote", url: "https://example.com", headers: { K: "{env:K}" } }
          }
        }),
        {
          mcpServers: {
            local: { type: "stdio", command: "bun", args: ["x", "srv"], env: { A: "${A}" }, disabled: false, timeout: 5000 },
            remote: { type: "http", url: "https://example.com", headers: { K: "${K}" } }
          }
        }
      )
    }))

  it.effect("Cline and Roo: timeouts in seconds, which the option or the document can overrule", () =>
    Effect.gen(function*() {
      const entry = { ...npx, timeout: 60, autoApprove: ["x"] }
      const timeout = (value: unknown, options?: McpConfig.Options) =>
        Effect.map(McpConfig.fromValue(value, options), ({ servers }) => servers.get("a")?.config.timeout)
      assert.deepStrictEqual(yield* timeout({ mcpServers: { a: entry } }), Duration.seconds(60))
      assert.deepStrictEqual(yield* timeout({ mcpServers: { b: { ...npx, alwaysAllow: [] }, a: { ...npx, timeout: 60 } } }), Duration.seconds(60))
      assert.deepStrictEqual(yield* timeout({ mcpServers: { a: { ...npx, timeout: 60, transportType: "stdio" } } }), Duration.seconds(60))
      assert.deepStrictEqual(yield* timeout({ mcpServers: { a: entry } }, { dialect: "mcp-connect" }), Duration.millis(60))
      assert.deepStrictEqual(yield* timeout({ dialect: "mcp-connect", mcpServers: { a: entry } }), Duration.millis(60))
      assert.deepStrictEqual(yield* timeout({ a: entry }), Duration.seconds(60))
      assert.deepStrictEqual(yield* timeout({ mcpServers: { a: { ...npx, timeout: 60 } } }), Duration.millis(60))
      assert.deepStrictEqual(yield* timeout({ mcpServers: { a: { ...npx, timeout: 60 } } }, { dialect: "cline" }), Duration.seconds(60))
    }))

  it.effect("Gemini: httpUrl, url for SSE, $NAME", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* canonical({
          mcpServers: {
            a: { httpUrl: "https://a", headers: { K: "$KEY" }, timeout: 5, trust: true },
            b: { url: "https://b", includeTools: ["x"] },
            c: { url: "https://c", type: "http" }
          }
        }),
        {
          dialect: "mcp-connect",
          mcpServers: {
            a: { type: "streamable-http", url: "https://a", headers: { K: "${KEY}" }, timeout: 5, trust: true },
            b: { type: "sse", url: "https://b", allowedTools: ["x"] },
            c: { type: "http", url: "https://c" }
          }
        }
      )
    }))

  it.effect("mcp-use: ws_url, auth_token, seconds", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* canonical({
          mcpServers: {
            a: { ws_url: "wss://a", auth_token: "${T}", timeout: 5, sse_read_timeout: 300 },
            b: { url: "ws://b", headers: { A: "c" } }
          }
        }),
        {
          mcpServers: {
            a: { type: "ws", url: "wss://a", headers: { Authorization: "Bearer ${T}" }, timeout: 300_000, startupTimeout: 5000 },
            b: { type: "ws", url: "ws://b", headers: { A: "c" } }
          }
        }
      )
    }))

  it.effect("mcporter and FastMCP: $env:NAME, baseUrl, a bare map, milliseconds", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* canonical({ mcpServers: { a: { baseUrl: "https://a", headers: { K: "$env:KEY" }, lifecycle: "keep-alive" } } }),
        { dialect: "mcp-connect", mcpServers: { a: { type: "http", url: "https://a", headers: { K: "${KEY}" }, lifecycle: "keep-alive" } } }
      )
      assert.deepStrictEqual(
        yield* canonical({ a: { transport: "streamable-http", url: "https://a", auth: "tok", timeout: 5, keep_alive: true } }),
        { mcpServers: { a: { type: "streamable-http", url: "https://a", headers: { Authorization: "Bearer tok" }, timeout: 5, keep_alive: true } } }
      )
    }))

  it.effect("a bare map may name its dialect and its schema, and have a server of that name", () =>
    Effect.gen(function*() {
      const seconds = { mcpServers: { a: { type: "stdio", command: "x", timeout: 30_000 } } }
      assert.deepStrictEqual(yield* canonical({ dialect: "cline", $schema: "https://s", a: { command: "x", timeout: 30 } }), seconds)
      assert.deepStrictEqual(yield* canonical({ dialect: { command: "x" } }), { mcpServers: { dialect: { type: "stdio", command: "x" } } })
      assert.deepStrictEqual(yield* problems({ dialect: "klein", a: { command: "x" } }), yield* problems({ dialect: "klein", mcpServers: {} }))
    }))

  it.effect("Gemini CLI is told by its lists of tools, too", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* canonical({ mcpServers: { a: { url: "https://a", excludeTools: ["t"] } } }),
        { mcpServers: { a: { type: "sse", url: "https://a", blockedTools: ["t"] } } }
      )
    }))

  it.effect("keys without effect are warnings, with the document and the path", () =>
    Effect.gen(function*() {
      const { warnings } = yield* McpConfig.fromValue({ mcpServers: { a: { ...npx, comand: "x" } } }, { source: "mcp.json" })
      assert.deepStrictEqual(warnings, [
        { source: "mcp.json", path: ["mcpServers", "a", "comand"], message: "Unknown key: it is kept, but has no effect" }
      ])
    }))

  it.effect("ten thousand servers decode and encode in linear time, good or bad", () =>
    Effect.gen(function*() {
      const many = (count: number, entry: unknown) =>
        JSON.stringify({ mcpServers: Object.fromEntries(Array.from({ length: count }, (_, i) => [`s${i}`, entry])) })
      const good = { ...npx, args: ["-y", "${A:-b}"], env: { A: "b", C: "d" }, timeout: 5, autoApprove: [] }
      const started = performance.now()
      const config = yield* McpConfig.fromString(many(10_000, good))
      assert.strictEqual(config.servers.size, 10_000)
      assert.strictEqual(McpConfig.merge([config, config]).servers.size, 10_000)
      assert.lengthOf(Object.keys(McpConfig.encode(config)["mcpServers"] ?? {}), 10_000)
      assert.lengthOf(yield* issues(McpConfig.fromString(many(10_000, { command: 1, args: [2] }))), 20_000)
      const toml = Array.from({ length: 10_000 }, (_, i) => `[mcp_servers.s${i}]\ncommand = "npx"\nargs = ["a", "b"]\n`).join("")
      assert.strictEqual((yield* McpConfig.fromString(toml, { format: "toml" })).servers.size, 10_000)
      // Quadratic time would be minutes.
      assert.isBelow(performance.now() - started, 20_000)
    }), 60_000)

  const list = <const Values extends ReadonlyArray<string>>(...values: Values) =>
    Schema.optionalKey(Schema.Array(Schema.Literals(values)))
  const millis = Schema.optionalKey(Schema.Literals([1, 60, 30_000]))
  const entry = Schema.Union([
    Schema.Struct({
      command: Schema.Literals(["npx", "$A", "{env:A}"]),
      args: list("a", "$B", "$env:C", "${D}"),
      timeout: millis,
      autoApprove: list("x"),
      transportType: Schema.optionalKey(Schema.Literal("stdio")),
      includeTools: list("a", "b"),
      lifecycle: Schema.optionalKey(Schema.Literal("keep-alive"))
    }),
    Schema.Struct({
      url: Schema.Literals(["https://a", "https://${H}"]),
      headers: Schema.optionalKey(Schema.Struct({ a: Schema.Literals(["$A", "{env:A}", "x"]) })),
      sse_read_timeout: millis,
      trust: Schema.optionalKey(Schema.Boolean),
      sandbox_options: Schema.optionalKey(Schema.Struct({}))
    })
  ])

  it.effect.prop(
    "decoding the canonical form of a config gives the config, whatever the dialect it came from",
    [Schema.Literals(["mcpServers", "servers", "mcp_servers", "mcp"]), Schema.Array(entry)],
    ([root, entries]) =>
      Effect.gen(function*() {
        const config = yield* McpConfig.fromValue({ [root]: { ...entries } })
        const document = McpConfig.encode(config)
        const again = yield* McpConfig.fromString(JSON.stringify(document))
        assert.deepStrictEqual(again.servers, config.servers)
        assert.deepStrictEqual(McpConfig.encode(again), document)
      })
  )

  it.effect("random documents fail with InvalidConfig or decode, and never die", () =>
    Effect.gen(function*() {
      const key = fc.constantFrom("mcpServers", "servers", "mcp", "dialect", "a", "__proto__", "command", "url")
      const document = fc.dictionary(key, fc.oneof(fc.dictionary(key, fc.oneof(fc.dictionary(key, fc.jsonValue()), fc.jsonValue())), fc.jsonValue()))
      for (const value of fc.sample(fc.oneof(document, fc.anything()), 500)) {
        const result = yield* Effect.result(McpConfig.fromValue(value))
        assert.isTrue(result._tag === "Success" || result.failure.reason._tag === "InvalidConfig")
      }
    }))
})

describe("McpConfig: files", () => {
  it.effect("a file that is not there, or is a directory, is named with what is wrong", () =>
    Effect.gen(function*() {
      const path = yield* Path.Path
      const root = yield* folder({})
      const file = path.join(root, "mcp.json")
      assert.deepStrictEqual(yield* reason(McpConfig.load(file)), new McpError.ConfigUnreadable({ file, detail: "it does not exist" }))
      const directory = yield* reason(McpConfig.load(root))
      assert.isTrue(directory._tag === "ConfigUnreadable" && directory.file === root && directory.detail !== "")
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("the errors of a file name it by its absolute path", () =>
    Effect.gen(function*() {
      const path = yield* Path.Path
      const root = yield* folder({ "mcp.json": "{", "bad.toml": "x" })
      const relative = path.relative(path.resolve("."), path.join(root, "mcp.json"))
      const error = yield* reason(McpConfig.load(relative))
      assert.isTrue(error._tag === "InvalidConfig" && error.source === path.join(root, "mcp.json"))
      assert.match((yield* issues(McpConfig.load(path.join(root, "bad.toml"))))[0] ?? "", /^: Line 1, column 2: expected '='$/)
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("relative paths of an entry start from the folder of its file, or from the project around .vscode and .cursor", () =>
    Effect.gen(function*() {
      const path = yield* Path.Path
      const entry = { ...npx, cwd: "server" }
      const root = yield* folder({
        "conf/mcp.json": { mcpServers: { a: entry } },
        ".vscode/mcp.json": { servers: { a: entry } },
        ".cursor/mcp.json": { mcpServers: { a: entry } }
      })
      const cwd = Effect.fnUntraced(function*(file: string) {
        const config = yield* McpConfig.load(path.join(root, file))
        const resolved = yield* McpConfig.resolve(yield* McpConfig.get(config, "a"))
        return resolved._tag === "Stdio" ? resolved.cwd : undefined
      })
      assert.strictEqual(yield* cwd("conf/mcp.json"), path.join(root, "conf/server"))
      assert.strictEqual(yield* cwd(".vscode/mcp.json"), path.join(root, "server"))
      assert.strictEqual(yield* cwd(".cursor/mcp.json"), path.join(root, "server"))
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("of several files the last wins, and it is known which file gave which server and which it overrides", () =>
    Effect.gen(function*() {
      const path = yield* Path.Path
      const root = yield* folder({
        "1.json": { mcpServers: { a: { command: "1" }, b: { command: "1" } } },
        "2.toml": "[mcp_servers.b]\ncommand = \"2\"\nunknown = 1",
        "3.json": "// comment\n{ \"servers\": { \"b\": { \"command\": \"3\" }, \"c\": { \"command\": \"3\" }, } }"
      })
      const files = ["1.json", "2.toml", "3.json"].map((name) => path.join(root, name))
      const config = yield* McpConfig.loadAll(files)
      const seen = [...config.servers.values()].map(({ config, name, overridden, source }) => [
        name,
        ServerConfig.encode(config)["command"],
        path.basename(source),
        overridden.map((file) => path.basename(file))
      ])
      assert.deepStrictEqual(seen, [["a", "1", "1.json", []], ["b", "3", "3.json", ["1.json", "2.toml"]], ["c", "3", "3.json", []]])
      assert.deepStrictEqual(config.sources, files)
      assert.deepStrictEqual(config.warnings.map(({ path, source }) => [source, ...path]), [[path.join(root, "2.toml"), "mcp_servers", "b", "unknown"]])
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("discovery finds the usual files, the project's after the user's, and skips the broken ones with a warning", () =>
    Effect.gen(function*() {
      const path = yield* Path.Path
      const home = yield* folder({
        ".claude.json": { theme: "dark", statusLine: npx },
        ".codex/config.toml": "model = \"x\"\n[mcp_servers.codex]\ncommand = \"npx\"",
        ".cursor/mcp.json": { mcpServers: { shared: npx, cursor: npx } },
        ".gemini/settings.json": { mcp: { allowed: ["gemini"] }, mcpServers: { gemini: { command: "x", args: ["$A"] } } },
        ".config/Claude/claude_desktop_config.json": { mcpServers: { desktop: npx } },
        ".config/opencode/opencode.json": "{",
        "elsewhere/mcp/mcp.json": { mcpServers: { xdg: npx } }
      })
      const project = yield* folder({
        "mcp.json": { mcpServers: { shared: npx } },
        ".mcp.json": { mcpServers: { shared: npx, dot: npx } },
        ".vscode/mcp.json": { servers: { vscode: npx } },
        ".cursor/mcp.json": { mcpServers: { bad: {} } }
      })
      const discover = (options: Parameters<typeof McpConfig.discover>[0], env: Record<string, string> = { HOME: home }) =>
        Effect.provide(McpConfig.discover({ directory: project, ...options }), environment(env))
      const names = (config: McpConfig.McpConfig) => [...config.servers.keys()].sort()

      const all = yield* discover({})
      assert.deepStrictEqual(names(all), ["codex", "cursor", "desktop", "dot", "gemini", "shared", "vscode"])
      const shared = yield* McpConfig.get(all, "shared")
      assert.strictEqual(shared.source, path.join(project, "mcp.json"))
      assert.deepStrictEqual(shared.overridden, [path.join(home, ".cursor/mcp.json"), path.join(project, ".mcp.json")])
      assert.deepStrictEqual(McpConfig.encode(yield* McpConfig.load(path.join(home, ".gemini/settings.json"), { dialect: "gemini" })), {
        mcpServers: { gemini: { type: "stdio", command: "x", args: ["${A}"] } }
      })
      assert.deepStrictEqual(all.warnings.map(({ message, source }) => [path.basename(source), message]), [
        ["opencode.json", "The file is skipped. Line 1, column 2: expected \"}\""],
        [
          "mcp.json",
          "The file is skipped. Expected \"command\" (a program to start: stdio) or \"url\" (http://, https://, ws://, wss://, tcp:// or unix://)"
        ]
      ])
      const atHome = yield* discover({ directory: home })
      assert.deepStrictEqual((yield* McpConfig.get(atHome, "cursor")).overridden, [])
      assert.deepStrictEqual(names(yield* discover({ user: false })), ["dot", "shared", "vscode"])
      assert.deepStrictEqual(names(yield* discover({ project: false })), ["codex", "cursor", "desktop", "gemini", "shared"])
      assert.deepStrictEqual(names(yield* discover({ project: false }, {})), [])
      const elsewhere = yield* discover({ project: false }, { HOME: home, XDG_CONFIG_HOME: path.join(home, "elsewhere") })
      assert.include(names(elsewhere), "xdg")
    }).pipe(Effect.provide(NodeServices.layer)))
})

describe("McpConfig: use", () => {
  const config = McpConfig.fromValue({
    mcpServers: {
      a: { command: "${A}", env: { T: "${T}" } },
      b: { url: "https://${B}" },
      off: { command: "${OFF}", disabled: true }
    }
  }, { source: "mcp.json" })

  it.effect("a server that is not there fails with those that are", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(McpConfig.get(yield* config, "x"))
      assert.strictEqual(error.message, "No server \"x\" in the config; it has \"a\", \"b\", \"off\"")
      assert.strictEqual((yield* reason(McpConfig.get(McpConfig.empty, "constructor")))._tag, "UnknownServer")
    }))

  it.effect("the unset variables of all enabled servers are told together", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(McpConfig.resolveAll(yield* config))
      assert.strictEqual(
        error.message,
        "Environment variables not set: A (in command of server \"a\"), T (in env.T of server \"a\"), B (in url of server \"b\"). " +
          "Set them, or give a default with ${NAME:-default}"
      )
    }).pipe(Effect.provide([NodeServices.layer, environment({})])))

  it.effect("what is wrong after expansion is told of all servers together", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* issues(McpConfig.resolveAll(yield* config)), [
        "a.command: Must not be empty (after its variables are expanded)",
        "b.url: The URL must not contain a user name or a password; put credentials in headers (after its variables are expanded)"
      ])
    }).pipe(Effect.provide([NodeServices.layer, environment({ A: " ", T: "t", B: "u:p@x" })])))

  it.effect("enabled servers resolve by name", () =>
    Effect.gen(function*() {
      const resolved = yield* McpConfig.resolveAll(yield* config)
      assert.deepStrictEqual([...resolved.keys()], ["a", "b"])
      assert.strictEqual(resolved.get("a")?._tag, "Stdio")
      assert.deepStrictEqual(McpConfig.enabled(yield* config).map(({ name }) => name), ["a", "b"])
    }).pipe(Effect.provide([NodeServices.layer, environment({ A: "x", T: "t", B: "x" })])))

  it.effect("what is shown of a config has no secret", () =>
    Effect.gen(function*() {
      const shown = McpConfig.redacted(yield* McpConfig.fromValue({ mcpServers: { a: { ...npx, env: { T: "s3cr3t" } } } }))
      assert.deepStrictEqual(shown, { mcpServers: { a: { ...stdio, env: { T: "<redacted>" } } } })
    }))
})
