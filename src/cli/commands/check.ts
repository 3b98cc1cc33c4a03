import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as McpConfig from "../../McpConfig.ts"
import * as McpServers from "../../McpServers.ts"
import * as Login from "../advice.ts"
import * as Board from "../board.ts"
import * as Connect from "../connect.ts"
import * as Exit from "../exit.ts"
import * as Flags from "../flags.ts"
import { Screen } from "../screen.ts"
import * as Survey from "../survey.ts"
import * as Table from "../table.ts"
import { json } from "../text.ts"

/** Connects to every server once, and tells what each of them is. */
const once = Effect.fnUntraced(function*() {
  const { columns, print, status, style } = yield* Screen
  const config = yield* Connect.config
  const entries = [...config.servers.values()]
  const waiting = new Set(entries.filter((entry) => entry.config.disabled !== true).map(({ name }) => name))
  const tellWaiting = Effect.suspend(() =>
    status(waiting.size === 0 ? "" : `connecting to ${waiting.size}: ${[...waiting].join(", ")}`)
  )
  yield* tellWaiting
  const outcomes = yield* Effect.forEach(entries, (entry) => {
    if (entry.config.disabled === true) return Effect.succeed<Survey.Outcome>({ _tag: "Disabled", entry })
    return Survey.facts(Connect.client(entry)).pipe(
      Effect.scoped,
      Effect.match({
        onSuccess: ({ facts }): Survey.Outcome => ({ _tag: "Up", entry, facts }),
        onFailure: (error): Survey.Outcome => ({ _tag: "Down", entry, error })
      }),
      Effect.tap(() => {
        waiting.delete(entry.name)
        return tellWaiting
      })
    )
  }, { concurrency: Connect.concurrency }).pipe(Effect.ensuring(status("")))

  const down = outcomes.filter((outcome) => outcome._tag === "Down")
  if (yield* Flags.json) {
    yield* print(json(outcomes.map(Survey.toJson)))
  } else {
    const rows = outcomes.map((outcome) => Survey.row(outcome, style))
    yield* print(Table.render(Survey.columns, rows, { room: columns, heading: style.bold }))
    for (const outcome of down) {
      yield* (Survey.isRequired(outcome) ? Effect.logError : Effect.logWarning)(Exit.withAdvice(outcome.error))
    }
  }
  const missing = down.filter(Survey.isRequired)
  if (missing.length > 0) {
    const closed = missing.filter(({ error }) => Login.wouldHelp(error)).length
    const unreached = missing.length - closed
    const told = [
      ...(unreached === 0 ? [] : [`${unreached} of ${outcomes.length} servers could not be reached`]),
      ...(closed === 0 ? [] : [`${closed} of ${outcomes.length} servers ${closed === 1 ? "needs" : "need"} a login`])
    ]
    return yield* new Exit.Failure({ reason: "unreachable", message: told.join(", ") })
  }
})

/** How often a server is asked for a sign of life while it is watched, where its entry does not say. */
const health = { interval: Duration.seconds(5), timeout: Duration.seconds(5), failures: 2 }

/** Keeps every server connected, and tells what becomes of it until somebody ends it. */
const live = Effect.fnUntraced(function*() {
  const { columns, draw, print, style } = yield* Screen
  const asJson = yield* Flags.json
  const config = yield* Connect.config
  // Begun empty: a server that cannot be reached is a line of the table here, not the end.
  const servers = yield* McpServers.makeWith(McpConfig.empty, Connect.client, {
    policy: ({ config }) => ({ ...config, health: config.health ?? health })
  })
  const board = new Map<string, Board.Seen>()
  yield* servers.reload(config)
  yield* Effect.forEach(McpConfig.enabled(config), ({ name }) =>
    servers.client(name).pipe(
      Effect.retry(Schedule.spaced("1 second")),
      Effect.forkScoped({ startImmediately: true })
    ), { discard: true })

  const redraw = Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const rows = [...board.values()].map((seen) => Board.row(seen, now, style))
    return Table.render(Board.columns, rows, { room: columns, heading: style.bold })
  })
  const transitions = Stream.mapEffect(servers.statuses, ({ server, status }) =>
    Effect.map(Clock.currentTimeMillis, (since): Board.Seen => {
      const transport = config.servers.get(server)?.config._tag.toLowerCase() ?? ""
      const seen = { server, transport, status, since }
      board.set(server, seen)
      return seen
    }))
  if (draw === undefined || asJson) {
    return yield* Stream.runForEach(transitions, (seen) => print(asJson ? Board.jsonLine(seen) : Board.line(seen, style)))
  }
  // Waits and ages are told to the second.
  const ticks = Stream.fromSchedule(Schedule.spaced("1 second"))
  yield* Stream.runForEach(Stream.merge(transitions, ticks), () => Effect.flatMap(redraw, draw))
}, Effect.scoped)

export const check = Command.make("check", {
  watch: Flag.Boolean("watch").pipe(
    Flag.withDescription("Keep them connected, and show what becomes of each, live, until Ctrl-C"),
    Flag.withoutNegation,
    Flag.withDefault(false)
  )
}, Exit.reporting(({ watch }) => watch ? live() : once())).pipe(
  Command.withDescription(
    "Connect to every server of the config and show what it is. Servers with \"required\": false may be down"
  ),
  Command.withShortDescription("Connect to every server and show what it is")
)
