/**
 * The client of one server of many: the operations of any `McpClient`, each on
 * whichever connection there is at the time.
 *
 * A call waits for a connection no longer than its own `timeout` and
 * `maxTotal`. When its connection is lost it fails at once, and `error.retry`
 * says whether it may be made again. That is done here, once, for what is
 * safe: lists, reads, prompts, completions, pings and other methods that
 * change nothing; a tool only when the server has listed it with
 * `readOnlyHint` or `idempotentHint`. Annotations are not to be trusted (T-03),
 * but what a server says of its own tools is asked of that server only.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Limits } from "../Connection.ts"
import { McpClient } from "../McpClient.ts"
import type * as McpError from "../McpError.ts"
import * as Idempotent from "../protocol/Idempotent.ts"
import type * as McpSchema from "../protocol/McpSchema.ts"
import { type Continuity, isLost, type ListName } from "./continuity.ts"
import type { Client } from "./member.ts"
import type { Replicas } from "./replicas.ts"

/** Tools whose annotations are remembered. */
const toolCapacity = 10_000

/** How long a call with these limits waits until it can begin. */
export const waitingTime = ({ maxTotal = "10 minutes", timeout = "60 seconds" }: Limits): Duration.Duration =>
  Duration.min(Duration.fromInputUnsafe(timeout), Duration.fromInputUnsafe(maxTotal))

export const make = (options: {
  readonly name: string
  readonly continuity: Continuity
  readonly replicas: Pick<Replicas, "session" | "use">
  /** A connection that was made already: what the client is said to be before the next one. */
  readonly first: Client
  /** How long a call without limits of its own waits for a connection. */
  readonly limits: Limits
  readonly closed: Effect.Effect<McpError.McpError>
}): Client => {
  const { continuity, first, name, replicas } = options
  const latest = () => continuity.latest() ?? first

  const repeatable = new Set<string>()
  const learn = <T extends ReadonlyArray<McpSchema.Tool>>(tools: T): T => {
    for (const { annotations, name } of tools) {
      if (annotations?.readOnlyHint !== true && annotations?.idempotentHint !== true) repeatable.delete(name)
      else if (repeatable.size < toolCapacity) repeatable.add(name)
    }
    return tools
  }

  const usual = { within: waitingTime(options.limits) }
  const waits = (limits: Limits | undefined) =>
    limits?.timeout === undefined && limits?.maxTotal === undefined
      ? usual
      : { within: waitingTime({ timeout: options.limits.timeout, maxTotal: options.limits.maxTotal, ...limits }) }

  /** One call, and once more where that is safe. */
  const route = <A, R>(
    idempotent: boolean,
    call: (client: Client) => Effect.Effect<A, McpError.McpError, R>,
    limits?: Limits
  ): Effect.Effect<A, McpError.McpError, R> =>
    Effect.suspend(() => {
      const options = waits(limits)
      let begun = false
      const first = replicas.use((client) => {
        begun = true
        return call(client)
      }, options)
      // What failed to connect has been tried, and has a backoff of its own.
      const again = (error: McpError.McpError) =>
        begun && isLost(error) && (error.retry === "safe" || (idempotent && error.retry === "idempotent"))
      return Effect.catchIf(first, again, () => replicas.use(call, options))
    })

  const list = <O extends Limits | undefined, A>(name: ListName, call: (client: Client, options?: O) => Effect.Effect<A, McpError.McpError>) =>
    (options?: O) =>
      Effect.tap(route(true, (client) => call(client, options), options), () => Effect.sync(() => continuity.use(name)))

  /** A cursor is understood by the connection that gave it, so all pages are of one. */
  const pages =
    <O extends Limits | undefined, A>(call: (client: Client, options?: O) => Stream.Stream<A, McpError.McpError>) =>
    (options?: O) =>
      Stream.unwrap(Effect.map(replicas.session(waits(options)), (client) => call(client, options)))

  const tool = <A, R>(
    tool: string,
    call: (client: Client) => Effect.Effect<A, McpError.McpError, R>,
    limits: Limits | undefined
  ) => Effect.suspend(() => route(repeatable.has(tool), call, limits))

  const connected = replicas.use(() => Effect.void, usual)
  const changed = (kind: "prompts" | "resources" | "tools") =>
    Stream.map(continuity.changes({ kind }, connected), () => undefined)

  return McpClient.of({
    name,
    get transport() {
      return latest().transport
    },
    get era() {
      return latest().era
    },
    get revision() {
      return latest().revision
    },
    get server() {
      return latest().server
    },
    listTools: list("tools", (client, options) => Effect.map(client.listTools(options), learn)),
    toolPages: pages((client, options) => Stream.map(client.toolPages(options), learn)),
    callTool: (name, args, options) => tool(name, (client) => client.callTool(name, args, options), options),
    callToolOrFail: (name, args, options) => tool(name, (client) => client.callToolOrFail(name, args, options), options),
    callToolAs: (name, args, result, options) =>
      tool(name, (client) => client.callToolAs(name, args, result, options), options),
    listResources: list("resources", (client, options) => client.listResources(options)),
    resourcePages: pages((client, options) => client.resourcePages(options)),
    listResourceTemplates: list("templates", (client, options) => client.listResourceTemplates(options)),
    resourceTemplatePages: pages((client, options) => client.resourceTemplatePages(options)),
    readResource: (uri, options) => route(true, (client) => client.readResource(uri, options), options),
    resourceUpdates: (uri) =>
      Stream.map(continuity.changes({ kind: "resources", uri }, connected), (change) => change.uri ?? uri),
    listPrompts: list("prompts", (client, options) => client.listPrompts(options)),
    promptPages: pages((client, options) => client.promptPages(options)),
    getPrompt: (name, args, options) => route(true, (client) => client.getPrompt(name, args, options), options),
    complete: (request, options) => route(true, (client) => client.complete(request, options), options),
    toolsChanged: changed("tools"),
    resourcesChanged: changed("resources"),
    promptsChanged: changed("prompts"),
    setLogLevel: (level) => Effect.andThen(continuity.setLogLevel(level), connected),
    logs: continuity.logs,
    notifications: continuity.notifications,
    diagnostics: continuity.diagnostics,
    ping: route(true, (client) => client.ping),
    request: (method, params, options) =>
      route(Idempotent.isIdempotent(method), (client) => client.request(method, params, options), options),
    closed: options.closed
  })
}
