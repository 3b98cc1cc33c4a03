import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as HttpServer from "effect/http/HttpServer"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Bridge from "../../bridge/Bridge.ts"
import * as Failure from "../../bridge/failure.ts"
import type { Diagnostic } from "../../Diagnostic.ts"
import * as McpConfig from "../../McpConfig.ts"
import * as NodeMcp from "../../node.ts"
import type { Binding } from "../../Transport.ts"
import * as StdioTransport from "../../transport/StdioTransport.ts"
import * as Connect from "../connect.ts"
import * as Exit from "../exit.ts"
import * as Flags from "../flags.ts"
import { Screen } from "../screen.ts"
import * as Table from "../table.ts"
import { json } from "../text.ts"

const columns: ReadonlyArray<Table.Column> = [{ title: "NAME", keep: true }, { title: "HTTP", keep: true }, { title: "WEBSOCKET", keep: true }]

/** The stdio servers to serve: the one that was named, or all there are. */
const choose = Effect.fnUntraced(function*(name: Option.Option<string>) {
  const config = yield* Connect.config
  if (Option.isSome(name)) {
    const entry = yield* McpConfig.get(config, name.value)
    if (entry.config.disabled === true) return yield* Exit.usage(`The server "${entry.name}" is disabled in ${entry.source}`)
    if (entry.config._tag !== "Stdio") {
      return yield* Exit.usage(`The server "${entry.name}" is reached over the network already; only stdio servers are served`)
    }
    return { config, entries: [entry] }
  }
  const entries = McpConfig.enabled(config).filter((entry) => entry.config._tag === "Stdio")
  if (entries.length === 0) return yield* Exit.usage("There is no stdio server to serve in the config")
  return { config, entries }
})

/** Sessions come and go on stderr: processes that end by themselves as a warning, everything else at debug. */
const logging = Effect.fnUntraced(function*(name: string, binding: Binding) {
  const lines = yield* Queue.dropping<Effect.Effect<void>>(1_024)
  yield* Effect.forkScoped(Effect.forever(Effect.flatten(Queue.take(lines))))
  const log = (line: Effect.Effect<void>) => void Queue.offerUnsafe(lines, line)
  const ofDiagnostic = ({ _tag, ...facts }: Diagnostic) => `[${name}] ${_tag.toLowerCase()} ${Object.values(facts).join(" ")}`
  return {
    ...binding,
    open: (receiver) =>
      binding.open({
        ...receiver,
        onDiagnostic: (diagnostic) => {
          log(diagnostic._tag === "Warning" ? Effect.logWarning(ofDiagnostic(diagnostic)) : Effect.logDebug(ofDiagnostic(diagnostic)))
          receiver.onDiagnostic(diagnostic)
        },
        onClose: (reason) => {
          const line = `[${name}] ${Failure.describe(reason)}`
          log(reason._tag === "ConnectionClosed" && reason.by === "client" ? Effect.logDebug(line) : Effect.logWarning(line))
          receiver.onClose(reason)
        }
      }).pipe(
        Effect.tap(() => Effect.logDebug(`[${name}] started`)),
        Effect.tapError((error) => Effect.logWarning(`[${name}] ${error.message}`))
      )
  } satisfies Binding
})

const bindings = Effect.fnUntraced(function*(config: McpConfig.McpConfig, entries: ReadonlyArray<McpConfig.Entry>) {
  const servers = new Map(entries.map((entry) => [entry.name, entry]))
  const resolved = yield* McpConfig.resolveAll({ ...config, servers })
  const made: Record<string, Binding> = {}
  for (const [name, server] of resolved) {
    if (server._tag !== "Stdio") continue
    if (server.allowedTools !== undefined || server.blockedTools !== undefined) {
      yield* Effect.logWarning(`[${name}] allowedTools and blockedTools are for clients of this config: whoever connects sees every tool`)
    }
    made[name] = yield* logging(name, yield* StdioTransport.make(server))
  }
  return made
})

/** 256 bits that fit a header, a URL and a WebSocket subprotocol. */
const makeToken = Effect.sync(() => Redacted.make(Base64Url.encode(crypto.getRandomValues(new Uint8Array(32)))))

/** The token that was given; a new one, told on stderr this once, where other machines reach the address. */
const tokenFor = Effect.fnUntraced(function*(given: Option.Option<Redacted.Redacted<string>>) {
  const { address } = yield* HttpServer.HttpServer
  const token = Option.getOrUndefined(given)
  if (token !== undefined || (NetAddress.isInetAddress(address) && NetAddress.isLoopback(address.address))) return token
  const { note } = yield* Screen
  const made = yield* makeToken
  yield* note(`token: ${Redacted.value(made)}`)
  return made
})

export const serve = Command.make("serve", {
  server: Argument.String("server").pipe(
    Argument.withDescription("Name of a stdio server in the config, served at /mcp. Default: all of them, each at /NAME"),
    Argument.optional
  ),
  port: Flag.Int("port").pipe(
    Flag.withDescription("Port to listen on. Default: any that is free"),
    Flag.filter((port) => port >= 0 && port <= 65_535, (port) => `Expected a port from 0 to 65535, got ${port}`),
    Flag.withDefault(0)
  ),
  host: Flag.String("host").pipe(
    Flag.withDescription("Address to listen on; others than this machine's own need a token. Default: 127.0.0.1"),
    Flag.withDefault("127.0.0.1")
  ),
  token: Flag.Redacted("token").pipe(
    Flag.withMetavar("TOKEN"),
    Flag.withDescription(
      "What clients have to show as a bearer token. Better in MCP_CONNECT_TOKEN, which no list of processes shows"
    ),
    Flag.withFallbackConfig(Config.Redacted("MCP_CONNECT_TOKEN")),
    Flag.optional
  ),
  sharing: Flag.Literals("sharing", ["session", "shared"]).pipe(
    Flag.withDescription("A process for every session, or one that all sessions share"),
    Flag.withDefault("session")
  ),
  allowOrigins: Flag.String("allow-origin").pipe(
    Flag.withMetavar("ORIGIN"),
    Flag.withDescription("Also let web pages of this origin connect, such as https://app.example; may be given several times"),
    Flag.filter((origin) => URL.parse(origin)?.origin === origin, (origin) => `Expected an origin such as https://app.example, got "${origin}"`),
    Flag.atLeast(0)
  )
}, Exit.reporting(Effect.fnUntraced(function*({ allowOrigins, host, port, server, sharing, token: given }) {
  if (Option.isSome(given) && !/^[\w.~+/-]+=*$/.test(Redacted.value(given.value))) {
    return yield* Exit.usage("The token must be what fits a bearer token: letters, digits and -._~+/")
  }
  const { columns: room, print, style } = yield* Screen
  const asJson = yield* Flags.json
  const { config, entries } = yield* choose(server)
  const servers = yield* bindings(config, entries)
  return yield* Effect.gen(function*() {
    const token = yield* tokenFor(given)
    const endpoints = yield* Bridge.http({ servers, sharing, allowOrigins, token })
    yield* print(
      asJson
        ? json(endpoints)
        : Table.render(columns, endpoints.map(({ http, name, websocket }) => ({ cells: [name, http, websocket] })), {
          room,
          heading: style.bold
        })
    )
    yield* Effect.logInfo(`serving ${endpoints.length === 1 ? "1 server" : `${endpoints.length} servers`}; Ctrl-C ends`)
    return yield* Effect.never
  }).pipe(
    Effect.scoped,
    Effect.provide(NodeMcp.layerHttpServer({ host, port })),
    Effect.catchTag("ServeError", ({ cause }) =>
      Exit.usage(`Cannot listen on ${host}:${port}: ${cause instanceof Error ? cause.message : String(cause)}`))
  )
}, Effect.scoped))).pipe(
  Command.withDescription(
    "Serve the stdio servers of the config to other programs, over Streamable HTTP and WebSocket on the same URL"
  )
)
