import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as McpConfig from "../../McpConfig.ts"
import * as ServerConfig from "../../ServerConfig.ts"
import * as Connect from "../connect.ts"
import * as Exit from "../exit.ts"
import * as Flags from "../flags.ts"
import { Screen } from "../screen.ts"
import { indent, json, oneLine } from "../text.ts"

export const config = Command.make("config", {}, Exit.reporting(Effect.fnUntraced(function*() {
  const { print, style } = yield* Screen
  const config = yield* Connect.config
  if (yield* Flags.json) return yield* print(json(McpConfig.redacted(config)))
  for (const { config: server, name, overridden, source } of config.servers.values()) {
    const over = overridden.length === 0 ? "" : ` (instead of ${overridden.join(", ")})`
    yield* print(`${style.bold(oneLine(name))} ${style.dim(oneLine(`from ${source}${over}`))}`)
    yield* print(indent(json(ServerConfig.redacted(server))))
  }
}))).pipe(
  Command.withDescription("Show what the config says, in this program's own words, and from which file. Connects to nothing, hides secrets"),
  Command.withShortDescription("Show what the config says, and from which file")
)
