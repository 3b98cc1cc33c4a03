import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import { inspect } from "node:util"
import * as ServerConfig from "../src/ServerConfig.ts"

type Options = Parameters<typeof ServerConfig.decode>[1]

/** The problems of an entry, one line each. */
const problems = (entry: unknown, options?: Options): ReadonlyArray<string> => {
  const result = ServerConfig.decode(entry, options)
  assert.isTrue(Result.isFailure(result), `decoded: ${inspect(result)}`)
  return Result.isFailure(result) ? result.failure.map(({ message, path }) => `${path.join(".")}: ${message}`) : []
}

const decoded = (entry: unknown, options?: Options): ServerConfig.Decoded => Result.getOrThrow(ServerConfig.decode(entry, options))

const encoded = (entry: unknown, options?: Options) => ServerConfig.encode(decoded(entry, options).config)

const values = (record: Readonly<Record<string, Redacted.Redacted<string>>>) =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, Redacted.value(value)]))

describe("ServerConfig: which kind", () => {
  it("what is neither a command nor a URL says what was expected", () => {
    for (const entry of [{}, { args: ["x"] }, { headers: {} }, { unknown: 1 }]) {
      assert.deepStrictEqual(problems(entry), [
        ": Expected \"command\" (a program to start: stdio) or \"url\" (http://, https://, ws://, wss://, tcp:// or unix://)"
      ])
    }
    for (const entry of [null, undefined, 1, "npx", true, [], ["npx"]]) {
      assert.deepStrictEqual(problems(entry), [": Expected an object with \"command\" or \"url\""])
    }
  })

  it("a command and a URL together are a conflict, at the keys that were used", () => {
    assert.deepStrictEqual(problems({ command: "npx", serverUrl: "https://example.com" }), [
      ": Has both \"command\" (a program to start: stdio) and \"serverUrl\" (a remote server): expected one of them"
    ])
  })

  it("a type that disagrees with the shape is told with both readings", () => {
    assert.deepStrictEqual(problems({ type: "http", command: "npx" }), [
      "type: \"type\" says http, but \"command\" means stdio: expected them to agree"
    ])
    assert.deepStrictEqual(problems({ transport: "stdio", url: "https://example.com" }), [
      "transport: \"transport\" says stdio, but \"url\" means a remote server: expected them to agree"
    ])
    assert.deepStrictEqual(problems({ transportType: "sse", url: "wss://example.com" }), [
      "transportType: \"transportType\" says sse, but \"url\" begins with ws: expected them to agree"
    ])
    assert.deepStrictEqual(problems({ type: "websocket", baseUrl: "http://example.com" }), [
      "type: \"type\" says websocket, but \"baseUrl\" begins with http: expected them to agree"
    ])
    assert.deepStrictEqual(problems({ ws_url: "http://example.com" }), [
      "ws_url: \"ws_url\" says ws, but \"ws_url\" begins with http: expected them to agree"
    ])
    assert.deepStrictEqual(problems({ type: "http", transport: "stdio", command: "npx" }), [
      "transport: \"transport\" says stdio, but \"type\" says http: expected them to agree"
    ])
    assert.deepStrictEqual(problems({ type: "sse", transport: "streamable-http", url: "https://example.com" }), [
      "transport: \"transport\" says streamable-http, but \"type\" says sse: expected them to agree"
    ])
  })

  it("a type without what it needs says what that is", () => {
    assert.deepStrictEqual(problems({ type: "stdio" }), [": \"type\" says stdio: expected \"command\" (the program to start)"])
    assert.deepStrictEqual(problems({ type: "sse" }), [": \"type\" says sse: expected \"url\""])
  })

  it("an unknown type says which there are, and does not quote it", () => {
    const [problem = ""] = problems({ type: "secret", command: "npx" })
    assert.match(problem, /^type: Expected one of "stdio", "local", "http", .*"websocket", "socket", "tcp", "unix"$/)
    assert.match(problems({ type: 1, command: "npx" })[0] ?? "", /^type: Expected one of/)
    assert.match(problems({ type: "constructor", command: "npx" })[0] ?? "", /^type: Expected one of/)
  })

  it("the scheme of a URL decides, and a wrong one says which there are", () => {
    assert.strictEqual(decoded({ url: "HTTPS://example.com/mcp" }).config._tag, "Http")
    assert.strictEqual(decoded({ url: "http://localhost:3000" }).config._tag, "Http")
    assert.strictEqual(decoded({ url: "ws://localhost:3000" }).config._tag, "WebSocket")
    assert.strictEqual(decoded({ url: "wss://example.com" }).config._tag, "WebSocket")
    for (const url of ["ftp://example.com", "/mcp", "example.com/mcp", "", "//example.com", "http:example.com", "file:///x"]) {
      assert.deepStrictEqual(problems({ url }), [
        "url: Expected an absolute URL that begins with http://, https://, http+unix://, ws://, wss://, tcp:// or unix://"
      ])
    }
    assert.deepStrictEqual(problems({ url: "ftp://example.com", type: "sse" }), [
      "url: Expected an absolute URL that begins with http://, https:// or http+unix://"
    ])
    assert.deepStrictEqual(problems({ url: "https://" }), [
      "url: Expected an absolute URL that begins with http://, https:// or http+unix://"
    ])
  })

  it("every type seen in the field is understood", () => {
    for (const type of ["stdio", "local"]) assert.strictEqual(decoded({ type, command: "npx" }).config._tag, "Stdio")
    for (const type of ["ws", "websocket"]) assert.strictEqual(decoded({ type, url: "ws://x" }).config._tag, "WebSocket")
    for (const type of ["http", "remote"]) {
      const { config } = decoded({ type, url: "http://x" })
      assert.isTrue(config._tag === "Http" && config.transport === undefined)
    }
    for (const type of ["streamable-http", "streamableHttp"]) {
      assert.strictEqual(encoded({ type, url: "http://x" })["type"], "streamable-http")
    }
    assert.strictEqual(encoded({ type: "sse", url: "http://x" })["type"], "sse")
    assert.strictEqual(encoded({ type: "http", transport: "sse", url: "http://x" })["type"], "sse")
  })

  it("a URL whose scheme is in a variable needs a type, or a default that shows it", () => {
    for (const url of ["${BASE}/mcp", "http${S}://example.com", "${S:-http}${X}", "${userHome}"]) {
      assert.match(problems({ url })[0] ?? "", /^url: The scheme is only known once \$\{…\} is expanded: expected a "type"/)
    }
    assert.strictEqual(decoded({ url: "${BASE}/mcp", type: "http" }).config._tag, "Http")
    assert.strictEqual(decoded({ ws_url: "${BASE}/mcp" }).config._tag, "WebSocket")
    assert.strictEqual(decoded({ url: "${BASE:-wss://example.com}/mcp" }).config._tag, "WebSocket")
    assert.strictEqual(decoded({ url: "${SCHEME:-https}://example.com" }).config._tag, "Http")
    assert.strictEqual(decoded({ url: "https://${HOST}/mcp" }).config._tag, "Http")
  })
})

describe("ServerConfig: fields", () => {
  it("every problem of an entry is told at once, each at its key", () => {
    assert.deepStrictEqual(
      problems({
        command: "",
        args: ["ok", 1, "a\0b"],
        environment: { TOKEN: 1, "A=B": "x", "": "y", NUL: "\0" },
        passEnv: ["OK", "A=B"],
        envFile: "",
        cwd: 7,
        enabled: "yes",
        required: 1,
        description: null,
        tool_timeout_sec: "soon",
        maxTotal: -1,
        startupTimeout: 0,
        shutdown: { stdin: -1, terminate: "x", kil: 1 },
        maxMessageBytes: 1.5,
        includeTools: "all",
        blockedTools: [""],
        protocolVersion: "1.0",
        protocolEra: "old"
      }),
      [
        "environment.A=B: A variable's name must not contain \"=\"",
        "environment.: A variable's name must not be empty",
        "command: Must not be empty",
        "args.1: Expected string",
        "args.2: Must not contain a NUL character",
        "environment.TOKEN: Expected string",
        "environment.NUL: Must not contain a NUL character",
        "envFile: Must not be empty",
        "passEnv.1: A variable's name must not contain \"=\"",
        "cwd: Expected string",
        "shutdown.kil: Unknown key",
        "shutdown.stdin: Expected a time of zero or more: a number (milliseconds), or text such as \"30 seconds\"",
        "shutdown.terminate: Expected a time of zero or more: a number (milliseconds), or text such as \"30 seconds\"",
        "maxMessageBytes: Expected an integer",
        "enabled: Expected boolean",
        "required: Expected boolean",
        "description: Expected string",
        "tool_timeout_sec: Expected a time greater than zero: a number (milliseconds), or text such as \"30 seconds\"",
        "maxTotal: Expected a time greater than zero: a number (milliseconds), or text such as \"30 seconds\"",
        "startupTimeout: Expected a time greater than zero: a number (milliseconds), or text such as \"30 seconds\"",
        "includeTools: Expected array",
        "blockedTools.0: Must not be empty",
        "protocolVersion: Expected \"2026-07-28\" | \"2025-11-25\" | \"2025-06-18\" | \"2025-03-26\" | \"2024-11-05\"",
        "protocolEra: Expected \"auto\" | \"modern\" | \"legacy\""
      ]
    )
  })

  it("every problem of an entry for HTTP is told at once, each at its key", () => {
    assert.deepStrictEqual(
      problems({
        url: "https://x",
        tls: { ca: "", cert: 1, skipVerify: "yes", passphrase: "x" },
        proxy: "proxy:3128",
        retry: { attempts: -1, baseDelay: "soon", maxDelay: -1, jitter: 1, times: 3 },
        idleTimeout: 0,
        maxMessageBytes: 0,
        redirects: "all"
      }),
      [
        "tls.passphrase: Unknown key",
        "tls.ca: Must not be empty",
        "tls.cert: Expected string",
        "tls.skipVerify: Expected boolean",
        "proxy: Expected an absolute URL that begins with http:// or https://",
        "retry.times: Unknown key",
        "retry.attempts: Expected a value greater than or equal to 0",
        "retry.baseDelay: Expected a time of zero or more: a number (milliseconds), or text such as \"30 seconds\"",
        "retry.maxDelay: Expected a time of zero or more: a number (milliseconds), or text such as \"30 seconds\"",
        "retry.jitter: Expected boolean",
        "idleTimeout: Expected a time greater than zero: a number (milliseconds), or text such as \"30 seconds\"",
        "maxMessageBytes: Expected a value greater than 0",
        "redirects: Expected \"same-origin\" | \"none\""
      ]
    )
    assert.deepStrictEqual(problems({ url: "https://x", tls: { cert: "a" } }), ["tls.cert: Is of no use without \"key\""])
    assert.deepStrictEqual(problems({ url: "https://x", tls: { key: "a" } }), ["tls.key: Is of no use without \"cert\""])
    for (const proxy of [true, 1, null, {}]) {
      assert.deepStrictEqual(problems({ url: "https://x", proxy }), ["proxy: Expected false | string"])
    }
  })

  it("settings for HTTP decode, and encode as they were", () => {
    const entry = {
      type: "http",
      url: "https://x",
      tls: { ca: "certs/ca.pem", cert: "${CERT}", key: "${KEY}", skipVerify: false },
      proxy: "http://me:s3cr3t@proxy:3128",
      retry: { attempts: 0, baseDelay: 500, maxDelay: 0, jitter: false },
      idleTimeout: 60_000,
      maxMessageBytes: 1_000,
      redirects: "none"
    }
    const { config, unused } = decoded({ ...entry, idleTimeout: "1 minute", retry: { ...entry.retry, baseDelay: "500 millis" } })
    assert.deepStrictEqual(ServerConfig.encode(config), entry)
    assert.deepStrictEqual(unused, [])
    assert.notInclude(inspect(config, { depth: 20 }) + JSON.stringify(config), "s3cr3t")
    assert.strictEqual(ServerConfig.redacted(config)["proxy"], "http://<redacted>@proxy:3128")
    assert.strictEqual(encoded({ url: "https://x", proxy: false })["proxy"], false)
    assert.strictEqual(encoded({ url: "https://x", proxy: "${PROXY}" })["proxy"], "${PROXY}")
  })

  it("settings for HTTP have no effect on other servers, which is told", () => {
    const settings = { proxy: false, retry: {}, idleTimeout: 1, redirects: "none" }
    for (const entry of [{ command: "npx" }, { url: "ws://x" }]) {
      const { config, unused } = decoded({ ...entry, ...settings })
      assert.deepStrictEqual(config.extra, settings)
      assert.deepStrictEqual(unused.map(({ message, path }) => `${path}: ${message}`), Object.keys(settings).map((key) =>
        `${key}: Is for a server over HTTP: it is kept, but has no effect`))
    }
    for (const entry of [{ command: "npx" }, { url: "tcp://x:1" }]) {
      assert.deepStrictEqual(decoded({ ...entry, headers: {}, compression: true }).unused.map(({ message }) => message), [
        "Is for a server over HTTP or WebSocket: it is kept, but has no effect",
        "Is for a server over WebSocket: it is kept, but has no effect"
      ])
    }
  })

  it("what a WebSocket server can be told decodes and is given back, secrets hidden", () => {
    const entry = {
      type: "ws",
      url: "wss://example.com/mcp",
      headers: { "X-Key": "s3cr3t" },
      bearerTokenEnv: "TOKEN",
      tls: { ca: "ca.pem" },
      requireSubprotocol: true,
      compression: true,
      ping: { interval: 5_000, timeout: 1_000 },
      closeTimeout: 0,
      maxMessageBytes: 5
    }
    const { config, unused } = decoded(entry)
    assert.deepStrictEqual(ServerConfig.encode(config), entry)
    assert.deepStrictEqual(unused, [])
    assert.notInclude(inspect(config, { depth: 20 }) + JSON.stringify(ServerConfig.redacted(config)), "s3cr3t")
    assert.strictEqual(encoded({ url: "ws://x", ping: false })["ping"], false)
  })

  it("a socket is a URL that says where it is and nothing else", () => {
    for (const url of ["tcp://127.0.0.1:7000", "tcp://[::1]:7000", "unix:///run/mcp.sock", "tcp://${HOST}:1"]) {
      const { config } = decoded({ url, closeTimeout: 1, maxMessageBytes: 5 })
      assert.strictEqual(config._tag, "Socket")
      assert.deepStrictEqual(ServerConfig.encode(config), { type: "socket", url, closeTimeout: 1, maxMessageBytes: 5 })
      for (const type of ["socket", "tcp", "unix"]) assert.strictEqual(decoded({ type, url }).config._tag, "Socket")
    }
    for (const url of ["tcp://x", "tcp://x:1/a", "unix://run/mcp.sock", "unix:///", "unix:///a?b", "unix:///%00"]) {
      assert.deepStrictEqual(problems({ url }), [
        "url: Expected where the socket is and nothing else: tcp://host:port or unix:///absolute/path"
      ])
    }
    assert.deepStrictEqual(problems({ type: "http", url: "tcp://x:1" }), [
      "type: \"type\" says http, but \"url\" begins with tcp or unix: expected them to agree"
    ])
  })

  it("what would be relied on in vain is refused", () => {
    assert.deepStrictEqual(problems({ url: "ws://x", proxy: "http://proxy" }), [
      "proxy: A WebSocket server is reached directly: a proxy is only for servers over HTTP"
    ])
    assert.deepStrictEqual(problems({ url: "tcp://x:1", tls: {} }), [
      "tls: A socket is not encrypted: certificates are for https:// and wss://"
    ])
  })

  it("a unix domain socket is a URL with the encoded path of the socket as its host", () => {
    const url = "http+unix://%2Frun%2Fmcp.sock/mcp"
    assert.deepStrictEqual(encoded({ url }), { type: "http", url })
    assert.strictEqual(encoded({ url, type: "sse" })["type"], "sse")
    for (const url of ["http+unix:///run/mcp.sock", "http+unix://run%2Fmcp.sock", "http+unix://%zz/x", "http+unix://%2F/x", "http+unix://%2Fa%00/x"]) {
      assert.deepStrictEqual(problems({ url }), [
        "url: Expected the absolute path of a socket, percent-encoded, as the host: http+unix://%2Frun%2Fmcp.sock/mcp"
      ])
    }
  })

  it("a value of the wrong type at any place is an error at that place, whatever the type", () => {
    const keys = [
      "command",
      "args",
      "env",
      "envFile",
      "passEnv",
      "cwd",
      "shutdown",
      "maxMessageBytes",
      "disabled",
      "description",
      "timeout",
      "allowedTools",
      "protocolVersion",
      "protocolEra",
      "type"
    ]
    for (const key of keys) {
      for (const value of [null, Symbol("x"), () => 1, NaN, 12n]) {
        for (const problem of problems({ command: "npx", [key]: value })) assert.match(problem, new RegExp(`^${key}: Expected `))
      }
    }
    for (const key of ["url", "headers", "bearerTokenEnv", "tls", "retry", "redirects"]) {
      for (const value of [null, 1, [], true]) {
        for (const problem of problems({ url: "http://x", [key]: value })) assert.match(problem, new RegExp(`^${key}: Expected `))
      }
    }
  })

  it("names with a meaning in JavaScript are refused wherever a key becomes a name, and change no prototype", () => {
    for (const name of ["__proto__", "constructor", "prototype"]) {
      const told = `The name "${name}" is not allowed: it has a meaning of its own in JavaScript`
      const record = JSON.parse(`{ "${name}": "x" }`)
      assert.deepStrictEqual(problems({ command: "npx", env: record }), [`env.${name}: ${told}`])
      assert.deepStrictEqual(problems({ url: "http://x", headers: record }), [`headers.${name}: ${told}`])
      assert.deepStrictEqual(problems({ url: "http://x", env_http_headers: record }), [`env_http_headers.${name}: ${told}`])
      assert.deepStrictEqual(problems(JSON.parse(`{ "command": "npx", "${name}": { "command": "evil" } }`)), [`${name}: ${told}`])
      assert.deepStrictEqual(problems({ command: "npx", passEnv: [name] }), [`passEnv.0: ${told}`])
    }
    assert.isUndefined(Reflect.get({}, "command"))
    assert.isUndefined(Reflect.get({}, "x"))
  })

  it("fields that an entry does not have itself are not taken from its prototype", () => {
    const entry: object = Object.create({ command: "evil", cwd: "/" })
    assert.lengthOf(problems(entry), 1)
    assert.isUndefined(encoded(Object.assign(entry, { url: "http://x" }))["cwd"])
  })

  it("headers must be what HTTP can carry", () => {
    assert.deepStrictEqual(
      problems({
        url: "http://x",
        headers: { "X Y": "a", "": "b", "X\r\nY": "c", A: "x\r\nInjected: 1", B: "\u0007", C: "€", D: "\0", Tab: "a\tb", Latin: "é" }
      }),
      [
        "headers.X Y: A header's name must consist of letters, digits and !#$%&'*+-.^_`|~",
        "headers.: A header's name must consist of letters, digits and !#$%&'*+-.^_`|~",
        "headers.X\r\nY: A header's name must consist of letters, digits and !#$%&'*+-.^_`|~",
        "headers.A: A header's value must not contain a line break (CR or LF)",
        "headers.B: A header's value must not contain control characters or characters beyond Latin-1",
        "headers.C: A header's value must not contain control characters or characters beyond Latin-1",
        "headers.D: Must not contain a NUL character"
      ]
    )
  })

  it("credentials in a URL are refused", () => {
    for (const url of ["https://user:pass@example.com", "https://user@example.com", "wss://:pass@example.com"]) {
      assert.deepStrictEqual(problems({ url }), [
        "url: The URL must not contain a user name or a password; put credentials in headers"
      ])
    }
  })

  it("white space and line breaks in a URL are refused, which a URL parser would drop", () => {
    for (const url of ["http://exam\nple.com", "http://example.com/a b", " http://example.com", "http://example.com\0"]) {
      assert.lengthOf(problems({ url, type: "http" }), 1)
    }
  })

  it("no secret is in an error, whatever is wrong with it", () => {
    const secret = "s3cr3t"
    const entries: ReadonlyArray<unknown> = [
      { command: "npx", env: { A: [secret] } },
      { command: "npx", env: { A: { secret } } },
      { command: "npx", env: [secret] },
      { command: "npx", env: secret },
      { command: "npx", env: { A: `${secret}\0` } },
      { url: "http://x", headers: { A: `${secret}\n` } },
      { url: "http://x", headers: { A: [secret] } },
      { url: "http://x", headers: secret },
      { url: `http://u:${secret}@x` },
      { url: `${secret}://x` },
      { url: "http://x", headers: { Authorization: secret }, authToken: `other ${secret}` },
      { url: "http://x", auth_token: [secret] },
      { command: [secret, 1, `${secret}\0`] },
      { command: "npx", args: [`--key=${secret}\0`] },
      { command: "npx", timeout: secret, cwd: [secret], type: secret }
    ]
    for (const entry of entries) {
      assert.notInclude(problems(entry).join("\n"), secret)
      const viaSchema = Schema.decodeUnknownResult(ServerConfig.ServerConfig)(entry)
      assert.isTrue(Result.isFailure(viaSchema) && !inspect(viaSchema.failure, { depth: 20 }).includes(secret))
    }
  })

  it("secrets of a decoded entry are redacted when it is printed", () => {
    const stdio = decoded({ command: "npx", env: { TOKEN: "s3cr3t" } }).config
    const http = decoded({ url: "http://x", authToken: "s3cr3t" }).config
    for (const config of [stdio, http]) {
      assert.notInclude(inspect(config, { depth: 20 }) + JSON.stringify(config) + String(config), "s3cr3t")
    }
  })

  it("times are milliseconds or text with a unit, and whole milliseconds once decoded", () => {
    const { config } = decoded({
      command: "npx",
      timeout: "30 seconds",
      maxTotal: 1500,
      startupTimeout: "1 nano",
      shutdown: { stdin: 0, terminate: "2 minutes" }
    })
    assert.isTrue(config._tag === "Stdio")
    if (config._tag !== "Stdio") return
    assert.deepStrictEqual(config.timeout, Duration.seconds(30))
    assert.deepStrictEqual(config.maxTotal, Duration.millis(1500))
    assert.deepStrictEqual(config.startupTimeout, Duration.millis(1))
    assert.deepStrictEqual(config.shutdown, { stdin: Duration.zero, terminate: Duration.minutes(2) })
    for (const timeout of ["Infinity", Infinity, "-1 seconds", "30", "30s", "", {}, []]) {
      assert.lengthOf(problems({ command: "npx", timeout }), 1)
    }
  })

  it("what is absent stays absent", () => {
    const { config } = decoded({ command: "npx", cwd: undefined })
    assert.deepStrictEqual(Object.keys(config).sort(), ["_tag", "args", "command", "env", "extra", "passEnv"])
    assert.deepStrictEqual(encoded({ command: "npx" }), { type: "stdio", command: "npx" })
  })

  it("an empty list of allowed tools is not the same as none", () => {
    assert.deepStrictEqual(encoded({ command: "npx", allowedTools: [] })["allowedTools"], [])
  })

  it("the templates of a decoded entry are as they were written", () => {
    const { config } = decoded({ command: "${NODE:-node}", args: ["$${A}"], env: { T: "${TOKEN}" } })
    assert.isTrue(config._tag === "Stdio")
    if (config._tag !== "Stdio") return
    assert.strictEqual(config.command, "${NODE:-node}")
    assert.deepStrictEqual(config.args, ["$${A}"])
    assert.deepStrictEqual(values(config.env), { T: "${TOKEN}" })
  })

  it("unknown keys are kept, given back, and told", () => {
    const entry = { command: "npx", autoApprove: ["x"], icon: null, headers: { A: "b" }, oauth: { clientId: "c" } }
    const { config, unused } = decoded(entry)
    assert.deepStrictEqual(config.extra, { autoApprove: ["x"], icon: null, oauth: { clientId: "c" }, headers: { A: "b" } })
    assert.deepStrictEqual(unused, [
      { path: ["autoApprove"], message: "Unknown key: it is kept, but has no effect" },
      { path: ["icon"], message: "Unknown key: it is kept, but has no effect" },
      { path: ["headers"], message: "Is for a server over HTTP or WebSocket: it is kept, but has no effect" },
      { path: ["oauth"], message: "Is for a server over HTTP or WebSocket: it is kept, but has no effect" }
    ])
    assert.deepStrictEqual(ServerConfig.encode(config), { type: "stdio", ...entry })
    const remote = decoded({ url: "ws://x", args: ["y"], idleTimeout: 1 })
    assert.deepStrictEqual(remote.unused.map(({ path }) => path), [["args"], ["idleTimeout"]])
    assert.deepStrictEqual(ServerConfig.encode(remote.config), { type: "ws", url: "ws://x", args: ["y"], idleTimeout: 1 })
  })
})

describe("ServerConfig: aliases", () => {
  it("two keys for one field that say different things are told with both names", () => {
    assert.deepStrictEqual(problems({ url: "http://a", serverUrl: "http://b" }), [
      "serverUrl: Says something else than \"url\": expected only one of them"
    ])
    assert.deepStrictEqual(problems({ command: "x", enabled: true, disabled: true }), [
      "disabled: Says something else than \"enabled\": expected only one of them"
    ])
    assert.deepStrictEqual(problems({ command: "x", startup_timeout_sec: 1, startup_timeout_ms: 1 }), [
      "startup_timeout_ms: Says something else than \"startup_timeout_sec\": expected only one of them"
    ])
    assert.deepStrictEqual(problems({ command: "x", enabled_tools: ["a"], allowedTools: ["b"] }), [
      "allowedTools: Says something else than \"enabled_tools\": expected only one of them"
    ])
    assert.deepStrictEqual(problems({ command: "x", env: { A: "1", B: "2" }, environment: { A: "3", B: "2" } }), [
      "environment.A: Says something else than \"env.A\": expected only one of them"
    ])
    assert.deepStrictEqual(problems({ url: "http://x", headers: { authorization: "a" }, auth_token: "b" }), [
      "auth_token: Says something else than \"headers.authorization\": expected only one of them"
    ])
    assert.deepStrictEqual(problems({ url: "http://x", headers: { "X-A": "a", "x-a": "b" } }), [
      "headers.x-a: Says something else than \"headers.X-A\": expected only one of them"
    ])
    assert.deepStrictEqual(problems({ url: "http://x", bearer_token_env_var: "T", headers: { authorization: "a" } }), [
      "bearer_token_env_var: There is also a header \"Authorization\": expected only one of them"
    ])
  })

  it("two keys for one field that say the same agree", () => {
    assert.deepStrictEqual(
      encoded({ command: "x", enabled: false, disabled: true, startup_timeout_sec: 1, startup_timeout_ms: 1000, includeTools: ["a"], allowedTools: ["a"] }),
      { type: "stdio", command: "x", startupTimeout: 1000, allowedTools: ["a"], disabled: true }
    )
  })

  it("every alias decodes to its field", () => {
    assert.deepStrictEqual(
      encoded({
        type: "local",
        command: ["npx", "-y", "server"],
        args: ["--flag"],
        environment: { A: "b" },
        env_vars: ["PATH_LIKE"],
        enabled: true,
        enabled_tools: ["a"],
        disabled_tools: ["b"],
        startup_timeout_sec: 20,
        tool_timeout_sec: 1.5
      }),
      {
        type: "stdio",
        command: "npx",
        args: ["-y", "server", "--flag"],
        env: { A: "b" },
        passEnv: ["PATH_LIKE"],
        disabled: false,
        timeout: 1500,
        startupTimeout: 20_000,
        allowedTools: ["a"],
        blockedTools: ["b"]
      }
    )
    assert.deepStrictEqual(
      encoded({
        httpUrl: "https://x",
        headers: { A: "b" },
        http_headers: { C: "d" },
        env_http_headers: { E: "F" },
        bearer_token_env_var: "TOKEN",
        includeTools: ["a"],
        excludeTools: ["b"],
        connectionTimeout: 1,
        requestTimeout: 2
      }),
      {
        type: "streamable-http",
        url: "https://x",
        headers: { A: "b", C: "d", E: "${F}" },
        bearerTokenEnv: "TOKEN",
        timeout: 2,
        startupTimeout: 1,
        allowedTools: ["a"],
        blockedTools: ["b"]
      }
    )
    for (const key of ["auth_token", "authToken", "auth"]) {
      assert.deepStrictEqual(encoded({ url: "http://x", [key]: "${T}" })["headers"], { Authorization: "Bearer ${T}" })
    }
    for (const key of ["url", "serverUrl", "baseUrl", "ws_url", "wsUrl"]) {
      assert.strictEqual(encoded({ [key]: "ws://x" })["url"], "ws://x")
    }
  })

  it("a request for OAuth is not a token, whoever asks for it", () => {
    const authOf = (entry: object) => ServerConfig.encode(decoded({ url: "http://x", ...entry }).config)["auth"]
    assert.deepStrictEqual(authOf({ auth: "oauth" }), {})
    assert.deepStrictEqual(authOf({ auth: { clientId: "x" } }), { clientId: "x" })
    assert.deepStrictEqual(authOf({ auth: false }), false)
    assert.deepStrictEqual(authOf({ oauth: true }), {})
    assert.deepStrictEqual(authOf({ oauth: { client_id: "x", scope: "a b", callbackPort: 8080, authServerMetadataUrl: "y" } }), {
      clientId: "x",
      scopes: ["a", "b"],
      redirectUri: "http://localhost:8080/callback"
    })
    assert.isUndefined(authOf({ auth: "a-token" }))
  })

  const foreign: ReadonlyArray<readonly [
    who: string,
    entry: object,
    auth: unknown,
    unused: ReadonlyArray<string>,
    dialect?: ServerConfig.DialectName
  ]> = [
    ["Claude Code", { oauth: { clientId: "x", callbackPort: 8080, authServerMetadataUrl: "y", scopes: "a b" } }, {
      clientId: "x",
      redirectUri: "http://localhost:8080/callback",
      scopes: ["a", "b"]
    }, ["oauth.authServerMetadataUrl"]],
    ["Cursor", { auth: { CLIENT_ID: "x", CLIENT_SECRET: "s", scopes: ["a"], other: 1 } }, {
      clientId: "x",
      clientSecret: "s",
      scopes: ["a"]
    }, ["auth.other"]],
    ["VS Code", { oauth: { clientId: "x" } }, { clientId: "x" }, [], "vscode"],
    ["Codex", { oauth: { client_id: "x" }, scopes: ["a", "b"], oauth_resource: "https://r" }, { clientId: "x", scopes: ["a", "b"] }, [
      "oauth_resource"
    ], "codex"],
    ["Codex with scopes only", { scopes: ["a"] }, { scopes: ["a"] }, [], "codex"],
    ["Gemini CLI", {
      oauth: { enabled: true, clientId: "x", authorizationUrl: "u", tokenUrl: "t", redirectUri: "http://localhost:7777/oauth/callback" },
      authProviderType: "dynamic_discovery"
    }, { clientId: "x", redirectUri: "http://localhost:7777/oauth/callback" }, [
      "authProviderType",
      "oauth.authorizationUrl",
      "oauth.tokenUrl"
    ], "gemini"],
    ["Gemini CLI, switched off", { oauth: { enabled: false, clientId: "x" } }, false, [], "gemini"],
    ["opencode", { oauth: { clientId: "x", clientSecret: "{env:S}", scope: "a" } }, {
      clientId: "x",
      clientSecret: "${S}",
      scopes: ["a"]
    }, [], "opencode"],
    ["opencode, switched off", { oauth: false }, false, [], "opencode"]
  ]
  for (const [who, entry, auth, unused, dialect] of foreign) {
    it(`authorization is asked for as in ${who}, and what is lost is told`, () => {
      const result = ServerConfig.decode({ url: "http://x", ...entry }, { dialect })
      const read = Result.getOrThrow(result)
      assert.deepStrictEqual(ServerConfig.encode(read.config)["auth"], auth)
      assert.deepStrictEqual(read.unused.map(({ path }) => path.join(".")).toSorted(), unused)
    })
  }

  it("two places for scopes that say different things are told, and unknown keys of our own field", () => {
    const result = ServerConfig.decode({ url: "http://x", scopes: ["a"], oauth: { scopes: ["b"] } }, { dialect: "codex" })
    assert.isTrue(Result.isFailure(result))
    assert.deepStrictEqual(problems({ url: "http://x", auth: { clientId: "x", bogus: 1 } }), ["auth.bogus: Unknown key"])
  })

  it("what is wrong with the authorization of an entry is told at its place", () => {
    const auth = (auth: unknown) => problems({ url: "http://x", auth })
    assert.deepStrictEqual(auth({ type: "client_credentials", redirectUri: "y" }), [
      "auth.redirectUri: Is of no use with type client_credentials",
      "auth: Expected \"clientId\" with type client_credentials",
      "auth: Expected \"clientSecret\" or \"privateKey\" or \"privateKeyFile\" with type client_credentials"
    ])
    assert.deepStrictEqual(auth({ type: "workload_identity", assertion: "s3cret", assertionFile: "f" }), [
      "auth.assertionFile: There is also \"assertion\": expected only one of them"
    ])
    assert.deepStrictEqual(auth({ type: "enterprise_managed", clientId: "c", idp: { tokenEndpoint: "t", clientId: "i" } }), [
      "auth.idp: Expected \"subjectToken\" or \"subjectTokenFile\""
    ])
    assert.isNotEmpty(auth({ clientID: "x" }))
    assert.isNotEmpty(auth({ type: "password" }))
    assert.isNotEmpty(auth(7))
  })

  it("secrets of an authorization are shown as little as any others", () => {
    const { config } = decoded({
      url: "http://x",
      auth: { type: "enterprise_managed", clientId: "c", clientSecret: "s3cret", idp: { tokenEndpoint: "t", clientId: "i", subjectToken: "s3cret-${TOKEN}" } }
    })
    assert.notInclude(JSON.stringify(ServerConfig.redacted(config)) + JSON.stringify(config), "s3cret")
    assert.include(JSON.stringify(ServerConfig.redacted(config)), "${TOKEN}")
    assert.include(JSON.stringify(ServerConfig.encode(config)), "s3cret")
  })

  it("problems in an array command are told at their index in it", () => {
    assert.deepStrictEqual(problems({ command: ["", 1, "a\0"], args: ["b\0"] }), [
      "command.0: Must not be empty",
      "command.1: Expected string",
      "command.2: Must not contain a NUL character",
      "args.0: Must not contain a NUL character"
    ])
    assert.deepStrictEqual(problems({ command: [] }), ["command: Must not be empty"])
    assert.deepStrictEqual(problems({ command: [1], args: "x" }), ["command.0: Expected string", "args: Expected array"])
  })

  it("the unit of a timeout is the dialect's", () => {
    assert.strictEqual(encoded({ command: "x", timeout: 30 })["timeout"], 30)
    assert.strictEqual(encoded({ command: "x", timeout: 30 }, { dialect: "cline" })["timeout"], 30_000)
    assert.strictEqual(encoded({ command: "x", timeout: "30 millis" }, { dialect: "cline" })["timeout"], 30)
    const mcpUse = encoded({ url: "http://x", timeout: 5, sse_read_timeout: 300 }, { dialect: "mcp-use" })
    assert.deepStrictEqual(mcpUse, { type: "http", url: "http://x", timeout: 300_000, startupTimeout: 5_000 })
  })

  it("a dialect's own references become ours, in that dialect only", () => {
    const entry = { command: "x", args: ["{env:A} $env:B $C"], env: { D: "$C" } }
    assert.deepStrictEqual(encoded(entry)["args"], entry.args)
    assert.deepStrictEqual(encoded(entry, { dialect: "opencode" })["args"], ["${A} $env:B $C"])
    assert.deepStrictEqual(encoded(entry, { dialect: "mcporter" })["args"], ["{env:A} ${B} $C"])
    assert.deepStrictEqual(encoded(entry, { dialect: "gemini" })["env"], { D: "${C}" })
    assert.strictEqual(encoded({ url: "http://x" }, { dialect: "gemini" })["type"], "sse")
    assert.strictEqual(encoded({ url: "ws://x" }, { dialect: "gemini" })["type"], "ws")
  })
})

describe("ServerConfig: encoding", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "$", "{", "}", "\\", " ", "é", "${V}", "${V:-d}") })
  const notBlank = text.filter((text) => text.trim() !== "")
  const name = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_-]{0,8}$/).filter((name) => name !== "constructor" && name !== "prototype")
  const time = fc.oneof(fc.integer({ min: 1, max: 1e9 }), fc.constantFrom("30 seconds", "1.5 minutes", "2 days", "10 nanos"))
  // JSON has no -0.
  const json = fc.json({ maxDepth: 2 }).map((text): unknown => JSON.parse(JSON.stringify(JSON.parse(text))))
  const common = {
    disabled: fc.boolean(),
    enabled_tools: fc.array(notBlank),
    blockedTools: fc.array(notBlank),
    required: fc.boolean(),
    description: text,
    timeout: time,
    maxTotal: time,
    startup_timeout_sec: fc.oneof(fc.double({ min: 0.001, max: 1e6, noNaN: true }), fc.constant("3 seconds")),
    protocolVersion: fc.constantFrom("2026-07-28", "2024-11-05"),
    protocolEra: fc.constantFrom("auto", "modern", "legacy"),
    reconnect: fc.record({
      when: fc.constantFrom("eager", "on-demand", "never"),
      attempts: fc.nat(),
      baseDelay: time,
      factor: fc.double({ min: 1, max: 10, noNaN: true }),
      maxDelay: fc.nat(),
      jitter: fc.boolean(),
      lasting: time,
      breaker: fc.record({ failures: fc.nat(), cooldown: time }, { requiredKeys: [] })
    }, { requiredKeys: [] }),
    health: fc.record({ interval: fc.nat(), timeout: time, failures: fc.integer({ min: 1 }) }, { requiredKeys: [] }),
    replicas: fc.record({
      min: fc.nat({ max: 4 }),
      max: fc.integer({ min: 4 }),
      maxInFlight: fc.integer({ min: 1 }),
      maxQueue: fc.nat(),
      growAfter: fc.nat(),
      shrinkAfter: time
    }, { requiredKeys: [] }),
    idleTimeToLive: fc.oneof(time, fc.constant("forever")),
    isolation: fc.constantFrom("shared", "scope"),
    drainGrace: fc.nat(),
    autoApprove: json,
    oauth: json
  }
  const stdio = fc.record({
    command: fc.oneof(notBlank, fc.tuple(notBlank, text)),
    args: fc.array(text),
    env: fc.dictionary(name, text),
    environment: fc.dictionary(name.map((name) => `E_${name}`), text),
    envFile: notBlank,
    env_vars: fc.array(name),
    cwd: notBlank,
    shutdown: fc.record({ stdin: fc.nat(), terminate: time, kill: fc.constant(0) }, { requiredKeys: [] }),
    maxMessageBytes: fc.integer({ min: 1 }),
    headers: json,
    ...common
  }, { requiredKeys: ["command"] })
  const remote = fc.record({
    url: fc.constantFrom("https://a/b?c=d", "http+unix://%2Fa/b", "https://${HOST}/"),
    headers: fc.dictionary(name.map((name) => name.toLowerCase()), fc.constantFrom("a", "${B}", "é", "")),
    env_http_headers: fc.dictionary(name.map((name) => `e-${name.toLowerCase()}`), name),
    bearerTokenEnv: name,
    tls: fc.oneof(fc.record({ ca: notBlank, skipVerify: fc.boolean() }, { requiredKeys: [] }), fc.constant({ cert: "a", key: "b" })),
    proxy: fc.constantFrom(false, "http://proxy:3128", "https://u:p@proxy", "${PROXY}"),
    retry: fc.record({ attempts: fc.nat(), baseDelay: time, maxDelay: time, jitter: fc.boolean() }, { requiredKeys: [] }),
    idleTimeout: time,
    redirects: fc.constantFrom("same-origin", "none"),
    args: json,
    ...common
  }, { requiredKeys: ["url"] })
  const webSocket = fc.record({
    url: fc.constantFrom("ws://a", "${URL:-wss://a}"),
    headers: fc.dictionary(name.map((name) => name.toLowerCase()), fc.constantFrom("a", "${B}")),
    bearerTokenEnv: name,
    tls: fc.constant({ cert: "a", key: "b" }),
    requireSubprotocol: fc.boolean(),
    compression: fc.boolean(),
    ping: fc.oneof(fc.constant(false), fc.record({ interval: time, timeout: time }, { requiredKeys: [] })),
    closeTimeout: fc.nat(),
    maxMessageBytes: fc.integer({ min: 1 }),
    redirects: json,
    ...common
  }, { requiredKeys: ["url"] })
  const socket = fc.record({
    url: fc.constantFrom("tcp://a:1", "unix:///a", "tcp://${HOST}:1", "${URL:-unix:///a}"),
    closeTimeout: fc.nat(),
    maxMessageBytes: fc.integer({ min: 1 }),
    headers: json,
    ...common
  }, { requiredKeys: ["url"] })

  const decode = Schema.decodeUnknownSync(ServerConfig.ServerConfig)
  const encode = Schema.encodeSync(ServerConfig.ServerConfig)

  it("decoding the canonical form of an entry gives the entry", () => {
    fc.assert(fc.property(fc.oneof(stdio, remote, webSocket, socket), (entry) => {
      const config = decode(entry)
      const canonical = encode(config)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(canonical)), canonical)
      const again = decode(canonical)
      assert.deepStrictEqual(encode(again), canonical)
      assert.deepStrictEqual(again, config)
      assert.isTrue(ServerConfig.decode(canonical).pipe(Result.isSuccess))
    }))
  })

  it("an entry made in code encodes as one that was decoded, and is checked as one", () => {
    const config = new ServerConfig.Stdio({
      command: "npx",
      env: { TOKEN: Redacted.make("${T}") },
      timeout: Duration.seconds(3)
    })
    assert.deepStrictEqual(encode(config), { type: "stdio", command: "npx", env: { TOKEN: "${T}" }, timeout: 3000 })
    assert.throws(() => new ServerConfig.Stdio({ command: "" }))
    assert.throws(() => new ServerConfig.Http({ url: "ws://x" }))
    assert.throws(() => new ServerConfig.Http({ url: "http://x", headers: { "a b": Redacted.make("") } }))
    assert.throws(() => new ServerConfig.Http({ url: "http://x", headers: { a: Redacted.make("\n") } }))
  })

  it("what a field says wins over an extra key of the same name", () => {
    const config = new ServerConfig.Stdio({ command: "npx", extra: { command: "evil", type: "http", args: ["evil"] } })
    assert.deepStrictEqual(encode(config), { type: "stdio", command: "npx" })
  })

  it("an escaped text is literal", () => {
    assert.strictEqual(ServerConfig.escape("${A}"), "$${A}")
  })

  it("values nested deeper than the stack never make decoding throw", () => {
    let deep: unknown = 1
    for (let depth = 0; depth < 100_000; depth++) deep = depth % 2 === 0 ? { deep } : [deep]
    const keys = ["command", "args", "env", "headers", "timeout", "requestTimeout", "shutdown", "allowedTools", "includeTools", "unknown"]
    const entry = Object.fromEntries(keys.map((key) => [key, deep]))
    assert.isTrue(Result.isFailure(ServerConfig.decode(entry)))
    assert.isTrue(Result.isFailure(ServerConfig.decode({ ...entry, command: "npx" }, { dialect: "gemini" })))
    assert.deepStrictEqual(ServerConfig.redacted(decoded({ command: "npx", unknown: deep }).config)["unknown"], "<redacted>")
  })

  it("random values never make decoding throw", () => {
    const keys = fc.constantFrom("command", "args", "env", "url", "headers", "type", "timeout", "__proto__", "auth", "shutdown", "enabled")
    const entry = fc.dictionary(keys, fc.anything())
    fc.assert(fc.property(fc.oneof(entry, fc.anything()), (entry) => {
      ServerConfig.decode(entry)
      ServerConfig.decode(entry, { dialect: "opencode" })
    }))
  })
})

describe("ServerConfig: display", () => {
  it("what is shown has no secret, and keeps the names of variables", () => {
    const { config } = decoded({
      command: "npx",
      args: ["-y", "${PACKAGE}"],
      env: { A: "s3cr3t", B: "${TOKEN}", C: "s3cr3t-${TOKEN:-s3cr3t}" },
      oauth: { clientSecret: "s3cr3t" },
      note: "s3cr3t",
      trust: true,
      headers: { A: "s3cr3t" }
    })
    assert.deepStrictEqual(ServerConfig.redacted(config), {
      type: "stdio",
      command: "npx",
      args: ["-y", "${PACKAGE}"],
      env: { A: "<redacted>", B: "${TOKEN}", C: "<redacted>${TOKEN:-<redacted>}" },
      oauth: "<redacted>",
      note: "<redacted>",
      trust: true,
      headers: "<redacted>"
    })
    assert.deepStrictEqual(
      ServerConfig.redacted(decoded({ url: "https://x/mcp?key=s3cr3t", authToken: "${T}", env_http_headers: { K: "V" } }).config),
      { type: "http", url: "https://x/mcp?<redacted>", headers: { Authorization: "Bearer ${T}", K: "${V}" } }
    )
  })
})
