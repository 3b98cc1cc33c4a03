import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Conversation from "../../bridge/conversation.ts"
import * as Configured from "../../client/configured.ts"
import * as McpClient from "../../McpClient.ts"
import * as McpConfig from "../../McpConfig.ts"
import { type JsonObject, isJsonObject } from "../../protocol/JsonRpc.ts"
import * as Recorder from "../../recording/Recorder.ts"
import * as Relay from "../../recording/relay.ts"
import type { Resolved } from "../../ServerConfig.ts"
import { type Binding, Transport } from "../../Transport.ts"
import * as TransportFromConfig from "../../transport/fromConfig.ts"
import * as Arguments from "../arguments.ts"
import * as Connect from "../connect.ts"
import * as Elicit from "../elicit.ts"
import * as Exit from "../exit.ts"
import * as Flags from "../flags.ts"
import { Screen } from "../screen.ts"
import * as Table from "../table.ts"

interface Call {
  readonly tool: string
  readonly args: JsonObject
}

/** `NAME {"json":…}`, the arguments may be left out. */
const toCall = (text: string): Result.Result<Call, string> => {
  const [, tool = "", json = ""] = /^\s*(\S+)\s*([^]*)$/.exec(text) ?? []
  if (tool === "") return Result.fail("--call wants the name of a tool, and its arguments as JSON")
  return Result.flatMap(Arguments.fromJson(json === "" ? "{}" : json), ({ toArguments }) =>
    Result.map(toArguments(undefined), (args) => ({ tool, args })))
}

/** Shorter values of a config, such as `1` or `info`, would be found everywhere. */
const shortestSecret = 6

/** What the config keeps to itself, and the words of it: of `Bearer abcdef` also `abcdef` alone. */
const secretsOf = (config: unknown): ReadonlyArray<string> =>
  Redacted.isRedacted(config)
    ? [config].map(Redacted.value).flatMap((value) => typeof value === "string" ? [value, ...value.split(/\s+/)] : [])
      .filter(({ length }) => length >= shortestSecret)
    : Array.isArray(config)
    ? config.flatMap(secretsOf)
    : isJsonObject(config)
    ? Object.values(config).flatMap(secretsOf)
    : []

/** Lists everything and makes the calls, one after the other. Ends with the tools that reported a failure. */
const exercise = Effect.fnUntraced(function*(
  { name }: McpConfig.Entry,
  config: Resolved,
  binding: Binding,
  calls: ReadonlyArray<Call>
) {
  const { isInteractive, status } = yield* Screen
  const timeout = Option.getOrUndefined(yield* Flags.timeout)
  const connecting = McpClient.make({
    ...Configured.options(config),
    ...timeout === undefined ? {} : { timeout, startupTimeout: timeout },
    name
  }).pipe(Effect.provideService(Transport, binding))
  yield* status(`connecting to ${name}`)
  const client = yield* (isInteractive ? Effect.provide(connecting, Elicit.layer) : connecting).pipe(
    Effect.mapError((error) => Exit.fromMcpError(error, "unreachable"))
  )
  yield* Effect.forkScoped(Connect.logDiagnostics(client), { startImmediately: true })
  const { capabilities } = client.server
  if (capabilities.tools !== undefined) yield* client.listTools()
  if (capabilities.resources !== undefined) yield* client.listResources()
  if (capabilities.prompts !== undefined) yield* client.listPrompts()
  const failed: Array<string> = []
  for (const { args, tool } of calls) {
    yield* status(`calling ${tool}`)
    const isFailure = yield* client.callTool(tool, args).pipe(
      Effect.map(({ isError }) => isError === true),
      // An error is an answer too, and part of the recording; without a connection there are no more.
      Effect.catchIf(({ reason }) => reason._tag === "RemoteError", ({ message }) => Effect.as(Effect.logWarning(message), true))
    )
    if (isFailure) failed.push(tool)
  }
  return failed
}, Effect.ensuring(Effect.flatMap(Screen, ({ status }) => status(""))))

/** For what is still to be answered when the client has left. */
const lastAnswers = "5 seconds"

const maxBufferedBytes = 64 * 1_024 * 1_024

/** Carries everything between the own stdin and stdout and the server. */
const relay = Effect.fnUntraced(function*(binding: Binding) {
  const { print } = yield* Screen
  const { stdin } = yield* Stdio.Stdio
  const { binding: relayed, delivered, idle } = Relay.make(binding)
  const conversation = yield* Effect.mapError(Conversation.open(relayed, { maxBufferedBytes }), (error) =>
    Exit.fromMcpError(error, "unreachable"))
  const end = yield* conversation.run({
    receive: (onText) =>
      Stream.decodeText(stdin).pipe(
        Stream.splitLines,
        Stream.filter((line) => line.trim() !== ""),
        Stream.runForEach(onText),
        Effect.mapError(({ message }) => new Exit.Failure({ reason: "failed", message: `Cannot read stdin: ${message}` })),
        Effect.andThen(Effect.timeoutOption(idle, lastAnswers)),
        Effect.asVoid
      ),
    send: (texts) => Effect.tap(print(texts.join("\n")), () => Effect.sync(() => delivered(texts)))
  })
  if (end === undefined) return
  return yield* new Exit.Failure({
    reason: "failed",
    message: end._tag === "Server"
      ? end.reason.message
      : end._tag === "Slow"
      ? "The client does not read what the server sends"
      : "The server does not read what the client sends"
  })
})

const columns: ReadonlyArray<Table.Column> = [
  { title: "CASSETTE", keep: true },
  { title: "FRAMES", align: "right" },
  { title: "REQUESTS", align: "right" },
  { title: "REDACTIONS", align: "right" }
]

export const record = Command.make("record", {
  server: Argument.String("server").pipe(Argument.withDescription("Name of a server in the config")),
  out: Flag.String("out").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("The cassette to write; one that is there is replaced")
  ),
  calls: Flag.String("call").pipe(
    Flag.withMetavar("CALL"),
    Flag.withDescription("Also call a tool: its name, and its arguments as JSON; may be given several times"),
    Flag.atLeast(0)
  ),
  stdio: Flag.Boolean("stdio").pipe(
    Flag.withDescription("Be a stdio server instead, for any client: what it says goes to the server, and is recorded"),
    Flag.withoutNegation,
    Flag.withDefault(false)
  ),
  redact: Flag.String("redact").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDescription("Also hide the values of members of this name, or of one that ends so; may be given several times"),
    Flag.atLeast(0)
  )
}, Exit.reporting(Effect.fnUntraced(function*({ calls, out, redact, server, stdio }) {
  const { columns: room, note } = yield* Screen
  const wanted = calls.map(toCall)
  const wrong = wanted.find(Result.isFailure)
  if (wrong !== undefined) return yield* Exit.usage(wrong.failure)
  if (stdio && calls.length > 0) return yield* Exit.usage("With --stdio the client makes the calls; leave out --call")
  const entry = yield* McpConfig.get(yield* Connect.config, server)
  if (entry.config.disabled === true) return yield* Exit.usage(`The server "${server}" is disabled in ${entry.source}`)
  const config = yield* McpConfig.resolve(entry)

  let recorder: Recorder.Recorder | undefined
  const recording = Effect.gen(function*() {
    const binding = yield* TransportFromConfig.fromConfig(entry.name, config)
    const made = yield* Effect.mapError(
      Recorder.toFile(out, binding, { server: entry.name, redact: { keys: redact, values: secretsOf(config) } }),
      ({ message }) => Exit.usage(message)
    )
    recorder = made
    if (!stdio) return yield* exercise(entry, config, made.binding, wanted.flatMap((call) => Result.isSuccess(call) ? [call.success] : []))
    yield* relay(made.binding)
    return []
  })
  const summary = Effect.suspend(() => {
    if (recorder === undefined) return Effect.void
    const { frames, redactions, requests, truncated } = recorder.summary()
    const rows = [{ cells: [out, String(frames), String(requests), String(redactions)] }]
    return Effect.andThen(
      note(Table.render(columns, rows, { room })),
      truncated ? Effect.logWarning("The cassette is not complete: there was too much to record") : Effect.void
    )
  })
  // After its scope: the table tells of a file that is there.
  const failed = yield* Effect.ensuring(Effect.scoped(recording), summary)
  if (failed.length > 0) {
    return yield* new Exit.Failure({ reason: "failed", message: `Recorded, with failures of ${failed.join(", ")}` })
  }
}))).pipe(
  Command.withDescription(
    "Record what a server says to a file that tests can replay in its place. Secrets are hidden: what is named like one, " +
      "looks like one, or comes from the config"
  ),
  Command.withShortDescription("Record a server for tests"),
  Command.withExamples([
    {
      command: "mcp-connect record files --out files.cassette.jsonl --call 'read_text_file {\"path\":\"README.md\"}'",
      description: "Everything it lists, and a call"
    },
    { command: "mcp-connect record files --out session.cassette.jsonl --stdio", description: "The command to give to another client" }
  ])
)
