import * as Command from "effect/cli/Command"
import * as Exit from "../exit.ts"
import * as Listing from "../listing.ts"

export const prompts = Command.make("prompts", { server: Listing.server }, Exit.reporting(({ server }) =>
  Listing.show({
    server,
    list: (client) => client.listPrompts(),
    columns: [{ title: "PROMPT", keep: true }, { title: "ARGUMENTS" }, { title: "DESCRIPTION" }],
    row: ({ arguments: parameters = [], description, name, title }) => [
      name,
      parameters.map(({ name, required }) => required === true ? name : `[${name}]`).join(" "),
      description ?? title ?? ""
    ]
  })
)).pipe(Command.withDescription("List the prompts of a server, or of all"))
