/**
 * A config: which servers there are, and which file each of them is from.
 *
 * A document is a map of entries under `mcpServers` or under the root key of
 * another client (see `config/Dialects.ts`), as a value, as JSON with comments,
 * or as TOML. Several documents merge into one config; later ones win.
 *
 * ```ts
 * const config = yield* McpConfig.load("mcp.json")
 * const entry = yield* McpConfig.get(config, "files")
 * const resolved = yield* McpConfig.resolve(entry)
 * ```
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type { DialectName } from "./config/Dialects.ts"
import * as Dialects from "./config/Dialects.ts"
import * as Discovery from "./config/Discovery.ts"
import * as Document from "./config/Document.ts"
import * as File from "./config/File.ts"
import * as Resolve from "./config/Resolve.ts"
import * as Rules from "./config/Rules.ts"
import * as McpError from "./McpError.ts"
import * as ServerConfig from "./ServerConfig.ts"

// =============================================================================
// Models
// =============================================================================

/** One server of a config, and where it is from. */
export interface Entry {
  readonly name: string
  readonly config: ServerConfig.ServerConfig
  /** The absolute path of the file, or what the caller called the document. */
  readonly source: string
  /** What the relative paths of the entry start from, where it is from a file. */
  readonly directory: string | undefined
  /** Documents before it that also had a server of this name, in order. */
  readonly overridden: ReadonlyArray<string>
}

/** Something in a document that has no effect. */
export interface Warning extends McpError.ConfigIssue {
  readonly source: string
}

export interface McpConfig {
  /** By name, in the order of the documents. */
  readonly servers: ReadonlyMap<string, Entry>
  /** The documents that were read, in order. */
  readonly sources: ReadonlyArray<string>
  readonly warnings: ReadonlyArray<Warning>
}

export interface Options {
  /** What to call the document in errors and warnings. Default: `value`. */
  readonly source?: string | undefined
  /** What relative paths start from. Default: where the program runs, when it connects. */
  readonly directory?: string | undefined
  /** Whose way of writing the document has, where it cannot be told from it. */
  readonly dialect?: DialectName | undefined
}

export const empty: McpConfig = { servers: new Map(), sources: [], warnings: [] }

// =============================================================================
// Constructors
// =============================================================================

/**
 * Decodes a document that is a value already, such as the result of `JSON.parse`.
 *
 * Fails with `InvalidConfig`, which tells everything that is wrong with it.
 *
 * ```ts
 * const config = yield* McpConfig.fromValue({ mcpServers: { files: { command: "npx", args: ["-y", "some-server"] } } })
 * ```
 */
export const fromValue = (value: unknown, options?: Options): Effect.Effect<McpConfig, McpError.McpError> =>
  Effect.suspend(() => Effect.fromResult(decode(value, options ?? {})))

/**
 * Decodes a document from its text: JSON with comments and trailing commas, or
 * TOML. A syntax error tells line and column.
 *
 * Fails with `InvalidConfig`.
 */
export const fromString = (
  text: string,
  options?: Options & { readonly format?: Document.Format | undefined }
): Effect.Effect<McpConfig, McpError.McpError> =>
  Effect.suspend(() => Effect.fromResult(decodeText(text, options ?? {})))

/**
 * Reads a file: TOML if its name ends so, JSON with comments otherwise. A
 * relative path is relative to where the program runs.
 *
 * Relative paths in the file start from its folder; for a file in a `.vscode` or
 * `.cursor` folder, from the folder that contains that one.
 *
 * Fails with `ConfigUnreadable` or `InvalidConfig`.
 */
export const load = (
  file: string,
  options?: Pick<Options, "dialect">
): Effect.Effect<McpConfig, McpError.McpError, FileSystem.FileSystem | Path.Path> => read(file, { ...options })

/** Reads several files, in order; where several know a server, the last wins. Fails as {@link load} does. */
export const loadAll = (
  files: ReadonlyArray<string>,
  options?: Pick<Options, "dialect">
): Effect.Effect<McpConfig, McpError.McpError, FileSystem.FileSystem | Path.Path> =>
  Effect.map(Effect.forEach(files, (file) => load(file, options)), merge)

/**
 * Reads whatever there is of the usual files: `mcp.json`, `.mcp.json`,
 * `.cursor/mcp.json` and `.vscode/mcp.json` in a project, and what other clients
 * keep in the user's home. The project's win over the user's.
 *
 * These files belong to other programs and may be written by strangers: connecting
 * runs the commands in them, so ask before that (S-14). A file that cannot be read
 * is not in the way of the others: its problems become warnings.
 */
export const discover = Effect.fnUntraced(function*(options?: {
  /** The project. Default: where the program runs. */
  readonly directory?: string | undefined
  /** Whether to look in the project. Default: true. */
  readonly project?: boolean | undefined
  /** Whether to look in the user's home. Default: true. */
  readonly user?: boolean | undefined
}): Effect.fn.Return<McpConfig, never, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const places = [
    ...(options?.user === false ? [] : yield* Discovery.userPlaces),
    ...(options?.project === false ? [] : yield* Discovery.projectPlaces(options?.directory ?? "."))
  ]
  // In the user's home both ways of looking find the same file.
  const distinct = [...new Map(places.map((place) => [place.file, place])).values()]
  const configs = yield* Effect.forEach(distinct, Effect.fnUntraced(function*({ dialect, file }) {
    const exists = yield* Effect.orElseSucceed(fs.exists(file), () => true)
    if (!exists) return empty
    return yield* Effect.catch(
      read(file, { dialect, mayHaveNone: true }),
      ({ reason }) => Effect.succeed({ ...empty, warnings: skipped(file, reason) })
    )
  }))
  return merge(configs)
})

/** One config of several. Where several know a server, the last wins, and its `overridden` names the others. */
export const merge = (configs: ReadonlyArray<McpConfig>): McpConfig => {
  const servers = new Map<string, Entry>()
  for (const config of configs) {
    for (const [name, entry] of config.servers) {
      const before = servers.get(name)
      servers.set(
        name,
        before === undefined
          ? entry
          : { ...entry, overridden: [...before.overridden, before.source, ...entry.overridden] }
      )
    }
  }
  return {
    servers,
    sources: configs.flatMap(({ sources }) => sources),
    warnings: configs.flatMap(({ warnings }) => warnings)
  }
}

// =============================================================================
// Use
// =============================================================================

/** The server of that name. Fails with `UnknownServer`, which names those there are. */
export const get = (config: McpConfig, name: string): Effect.Effect<Entry, McpError.McpError> =>
  Effect.suspend(() => {
    const entry = config.servers.get(name)
    return entry === undefined
      ? Effect.fail(McpError.make(new McpError.UnknownServer({ name, known: [...config.servers.keys()] })))
      : Effect.succeed(entry)
  })

/** The servers that are not disabled. */
export const enabled = (config: McpConfig): ReadonlyArray<Entry> =>
  [...config.servers.values()].filter((entry) => entry.config.disabled !== true)

/** What an entry comes to, here and now: {@link ServerConfig.resolve} with the entry's own directory. */
export const resolve = (
  entry: Entry
): Effect.Effect<ServerConfig.Resolved, McpError.McpError, FileSystem.FileSystem | Path.Path> =>
  ServerConfig.resolve(entry.name, entry.config, entry)

/**
 * The same for every server that is not disabled. Fails with what is wrong with
 * any of them, all together: every variable that is not set, before all else.
 */
export const resolveAll = (
  config: McpConfig
): Effect.Effect<ReadonlyMap<string, ServerConfig.Resolved>, McpError.McpError, FileSystem.FileSystem | Path.Path> =>
  Resolve.resolveAll(enabled(config))

/** The canonical document. Secrets are revealed: this is what a config file holds. */
export const encode = (config: McpConfig): Record<string, unknown> => {
  const document = { mcpServers: mapServers(config, ServerConfig.encode) }
  const location = Dialects.locate(document, undefined)
  // Keys that were kept for another client must not make its reader of ours.
  return location._tag === "Located" && location.dialect !== Dialects.canonical
    ? { dialect: Dialects.canonical.name, ...document }
    : document
}

/** The canonical document, fit to be shown: see {@link ServerConfig.redacted}. */
export const redacted = (config: McpConfig): Record<string, unknown> => ({
  mcpServers: mapServers(config, ServerConfig.redacted)
})

// =============================================================================
// Internal
// =============================================================================

const mapServers = <A>({ servers }: McpConfig, f: (config: ServerConfig.ServerConfig) => A): Record<string, A> =>
  Object.fromEntries([...servers.values()].map(({ config, name }) => [name, f(config)]))

interface Reading extends Options {
  readonly format?: Document.Format | undefined
  /** A file that also serves other purposes. */
  readonly mayHaveNone?: boolean
}

const invalid = (source: string, issues: ReadonlyArray<McpError.ConfigIssue>): McpError.McpError =>
  McpError.make(new McpError.InvalidConfig({ source, issues }))

const decode = (value: unknown, options: Reading): Result.Result<McpConfig, McpError.McpError> => {
  const { directory, source = "value" } = options
  const location = Dialects.locate(value, options.dialect)
  if (location._tag === "NotFound") {
    return options.mayHaveNone === true
      ? Result.succeed({ ...empty, sources: [source] })
      : Result.fail(invalid(source, [{
        path: [],
        message: "Expected a map of servers under \"mcpServers\" (or \"servers\", \"mcp_servers\", \"mcp\"), " +
          "or a bare map of servers"
      }]))
  }
  if (location._tag === "Invalid") return Result.fail(invalid(source, [{ path: [], message: location.problem }]))
  const { dialect, path } = location
  if (!Predicate.isReadonlyObject(location.servers)) {
    return Result.fail(invalid(source, [{ path, message: "Expected an object: a server for each name" }]))
  }
  const issues: Array<McpError.ConfigIssue> = []
  const servers = new Map<string, Entry>()
  const warnings: Array<Warning> = []
  for (const [name, value] of Object.entries(location.servers)) {
    const inside = (issue: McpError.ConfigIssue) => ({ path: [...path, name, ...issue.path], message: issue.message })
    const problem = Rules.serverName(name)
    if (problem !== undefined) {
      issues.push({ path: [...path, name], message: problem })
      continue
    }
    const decoded = ServerConfig.decode(value, { dialect: dialect.name })
    if (Result.isFailure(decoded)) {
      issues.push(...decoded.failure.map(inside))
      continue
    }
    const { config, unused } = decoded.success
    servers.set(name, { name, config, source, directory, overridden: [] })
    warnings.push(...unused.map((issue) => ({ source, ...inside(issue) })))
  }
  return issues.length > 0 ? Result.fail(invalid(source, issues)) : Result.succeed({ servers, sources: [source], warnings })
}

const decodeText = (text: string, options: Reading): Result.Result<McpConfig, McpError.McpError> =>
  Document.parse(text, options.format ?? "json").pipe(
    Result.mapError((message) => invalid(options.source ?? "value", [{ path: [], message }])),
    Result.flatMap((value) => decode(value, options))
  )

/** Folders in which a client keeps the settings of the project around it. */
const settingsFolders = [".vscode", ".cursor"]

const read = Effect.fnUntraced(function*(file: string, options: Reading) {
  const path = yield* Path.Path
  const source = path.resolve(file)
  const text = yield* Effect.mapError(File.read(source), (reason) => McpError.make(reason))
  const folder = path.dirname(source)
  const directory = settingsFolders.includes(path.basename(folder)) ? path.dirname(folder) : folder
  const format = path.extname(source).toLowerCase() === ".toml" ? "toml" : "json"
  return yield* Effect.fromResult(decodeText(text, { ...options, source, directory, format }))
})

const skipped = (source: string, reason: McpError.McpErrorReason): ReadonlyArray<Warning> =>
  (reason._tag === "InvalidConfig" ? reason.issues : [{ path: [], message: reason.message }])
    .map(({ message, path }) => ({ source, path, message: `The file is skipped. ${message}` }))
