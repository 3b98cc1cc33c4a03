import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { createRequire } from "node:module"
import * as McpConfig from "../../McpConfig.ts"
import type { JsonObject } from "../../protocol/JsonRpc.ts"
import * as ServerConfig from "../../ServerConfig.ts"
import * as Connect from "../connect.ts"
import * as Exit from "../exit.ts"
import * as Flags from "../flags.ts"
import * as Render from "../render.ts"
import { Screen } from "../screen.ts"
import * as Survey from "../survey.ts"
import * as Table from "../table.ts"
import { indent, json } from "../text.ts"

/** Servers to show, each with a call worth making. They are development dependencies of this package. */
const shown: ReadonlyArray<{
  readonly name: string
  readonly package: string
  readonly args?: (folder: string) => ReadonlyArray<string>
  readonly env?: (folder: string) => Record<string, string>
  readonly tool: string
  readonly arguments: (folder: string) => JsonObject
}> = [
  {
    name: "everything",
    package: "@modelcontextprotocol/server-everything",
    tool: "get-sum",
    arguments: () => ({ a: 19, b: 23 })
  },
  {
    name: "filesystem",
    package: "@modelcontextprotocol/server-filesystem",
    args: (folder) => [folder],
    tool: "list_directory",
    arguments: (folder) => ({ path: folder })
  },
  {
    name: "memory",
    package: "@modelcontextprotocol/server-memory",
    env: (folder) => ({ MEMORY_FILE_PATH: `${folder}/memory.jsonl` }),
    tool: "create_entities",
    arguments: () => ({
      entities: [{ name: "mcp-connect", entityType: "library", observations: ["connects Effect programs to MCP servers"] }]
    })
  }
]

const require = createRequire(import.meta.url)

/** The program of a package that is installed here, or `undefined`. */
const programOf = (name: string): Effect.Effect<string | undefined, never, Path.Path> =>
  Path.Path.use((path) =>
    Effect.try(() => {
      const file = require.resolve(`${name}/package.json`)
      const { bin }: { readonly bin: Record<string, string> } = require(file)
      return path.join(path.dirname(file), ...Object.values(bin).slice(0, 1))
    }).pipe(Effect.orElseSucceed(() => undefined))
  )

const embedded = Effect.fnUntraced(function*(folder: string) {
  const found = yield* Effect.forEach(shown, (server) =>
    Effect.map(programOf(server.package), (program) => ({ ...server, program })))
  const missing = found.filter(({ program }) => program === undefined).map((server) => server.package)
  if (missing.length > 0) {
    return yield* Exit.usage(
      `The demo starts servers that are not installed here. Install them with: npm install --no-save ${missing.join(" ")}`
    )
  }
  return yield* McpConfig.fromValue({
    mcpServers: Object.fromEntries(found.map(({ args, env, name, program = "" }) => [name, {
      command: ServerConfig.escape(process.execPath),
      args: [program, ...args?.(folder) ?? []].map(ServerConfig.escape),
      env: Object.fromEntries(Object.entries(env?.(folder) ?? {}).map(([key, value]) => [key, ServerConfig.escape(value)]))
    }]))
  }, { source: "demo" })
})

/** Starts them all, calls a tool on each, and stops them. */
const run = Effect.fnUntraced(function*() {
  const { columns, print, status, style } = yield* Screen
  const asJson = yield* Flags.json
  const fs = yield* FileSystem.FileSystem
  const folder = yield* Effect.flatMap(fs.makeTempDirectoryScoped({ prefix: "mcp-connect-demo-" }), fs.realPath)
  yield* fs.writeFileString(`${folder}/hello.txt`, "Hello from mcp-connect.\n")
  const config = yield* embedded(folder)

  yield* status("starting three servers")
  const servers = yield* Effect.forEach(McpConfig.enabled(config), (entry) =>
    Effect.map(Survey.facts(Connect.client(entry)), ({ client, facts }) => ({
      client,
      outcome: { _tag: "Up", entry, facts } satisfies Survey.Outcome
    })), { concurrency: "unbounded" }).pipe(
      Effect.mapError((error) => Exit.fromMcpError(error, "unreachable")),
      Effect.ensuring(status(""))
    )
  const outcomes = servers.map(({ outcome }) => outcome)
  if (!asJson) {
    const rows = outcomes.map((outcome) => Survey.row(outcome, style))
    yield* print(Table.render(Survey.columns, rows, { room: columns, heading: style.bold }))
  }

  const calls = yield* Effect.forEach(servers, Effect.fnUntraced(function*({ client }) {
    const call = shown.find(({ name }) => name === client.name)
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
}, Effect.scoped)

export const demo = Command.make("demo", {}, Exit.reporting(Effect.fnUntraced(function*() {
  const { print } = yield* Screen
  yield* run()
  if (yield* Flags.json) return
  yield* print("\nAll three servers are stopped again. Next, write an mcp.json for your own and run: mcp-connect check")
}))).pipe(
  Command.withDescription("Start three servers that come with this project, call a tool on each, stop them. Needs no config and no network"),
  Command.withShortDescription("See it work: three servers, three calls, no config")
)
