import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Connect from "../connect.ts"
import * as Exit from "../exit.ts"
import * as Output from "../output.ts"
import * as Render from "../render.ts"

export const read = Command.make("read", {
  server: Argument.String("server").pipe(Argument.withDescription("Name of a server in the config")),
  uri: Argument.String("uri").pipe(Argument.withDescription("URI of the resource")),
  output: Output.flag
}, Exit.reporting(Effect.fnUntraced(function*({ output, server, uri }) {
  const client = yield* Connect.server(server, { interactive: true })
  const result = yield* client.readResource(uri)
  yield* Output.give(output, {
    value: result,
    text: result.contents.flatMap((part) => "text" in part ? [part.text] : []).join("\n"),
    binaries: result.contents.flatMap(Render.binaryOf),
    shown: result.contents.map(Render.resource).join("\n")
  })
}, Effect.scoped))).pipe(Command.withDescription("Read a resource"))
