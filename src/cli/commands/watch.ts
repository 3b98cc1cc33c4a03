import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { Diagnostic } from "../../Diagnostic.ts"
import type { McpClient } from "../../McpClient.ts"
import * as McpConfig from "../../McpConfig.ts"
import type * as McpError from "../../McpError.ts"
import type { Notification } from "../../protocol/JsonRpc.ts"
import * as McpSchema from "../../protocol/McpSchema.ts"
import * as Connect from "../connect.ts"
import * as Exit from "../exit.ts"
import * as Flags from "../flags.ts"
import * as Login from "../login.ts"
import { Screen } from "../screen.ts"
import type { Style } from "../style.ts"
import { json, oneLine } from "../text.ts"

/** One thing that happened: what it is, how it reads, and all of it for a program. */
interface Happening {
  readonly kind: string
  readonly text: string
  readonly data: object
}

const ofNotification = ({ method, params }: Notification): Happening => {
  const message = method === "notifications/message" ? McpSchema.decodeLogMessage(params) : undefined
  if (message === undefined || Result.isFailure(message)) {
    return { kind: method, text: params === undefined ? "" : json(params, 0), data: { params } }
  }
  const { data, level, logger } = message.success
  return {
    kind: `log ${level}`,
    text: `${logger === undefined ? "" : `${logger}: `}${typeof data === "string" ? data : json(data, 0)}`,
    data: { params }
  }
}

const ofDiagnostic = ({ _tag, ...data }: Diagnostic): Happening => ({
  kind: _tag.toLowerCase(),
  text: Object.values(data).join(" "),
  data
})

const show = (time: number, server: string, { data, kind, text }: Happening, asJson: boolean, style: Style): string => {
  if (asJson) return json({ time: DateTime.formatIso(DateTime.makeUnsafe(time)), server, kind, ...data }, 0)
  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" }).format(time)
  return `${style.dim(clock)} ${style.bold(oneLine(server))} ${oneLine(kind)}  ${oneLine(text)}`.trimEnd()
}

/** Reasons that are told when the connection is gone, and need no second word before. */
const ends: ReadonlySet<McpError.McpErrorReason["_tag"]> = new Set(["ProcessExited", "ConnectionClosed", "MessageTooLarge"])

/** Tells everything that happens on a server, until its connection ends. */
const follow = Effect.fnUntraced(function*<E, R>(
  client: McpClient["Service"],
  options: { readonly level: McpSchema.LoggingLevel; readonly resources: ReadonlyArray<string> },
  tell: (happening: Happening) => Effect.Effect<void, E, R>
) {
  const { capabilities } = client.server
  /** Servers that are asked tell more; one that refuses is watched all the same. */
  const ask = (request: Effect.Effect<unknown, McpError.McpError>) =>
    Effect.catch(request, ({ reason }) =>
      ends.has(reason._tag) ? Effect.void : Effect.logWarning(`[${client.name}] ${reason.message}`)).pipe(Effect.forkScoped)
  const heard = yield* Effect.forkScoped(
    Effect.all([
      Stream.runForEach(client.notifications, (notification) => tell(ofNotification(notification))),
      Stream.runForEach(client.diagnostics, (diagnostic) => tell(ofDiagnostic(diagnostic)))
    ], { concurrency: "unbounded" }),
    { startImmediately: true }
  )
  if (capabilities.logging !== undefined) yield* ask(client.setLogLevel(options.level))
  if (capabilities.tools?.listChanged === true) yield* ask(Stream.runDrain(client.toolsChanged))
  if (capabilities.resources?.listChanged === true) yield* ask(Stream.runDrain(client.resourcesChanged))
  if (capabilities.prompts?.listChanged === true) yield* ask(Stream.runDrain(client.promptsChanged))
  for (const uri of options.resources) yield* ask(Stream.runDrain(client.resourceUpdates(uri)))
  yield* Fiber.join(heard)
  const { reason } = yield* client.closed
  yield* tell({ kind: "closed", text: reason.message, data: { reason: reason._tag, message: reason.message } })
}, Effect.scoped)

export const watch = Command.make("watch", {
  servers: Argument.String("server").pipe(
    Argument.withDescription("Names of servers in the config. Default: all of them"),
    Argument.variadic()
  ),
  resources: Flag.String("resource").pipe(
    Flag.withMetavar("URI"),
    Flag.withDescription("Also tell when this resource changes; may be given several times"),
    Flag.atLeast(0)
  ),
  level: Flag.Literals("server-log-level", McpSchema.loggingLevels).pipe(
    Flag.withDescription("Least severe log messages the servers send"),
    Flag.withDefault("info")
  )
}, Exit.reporting(Effect.fnUntraced(function*({ level, resources, servers }) {
  const { isInteractive, print, style } = yield* Screen
  const asJson = yield* Flags.json
  const config = yield* Connect.config
  const entries = servers.length === 0
    ? McpConfig.enabled(config)
    : yield* Effect.forEach(servers, (name) => Connect.named(config, name))
  // A person can only be asked for one login at a time.
  const open = (entry: McpConfig.Entry) =>
    isInteractive && servers.length === 1 ? Effect.provide(Connect.open(entry), Login.browser()) : Connect.open(entry)
  const results = yield* Effect.forEach(entries, (entry) =>
    Effect.scoped(Effect.gen(function*() {
      const client = yield* open(entry)
      yield* Effect.logInfo(`watching ${entry.name}; Ctrl-C ends`)
      yield* follow(client, { level, resources }, (happening) =>
        Effect.flatMap(Clock.currentTimeMillis, (time) => print(show(time, entry.name, happening, asJson, style))))
    })).pipe(
      Effect.as(undefined),
      Effect.catchTag("McpError", (error) =>
        Effect.as(Effect.logError(Exit.withAdvice(error)), Exit.fromMcpError(error, "unreachable").reason))
    ), { concurrency: "unbounded" })
  const [failed, ...others] = results.filter((reason) => reason !== undefined)
  // One exit code has to do for all of them.
  const reason = others.every((other) => other === failed) ? failed : "unreachable"
  if (reason !== undefined) return yield* new Exit.Failure({ reason, message: "" })
  return yield* new Exit.Failure({ reason: "failed", message: "No server is left to watch" })
}))).pipe(
  Command.withDescription("Tell what servers do on their own account, live: notifications, log messages, lines on stderr")
)
