/**
 * An entry at use: every template expanded, the environment of a program put
 * together, paths made absolute. What could only be checked now is checked, and
 * nothing that came from the environment is shown.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Struct from "effect/Struct"
import { reveal } from "../internal/reveal.ts"
import * as McpError from "../McpError.ts"
import type { Revision } from "../protocol/Revision.ts"
import type { Http, ServerConfig, Socket, Stdio, WebSocket } from "../ServerConfig.ts"
import * as Authorization from "./Authorization.ts"
import * as Environment from "./Environment.ts"
import * as Expander from "./Expander.ts"
import * as File from "./File.ts"
import * as Rules from "./Rules.ts"
import * as SocketAddress from "./SocketAddress.ts"
import * as Supervision from "./Supervision.ts"
import * as UnixSocket from "./UnixSocket.ts"

// =============================================================================
// Resolved
// =============================================================================

export interface ResolvedCommon extends Supervision.Supervision {
  readonly timeout?: Duration.Duration
  readonly maxTotal?: Duration.Duration
  readonly startupTimeout?: Duration.Duration
  readonly allowedTools?: ReadonlyArray<string>
  readonly blockedTools?: ReadonlyArray<string>
  readonly protocolVersion?: Revision
  readonly protocolEra?: "auto" | "modern" | "legacy"
}

export interface ResolvedStdio extends ResolvedCommon {
  readonly _tag: "Stdio"
  /** Plain text: a failure to start it has to say what was looked for. */
  readonly command: string
  readonly args: ReadonlyArray<Expander.Text>
  /** The whole environment of the program. */
  readonly env: Readonly<Record<string, Redacted.Redacted<string>>>
  /** Absolute. Absent: where this program runs. */
  readonly cwd?: string
  readonly shutdown?: {
    readonly stdin?: Duration.Duration
    readonly terminate?: Duration.Duration
    readonly kill?: Duration.Duration
  }
  readonly maxMessageBytes?: number
}

export interface ResolvedHttp extends ResolvedCommon {
  readonly _tag: "Http"
  readonly url: Expander.Text
  /** With the bearer token, if the entry names a variable for it. */
  readonly headers: Readonly<Record<string, Redacted.Redacted<string>>>
  /** How tokens are got; absent where they are not, or need not be. */
  readonly auth?: Authorization.ResolvedAuthorization
  readonly transport?: "streamable-http" | "sse"
  /** Where the URL is of a unix domain socket; `url` is then what is asked for over it. */
  readonly socketPath?: string
  /** The contents of the files. */
  readonly tls?: {
    readonly ca?: string
    readonly cert?: string
    readonly key?: Redacted.Redacted<string>
    readonly skipVerify?: boolean
  }
  readonly proxy?: Redacted.Redacted<string> | false
  readonly retry?: NonNullable<Http["retry"]>
  readonly idleTimeout?: Duration.Duration
  readonly maxMessageBytes?: number
  readonly redirects?: "same-origin" | "none"
}

export interface ResolvedWebSocket extends ResolvedCommon {
  readonly _tag: "WebSocket"
  readonly url: Expander.Text
  /** With the bearer token, if the entry names a variable for it. */
  readonly headers: Readonly<Record<string, Redacted.Redacted<string>>>
  /** How tokens are got; absent where they are not, or need not be. */
  readonly auth?: Authorization.ResolvedAuthorization
  /** The contents of the files. */
  readonly tls?: NonNullable<ResolvedHttp["tls"]>
  readonly requireSubprotocol?: boolean
  readonly compression?: boolean
  readonly ping?: NonNullable<WebSocket["ping"]>
  readonly closeTimeout?: Duration.Duration
  readonly maxMessageBytes?: number
}

export interface ResolvedSocket extends ResolvedCommon {
  readonly _tag: "Socket"
  readonly address: SocketAddress.SocketAddress
  readonly closeTimeout?: Duration.Duration
  readonly maxMessageBytes?: number
}

export type Resolved = ResolvedStdio | ResolvedHttp | ResolvedWebSocket | ResolvedSocket

export interface ResolveOptions {
  /** What `cwd`, `envFile` and `${workspaceFolder}` are relative to. Default: where this program runs. */
  readonly directory?: string | undefined
  /** What to call the document in an error. */
  readonly source?: string | undefined
}

// =============================================================================
// Resolving
// =============================================================================

const commonKeys = [
  "timeout",
  "maxTotal",
  "startupTimeout",
  "allowedTools",
  "blockedTools",
  "protocolVersion",
  "protocolEra",
  ...Supervision.names
] as const

const stdio = Effect.fnUntraced(function*(config: Stdio, expander: Expander.Expander) {
  const command = yield* expander.expand(["command"], config.command, Rules.fileName)
  const args: Array<Expander.Text> = []
  for (const [index, arg] of config.args.entries()) {
    args.push(yield* expander.expand(["args", index], arg, Rules.noNul))
  }
  const cwd = config.cwd === undefined ? undefined : yield* expander.expandPath(["cwd"], config.cwd)
  return {
    _tag: "Stdio",
    command: reveal(command),
    args,
    env: yield* Environment.make(config, expander),
    ...(cwd === undefined ? {} : { cwd }),
    ...Struct.pick(config, [...commonKeys, "shutdown", "maxMessageBytes"])
  } satisfies ResolvedStdio
})

const remote = Effect.fnUntraced(function*(
  config: Http | WebSocket,
  protocols: ReadonlyArray<Rules.Protocol>,
  expander: Expander.Expander
) {
  const url = yield* expander.expand(["url"], config.url, Rules.url(protocols))
  const headers = yield* expander.expandAll("headers", config.headers, Rules.headerValue)
  const { bearerTokenEnv } = config
  const token = bearerTokenEnv === undefined
    ? undefined
    : yield* expander.variable(["bearerTokenEnv"], bearerTokenEnv, Rules.headerValue)
  return {
    url,
    headers: token === undefined
      ? headers
      : { ...headers, Authorization: Redacted.make(`Bearer ${reveal(token)}`) },
    ...Struct.pick(config, commonKeys)
  }
})

const file = Effect.fnUntraced(function*(
  field: Expander.Field,
  template: string | undefined,
  expander: Expander.Expander
) {
  const name = template === undefined ? undefined : yield* expander.expandPath(field, template)
  if (name === undefined) return undefined
  const contents = yield* Effect.result(File.read(name))
  if (Result.isSuccess(contents)) return contents.success
  expander.problems.unreadable.push(contents.failure)
  return undefined
})

const tls = Effect.fnUntraced(function*(
  { skipVerify, ...files }: NonNullable<Http["tls"]>,
  expander: Expander.Expander
) {
  const ca = yield* file(["tls", "ca"], files.ca, expander)
  const cert = yield* file(["tls", "cert"], files.cert, expander)
  const key = yield* file(["tls", "key"], files.key, expander)
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key: Redacted.make(key) }),
    ...(skipVerify === undefined ? {} : { skipVerify })
  }
})

const noteTls = (config: Http | WebSocket, url: string, scheme: "https" | "wss", expander: Expander.Expander): void => {
  if (config.tls !== undefined && url !== "" && !url.toLowerCase().startsWith(`${scheme}:`)) {
    expander.note(["tls"], `Is for a URL that begins with ${scheme}://`)
  }
}

/** How the server is reached, where it is not by the platform's own ways. */
const connection = Effect.fnUntraced(function*(config: Http, url: Expander.Text, expander: Expander.Expander) {
  const text = reveal(url)
  const socket = UnixSocket.parse(text)
  noteTls(config, text, "https", expander)
  if (config.proxy !== undefined && config.proxy !== false && socket !== undefined) {
    expander.note(["proxy"], "There is no proxy to a unix domain socket")
  }
  const proxy = config.proxy === undefined || config.proxy === false
    ? config.proxy
    : Redacted.make(reveal(yield* expander.expand(["proxy"], Redacted.value(config.proxy), Rules.proxy)))
  return {
    ...(socket === undefined ? {} : {
      url: Redacted.isRedacted(url) ? Redacted.make(socket.url) : socket.url,
      socketPath: socket.socketPath
    }),
    ...(config.tls === undefined ? {} : { tls: yield* tls(config.tls, expander) }),
    ...(proxy === undefined ? {} : { proxy })
  }
})

const http = Effect.fnUntraced(function*(config: Http, expander: Expander.Expander) {
  const resolved = { _tag: "Http", ...yield* remote(config, Rules.httpProtocols, expander) } as const
  const reached = yield* connection(config, resolved.url, expander)
  const chosen = Authorization.choose(config.auth, resolved.headers)
  // All sockets have one URL, and tokens are for a URL.
  const auth = "socketPath" in reached ? false : chosen
  if (auth !== chosen && config.auth !== undefined) expander.note(["auth"], "There is none over a unix domain socket")
  return {
    ...resolved,
    ...(auth === false ? {} : { auth: yield* Authorization.resolve(auth, expander) }),
    ...reached,
    ...Struct.pick(config, ["transport", "retry", "idleTimeout", "maxMessageBytes", "redirects"])
  } satisfies ResolvedHttp
})

const webSocket = Effect.fnUntraced(function*(config: WebSocket, expander: Expander.Expander) {
  const resolved = { _tag: "WebSocket", ...yield* remote(config, Rules.webSocketProtocols, expander) } as const
  noteTls(config, reveal(resolved.url), "wss", expander)
  const auth = Authorization.choose(config.auth, resolved.headers)
  return {
    ...resolved,
    ...(auth === false ? {} : { auth: yield* Authorization.resolve(auth, expander) }),
    ...(config.tls === undefined ? {} : { tls: yield* tls(config.tls, expander) }),
    ...Struct.pick(config, ["requireSubprotocol", "compression", "ping", "closeTimeout", "maxMessageBytes"])
  } satisfies ResolvedWebSocket
})

const socket = Effect.fnUntraced(function*(config: Socket, expander: Expander.Expander) {
  const url = yield* expander.expand(["url"], config.url, Rules.url(Rules.socketProtocols))
  return {
    _tag: "Socket",
    // Where there is none, the expander has noted why.
    address: SocketAddress.parse(reveal(url)) ?? { path: "" },
    ...Struct.pick(config, [...commonKeys, "closeTimeout", "maxMessageBytes"])
  } satisfies ResolvedSocket
})

const attempt = (
  config: ServerConfig,
  expander: Expander.Expander
): Effect.Effect<Resolved, never, FileSystem.FileSystem | Path.Path> => {
  switch (config._tag) {
    case "Stdio":
      return stdio(config, expander)
    case "Http":
      return http(config, expander)
    case "WebSocket":
      return webSocket(config, expander)
    case "Socket":
      return socket(config, expander)
  }
}

/** Unset variables first: other problems may follow from them. */
const failure = (problems: Expander.Problems, source: string): McpError.McpErrorReason | undefined =>
  problems.missing.length > 0
    ? new McpError.UnsetVariables({ missing: problems.missing })
    : problems.issues.length > 0
    ? new McpError.InvalidConfig({ source, issues: problems.issues })
    : problems.unreadable[0]

/**
 * What an entry comes to, here and now: its templates expanded through the
 * ConfigProvider, the whole environment of a program, absolute paths.
 *
 * Fails with `UnsetVariables` (all of them), `InvalidConfig` (what only shows
 * after expansion: a URL, a line break in a header, an empty command) or
 * `ConfigUnreadable` (the `envFile`, the files of `tls`). No error shows a value.
 *
 * ```ts
 * const resolved = yield* ServerConfig.resolve("files", new ServerConfig.Stdio({ command: "${NODE:-node}" }))
 * ```
 */
export const resolve = Effect.fnUntraced(function*(
  name: string,
  config: ServerConfig,
  options?: ResolveOptions
): Effect.fn.Return<Resolved, McpError.McpError, FileSystem.FileSystem | Path.Path> {
  const expander = yield* Expander.make(name, options?.directory)
  const resolved = yield* attempt(config, expander)
  const reason = failure(expander.problems, options?.source ?? "value")
  if (reason !== undefined) return yield* McpError.make(reason, name)
  return resolved
})

/** Resolves several entries. Fails with what is wrong with any of them, all together. */
export const resolveAll = Effect.fnUntraced(function*(
  entries: ReadonlyArray<ResolveOptions & { readonly name: string; readonly config: ServerConfig }>
): Effect.fn.Return<ReadonlyMap<string, Resolved>, McpError.McpError, FileSystem.FileSystem | Path.Path> {
  const resolved = new Map<string, Resolved>()
  const all = Expander.noProblems()
  const sources = new Set<string>()
  for (const { config, directory, name, source } of entries) {
    const expander = yield* Expander.make(name, directory)
    resolved.set(name, yield* attempt(config, expander))
    const { issues, missing, unreadable } = expander.problems
    all.missing.push(...missing)
    all.issues.push(...issues.map(({ message, path }) => ({ path: [name, ...path], message })))
    all.unreadable.push(...unreadable)
    if (issues.length > 0) sources.add(source ?? "value")
  }
  const reason = failure(all, [...sources].join(", "))
  if (reason !== undefined) return yield* McpError.make(reason)
  return resolved
})
