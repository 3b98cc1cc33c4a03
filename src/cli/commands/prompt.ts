import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Connect from "../connect.ts"
import * as Exit from "../exit.ts"
import * as Flags from "../flags.ts"
import * as Render from "../render.ts"
import { Screen } from "../screen.ts"
import { json } from "../text.ts"

export const prompt = Command.make("prompt", {
  server: Argument.String("server").pipe(Argument.withDescription("Name of a server in the config")),
  name: Argument.String("prompt").pipe(Argument.withDescription("Name of one of its prompts")),
  words: Argument.String("arguments").pipe(
    Argument.withDescription("key=value, for each argument of the prompt"),
    Argument.variadic()
  )
}, Exit.reporting(Effect.fnUntraced(function*({ name, server, words }) {
  const { print } = yield* Screen
  const pairs: Array<readonly [string, string]> = []
  for (const word of words) {
    const at = word.indexOf("=")
    if (at < 1) return yield* Exit.usage(`Expected key=value, got "${word}"`)
    pairs.push([word.slice(0, at), word.slice(at + 1)])
  }
  const client = yield* Connect.server(server, { interactive: true })
  const result = yield* client.getPrompt(name, pairs.length === 0 ? undefined : Object.fromEntries(pairs))
  yield* print((yield* Flags.json) ? json(result) : Render.messages(result))
}, Effect.scoped))).pipe(Command.withDescription("Get a prompt with its arguments filled in"))
