import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Exit from "../exit.ts"
import * as Listing from "../listing.ts"
import { bytes } from "../text.ts"

export const resources = Command.make("resources", { server: Listing.server }, Exit.reporting(({ server }) =>
  Listing.show({
    server,
    list: (client) =>
      Effect.zipWith(
        client.listResources(),
        client.listResourceTemplates(),
        (resources, templates) => [...resources, ...templates]
      ),
    columns: [{ title: "URI", keep: true }, { title: "NAME" }, { title: "TYPE" }, { title: "SIZE", align: "right" }],
    row: (item) => [
      "uri" in item ? item.uri : item.uriTemplate,
      item.title ?? item.name,
      item.mimeType ?? "",
      "size" in item && item.size !== undefined ? bytes(item.size) : ""
    ]
  })
)).pipe(Command.withDescription("List the resources and resource templates of a server, or of all"))
