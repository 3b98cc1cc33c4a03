/** `tools`, `resources` and `prompts`: what one server lists, or every one of them. */
import * as Argument from "effect/cli/Argument"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { McpClient } from "../McpClient.ts"
import * as McpConfig from "../McpConfig.ts"
import type * as McpError from "../McpError.ts"
import * as Connect from "./connect.ts"
import * as Exit from "./exit.ts"
import * as Flags from "./flags.ts"
import { Screen } from "./screen.ts"
import * as Table from "./table.ts"
import { json } from "./text.ts"

export const server = Argument.String("server").pipe(
  Argument.withDescription("Name of a server in the config. Default: all of them"),
  Argument.optional
)

type List<A> = (client: McpClient["Service"]) => Effect.Effect<ReadonlyArray<A>, McpError.McpError>

interface Listed<A> {
  readonly server: string
  readonly item: A
}

const fromAll = Effect.fnUntraced(function*<A>(list: List<A>) {
  const config = yield* Connect.config
  const results = yield* Effect.forEach(McpConfig.enabled(config), (entry) =>
    Connect.client(entry).pipe(
      Effect.flatMap(list),
      Effect.scoped,
      Effect.map((items) => items.map((item): Listed<A> => ({ server: entry.name, item }))),
      Effect.tapError((error) => Effect.logError(Exit.withAdvice(error))),
      Effect.mapError(() => entry),
      Effect.result
    ), { concurrency: Connect.concurrency })
  return {
    listed: results.flatMap((result) => Result.isSuccess(result) ? result.success : []),
    isComplete: results.every((result) => Result.isSuccess(result) || result.failure.config.required === false)
  }
})

/**
 * Lists, and shows each item as a row of a table, or as `detail` says. When a
 * server that is needed is missing, the command fails, but after showing what
 * the others have.
 */
export const show = Effect.fnUntraced(function*<A extends object>(options: {
  readonly server: Option.Option<string>
  readonly list: List<A>
  readonly columns: ReadonlyArray<Table.Column>
  readonly row: (item: A) => ReadonlyArray<string>
  readonly detail?: ((listed: Listed<A>) => string) | undefined
}) {
  const { columns, print, style } = yield* Screen
  const name = Option.getOrUndefined(options.server)
  const { isComplete, listed } = name === undefined
    ? yield* fromAll(options.list)
    : {
      listed: (yield* Effect.scoped(Effect.flatMap(Connect.server(name), options.list))).map((item) => ({ server: name, item })),
      isComplete: true
    }
  if (yield* Flags.json) {
    yield* print(json(listed.map(({ item, server }) => ({ server, ...item }))))
  } else if (options.detail !== undefined) {
    yield* print(listed.map(options.detail).join("\n\n"))
  } else {
    const rows = listed.map(({ item, server }) => ({ cells: [...name === undefined ? [server] : [], ...options.row(item)] }))
    const headings: ReadonlyArray<Table.Column> = [...name === undefined ? [{ title: "SERVER", keep: true }] : [], ...options.columns]
    yield* print(Table.render(headings, rows, { room: columns, heading: style.bold }))
  }
  if (!isComplete) return yield* new Exit.Failure({ reason: "unreachable", message: "" })
})
