import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Connect from "../connect.ts"
import * as Exit from "../exit.ts"
import * as Flags from "../flags.ts"
import { Screen } from "../screen.ts"
import * as Survey from "../survey.ts"
import * as Table from "../table.ts"
import { json } from "../text.ts"

export const check = Command.make("check", {}, Exit.reporting(Effect.fnUntraced(function*() {
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
      yield* (Survey.isRequired(outcome) ? Effect.logError : Effect.logWarning)(outcome.error.message)
    }
  }
  const missing = down.filter(Survey.isRequired).length
  if (missing > 0) {
    return yield* new Exit.Failure({
      reason: "unreachable",
      message: `${missing} of ${outcomes.length} servers could not be reached`
    })
  }
}))).pipe(
  Command.withDescription(
    "Connect to every server of the config and show what it is. Servers with \"required\": false may be down"
  ),
  Command.withShortDescription("Connect to every server and show what it is")
)
