/** From the flags to a config, and from a name in it to a connected client. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Diagnostic from "../Diagnostic.ts"
import * as McpClient from "../McpClient.ts"
import * as McpConfig from "../McpConfig.ts"
import { renderPath } from "../protocol/schema/Decoder.ts"
import * as Elicit from "./elicit.ts"
import * as Exit from "./exit.ts"
import * as Flags from "./flags.ts"
import * as Login from "./login.ts"
import { Screen } from "./screen.ts"

/** Servers started at a time. */
export const concurrency = 8

/** Read when no other file is named. */
const defaultFiles = ["mcp.json", ".mcp.json"]

/** The config the flags ask for. What was found, and what in it has no effect, is told on stderr. */
export const config = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const files = yield* Flags.config
  const discovered = (yield* Flags.discover) ? yield* McpConfig.discover() : undefined
  const named = files.length > 0 || discovered !== undefined
    ? files
    : yield* Effect.filter(defaultFiles, (file) => Effect.orElseSucceed(fs.exists(file), () => true))
  if (named.length === 0 && discovered === undefined) {
    return yield* Exit.usage(
      "There is no mcp.json or .mcp.json here. Name a config with --config FILE, look for those of other programs " +
        "with mcp-connect config --discover, or try mcp-connect demo"
    )
  }
  const config = McpConfig.merge([discovered ?? McpConfig.empty, yield* McpConfig.loadAll(named)])
  // Who named the files knows them.
  for (const source of files.length > 0 ? [] : config.sources) yield* Effect.logInfo(`config: ${source}`)
  for (const { message, path, source } of config.warnings) {
    yield* Effect.logWarning(`${[source, ...path.length === 0 ? [] : [renderPath(path)]].join(": ")}: ${message}`)
  }
  if (config.servers.size === 0) yield* Effect.logWarning("There are no servers in the config")
  return config
})

/** What goes beside the results: noise at debug, what may be wrong as a warning. */
export const logDiagnostics = (client: McpClient.McpClient["Service"]) =>
  Stream.runForEach(client.diagnostics, Diagnostic.match({
    Stderr: ({ line }) => Effect.logDebug(`[${client.name}] ${line}`),
    Skipped: ({ detail, excerpt }) => Effect.logDebug(`[${client.name}] skipped: ${detail}: ${excerpt}`),
    StrayReply: ({ id, kind }) => Effect.logDebug(`[${client.name}] ${kind} reply to request ${id}`),
    Warning: ({ detail }) => Effect.logWarning(`[${client.name}] ${detail}`)
  }))

/** The entry of that name. */
export const named = Effect.fnUntraced(function*(config: McpConfig.McpConfig, name: string) {
  const entry = yield* McpConfig.get(config, name)
  if (entry.config.disabled === true) return yield* Exit.usage(`The server "${name}" is disabled in ${entry.source}`)
  return entry
})

/** Connects to an entry, for as long as the scope is open. */
export const open = Effect.fnUntraced(function*(entry: McpConfig.Entry) {
  const timeout = Option.getOrUndefined(yield* Flags.timeout)
  return yield* McpClient.fromConfig(entry, timeout === undefined ? {} : { timeout, startupTimeout: timeout })
})

/** The same, and what is not a result goes to the log. */
export const client = Effect.fnUntraced(function*(entry: McpConfig.Entry) {
  const client = yield* open(entry)
  yield* Effect.forkScoped(logDiagnostics(client), { startImmediately: true })
  return client
})

/**
 * Connects to the server of that name. Where there is a person at the terminal,
 * they log in if the server wants it; with `interactive`, it may ask them more,
 * otherwise it is told that nobody can be asked.
 */
export const server = Effect.fnUntraced(function*(name: string, options?: { readonly interactive?: boolean }) {
  const entry = yield* named(yield* config, name)
  const { isInteractive, status } = yield* Screen
  yield* status(`connecting to ${name}`)
  const connecting = isInteractive ? Effect.provide(client(entry), Login.browser()) : client(entry)
  return yield* (options?.interactive === true && isInteractive ? Effect.provide(connecting, Elicit.layer) : connecting).pipe(
    Effect.mapError((error) => Exit.fromMcpError(error, "unreachable")),
    Effect.ensuring(status(""))
  )
})
