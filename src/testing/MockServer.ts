/**
 * A server for tests, declared as data with an effect for each thing it can be
 * asked. One declaration serves at three depths: in place of `McpClient`, in
 * place of `Transport` (the real client and real JSON over memory), and behind
 * a real process or socket. It speaks both eras; time is Effect's clock.
 */
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { FileSystem } from "effect/FileSystem"
import type { HttpClient } from "effect/http/HttpClient"
import type { HttpServer } from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import type { Path } from "effect/Path"
import type { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import type * as Scope from "effect/Scope"
import * as SocketServer from "effect/socket/SocketServer"
import * as Bridge from "../bridge/Bridge.ts"
import * as McpClient from "../McpClient.ts"
import * as McpConfig from "../McpConfig.ts"
import * as McpError from "../McpError.ts"
import * as McpServers from "../McpServers.ts"
import type { JsonObject } from "../protocol/JsonRpc.ts"
import type * as McpSchema from "../protocol/McpSchema.ts"
import * as Revision from "../protocol/Revision.ts"
import { Transport } from "../Transport.ts"
import * as TransportFromConfig from "../transport/fromConfig.ts"
import * as InMemoryTransport from "../transport/InMemoryTransport.ts"
import * as Catalogue from "./mock/catalogue.ts"
import type { Declaration, Services } from "./mock/declaration.ts"
import * as Direct from "./mock/direct.ts"
import type * as Host from "./mock/host.ts"
import * as Recorder from "./mock/recorder.ts"
import * as Relay from "./mock/relay.ts"
import * as Session from "./mock/session.ts"

export {
  type Call,
  type Complete,
  type Declaration,
  type Failure,
  type FormAnswer,
  JsonRpcError,
  type Prompt,
  type PromptFunction,
  type PromptReply,
  type Resource,
  type ResourceReply,
  type Services,
  type Template,
  type Tool,
  tool,
  type ToolFunction,
  type ToolOptions,
  type ToolReply
} from "./mock/declaration.ts"
export type { ToolCall } from "./mock/recorder.ts"

/** How the server behaves, apart from what it has. */
export interface Options {
  /** What it speaks. Default `both`: modern, and legacy with clients that shake hands. */
  readonly era?: "modern" | "legacy" | "both" | undefined
  /** The revisions of that era it speaks. Default all. */
  readonly revisions?: ReadonlyArray<Revision.Revision> | undefined
  /** Items on a page of a list. Default: all on one. */
  readonly pageSize?: number | undefined
  /** How long a modern client may keep lists and resources. Default 0: not at all. */
  readonly ttl?: Duration.Input | undefined
}

/** The running server: what a test asks it, and what it makes it do. */
export class MockServer extends Context.Service<MockServer, {
  /** A transport to it over memory; each opening is a session. */
  readonly binding: Transport["Service"]
  /** Every call of a tool so far, in the order they arrived. */
  readonly calls: Effect.Effect<ReadonlyArray<Recorder.ToolCall>>
  /** Waits until a tool was called so often (default once), and gives its calls. */
  readonly called: (tool: string, times?: number) => Effect.Effect<ReadonlyArray<Recorder.ToolCall>>
  /** Waits until so many calls of a tool (default one) have ended, in whatever way, and gives its calls. */
  readonly ended: (tool: string, times?: number) => Effect.Effect<ReadonlyArray<Recorder.ToolCall>>
  /**
   * Adds and replaces what is given, takes away what is `undefined`. Clients are
   * told of lists that changed, and of resources that are others now.
   */
  readonly update: <const D extends Updates>(changes: D) => Effect.Effect<void, never, Services<D>>
  /** Tells who subscribed that a resource, or one below it, changed. */
  readonly resourceUpdated: (uri: string) => Effect.Effect<void>
  /** A log message outside of any call, which only legacy clients can be told (LG-01). */
  readonly log: (message: McpSchema.LogMessage) => Effect.Effect<void>
  /** Ends every open session, as a dying server does. It can be connected to again. */
  readonly disconnect: (detail?: string) => Effect.Effect<void>
}>()("mcp-connect/testing/MockServer") {}

type Updates = Pick<Declaration<unknown>, "tools" | "resources" | "templates" | "prompts">

const capabilitiesOf = (declaration: Declaration<unknown>): McpSchema.ServerCapabilities => {
  const { capabilities, prompts, resources, templates, tools } = declaration
  const completes = [...Object.values(templates ?? {}), ...Object.values(prompts ?? {})]
    .some((item) => typeof item === "object" && item.complete !== undefined)
  return {
    logging: {},
    ...(tools === undefined ? undefined : { tools: { listChanged: true } }),
    ...(resources === undefined && templates === undefined ? undefined : {
      resources: { listChanged: true, subscribe: true }
    }),
    ...(prompts === undefined ? undefined : { prompts: { listChanged: true } }),
    ...(completes ? { completions: {} } : undefined),
    ...capabilities
  }
}

const build = Effect.fnUntraced(function*<const D extends Declaration<unknown>>(declaration: D, options: Options = {}) {
  const { era = "both", pageSize, revisions = Revision.all, ttl = 0 } = options
  const catalogue = Catalogue.make()
  const recorder = Recorder.make()
  const sessions = new Set<Host.Session>()
  const update = <const U extends Updates>(changes: U) =>
    Effect.contextWith((context: Context.Context<Services<U>>) =>
      Effect.sync(() => Catalogue.apply(catalogue, changes as Declaration<Services<U>>, context))
    )
  yield* update(declaration)

  const host: Host.Host = {
    catalogue,
    recorder,
    sessions,
    info: declaration.info ?? { name: "mock", version: "1.0.0" },
    instructions: declaration.instructions,
    capabilities: capabilitiesOf(declaration),
    modern: era === "legacy" ? [] : Revision.modern.filter((revision) => revisions.includes(revision)),
    legacy: era === "modern" ? [] : Revision.legacy.filter((revision) => revisions.includes(revision)),
    pageSize,
    ttlMs: Duration.toMillis(ttl)
  }
  const serve = (peer: InMemoryTransport.Peer) => Session.serve(host, peer)
  const tell = (tell: (session: Host.Session) => Effect.Effect<void>) =>
    Effect.suspend(() => Effect.forEach([...sessions], tell, { discard: true }))
  const of = (tool: string) => (calls: ReadonlyArray<Recorder.ToolCall>) => calls.filter((call) => call.tool === tool)

  const server = MockServer.of({
    binding: yield* InMemoryTransport.make(serve),
    calls: recorder.calls,
    called: (tool, times = 1) =>
      Effect.map(recorder.until((calls) => of(tool)(calls).length >= times), of(tool)),
    ended: (tool, times = 1) =>
      Effect.map(
        recorder.until((calls) => of(tool)(calls).filter(({ status }) => status !== "running").length >= times),
        of(tool)
      ),
    update: (changes) =>
      Effect.flatMap(update(changes), ({ lists, resources }) =>
        tell((session) =>
          Effect.andThen(
            Effect.forEach(lists, session.listChanged, { discard: true }),
            Effect.forEach(resources, session.resourceUpdated, { discard: true })
          )
        )),
    resourceUpdated: (uri) => tell((session) => session.resourceUpdated(uri)),
    log: (message) => tell((session) => session.log(message)),
    disconnect: (detail = "the mock server was told to disconnect") => tell((session) => session.disconnect(detail))
  })
  return { server, serve }
})

/**
 * Starts a server; the services its handlers need are taken from the context
 * here. It holds nothing of its own: sessions end with the links that opened them.
 *
 * **Example**
 *
 * ```ts
 * const server = yield* MockServer.make({
 *   tools: {
 *     echo: (args) => Effect.succeed(String(args.message)),
 *     add: MockServer.tool({
 *       description: "Adds two numbers",
 *       input: Schema.Struct({ a: Schema.Finite, b: Schema.Finite }),
 *       output: Schema.Struct({ sum: Schema.Finite }),
 *       run: ({ a, b }) => Effect.succeed({ sum: a + b })
 *     })
 *   },
 *   resources: { "mem://motd": "Hello" }
 * })
 * ```
 */
export const make = <const D extends Declaration<unknown>>(
  declaration: D,
  options?: Options
): Effect.Effect<MockServer["Service"], never, Services<D>> =>
  Effect.map(build(declaration, options), ({ server }) => server)

/** Just a transport to the server, for what opens transports itself. */
export const binding = <const D extends Declaration<unknown>>(
  declaration: D,
  options?: Options
): Effect.Effect<Transport["Service"], never, Services<D>> =>
  Effect.map(make(declaration, options), ({ binding }) => binding)

/**
 * In place of `Transport`: the real client speaks real JSON over memory.
 *
 * **Example**
 *
 * ```ts
 * const layer = McpClient.layer().pipe(
 *   Layer.provideMerge(MockServer.layerTransport({ tools: { now: () => Effect.succeed("noon") } }))
 * )
 * ```
 */
export const layerTransport = <const D extends Declaration<unknown>>(
  declaration: D,
  options?: Options
): Layer.Layer<Transport | MockServer, never, Services<D>> =>
  Layer.effectContext(
    Effect.map(make(declaration, options), (server) =>
      Context.make(MockServer, server).pipe(Context.add(Transport, server.binding)))
  )

/**
 * In place of `McpClient`: handlers are called without JSON in between. The
 * operations, deadlines, checks and errors are those of the real client.
 */
export const layerClient = <const D extends Declaration<unknown>>(
  declaration: D,
  options?: Options & { readonly client?: McpClient.Options }
): Layer.Layer<McpClient.McpClient | MockServer, McpError.McpError, Services<D>> =>
  Layer.effectContext(
    Effect.gen(function*() {
      const { serve, server } = yield* build(declaration, options)
      const client = yield* Effect.provideService(McpClient.make(options?.client), Transport, Direct.make(serve))
      return Context.make(MockServer, server).pipe(Context.add(McpClient.McpClient, client))
    })
  )

/** The mock servers behind `McpServers`, by name. */
export class MockServers extends Context.Service<MockServers, {
  /** Dies of a name that was not declared. */
  readonly server: (name: string) => MockServer["Service"]
}>()("mcp-connect/testing/MockServers") {}

type OfServers<D> = { readonly [Name in keyof D]: Services<D[Name]> }[keyof D]

/**
 * In place of `McpServers`: each declaration is a server of that name, with the
 * real runtime, client and JSON over memory. `fields` are what its entry in a
 * config says besides how to reach it.
 *
 * **Example**
 *
 * ```ts
 * const servers = MockServer.layer(
 *   { files: { tools: { read: () => Effect.succeed("contents") } } },
 *   { fields: { files: { reconnect: { jitter: false } } } }
 * )
 * ```
 */
export const layer = <const D extends Readonly<Record<string, Declaration<unknown>>>>(
  declarations: D,
  options?: Options & Parameters<typeof McpServers.layerTransports>[1]
): Layer.Layer<McpServers.McpServers | MockServers, McpError.McpError, OfServers<D>> =>
  Layer.unwrap(Effect.gen(function*() {
    const context = yield* Effect.context<OfServers<D>>()
    const servers = new Map<string, MockServer["Service"]>()
    for (const [name, declaration] of Object.entries(declarations)) {
      servers.set(name, yield* Effect.provideContext(make(declaration as Declaration<OfServers<D>>, options), context))
    }
    const bindings = Object.fromEntries([...servers].map(([name, { binding }]) => [name, binding]))
    return Layer.merge(
      McpServers.layerTransports(bindings, options),
      Layer.succeed(MockServers, {
        server: (name) => {
          const server = servers.get(name)
          if (server === undefined) throw new TypeError(`no mock server is declared as "${name}"`)
          return server
        }
      })
    )
  }))

// =============================================================================
// Behind a real process or socket
// =============================================================================

/** Where a server is reached from outside: what stands under its name in `mcpServers`. For programs that read a config. */
export class Loopback extends Context.Service<Loopback, {
  readonly entry: JsonObject
}>()("mcp-connect/testing/MockServer/Loopback") {}

/** What a transport from a config needs; a platform's layer has it all. */
type Platform = ChildProcessSpawner | FileSystem | HttpClient | Path

const loopback = <const D extends Declaration<unknown>, R>(
  declaration: D,
  options: Options | undefined,
  serve: (binding: Transport["Service"]) => Effect.Effect<JsonObject, McpError.McpError, R>
): Layer.Layer<
  Transport | MockServer | Loopback,
  McpError.McpError,
  Exclude<R, Scope.Scope> | Exclude<Services<D>, Scope.Scope> | Platform
> =>
  Layer.effectContext(
    Effect.gen(function*() {
      const server = yield* make(declaration, options)
      const entry = yield* serve(server.binding)
      const config = yield* McpConfig.fromValue({ mcpServers: { mock: entry } })
      const resolved = yield* McpConfig.resolve(yield* McpConfig.get(config, "mock"))
      const transport = yield* TransportFromConfig.fromConfig("mock", resolved)
      return Context.make(MockServer, server).pipe(
        Context.add(Transport, transport),
        Context.add(Loopback, Loopback.of({ entry }))
      )
    })
  )

const overHttp = (scheme: "http" | "websocket") => (binding: Transport["Service"]) =>
  Effect.map(Bridge.http({ servers: { mock: binding } }), ([endpoint]): JsonObject => ({ url: endpoint?.[scheme] }))

/**
 * In place of `Transport`, over real Streamable HTTP: needs an `HttpServer`, on
 * loopback, and a platform.
 *
 * **Example**
 *
 * ```ts
 * const layer = MockServer.layerHttp({ tools: { now: () => Effect.succeed("noon") } }).pipe(
 *   Layer.provide([NodeMcp.layerHttpServer(), NodeMcp.layer])
 * )
 * ```
 */
export const layerHttp = <const D extends Declaration<unknown>>(
  declaration: D,
  options?: Options
): Layer.Layer<
  Transport | MockServer | Loopback,
  McpError.McpError,
  HttpServer | Platform | Exclude<Services<D>, Scope.Scope>
> => loopback(declaration, options, overHttp("http"))

/** The same, over a real WebSocket. */
export const layerWebSocket = <const D extends Declaration<unknown>>(
  declaration: D,
  options?: Options
): Layer.Layer<
  Transport | MockServer | Loopback,
  McpError.McpError,
  HttpServer | Platform | Exclude<Services<D>, Scope.Scope>
> => loopback(declaration, options, overHttp("websocket"))

/**
 * In place of `Transport`, behind a real process and its pipes: a child that
 * relays to this program. Needs a `SocketServer`, on a port of loopback, and a
 * platform; `node` is the command that starts the child, default `node`.
 */
export const layerStdio = <const D extends Declaration<unknown>>(
  declaration: D,
  options?: Options & { readonly node?: string }
): Layer.Layer<
  Transport | MockServer | Loopback,
  McpError.McpError,
  SocketServer.SocketServer | Platform | Exclude<Services<D>, Scope.Scope>
> =>
  loopback(declaration, options, Effect.fnUntraced(function*(binding) {
    const { address } = yield* SocketServer.SocketServer
    if (!NetAddress.isInetAddress(address)) {
      const issue = { path: ["socket"], message: "Expected a server that listens on a port" }
      return yield* Effect.fail(McpError.make(new McpError.InvalidConfig({ source: "MockServer.layerStdio", issues: [issue] })))
    }
    const secret = SecureRandom.uuidV4Unsafe()
    yield* Bridge.socket(Relay.guarded(binding, secret))
    return Relay.entry({ node: options?.node ?? "node", port: address.port, secret })
  }))
