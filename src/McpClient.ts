/**
 * The typed client of one server: the same operations whatever revision of the
 * protocol the server speaks and however it is reached.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type { HttpClient } from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as Path from "effect/Path"
import type { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Changes from "./client/changes.ts"
import * as Configured from "./client/configured.ts"
import type * as Exchange from "./client/exchange.ts"
import * as Inputs from "./client/inputs.ts"
import * as Lists from "./client/lists.ts"
import * as Telemetry from "./client/telemetry.ts"
import * as Tools from "./client/tools.ts"
import type * as ToolResults from "./client/toolResults.ts"
import type { Limits } from "./Connection.ts"
import type { Diagnostic } from "./Diagnostic.ts"
import * as Broadcast from "./internal/broadcast.ts"
import { PageCache } from "./internal/pageCache.ts"
import * as Signs from "./internal/signs.ts"
import * as McpConfig from "./McpConfig.ts"
import * as McpError from "./McpError.ts"
import type * as JsonRpc from "./protocol/JsonRpc.ts"
import * as McpSchema from "./protocol/McpSchema.ts"
import * as Revision from "./protocol/Revision.ts"
import * as Session from "./Session.ts"
import { Transport } from "./Transport.ts"
import * as TransportFromConfig from "./transport/fromConfig.ts"

export type { CallOptions } from "./client/exchange.ts"
export type { OutputSchemaPolicy } from "./client/toolResults.ts"
export type { Progress } from "./Connection.ts"
export type { NegotiationOptions } from "./Session.ts"

type CallOptions<R = never> = Exchange.CallOptions<R>

/** How a client behaves. Everything has a default. */
export interface Options extends Limits {
  /** What the server is called in errors, logs and spans. Default `server`. */
  readonly name?: string | undefined
  /** Who we say we are. Default mcp-connect and its version. */
  readonly clientInfo?: McpSchema.Implementation | undefined
  /** How the revision is found out. Default: probe for the modern era, then shake hands. */
  readonly negotiation?: Session.NegotiationOptions | undefined
  /** Time for starting the server and agreeing on a revision. Default 60 seconds. */
  readonly startupTimeout?: Duration.Input | undefined
  /** What a result that breaks its tool's output schema leads to. Default `warn`. */
  readonly outputSchema?: ToolResults.OutputSchemaPolicy | undefined
  /** Tools that may be listed and called; all when absent. */
  readonly allowedTools?: ReadonlyArray<string> | undefined
  /** Tools that may not, even when they are in `allowedTools`. */
  readonly blockedTools?: ReadonlyArray<string> | undefined
  /** Pages after which a list counts as endless. Default 256. */
  readonly maxPages?: number | undefined
  /** Results kept per method while the server allows it (`ttlMs`); 0 turns caching off. Default 256. */
  readonly cacheCapacity?: number | undefined
  /** Rounds of input a server may ask for in one call. Default 10. */
  readonly maxInputRounds?: number | undefined
  /** Whether calls make spans, and send `traceparent` along. Default true. */
  readonly spans?: boolean | undefined
}

/** What a completion is for: an argument of a prompt or of a resource template (CP-01). */
export interface CompleteRequest {
  readonly ref:
    | { readonly type: "ref/prompt"; readonly name: string }
    | { readonly type: "ref/resource"; readonly uri: string }
  readonly argument: { readonly name: string; readonly value: string }
  /** Values of other arguments; left out towards revisions that do not know it. */
  readonly context?: Readonly<Record<string, string>> | undefined
}

/**
 * One server, connected.
 *
 * Every operation can be interrupted: the server is told and whatever it still
 * answers is ignored. Every operation ends within its `timeout` of silence and
 * its `maxTotal`. When the connection ends, each one in flight fails at once
 * with the reason it ended for (`ProcessExited`, `ConnectionClosed`, …).
 *
 * Reasons common to all: `RemoteError`, `RequestTimeout`, `InvalidResponse`,
 * `Unsupported`, and those of a connection that ended.
 */
export class McpClient extends Context.Service<McpClient, {
  /** The name of the server in the config. */
  readonly name: string
  /** How the server is really spoken to: `stdio`, `http`, `sse`, … */
  readonly transport: string
  readonly era: Revision.Era
  readonly revision: Revision.Revision
  /** What the server says about itself; its `info` is for display only (M-08). */
  readonly server: McpSchema.Server

  /** All tools the config allows. Empty when the server has none. Over HTTP without those whose headers are invalid (H-33). */
  readonly listTools: (options?: CallOptions) => Effect.Effect<ReadonlyArray<McpSchema.Tool>, McpError.McpError>
  readonly toolPages: (options?: CallOptions) => Stream.Stream<ReadonlyArray<McpSchema.Tool>, McpError.McpError>
  /**
   * Calls a tool. A tool's own failure is a value: look at `isError`, or use
   * `callToolOrFail`. Fails with `ToolNotAllowed`, with `InputRefused` when the
   * tool asks for input nobody gives, with `InvalidToolResult` when its result
   * breaks its output schema and the policy is `strict`.
   */
  readonly callTool: <R = never>(
    name: string,
    args?: JsonRpc.JsonObject,
    options?: CallOptions<R>
  ) => Effect.Effect<McpSchema.CallToolResult, McpError.McpError, R>
  /** The same, but a tool's own failure fails with `ToolFailed`. */
  readonly callToolOrFail: <R = never>(
    name: string,
    args?: JsonRpc.JsonObject,
    options?: CallOptions<R>
  ) => Effect.Effect<McpSchema.CallToolResult, McpError.McpError, R>
  /**
   * Calls a tool and decodes its structured result to a Schema; where a server
   * gives only text, the text is read as JSON. Fails with `ToolFailed` and
   * `InvalidToolResult`.
   */
  readonly callToolAs: <A, R = never, RD = never>(
    name: string,
    args: JsonRpc.JsonObject,
    result: Schema.Decoder<A, RD>,
    options?: CallOptions<R>
  ) => Effect.Effect<A, McpError.McpError, R | RD>

  readonly listResources: (options?: CallOptions) => Effect.Effect<ReadonlyArray<McpSchema.Resource>, McpError.McpError>
  readonly resourcePages: (options?: CallOptions) => Stream.Stream<ReadonlyArray<McpSchema.Resource>, McpError.McpError>
  readonly listResourceTemplates: (
    options?: CallOptions
  ) => Effect.Effect<ReadonlyArray<McpSchema.ResourceTemplate>, McpError.McpError>
  readonly resourceTemplatePages: (
    options?: CallOptions
  ) => Stream.Stream<ReadonlyArray<McpSchema.ResourceTemplate>, McpError.McpError>
  readonly readResource: <R = never>(
    uri: string,
    options?: CallOptions<R>
  ) => Effect.Effect<McpSchema.ReadResourceResult, McpError.McpError, R>
  /** Emits the uri of what changed, the resource itself or one below it, for as long as it is read. */
  readonly resourceUpdates: (uri: string) => Stream.Stream<string, McpError.McpError>

  readonly listPrompts: (options?: CallOptions) => Effect.Effect<ReadonlyArray<McpSchema.Prompt>, McpError.McpError>
  readonly promptPages: (options?: CallOptions) => Stream.Stream<ReadonlyArray<McpSchema.Prompt>, McpError.McpError>
  readonly getPrompt: <R = never>(
    name: string,
    args?: Readonly<Record<string, string>>,
    options?: CallOptions<R>
  ) => Effect.Effect<McpSchema.GetPromptResult, McpError.McpError, R>

  readonly complete: (
    request: CompleteRequest,
    options?: CallOptions
  ) => Effect.Effect<McpSchema.CompleteResult, McpError.McpError>

  /** Emit when the server's list changed. Reading one asks the server to tell; a slow reader misses repetitions only. */
  readonly toolsChanged: Stream.Stream<void, McpError.McpError>
  readonly resourcesChanged: Stream.Stream<void, McpError.McpError>
  readonly promptsChanged: Stream.Stream<void, McpError.McpError>

  /** Which log messages the server sends from now on. */
  readonly setLogLevel: (level: McpSchema.LoggingLevel) => Effect.Effect<void, McpError.McpError>
  /** The server's log messages; ends with the connection. A slow reader loses the oldest. */
  readonly logs: Stream.Stream<McpSchema.LogMessage>
  /** Every notification as it came, progress excepted; ends with the connection. A slow reader loses the oldest. */
  readonly notifications: Stream.Stream<JsonRpc.Notification>
  /** Lines on stderr, noise, stray replies: the latest first ones included; ends with the connection. */
  readonly diagnostics: Stream.Stream<Diagnostic>

  /** Asks whether the server is there. */
  readonly ping: Effect.Effect<void, McpError.McpError>
  /** Any request, for what has no operation here. Gives the result as it came. */
  readonly request: <R = never>(
    method: string,
    params?: JsonRpc.JsonObject,
    options?: CallOptions<R>
  ) => Effect.Effect<JsonRpc.JsonObject, McpError.McpError, R>
  /** Ends when the connection has, with the reason. */
  readonly closed: Effect.Effect<McpError.McpError>
}>()("mcp-connect/McpClient") {}

const defaultClientInfo: McpSchema.Implementation = { name: "mcp-connect", version: "0.1.0" }

/** Log messages, notifications and diagnostics a slow reader may be behind. */
const readerCapacity = 1_024

/** Diagnostics a late reader still gets: what a server said while it started. */
const diagnosticsReplay = 64

/**
 * Connects to the server behind the `Transport` of the context, for as long as
 * the scope is open. The handlers `Elicitation`, `Sampling` and `Roots` are
 * taken from the context when they are there.
 *
 * Fails with `SpawnFailed`, `NegotiationFailed`, `HttpStatus`, `Unreachable`, `RequestTimeout`, or
 * what the transport ended with. Interruption takes everything down again.
 *
 * **Example**
 *
 * ```ts
 * const program = Effect.gen(function*() {
 *   const client = yield* McpClient.make({ name: "everything" })
 *   return yield* client.callTool("echo", { message: "hello" })
 * }).pipe(Effect.scoped)
 * ```
 */
export const make = Effect.fnUntraced(function*(
  options: Options = {}
): Effect.fn.Return<McpClient["Service"], McpError.McpError, Transport | Scope.Scope> {
  const name = options.name ?? "server"
  const transport = yield* Transport
  const scope = yield* Scope.Scope
  const inputs = yield* Inputs.make(name)
  const logs = Broadcast.make<McpSchema.LogMessage>({ capacity: readerCapacity })
  const notifications = Broadcast.make<JsonRpc.Notification>({ capacity: readerCapacity })
  const diagnostics = Broadcast.make<Diagnostic>({ capacity: readerCapacity, replay: diagnosticsReplay })
  const cacheCapacity = options.cacheCapacity ?? 256
  const cache = new PageCache(Math.max(1, cacheCapacity))
  const onDiagnostic = (diagnostic: Diagnostic) => diagnostics.publish(diagnostic)

  let ended: McpError.McpError | undefined
  let changes: Changes.Changes | undefined
  /** Made when somebody reads, or the server tells: most connections never need it. */
  const changing = (): Changes.Changes => {
    if (changes !== undefined) return changes
    changes = Changes.make({
      server: name,
      scope,
      subscriptions: () => session.subscriptions,
      onChange: ({ kind, uri }) => {
        if (uri !== undefined) return cache.invalidate("resources/read")
        cache.invalidate(`${kind}/list`)
        if (kind === "resources") cache.invalidate("resources/templates/list")
      }
    })
    if (ended !== undefined) changes.end(ended)
    return changes
  }
  const session: Session.Session = yield* Session.open({
    server: name,
    transport,
    inputs,
    clientInfo: options.clientInfo ?? defaultClientInfo,
    limits: options,
    negotiation: options.negotiation ?? {},
    startupTimeout: options.startupTimeout ?? "60 seconds",
    maxInputRounds: options.maxInputRounds ?? 10,
    onNotification: (notification) => {
      notifications.publish(notification)
      if (notification.method !== "notifications/message") return changing().onNotification(notification)
      const message = McpSchema.decodeLogMessage(notification.params)
      if (Result.isSuccess(message)) logs.publish(message.success)
    },
    onDiagnostic,
    onLost: () => {
      cache.invalidateAll()
      changes?.onLost()
    },
    onClosed: (error) => {
      ended = error
      changes?.end(error)
      for (const broadcast of [logs, notifications, diagnostics]) broadcast.end(Cause.fail(Cause.Done()))
    }
  })
  const { connection, dialect } = session
  const telemetry = Telemetry.make({
    server: name,
    revision: dialect.revision,
    network: transport.network,
    spans: options.spans ?? true,
    inFlightUnsafe: connection.inFlightUnsafe,
    trafficUnsafe: connection.trafficUnsafe
  })
  const fail = (reason: McpError.McpErrorReason) => Effect.fail(McpError.make(reason, name))

  /** One observed call, its result decoded, and then what `finish` makes of it. */
  const call = <A, R = never>(
    method: string,
    params: JsonRpc.JsonObject | undefined,
    decode: (result: unknown) => Result.Result<A, string>,
    callOptions?: Exchange.InternalCallOptions<R>,
    target?: Telemetry.Target,
    finish?: (value: A, result: JsonRpc.JsonObject, personal: boolean) => Effect.Effect<A, McpError.McpError>
  ): Effect.Effect<A, McpError.McpError, R> =>
    telemetry.observe(method, target, (trace) =>
      session.call(method, params, (result, personal) => {
        const decoded = decode(result)
        if (Result.isFailure(decoded)) return fail(new McpError.InvalidResponse({ method, detail: decoded.failure }))
        return finish === undefined ? Effect.succeed(decoded.success) : finish(decoded.success, result, personal)
      }, callOptions, trace))

  /** One observed call, its result as it came. */
  const request = <R = never>(method: string, params: JsonRpc.JsonObject | undefined, callOptions?: Exchange.InternalCallOptions<R>) =>
    telemetry.observe(method, undefined, (trace) => session.call(method, params, Effect.succeed, callOptions, trace))

  // ---------------------------------------------------------------------------
  // Lists
  // ---------------------------------------------------------------------------

  const list = <A>(
    method: string,
    kind: Changes.ListKind,
    decode: (result: unknown) => Result.Result<McpSchema.Page<A>, string>,
    admit: (items: ReadonlyArray<A>) => ReadonlyArray<A> = (items) => items
  ): Lists.List<A> =>
    Lists.make({
      server: name,
      method,
      decode,
      call: request,
      cache,
      cached: cacheCapacity > 0,
      maxPages: options.maxPages ?? 256,
      // What the server does not have, there is none of; asking would break the protocol (C-07).
      absent: dialect.lacks(method) !== undefined,
      admit,
      // A list that is kept is watched, so that keeping it never shows what is known to be old.
      onKept: dialect.server.capabilities[kind]?.listChanged === true ? Effect.suspend(() => changing().watch(kind)) : Effect.void,
      onDiagnostic
    })

  const resources = () => list("resources/list", "resources", McpSchema.decodeResourcePage)
  const templates = () => list("resources/templates/list", "resources", McpSchema.decodeResourceTemplatePage)
  const prompts = () => list("prompts/list", "prompts", McpSchema.decodePromptPage)
  const tools = Tools.make({
    server: name,
    list: (admit) => list("tools/list", "tools", McpSchema.decodeToolPage, admit),
    forget: () => cache.invalidate("tools/list"),
    headers: dialect.paramHeaders && transport.http === true,
    outputSchema: options.outputSchema ?? "warn",
    allowed: options.allowedTools,
    blocked: options.blockedTools,
    onDiagnostic,
    call: (tool, params, callOptions, check) =>
      call("tools/call", params, McpSchema.decodeCallToolResult, callOptions, { attribute: "gen_ai.tool.name", value: tool }, check)
  })

  // ---------------------------------------------------------------------------
  // Resources, prompts, completion
  // ---------------------------------------------------------------------------

  const readResource = <R = never>(uri: string, callOptions?: CallOptions<R>) =>
    Effect.clockWith((clock) => {
      const method = "resources/read"
      const kept = cache.get(method, uri, clock.currentTimeMillisUnsafe())
      if (kept !== undefined) return Effect.succeed(kept as McpSchema.ReadResourceResult)
      const generation = cache.generation(method)
      const target: Telemetry.Target = { attribute: "mcp.resource.uri", value: uri }
      return call(method, { uri }, McpSchema.decodeReadResourceResult, callOptions, target, (value, result, personal) => {
        if (cacheCapacity > 0 && !personal) {
          cache.set(method, uri, value, clock.currentTimeMillisUnsafe(), McpSchema.cacheHints(result).ttlMs, generation)
        }
        return Effect.succeed(value)
      })
    })

  const getPrompt = <R = never>(name: string, args?: Readonly<Record<string, string>>, callOptions?: CallOptions<R>) => {
    const params = args === undefined ? { name } : { name, arguments: args }
    const target: Telemetry.Target = { attribute: "gen_ai.prompt.name", value: name }
    return call("prompts/get", params, McpSchema.decodeGetPromptResult, callOptions, target)
  }

  const complete = ({ argument, context, ref }: CompleteRequest, callOptions?: CallOptions) =>
    call(
      "completion/complete",
      context === undefined || !dialect.completionContext
        ? { ref, argument }
        : { ref, argument, context: { arguments: context } },
      McpSchema.decodeCompleteResult,
      callOptions
    )

  const client = McpClient.of({
    name,
    transport: session.transport,
    era: dialect.era,
    revision: dialect.revision,
    server: dialect.server,
    listTools: tools.list.all,
    toolPages: tools.list.pages,
    callTool: tools.call,
    callToolOrFail: tools.callOrFail,
    callToolAs: tools.callAs,
    listResources: (callOptions) => resources().all(callOptions),
    resourcePages: (callOptions) => resources().pages(callOptions),
    listResourceTemplates: (callOptions) => templates().all(callOptions),
    resourceTemplatePages: (callOptions) => templates().pages(callOptions),
    readResource,
    resourceUpdates: (uri) => changing().ofResource(uri),
    listPrompts: (callOptions) => prompts().all(callOptions),
    promptPages: (callOptions) => prompts().pages(callOptions),
    getPrompt,
    complete,
    // Streams are made for those who read them.
    get toolsChanged() {
      return changing().ofList("tools")
    },
    get resourcesChanged() {
      return changing().ofList("resources")
    },
    get promptsChanged() {
      return changing().ofList("prompts")
    },
    setLogLevel: (level) =>
      Effect.mapError(dialect.setLogLevel(session.wire, level), ({ reason }) => McpError.make(reason, name)),
    get logs() {
      return logs.stream
    },
    get notifications() {
      return notifications.stream
    },
    get diagnostics() {
      return diagnostics.stream
    },
    ping: telemetry.observe("ping", undefined, () => dialect.ping(session.wire)),
    request,
    closed: connection.closed
  })
  Signs.note(client, { lastAsked: transport.lastAsked, receivedBytes: () => connection.trafficUnsafe().receivedBytes })
  return client
})

/**
 * A layer that is connected for as long as it is provided.
 *
 * **Example**
 *
 * ```ts
 * const Files = McpClient.layer({ name: "files" }).pipe(
 *   Layer.provide(StdioTransport.layer({ command: "npx", args: ["-y", "some-server"], env: {} }))
 * )
 * ```
 */
export const layer = (options?: Options): Layer.Layer<McpClient, McpError.McpError, Transport> =>
  Layer.effect(McpClient, make(options))

/**
 * A client for tests: does what is given here, and dies loudly of anything else.
 *
 * **Example**
 *
 * ```ts
 * const Files = McpClient.layerMock({
 *   callTool: () => Effect.succeed({ content: [{ type: "text", text: "hello" }] })
 * })
 * ```
 */
export const layerMock = (
  operations: Partial<Layer.PartialEffectful<McpClient["Service"]>>
): Layer.Layer<McpClient> =>
  Layer.mock(McpClient)({
    name: "mock",
    transport: "memory",
    era: "modern",
    revision: Revision.modern[0],
    server: { info: undefined, capabilities: {}, instructions: undefined },
    ...operations
  })

/**
 * Connects to a server of a config document, for as long as the scope is open:
 * expands its variables, chooses its transport by its tag, and takes its
 * timeouts, tool lists and protocol settings. `options` win over the entry.
 *
 * Fails with `UnsetVariables`, `InvalidConfig` or `UnsupportedTransport`, and
 * for all reasons that `make` has.
 *
 * **Example**
 *
 * ```ts
 * const program = Effect.gen(function*() {
 *   const config = yield* McpConfig.load("mcp.json")
 *   const files = yield* McpClient.fromConfig(yield* McpConfig.get(config, "files"))
 *   return yield* files.listTools()
 * }).pipe(Effect.scoped, Effect.provide(NodeMcp.layer))
 * ```
 */
export const fromConfig = Effect.fnUntraced(function*(
  entry: McpConfig.Entry,
  options?: Omit<Options, "name">
): Effect.fn.Return<
  McpClient["Service"],
  McpError.McpError,
  ChildProcessSpawner | FileSystem.FileSystem | HttpClient | Path.Path | Scope.Scope
> {
  const config = yield* McpConfig.resolve(entry)
  const transport = yield* TransportFromConfig.fromConfig(entry.name, config)
  return yield* make({ ...Configured.options(config), ...options, name: entry.name }).pipe(
    Effect.provideService(Transport, transport)
  )
})
