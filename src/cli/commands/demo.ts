import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as McpConfig from "../../McpConfig.ts"
import * as NodeMcp from "../../node.ts"
import * as Connect from "../connect.ts"
import * as DemoServers from "../demoServers.ts"
import * as Exit from "../exit.ts"
import * as Flags from "../flags.ts"
import * as Render from "../render.ts"
import { Screen } from "../screen.ts"
import * as Survey from "../survey.ts"
import * as Table from "../table.ts"
import { indent, json } from "../text.ts"

/** Starts them all, calls a tool on each, and stops them. */
const run = Effect.fnUntraced(function*() {
  const { columns, print, status, style } = yield* Screen
  const asJson = yield* Flags.json
  const fs = yield* FileSystem.FileSystem
  const folder = yield* Effect.flatMap(fs.makeTempDirectoryScoped({ prefix: "mcp-connect-demo-" }), fs.realPath)
  yield* fs.writeFileString(`${folder}/hello.txt`, "Hello from mcp-connect.\n")

  yield* status("starting four servers")
  const servers = yield* DemoServers.start(folder).pipe(
    Effect.flatMap((document) => McpConfig.fromValue(document, { source: "demo" })),
    Effect.flatMap((config) =>
      Effect.forEach(McpConfig.enabled(config), (entry) =>
        Effect.map(Survey.facts(Connect.client(entry)), ({ client, facts }) => ({
          client,
          outcome: { _tag: "Up", entry, facts } satisfies Survey.Outcome
        })), { concurrency: "unbounded" })
    ),
    Effect.ensuring(status(""))
  )
  const outcomes = servers.map(({ outcome }) => outcome)
  if (!asJson) {
    const rows = outcomes.map((outcome) => Survey.row(outcome, style))
    yield* print(Table.render(Survey.columns, rows, { room: columns, heading: style.bold }))
  }

  const calls = yield* Effect.forEach(servers, Effect.fnUntraced(function*({ client }) {
    const call = DemoServers.shown.find(({ name }) => name === client.name)
    if (call === undefined) return []
    const args = call.arguments(folder)
    const result = yield* client.callToolOrFail(call.tool, args)
    if (!asJson) {
      yield* print(`\n${style.bold(`${client.name}: ${call.tool}`)} ${style.dim(json(args, 0))}`)
      yield* print(indent(Render.toolResult(result)))
    }
    return [{ server: client.name, tool: call.tool, arguments: args, result }]
  }))
  if (asJson) yield* print(json({ servers: outcomes.map(Survey.toJson), calls: calls.flat() }))
}, Effect.scoped, Effect.provide(NodeMcp.layerHttpServer()))

export const demo = Command.make("demo", {}, Exit.reporting(Effect.fnUntraced(function*() {
  const { print } = yield* Screen
  yield* run()
  if (yield* Flags.json) return
  yield* print("\nAll servers are stopped again. Next, write an mcp.json for your own and run: mcp-connect check")
}))).pipe(
  Command.withDescription(
    "Start servers that come with this project, over stdio, HTTP, HTTP+SSE and WebSocket, call a tool on each, stop them. Needs no config and no network"
  ),
  Command.withShortDescription("See it work: every transport, a call on each, no config")
)
