import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { inspect } from "node:util"
import * as McpError from "../../src/McpError.ts"
import * as ServerConfig from "../../src/ServerConfig.ts"

const files: Readonly<Record<string, string>> = {
  "/project/.env": "FROM_FILE=file\nSHARED=file\nUSER=file",
  "/project/bad.env": "OK=1\ns3cr3t",
  "/project/ca.pem": "the authorities",
  "/certs/client.pem": "the certificate",
  "/certs/client.key": "s3cr3t key"
}

const fileSystem = FileSystem.layerNoop({
  readFileString: (file) =>
    files[file] === undefined
      ? Effect.die(`unexpected read of ${file}`)
      : Effect.succeed(files[file])
})

const environment = (env: Record<string, string>, options?: { readonly preserveEmptyStrings: boolean }) =>
  ConfigProvider.layer(ConfigProvider.fromEnvRecord(env, options))

const decode = (entry: unknown) => Result.getOrThrow(ServerConfig.decode(entry)).config

const resolve = (entry: unknown, env: Record<string, string> = {}, options: ServerConfig.ResolveOptions = { directory: "/project" }) =>
  ServerConfig.resolve("files", decode(entry), options).pipe(
    Effect.provide([fileSystem, Path.layer, environment(env)])
  )

const stdio = Effect.fnUntraced(function*(...args: Parameters<typeof resolve>) {
  const resolved = yield* resolve(...args)
  assert.strictEqual(resolved._tag, "Stdio")
  return resolved._tag === "Stdio" ? resolved : yield* Effect.die(resolved._tag)
})

const http = Effect.fnUntraced(function*(...args: Parameters<typeof resolve>) {
  const resolved = yield* resolve(...args)
  assert.strictEqual(resolved._tag, "Http")
  return resolved._tag === "Http" ? resolved : yield* Effect.die(resolved._tag)
})

const fail = (...args: Parameters<typeof resolve>) =>
  Effect.map(Effect.flip(resolve(...args)), (error) => {
    assert.isTrue(McpError.isMcpError(error) && error.server === "files")
    return error.reason
  })

const issues = (...args: Parameters<typeof resolve>) =>
  Effect.map(fail(...args), (reason) => {
    assert.strictEqual(reason._tag, "InvalidConfig")
    return reason._tag === "InvalidConfig" ? reason.issues.map(({ message, path }) => `${path.join(".")}: ${message}`) : []
  })

const plain = (record: Readonly<Record<string, Redacted.Redacted<string>>>) =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, Redacted.value(value)]))

describe("ServerConfig.resolve", () => {
  it.effect("every variable that is not set is told at once, with the field that names it", () =>
    Effect.gen(function*() {
      const reason = yield* fail({
        command: "${CMD}",
        args: ["x", "${A}-${B}", "${A:-d}"],
        env: { TOKEN: "${T}", OTHER: "$${NOT}" },
        cwd: "${env:DIR}",
        envFile: "${F}"
      }, { B: "set" })
      assert.deepStrictEqual(reason._tag === "UnsetVariables" ? reason.missing : [], [
        { server: "files", field: "command", variable: "CMD" },
        { server: "files", field: "args[1]", variable: "A" },
        { server: "files", field: "cwd", variable: "DIR" },
        { server: "files", field: "envFile", variable: "F" },
        { server: "files", field: "env.TOKEN", variable: "T" }
      ])
      const remote = yield* fail({ url: "https://${HOST}", headers: { "X-Key": "${KEY}" }, bearerTokenEnv: "TOKEN" })
      assert.deepStrictEqual(remote._tag === "UnsetVariables" ? remote.missing.map(({ field }) => field) : [], [
        "url",
        "headers.X-Key",
        "bearerTokenEnv"
      ])
    }))

  it.effect("what only shows after expansion is told by field, without the value", () =>
    Effect.gen(function*() {
      const told = yield* issues({
        command: "${BLANK}",
        args: ["${NUL}"],
        env: { A: "${NUL}" },
        cwd: "${BLANK}",
        envFile: "${NUL}"
      }, { NUL: "s3cr3t\0", BLANK: " " })
      assert.deepStrictEqual(told, [
        "command: Must not be empty (after its variables are expanded)",
        "args.0: Must not contain a NUL character (after its variables are expanded)",
        "cwd: Must not be empty (after its variables are expanded)",
        "envFile: Must not contain a NUL character (after its variables are expanded)",
        "env.A: Must not contain a NUL character (after its variables are expanded)"
      ])
      assert.deepStrictEqual(
        yield* issues({ type: "http", url: "${URL}", headers: { A: "${CRLF}" }, bearerTokenEnv: "CRLF" }, {
          URL: "s3cr3t",
          CRLF: "s3cr3t\r\nX: y"
        }),
        [
          "url: Expected an absolute URL that begins with http://, https:// or http+unix:// (after its variables are expanded)",
          "headers.A: A header's value must not contain a line break (CR or LF) (after its variables are expanded)",
          "bearerTokenEnv: A header's value must not contain a line break (CR or LF) (after its variables are expanded)"
        ]
      )
      for (const url of ["https://u:s3cr3t@x", "ws://s3cr3t", "ftp://s3cr3t", "/s3cr3t", "https://a b"]) {
        const [told = ""] = yield* issues({ type: "http", url: "${URL}" }, { URL: url })
        assert.isTrue(told.startsWith("url: ") && !told.includes("s3cr3t"))
      }
      assert.lengthOf(yield* issues({ type: "ws", url: "${URL}" }, { URL: "https://x" }), 1)
    }))

  it.effect("references that have no value here are told by field", () =>
    Effect.gen(function*() {
      const [input = "", malformed = "", nested = ""] = yield* issues({
        command: "x",
        args: ["${input:key}", "${s3cr3t", "${A:-${B}}"]
      })
      assert.match(input, /^args\.0: \$\{input:…\} asks a person for a value/)
      assert.match(malformed, /^args\.1: "\$\{" begins a reference/)
      assert.match(nested, /^args\.2: a default is literal text/)
      assert.notInclude(malformed, "s3cr3t")
    }))

  it.effect("an environment that cannot be read is told by field and variable", () =>
    Effect.gen(function*() {
      const broken = ConfigProvider.make(() => Effect.fail(new ConfigProvider.SourceError({ message: "vault is sealed" })))
      const error = yield* ServerConfig.resolve("files", decode({ url: "https://x", headers: { A: "${T}" } })).pipe(
        Effect.provide([fileSystem, Path.layer, ConfigProvider.layer(broken)]),
        Effect.flip
      )
      assert.strictEqual(
        error.message,
        "Server \"files\": Invalid config (value): headers.A: The variable T cannot be read: vault is sealed"
      )
    }))

  it.effect("variables are expanded, with defaults where they are not set or empty", () =>
    Effect.gen(function*() {
      const resolved = yield* stdio(
        { command: "${BIN:-node}", args: ["${A}", "${env:B:-b}", "${C:-c}", "${D:-}", "$${A}", "\\${A}", "pa$$word"] },
        { A: "1", C: "", BIN: "bun" }
      )
      assert.strictEqual(resolved.command, "bun")
      assert.deepStrictEqual(resolved.args.map(ServerConfig.reveal), ["1", "b", "c", "", "${A}", "${A}", "pa$$word"])
    }))

  it.effect("a variable whose name is also the beginning of others is found, and so are those", () =>
    Effect.gen(function*() {
      const env = { MY: "0", MY_VAR: "1", MY_VAR_A: "2", MY_VAR_0: "3", _: "4", _X__Y_: "5" }
      const names = Object.keys(env)
      const { args } = yield* stdio({ command: "x", args: names.map((name) => `\${${name}}`) }, env)
      assert.deepStrictEqual(args.map(ServerConfig.reveal), Object.values(env))
      const reason = yield* fail({ command: "x", args: ["${YOUR}", "${YOUR_VAR}"] }, { YOUR_VAR_A: "1" })
      assert.deepStrictEqual(reason._tag === "UnsetVariables" ? reason.missing.map(({ variable }) => variable) : [], ["YOUR", "YOUR_VAR"])
    }))

  it.effect("an empty variable is a value where the provider keeps it", () =>
    Effect.gen(function*() {
      const resolved = yield* ServerConfig.resolve("files", decode({ command: "x", args: ["a${E}b", "${E:-d}"] })).pipe(
        Effect.provide([fileSystem, Path.layer, environment({ E: "" }, { preserveEmptyStrings: true })])
      )
      assert.deepStrictEqual(resolved._tag === "Stdio" ? resolved.args.map(ServerConfig.reveal) : [], ["ab", "d"])
    }))

  it.effect("what a variable is part of is redacted, and nothing resolved prints a secret", () =>
    Effect.gen(function*() {
      const program = yield* stdio(
        { command: "x", args: ["plain", "--key=${KEY}", "${KEY:-d}"], env: { A: "s3cr3t", B: "${KEY}" }, passEnv: ["KEY"] },
        { KEY: "s3cr3t" }
      )
      assert.deepStrictEqual(program.args.map((arg) => Redacted.isRedacted(arg)), [false, true, true])
      const remote = yield* http(
        { url: "https://x/${KEY}", headers: { A: "s3cr3t" }, bearerTokenEnv: "KEY" },
        { KEY: "s3cr3t" }
      )
      assert.isTrue(Redacted.isRedacted(remote.url))
      assert.strictEqual(ServerConfig.reveal(remote.url), "https://x/s3cr3t")
      for (const resolved of [program, remote]) {
        assert.notInclude(inspect(resolved, { depth: 20 }) + JSON.stringify(resolved), "s3cr3t")
      }
      assert.strictEqual((yield* http({ url: "https://x" })).url, "https://x")
    }))

  it.effect("the value of a variable is not expanded again", () =>
    Effect.gen(function*() {
      const { args } = yield* stdio({ command: "x", args: ["${A}"] }, { A: "${B} $${C}", B: "no" })
      assert.deepStrictEqual(args.map(ServerConfig.reveal), ["${B} $${C}"])
    }))

  it.effect.prop(
    "any literal text, escaped, comes out as it was",
    [Schema.Array(Schema.Array(Schema.Literals(["$", "{", "}", "\\", "A", ":-", " "])))],
    ([texts]) =>
      Effect.gen(function*() {
        const literals = texts.map((parts) => parts.join(""))
        const { args } = yield* stdio({ command: "x", args: literals.map(ServerConfig.escape) })
        assert.deepStrictEqual(args, literals)
      })
  )

  it.effect("a program gets the small inherited environment, its envFile, what it passes, and its own; the later wins", () =>
    Effect.gen(function*() {
      const env = {
        HOME: "/home/u",
        PATH: "/bin",
        USER: "u",
        SHELL: "() { :; }",
        SECRET: "not for children",
        PASSED: "passed",
        SHARED: "outer",
        ALSO: "outer"
      }
      const { env: child } = yield* stdio(
        {
          command: "x",
          envFile: ".env",
          passEnv: ["PASSED", "NOT_SET", "SHARED", "ALSO"],
          env: { ALSO: "own", PATH: "/opt:${PATH}" }
        },
        env
      )
      assert.deepStrictEqual(plain(child), {
        HOME: "/home/u",
        USER: "file",
        PATH: "/opt:/bin",
        FROM_FILE: "file",
        SHARED: "outer",
        PASSED: "passed",
        ALSO: "own"
      })
    }))

  it.effect("an envFile that cannot be read or understood is an error that names it", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const directory = yield* fs.makeTempDirectoryScoped()
      const entry = decode({ command: "x", envFile: "missing.env" })
      const { reason } = yield* Effect.flip(ServerConfig.resolve("files", entry, { directory }))
      assert.deepStrictEqual(reason, new McpError.ConfigUnreadable({ file: path.join(directory, "missing.env"), detail: "it does not exist" }))
      assert.deepStrictEqual(yield* issues({ command: "x", envFile: "bad.env" }), ["envFile: Line 2: Expected NAME=value"])
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("cwd is relative to the directory of the config, and absent stays absent", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* stdio({ command: "x", cwd: "sub/../server" })).cwd, "/project/server")
      assert.strictEqual((yield* stdio({ command: "x", cwd: "/abs" })).cwd, "/abs")
      assert.isFalse(Object.hasOwn(yield* stdio({ command: "x" }), "cwd"))
      const path = yield* Path.Path
      const here = yield* stdio({ command: "x", cwd: "server" }, {}, {})
      assert.strictEqual(here.cwd, path.resolve("server"))
    }).pipe(Effect.provide(Path.layer)))

  it.effect("the editor's variables have a value: the directory of the config and the user's home", () =>
    Effect.gen(function*() {
      const { args, cwd } = yield* stdio(
        { command: "x", cwd: "${workspaceFolder}/a", args: ["${userHome}${/}b", "${workspaceFolderBasename}", "${pathSeparator}"] },
        { HOME: "/home/u" }
      )
      assert.strictEqual(cwd, "/project/a")
      assert.deepStrictEqual(args, ["/home/u/b", "project", "/"])
      const reason = yield* fail({ command: "x", args: ["${userHome}"] })
      assert.deepStrictEqual(reason._tag === "UnsetVariables" ? reason.missing : [], [
        { server: "files", field: "args[0]", variable: "HOME" }
      ])
    }))

  it.effect("a bearer token is sent from the variable that is named", () =>
    Effect.gen(function*() {
      const { headers } = yield* http({ url: "https://x", headers: { A: "b" }, bearerTokenEnv: "TOKEN" }, { TOKEN: "t" })
      assert.deepStrictEqual(plain(headers), { A: "b", Authorization: "Bearer t" })
      const oddly = yield* http({ url: "https://x", bearerTokenEnv: "MY-TOKEN" }, { "MY-TOKEN": "t" })
      assert.deepStrictEqual(plain(oddly.headers), { Authorization: "Bearer t" })
    }))

  it.effect("the files of TLS are read, relative to the config, and the key is no plain text", () =>
    Effect.gen(function*() {
      const entry = { url: "https://x", tls: { ca: "ca.pem", cert: "${CERTS}/client.pem", key: "${CERTS}/client.key", skipVerify: true } }
      const resolved = yield* http(entry, { CERTS: "/certs" })
      assert.deepStrictEqual(resolved.tls, {
        ca: "the authorities",
        cert: "the certificate",
        key: Redacted.make("s3cr3t key"),
        skipVerify: true
      })
      assert.notInclude(inspect(resolved, { depth: 20 }) + JSON.stringify(resolved), "s3cr3t")
      assert.deepStrictEqual((yield* http({ url: "https://x", tls: {} })).tls, {})
      const reason = yield* fail(entry)
      assert.deepStrictEqual(reason._tag === "UnsetVariables" ? reason.missing.map(({ field }) => field) : [], ["tls.cert", "tls.key"])
    }))

  it.effect("a proxy is expanded and held to be one, without showing it", () =>
    Effect.gen(function*() {
      const { proxy } = yield* http({ url: "https://x", proxy: "http://me:${PASSWORD}@proxy:3128" }, { PASSWORD: "s3cr3t" })
      assert.deepStrictEqual(proxy, Redacted.make("http://me:s3cr3t@proxy:3128"))
      assert.strictEqual((yield* http({ url: "https://x", proxy: false })).proxy, false)
      assert.isFalse(Object.hasOwn(yield* http({ url: "https://x" }), "proxy"))
      assert.deepStrictEqual(yield* issues({ url: "https://x", proxy: "${PROXY}" }, { PROXY: "s3cr3t:3128" }), [
        "proxy: Expected an absolute URL that begins with http:// or https:// (after its variables are expanded)"
      ])
    }))

  it.effect("a unix domain socket becomes its path and what is asked for over it", () =>
    Effect.gen(function*() {
      const plain = yield* http({ url: "http+unix://%2Frun%2Fmy%20mcp.sock/mcp?a=b" })
      assert.deepStrictEqual([plain.url, plain.socketPath], ["http://localhost/mcp?a=b", "/run/my mcp.sock"])
      const bare = yield* http({ url: "http+unix://%2Frun%2Fa.sock", proxy: false })
      assert.deepStrictEqual([bare.url, bare.socketPath], ["http://localhost/", "/run/a.sock"])
      const { url } = yield* http({ url: "http+unix://%2Frun%2Fa.sock/${KEY}" }, { KEY: "s3cr3t" })
      assert.deepStrictEqual(url, Redacted.make("http://localhost/s3cr3t"))
    }))

  it.effect("settings that contradict the URL are told", () =>
    Effect.gen(function*() {
      const unix = "http+unix://%2Frun%2Fa.sock"
      assert.deepStrictEqual(yield* issues({ url: "http://x", tls: {} }), ["tls: Is for a URL that begins with https://"])
      assert.deepStrictEqual(yield* issues({ url: unix, tls: {}, proxy: "http://proxy" }), [
        "tls: Is for a URL that begins with https://",
        "proxy: There is no proxy to a unix domain socket"
      ])
      assert.strictEqual((yield* http({ type: "http", url: "${URL}", tls: {} }, { URL: "HTTPS://x" }))._tag, "Http")
      assert.deepStrictEqual(yield* issues({ url: "ws://x", tls: {} }), ["tls: Is for a URL that begins with wss://"])
    }))

  it.effect("settings that need no expansion are passed on, and absent ones stay absent", () =>
    Effect.gen(function*() {
      const full = yield* stdio({
        command: "x",
        timeout: 1,
        maxTotal: 2,
        startupTimeout: 3,
        allowedTools: ["a"],
        blockedTools: [],
        protocolVersion: "2025-06-18",
        protocolEra: "legacy",
        shutdown: { stdin: 4 },
        maxMessageBytes: 5,
        description: "d",
        extra: 1
      })
      const { args, command, env, ...settings } = full
      assert.deepStrictEqual({ args, command, env }, { args: [], command: "x", env: {} })
      assert.deepStrictEqual(settings, {
        _tag: "Stdio",
        timeout: Duration.millis(1),
        maxTotal: Duration.millis(2),
        startupTimeout: Duration.millis(3),
        allowedTools: ["a"],
        blockedTools: [],
        protocolVersion: "2025-06-18",
        protocolEra: "legacy",
        shutdown: { stdin: Duration.millis(4) },
        maxMessageBytes: 5
      })
      assert.deepStrictEqual(yield* resolve({ url: "ws://x", auth: false }), { _tag: "WebSocket", url: "ws://x", headers: {} })
      const socket = { requireSubprotocol: true, compression: true, ping: false, maxMessageBytes: 3 } as const
      assert.deepStrictEqual(yield* resolve({ url: "ws://x", auth: false, ...socket, closeTimeout: 4 }), {
        _tag: "WebSocket",
        url: "ws://x",
        headers: {},
        ...socket,
        closeTimeout: Duration.millis(4)
      })
      assert.deepStrictEqual(yield* resolve({ url: "unix:///run/a%20b.sock", closeTimeout: 4 }), {
        _tag: "Socket",
        address: { path: "/run/a b.sock" },
        closeTimeout: Duration.millis(4)
      })
      const remote = { retry: { attempts: 1 }, idleTimeout: 2, maxMessageBytes: 3, redirects: "none" }
      assert.deepStrictEqual(yield* resolve({ url: "http://x", ...remote }), {
        _tag: "Http",
        url: "http://x",
        headers: {},
        auth: { type: "authorization_code" },
        retry: { attempts: 1 },
        idleTimeout: Duration.millis(2),
        maxMessageBytes: 3,
        redirects: "none"
      })
      assert.deepStrictEqual(yield* resolve({ url: "http://x", type: "sse" }), {
        _tag: "Http",
        url: "http://x",
        headers: {},
        auth: { type: "authorization_code" },
        transport: "sse"
      })
    }))

  it.effect("on Windows names of variables do not depend on case, and the system's own are inherited", () =>
    Effect.gen(function*() {
      const path = yield* Path.Path
      const windows = Layer.succeed(Path.Path, { ...path, sep: "\\" })
      const resolved = yield* ServerConfig.resolve(
        "files",
        decode({ command: "x", env: { PATH: "own" }, args: ["${userHome}", "${/}"] }),
        { directory: "/project" }
      ).pipe(
        Effect.provide([
          fileSystem,
          windows,
          environment({ Path: "C:\\bin", SystemRoot: "C:\\Windows", HOME: "no", USERPROFILE: "C:\\Users\\u" })
        ])
      )
      assert.isTrue(resolved._tag === "Stdio")
      if (resolved._tag !== "Stdio") return
      assert.deepStrictEqual(plain(resolved.env), { PATH: "own", SystemRoot: "C:\\Windows", USERPROFILE: "C:\\Users\\u" })
      assert.deepStrictEqual(resolved.args, ["C:\\Users\\u", "\\"])
    }).pipe(Effect.provide(Path.layer)))

  it.effect("resolving does not change the entry, which can be resolved again in another environment", () =>
    Effect.gen(function*() {
      const entry = { command: "x", args: ["${A}"] }
      assert.deepStrictEqual((yield* stdio(entry, { A: "1" })).args.map(ServerConfig.reveal), ["1"])
      assert.deepStrictEqual((yield* stdio(entry, { A: "2" })).args.map(ServerConfig.reveal), ["2"])
    }))
})
