/**
 * The runtime of many servers, for a service that lives long: each is connected
 * when it is first needed, shared by every fiber, watched, connected again,
 * drained and closed.
 *
 * ```ts
 * const program = Effect.gen(function*() {
 *   const servers = yield* McpServers.McpServers
 *   const files = yield* servers.client("files")
 *   return yield* files.callTool("read_file", { path: "README.md" })
 * }).pipe(Effect.scoped, Effect.provide(McpServers.layerFile("mcp.json")), Effect.provide(NodeMcp.layer))
 * ```
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type { HttpClient } from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as Path from "effect/Path"
import type { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Scope from "effect/Scope"
import * as Configured from "./client/configured.ts"
import * as McpClient from "./McpClient.ts"
import * as McpConfig from "./McpConfig.ts"
import * as McpError from "./McpError.ts"
import * as Runtime from "./servers/runtime.ts"
import * as Watch from "./servers/watch.ts"
import { type Binding, Transport } from "./Transport.ts"

export type { Principal } from "./servers/principal.ts"
export type { ClientOptions, Connect, Options, Reload, Transition } from "./servers/runtime.ts"

/**
 * The servers of a config.
 *
 * Operations with a name fail with `UnknownServer`, `ServerDisabled`, and
 * `ServerDraining` once the runtime is being closed; those that connect, also
 * with the reason the server could not be connected to, and from then on until
 * its next attempt with `ServerUnavailable`. One that needs a login fails with
 * `NeedsAuthorization` until its token is in the `TokenStore`, whoever puts it
 * there: this program, by `Account.login` or an `Authorize`, or another one that
 * shares the store. No time limit counts the time a user takes to log in.
 */
export class McpServers extends Context.Service<McpServers, Runtime.Runtime>()("mcp-connect/McpServers") {}

/** What the usual way of connecting needs: see `NodeMcp.layer`. */
export type Platform = ChildProcessSpawner | FileSystem.FileSystem | HttpClient | Path.Path

// =============================================================================
// Constructors
// =============================================================================

/**
 * The runtime, for as long as the scope is open. Waits until the `required`
 * servers are connected, and fails with why one of them cannot be. The others
 * that are preloaded are connected in the background; one that cannot be is
 * logged, and its status tells why.
 *
 * Closing the scope closes everything as `drain` does, whatever is going on.
 */
export const make = (
  config: McpConfig.McpConfig,
  options?: Runtime.Options
): Effect.Effect<McpServers["Service"], McpError.McpError, Platform | Scope.Scope> =>
  makeWith(config, McpClient.fromConfig, options)

/** {@link make} with another way to connect. What it needs is taken from here, for every connection. */
export const makeWith = <R = never>(
  config: McpConfig.McpConfig,
  connect: Runtime.Connect<R>,
  options?: Runtime.Options
): Effect.Effect<McpServers["Service"], McpError.McpError, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.flatMap(Effect.context<Exclude<R, Scope.Scope>>(), (context) =>
    Runtime.make(
      config,
      // The scope is that of each connection, not the one that is here.
      (entry) =>
        Effect.flatMap(Effect.scope, (scope) =>
          connect(entry).pipe(Effect.provideService(Scope.Scope, scope), Effect.provideContext(context))),
      options ?? {}
    ))

/**
 * The servers of a config.
 *
 * **Example**
 *
 * ```ts
 * const config = yield* McpConfig.fromValue({ mcpServers: { docs: { url: "https://example.com/mcp" } } })
 * const Servers = McpServers.layer(config, { preload: "all" }).pipe(Layer.provide(NodeMcp.layer))
 * ```
 */
export const layer = (
  config: McpConfig.McpConfig,
  options?: Runtime.Options
): Layer.Layer<McpServers, McpError.McpError, Platform> => Layer.effect(McpServers, make(config, options))

/** The servers of a config that has to be found out first. */
export const layerEffect = <E, R>(
  config: Effect.Effect<McpConfig.McpConfig, E, R>,
  options?: Runtime.Options
): Layer.Layer<McpServers, E | McpError.McpError, Exclude<R, Scope.Scope> | Platform> =>
  Layer.effect(McpServers, Effect.flatMap(config, (config) => make(config, options)))

/** The servers of a document that is in Effect's configuration: a value, or text of JSON. */
export const layerConfig = (
  document: Config.Config<unknown>,
  options?: Runtime.Options
): Layer.Layer<McpServers, McpError.McpError, Platform> =>
  layerEffect(
    document.pipe(
      Effect.mapError(({ message }) =>
        McpError.make(new McpError.InvalidConfig({ source: "Config", issues: [{ path: [], message }] }))
      ),
      Effect.flatMap((value) =>
        typeof value === "string"
          ? McpConfig.fromString(value, { source: "Config" })
          : McpConfig.fromValue(value, { source: "Config" })
      )
    ),
    options
  )

/**
 * The servers of a file. With `watch` the file is followed: what it changes is
 * changed here, and the rest keeps its connections; a file that cannot be used
 * is logged and changes nothing. Both are told by `reloads`.
 */
export const layerFile = (
  file: string,
  options?: Runtime.Options & { readonly watch?: boolean | undefined }
): Layer.Layer<McpServers, McpError.McpError, Platform> =>
  Layer.effect(McpServers, Effect.gen(function*() {
    const runtime = yield* make(yield* McpConfig.load(file), options)
    if (options?.watch === true) yield* Watch.file(file, runtime)
    return runtime
  }))

/** The servers of a config, connected to in another way. */
export const layerWith = <R = never>(
  config: McpConfig.McpConfig,
  connect: Runtime.Connect<R>,
  options?: Runtime.Options
): Layer.Layer<McpServers, McpError.McpError, Exclude<R, Scope.Scope>> =>
  Layer.effect(McpServers, makeWith(config, connect, options))

/**
 * Servers for tests, each behind a transport of its own: no process, no socket.
 * `fields` are what its entry in a config says besides how to reach it.
 *
 * **Example**
 *
 * ```ts
 * const Servers = McpServers.layerTransports(
 *   { files: InMemoryTransport.layer((peer) => peer.send("not a message")) },
 *   { fields: { files: { required: true } } }
 * )
 * ```
 */
export const layerTransports = <R = never>(
  transports: Readonly<Record<string, Binding | Layer.Layer<Transport, McpError.McpError, R>>>,
  options?: Runtime.Options & { readonly fields?: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined }
): Layer.Layer<McpServers, McpError.McpError, R> => {
  const byName = new Map(Object.entries(transports))
  const fields = new Map(Object.entries(options?.fields ?? {}))
  const document = Object.fromEntries([...byName.keys()].map((name) => [name, { command: name, ...fields.get(name) }]))
  const connect = ({ config, name }: McpConfig.Entry) =>
    Effect.gen(function*() {
      const transport = byName.get(name)
      if (transport === undefined) {
        const detail = "there is none of this name in the record of transports"
        return yield* Effect.fail(McpError.make(new McpError.UnsupportedTransport({ transport: config._tag, detail }), name))
      }
      const made = McpClient.make({ ...Configured.options(config), name })
      // Under two names, or for two connections, one layer stands for two transports.
      return yield* "open" in transport
        ? Effect.provideService(made, Transport, transport)
        : Effect.provideContext(made, yield* Layer.build(Layer.fresh(transport)))
    })
  return Layer.effect(
    McpServers,
    Effect.flatMap(McpConfig.fromValue({ mcpServers: document }), (config) => makeWith(config, connect, options))
  )
}
