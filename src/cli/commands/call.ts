import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Progress } from "../../McpClient.ts"
import * as McpSchema from "../../protocol/McpSchema.ts"
import * as Arguments from "../arguments.ts"
import * as Connect from "../connect.ts"
import * as Exit from "../exit.ts"
import * as Flags from "../flags.ts"
import * as Output from "../output.ts"
import * as Render from "../render.ts"
import { Screen } from "../screen.ts"
import * as Stdin from "../stdin.ts"
import { json } from "../text.ts"

/** The arguments in the words of the command line, or on stdin in their place. */
const typed = Effect.fnUntraced(function*(words: ReadonlyArray<string>) {
  const asked = words.length === 1 && words[0] === "-"
  if (!asked && (words.length > 0 || !(yield* Stdin.isPiped))) return Arguments.fromWords(words)
  if (!asked) yield* Effect.logInfo("reading the arguments as JSON from stdin")
  const text = (yield* Stdin.read).trim()
  return Arguments.fromJson(text === "" ? "{}" : text)
})

const progressLine = (tool: string, { message, progress, total }: Progress): string =>
  [
    tool,
    total !== undefined && total > 0 ? `${Math.min(100, Math.round(progress / total * 100))} %` : String(progress),
    ...message === undefined ? [] : [message]
  ].join("  ")

export const call = Command.make("call", {
  server: Argument.String("server").pipe(Argument.withDescription("Name of a server in the config")),
  tool: Argument.String("tool").pipe(Argument.withDescription("Name of one of its tools")),
  words: Argument.String("arguments").pipe(
    Argument.withDescription(
      "One JSON object; or key=value, where the tool's schema says whether it is a number, a list or text, " +
        "and key:=json; or - to read JSON from stdin"
    ),
    Argument.variadic()
  ),
  output: Output.flag
}, Exit.reporting(Effect.fnUntraced(function*({ output, server, tool, words }) {
  const { note, print, status } = yield* Screen
  const given = yield* typed(words)
  if (Result.isFailure(given)) return yield* Exit.usage(given.failure)

  const client = yield* Connect.server(server, { interactive: true })
  const { needSchema, toArguments } = given.success
  const listed = needSchema ? yield* client.listTools() : []
  const args = toArguments(listed.find(({ name }) => name === tool)?.inputSchema)
  if (Result.isFailure(args)) return yield* Exit.usage(args.failure)

  yield* status(`calling ${tool}`)
  const result = yield* client.callTool(tool, args.success, {
    onProgress: (progress) => status(progressLine(tool, progress))
  }).pipe(Effect.ensuring(status("")))

  const shown = Render.toolResult(result)
  if (result.isError === true) {
    yield* (yield* Flags.json) ? print(json(result)) : note(shown)
    return yield* new Exit.Failure({ reason: "failed", message: `The tool "${tool}" of "${server}" reports a failure` })
  }
  const { content } = result
  yield* Output.give(output, {
    value: result,
    text: McpSchema.textOf(content),
    binaries: Render.binariesOf(content),
    shown
  })
}, Effect.scoped))).pipe(
  Command.withDescription("Call a tool and print what it answers, free of anything a terminal would act on; --json and --output give it exactly"),
  Command.withShortDescription("Call a tool"),
  Command.withExamples([
    { command: "mcp-connect call everything get-sum a=2 b=3", description: "Arguments as pairs" },
    { command: "mcp-connect call files read_text_file '{\"path\":\"README.md\"}'", description: "Arguments as JSON" }
  ])
)
