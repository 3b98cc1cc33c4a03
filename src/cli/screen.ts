/**
 * Where the command writes: results to stdout, everything else to stderr, and
 * one live line at the bottom of a terminal while something is going on.
 */
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import { Failure } from "./exit.ts"
import * as Style from "./style.ts"
import { cut, oneLine, safe } from "./text.ts"

export class Screen extends Context.Service<Screen, {
  /** Cells of a line on stdout. */
  readonly columns: number
  /** How text on stdout may look. */
  readonly style: Style.Style
  /** Whether there is a person to ask. */
  readonly isInteractive: boolean
  /** A result: a text, whose foreign parts are `safe`, and a line end on stdout. Ends when it is written. */
  readonly print: (text: string) => Effect.Effect<void, Failure>
  /** Draws a text in the place of the one drawn before. Where stdout is no terminal there is no such place. */
  readonly draw: ((text: string) => Effect.Effect<void>) | undefined
  /** A text beside the result: the same on stderr. */
  readonly note: (text: string) => Effect.Effect<void>
  /** The live line, in place of the one before; nothing where stderr is not a terminal. */
  readonly status: (text: string) => Effect.Effect<void>
  /** Keeps the live line away while it runs. */
  readonly withoutStatus: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}>()("mcp-connect/cli/Screen") {}

/** Where nobody knows how wide a line may be. */
const defaultColumns = 100

const variable = (name: string) =>
  Config.String(name).pipe(Config.option, Effect.map(Option.getOrUndefined), Effect.orElseSucceed(() => undefined))

const environment = Effect.all({
  COLUMNS: variable("COLUMNS"),
  NO_COLOR: variable("NO_COLOR"),
  FORCE_COLOR: variable("FORCE_COLOR"),
  TERM: variable("TERM")
})

const prefixes: Partial<Record<string, (style: Style.Style) => string>> = {
  Trace: ({ dim }) => dim("trace: "),
  Debug: ({ dim }) => dim("debug: "),
  Warn: ({ yellow }) => yellow("warning: "),
  Error: ({ red }) => red("error: "),
  Fatal: ({ red }) => red("fatal: ")
}

const unwritten = (error: NodeJS.ErrnoException): Failure =>
  error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED"
    ? new Failure({ reason: "unread", message: "" })
    : new Failure({ reason: "failed", message: `Cannot write to stdout: ${error.message}` })

/** The process's own streams as a screen, and the log on its stderr. */
export const layer: Layer.Layer<Screen> = Layer.effectContext(Effect.gen(function*() {
  const { stderr, stdin, stdout } = process
  const variables = yield* environment
  const isSmart = variables.TERM !== "dumb"
  const noteStyle = Style.make(Style.isWanted(variables, stderr.isTTY))
  const columns = stdout.isTTY ? stdout.columns : Number.parseInt(variables.COLUMNS ?? "", 10)
  let live = ""
  let drawing = ""
  let hidden = 0

  // A reader who went away is told by the writes; an event nobody listens to would end the process.
  const ignore = () => {}
  yield* Effect.acquireRelease(
    Effect.sync(() => [stdout, stderr].forEach((stream) => stream.on("error", ignore))),
    () =>
      Effect.sync(() => {
        // The last drawing stays to be read.
        drawing = ""
        erase()
      })
  )

  const erase = () => {
    if (live !== "") stderr.write("\r\u001b[K")
    if (drawing !== "") stdout.write(`\u001b[${drawing.split("\n").length - 1}F\u001b[J`)
  }
  const draw = () => {
    if (hidden === 0) stdout.write(drawing)
    if (live !== "" && hidden === 0) stderr.write(noteStyle.dim(cut(live, stderr.columns - 1)))
  }
  const noteUnsafe = (text: string) => {
    erase()
    stderr.write(`${text}\n`)
    draw()
  }

  const logger = Logger.make<unknown, void>(({ cause, logLevel, message }) => {
    const text = [message].flat().map(String).join(" ")
    const prefix = prefixes[logLevel]?.(noteStyle) ?? ""
    noteUnsafe(prefix + safe(cause.reasons.length === 0 ? text : `${text}\n${Cause.pretty(cause)}`))
  })
  return Context.make(Screen, {
    columns: columns > 0 ? columns : defaultColumns,
    style: Style.make(Style.isWanted(variables, stdout.isTTY)),
    isInteractive: stdin.isTTY && stdout.isTTY && isSmart,
    print: (text) =>
      Effect.callback<void, Failure>((resume) => {
        erase()
        stdout.write(`${text}\n`, (error) => resume(error == null ? Effect.void : Effect.fail(unwritten(error))))
        draw()
      }),
    draw: stdout.isTTY && isSmart
      ? (text) =>
        Effect.sync(() => {
          erase()
          // What has left the top of the terminal could not be replaced.
          drawing = `${text.split("\n").slice(0, stdout.rows > 1 ? stdout.rows - 1 : undefined).join("\n")}\n`
          draw()
        })
      : undefined,
    note: (text) => Effect.sync(() => noteUnsafe(text)),
    status: (text) =>
      Effect.sync(() => {
        if (!stderr.isTTY || !isSmart) return
        erase()
        live = oneLine(text)
        draw()
      }),
    withoutStatus: (effect) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          erase()
          hidden++
        }),
        () => effect,
        () =>
          Effect.sync(() => {
            hidden--
            draw()
          })
      )
  }).pipe(Context.add(Logger.CurrentLoggers, new Set([logger])))
}))
