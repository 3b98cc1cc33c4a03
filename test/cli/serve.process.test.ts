import { assert, describe, it } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { WebSocketClientTransport } from "@modelcontextprotocol/sdk/client/websocket.js"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { ChildProcess } from "node:child_process"
import { createServer } from "node:net"
import type * as Bridge from "../../src/bridge/Bridge.ts"
import * as Exit from "../../src/cli/exit.ts"
import { connectTo, live, Sum } from "../peers/behaviour.ts"
import { processesWith, serverFile } from "../support/faultServer.ts"
import { fixture, mcpConnect, project } from "./support.ts"

const mark = Effect.sync(() => `mark=${crypto.randomUUID()}`)

/** Runs `mcp-connect serve` until the scope closes or it is told to leave. */
const serve = Effect.fnUntraced(function*(
  servers: Record<string, unknown>,
  args: ReadonlyArray<string> = [],
  env: Record<string, string> = {}
) {
  const cwd = yield* project(servers)
  const ready = yield* Deferred.make<{ readonly endpoints: ReadonlyArray<Bridge.Endpoint>; readonly command: ChildProcess }>()
  const running = yield* Effect.forkScoped(mcpConnect(["serve", "--json", ...args], {
    cwd,
    env,
    onOutput: ({ stdout }, command) => {
      if (stdout.trimEnd().endsWith("]")) Deferred.doneUnsafe(ready, Effect.succeed({ endpoints: JSON.parse(stdout), command }))
    }
  }))
  const { command, endpoints } = yield* Effect.raceFirst(
    Deferred.await(ready),
    Effect.flatMap(Fiber.join(running), ({ stderr }) => Effect.die(new Error(stderr)))
  )
  const end = (signal: NodeJS.Signals) => Effect.andThen(Effect.sync(() => command.kill(signal)), Fiber.join(running))
  return { endpoints, end }
})

const urlOf = (endpoints: ReadonlyArray<Bridge.Endpoint>, name: string, scheme: "http" | "websocket" = "http"): string => {
  const endpoint = endpoints.find((endpoint) => endpoint.name === name)
  assert(endpoint !== undefined)
  return endpoint[scheme]
}

describe("mcp-connect serve", () => {
  live("our own client is served over HTTP and WebSocket, in the revision of each server", Effect.gen(function*() {
    const { endpoints } = yield* serve({
      old: fixture("legacy-sdk.ts"),
      new: fixture("modern-sdk.ts"),
      remote: { url: "http://127.0.0.1:1/mcp" }
    })
    assert.deepStrictEqual(endpoints.map(({ name }) => name), ["old", "new"])
    for (const [name, revision] of [["old", "2025-11-25"], ["new", "2026-07-28"]] as const) {
      for (const scheme of ["http", "websocket"] as const) {
        const client = yield* connectTo({ url: urlOf(endpoints, name, scheme) })
        assert.strictEqual(client.revision, revision)
        assert.deepStrictEqual(yield* client.callToolAs("add", { a: 1, b: 2 }, Sum), { sum: 3 })
        const heard: Array<number> = []
        yield* client.callTool("slow", { label: "a", steps: 3, millis: 5 }, {
          onProgress: ({ progress }) => Effect.sync(() => heard.push(progress))
        })
        assert.deepStrictEqual(heard, [1, 2, 3])
      }
    }
  }))

  live("the WebSocket client of the official SDK v1 is served, and its process ends with it", Effect.gen(function*() {
    const name = yield* mark
    const { endpoints } = yield* serve({
      // The fixture has a use for every argument of its own.
      old: { command: process.execPath, args: [`--conditions=${name}`, serverFile("legacy-sdk.ts")] }
    }, ["old"])
    const url = urlOf(endpoints, "old", "websocket")
    assert.isTrue(url.endsWith("/mcp"))
    const client = new Client({ name: "sdk", version: "1" })
    yield* Effect.promise(() => client.connect(new WebSocketClientTransport(new URL(url))))
    const { tools } = yield* Effect.promise(() => client.listTools())
    assert.include(tools.map((tool) => tool.name), "add")
    const { structuredContent } = yield* Effect.promise(() => client.callTool({ name: "add", arguments: { a: 2, b: 3 } }))
    assert.deepStrictEqual(structuredContent, { sum: 5 })
    assert.lengthOf(processesWith(name), 1)
    yield* Effect.promise(() => client.close())
    yield* Effect.repeat(Effect.sleep("20 millis"), { until: () => processesWith(name).length === 0, times: 250 })
    assert.lengthOf(processesWith(name), 0)
  }))

  for (const [sharing, processes] of [["session", 2], ["shared", 1]] as const) {
    live(`--sharing ${sharing}: two sessions have ${processes === 1 ? "one process" : "a process each"}, and Ctrl-C leaves none`, Effect.gen(function*() {
      const name = yield* mark
      const { end, endpoints } = yield* serve({ old: fixture("fault.ts", name) }, ["--sharing", sharing])
      for (const label of ["one", "two"]) {
        const client = new Client({ name: label, version: "1" })
        yield* Effect.promise(() => client.connect(new WebSocketClientTransport(new URL(urlOf(endpoints, "old", "websocket")))))
        const { content } = yield* Effect.promise(() => client.callTool({ name: "echo", arguments: { text: label } }))
        assert.deepInclude(content, { type: "text", text: label })
      }
      assert.lengthOf(processesWith(name), processes)
      const { code } = yield* end("SIGINT")
      assert.strictEqual(code, Exit.codes.interrupted.code)
      assert.deepStrictEqual(processesWith(name), [])
    }))
  }

  live("SIGTERM takes down servers that ignore it", Effect.gen(function*() {
    const name = yield* mark
    const { end, endpoints } = yield* serve({
      stubborn: { ...fixture("fault.ts", "ignore-eof", "ignore-sigterm", name), shutdown: { stdin: 200, terminate: 200 } }
    })
    const client = new Client({ name: "sdk", version: "1" })
    yield* Effect.promise(() => client.connect(new WebSocketClientTransport(new URL(urlOf(endpoints, "stubborn", "websocket")))))
    const { code } = yield* end("SIGTERM")
    assert.strictEqual(code, Exit.codes.interrupted.code)
    assert.deepStrictEqual(processesWith(name), [])
  }))

  live("an address that others reach is served with a token: a new one on stderr, or that of the environment", Effect.gen(function*() {
    const servers = { old: fixture("fault.ts") }
    const statusOf = (url: string, token: string) =>
      Effect.promise(() =>
        fetch(url.replace("0.0.0.0", "127.0.0.1"), { method: "DELETE", headers: { authorization: `Bearer ${token}` } })
          .then(({ status }) => status)
      )
    const generated = yield* serve(servers, ["--host", "0.0.0.0"])
    const url = urlOf(generated.endpoints, "old")
    assert.strictEqual(yield* statusOf(url, "wrong"), 401)
    const { stderr } = yield* generated.end("SIGINT")
    const [, token = ""] = /^token: (\S+)$/m.exec(stderr) ?? []
    assert.match(token, /^[\w-]{43}$/)
    const given = yield* serve(servers, ["--host", "0.0.0.0"], { MCP_CONNECT_TOKEN: "from-the-environment" })
    assert.strictEqual(yield* statusOf(urlOf(given.endpoints, "old"), "from-the-environment"), 400)
    assert.strictEqual(yield* statusOf(urlOf(given.endpoints, "old"), "wrong"), 401)
    assert.notInclude((yield* given.end("SIGINT")).stderr, "from-the-environment")
  }))

  it.live("what cannot be served is said in one line, with exit code 2", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ stdio: fixture("fault.ts"), remote: { url: "http://127.0.0.1:1/mcp" } })
      const taken = yield* Effect.acquireRelease(
        Effect.callback<{ readonly port: number; readonly close: () => void }>((resume) => {
          const server = createServer().listen(0, "127.0.0.1", () => {
            const address = server.address()
            resume(Effect.succeed({ port: typeof address === "object" ? address?.port ?? 0 : 0, close: () => server.close() }))
          })
        }),
        ({ close }) => Effect.sync(close)
      )
      for (
        const [args, word] of [
          [["nobody"], "No server \"nobody\""],
          [["remote"], "only stdio servers are served"],
          [["stdio", "--port", String(taken.port)], "EADDRINUSE"],
          [["stdio", "--allow-origin", "app.example"], "Expected an origin"],
          [["stdio", "--token", "two words"], "The token must be"]
        ] as const
      ) {
        const { code, stderr, stdout } = yield* mcpConnect(["serve", ...args], { cwd })
        assert.strictEqual(code, Exit.codes.usage.code, stderr)
        assert.include(stderr, word)
        assert.strictEqual(stdout, "")
      }
    }).pipe(Effect.scoped))
})
