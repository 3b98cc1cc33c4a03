/** The servers of `demo`: programs from npm, each reached in another way. They are development dependencies of this package. */
import * as Effect from "effect/Effect"
import type { HttpServer } from "effect/http/HttpServer"
import * as Path from "effect/Path"
import * as ChildProcess from "effect/process/ChildProcess"
import type { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type { PlatformError } from "effect/PlatformError"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createRequire } from "node:module"
import { connect, createServer } from "node:net"
import * as Bridge from "../bridge/Bridge.ts"
import type { McpError } from "../McpError.ts"
import type { JsonObject } from "../protocol/JsonRpc.ts"
import * as ServerConfig from "../ServerConfig.ts"
import * as StdioTransport from "../transport/StdioTransport.ts"
import * as Exit from "./exit.ts"

/** A server to show, and a call worth making. */
interface Shown {
  readonly name: string
  readonly package: string
  /** How it is reached: as a child process, at an address its own program listens on, or bridged to a WebSocket. */
  readonly reached:
    | { readonly by: "stdio"; readonly args: (folder: string) => ReadonlyArray<string> }
    | { readonly by: "http"; readonly mode: string; readonly path: string }
    | { readonly by: "websocket"; readonly env: (folder: string) => Record<string, string> }
  readonly tool: string
  readonly arguments: (folder: string) => JsonObject
}

export const shown: ReadonlyArray<Shown> = [
  {
    name: "filesystem",
    package: "@modelcontextprotocol/server-filesystem",
    reached: { by: "stdio", args: (folder) => [folder] },
    tool: "list_directory",
    arguments: (folder) => ({ path: folder })
  },
  {
    name: "everything",
    package: "@modelcontextprotocol/server-everything",
    reached: { by: "http", mode: "streamableHttp", path: "/mcp" },
    tool: "get-sum",
    arguments: () => ({ a: 19, b: 23 })
  },
  {
    name: "everything-sse",
    package: "@modelcontextprotocol/server-everything",
    reached: { by: "http", mode: "sse", path: "/sse" },
    tool: "echo",
    arguments: () => ({ message: "over the transport of 2024" })
  },
  {
    name: "memory",
    package: "@modelcontextprotocol/server-memory",
    reached: { by: "websocket", env: (folder) => ({ MEMORY_FILE_PATH: `${folder}/memory.jsonl` }) },
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

/** A port that nothing listens on now. */
const freePort = Effect.callback<number, Exit.Failure>((resume) => {
  const failed = () => resume(Effect.fail(Exit.usage("The demo needs a free port on 127.0.0.1, and there is none")))
  const server = createServer().once("error", failed).listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() => address === null || typeof address === "string" ? failed() : resume(Effect.succeed(address.port)))
  })
  return Effect.sync(() => server.close())
})

const accepts = (port: number) =>
  Effect.callback<void, Exit.Failure>((resume) => {
    const socket = connect(port, "127.0.0.1")
    socket.once("connect", () => resume(Effect.void))
    socket.once("error", (error) => resume(Effect.fail(Exit.usage(error.message))))
    return Effect.sync(() => socket.destroy())
  })

/** Starts a program that listens where `PORT` says, and waits until it does. */
const listening = Effect.fnUntraced(function*(program: string, mode: string) {
  const port = yield* freePort
  const child = yield* ChildProcess.make(process.execPath, [program, mode], {
    env: { PORT: String(port) },
    extendEnv: true,
    forceKillAfter: "2 seconds"
  })
  yield* Effect.forkScoped(Effect.ignore(Stream.runDrain(child.all)))
  yield* accepts(port).pipe(
    Effect.retry(Schedule.spaced("20 millis")),
    Effect.timeoutOrElse({
      duration: "30 seconds",
      orElse: () => Effect.fail(Exit.usage(`${program} does not listen on port ${port}`))
    })
  )
  return port
})

/** The config entry of one of them, which is reachable for as long as the scope is open. */
const entry = Effect.fnUntraced(function*({ name, reached }: Shown, program: string, folder: string) {
  switch (reached.by) {
    case "stdio":
      return {
        command: ServerConfig.escape(process.execPath),
        args: [program, ...reached.args(folder)].map(ServerConfig.escape)
      }
    case "http":
      return { url: `http://127.0.0.1:${yield* listening(program, reached.mode)}${reached.path}` }
    case "websocket": {
      const env = Object.entries(reached.env(folder)).map(([key, value]) => [key, Redacted.make(value)] as const)
      const binding = yield* StdioTransport.make({ command: process.execPath, args: [program], env: Object.fromEntries(env) })
      const [endpoint] = yield* Bridge.http({ servers: { [name]: binding } })
      return { url: endpoint?.websocket }
    }
  }
})

/**
 * A config document with all of them, for as long as the scope is open. Fails
 * where their packages are not installed, and says how to get them.
 */
export const start = Effect.fnUntraced(function*(
  folder: string
): Effect.fn.Return<
  unknown,
  Exit.Failure | McpError | PlatformError,
  ChildProcessSpawner | HttpServer | Path.Path | Scope.Scope
> {
  const found = yield* Effect.forEach(shown, (server) =>
    Effect.map(programOf(server.package), (program) => ({ server, program })))
  const missing = new Set(found.flatMap(({ program, server }) => program === undefined ? [server.package] : []))
  if (missing.size > 0) {
    return yield* Exit.usage(
      `The demo starts servers that are not installed here. Install them with: npm install --no-save ${[...missing].join(" ")}`
    )
  }
  const entries = yield* Effect.forEach(
    found,
    ({ program = "", server }) => Effect.map(entry(server, program, folder), (entry) => [server.name, entry] as const),
    { concurrency: "unbounded" }
  )
  return { mcpServers: Object.fromEntries(entries) }
})
