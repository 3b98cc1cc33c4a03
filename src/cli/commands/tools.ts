import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Exit from "../exit.ts"
import * as Listing from "../listing.ts"
import { Screen } from "../screen.ts"
import { indent, json, oneLine, safe } from "../text.ts"

export const tools = Command.make("tools", {
  server: Listing.server,
  schema: Flag.Boolean("schema").pipe(
    Flag.withDescription("Show descriptions in full, and the JSON Schemas of arguments and results"),
    Flag.withoutNegation,
    Flag.withDefault(false)
  )
}, Exit.reporting(Effect.fnUntraced(function*({ schema, server }) {
  const { style } = yield* Screen
  yield* Listing.show({
    server,
    list: (client) => client.listTools(),
    columns: [{ title: "TOOL", keep: true }, { title: "DESCRIPTION" }],
    row: ({ description, name, title }) => [name, description ?? title ?? ""],
    detail: schema
      ? ({ item: { description, inputSchema, name, outputSchema }, server }) =>
        [
          style.bold(oneLine(`${server} ${name}`)),
          ...description === undefined ? [] : [indent(safe(description).trim())],
          indent(`arguments: ${json(inputSchema)}`),
          ...outputSchema === undefined ? [] : [indent(`result: ${json(outputSchema)}`)]
        ].join("\n")
      : undefined
  })
}))).pipe(Command.withDescription("List the tools of a server, or of all"))
