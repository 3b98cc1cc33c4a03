import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as NodeMcp from "../../src/node.ts"
import { type Capabilities, TransportSuite } from "../../src/testing/TransportSuite.ts"
import { freePort, startFixture, startOn } from "../support/httpServer.ts"
import { startNginx } from "../support/nginx.ts"
import { reasonOf } from "../support/reasonOf.ts"
import { connectTo, everything, faults, fixture, handlers, labelsAre, live, npm, Sum, textOf, transportTo, untilTold } from "./behaviour.ts"

const start = (name: string, ...args: ReadonlyArray<string>) => startFixture(fixture(name), "--http", ...args)

interface Way extends Capabilities {
  readonly name: string
  readonly args?: ReadonlyArray<string>
  readonly entry?: Readonly<Record<string, unknown>>
  readonly path?: string
}

const ways: Readonly<Record<string, Way>> = {
  "modern HTTP": { name: "modern-sdk", revision: "2026-07-28" },
  "modern HTTP, always as event streams": { name: "modern-sdk", args: ["sse"], revision: "2026-07-28" },
  "modern HTTP, only as JSON": { name: "modern-sdk", args: ["json"], revision: "2026-07-28", lacks: ["progress", "logs"] },
  "legacy HTTP of a modern server, without sessions": {
    name: "modern-sdk",
    client: { negotiation: { preset: "legacy" } },
    revision: "2025-11-25",
    lacks: ["questions", "changes", "subscriptions", "logs"]
  },
  "legacy HTTP with sessions": { name: "legacy-sdk", revision: "2025-11-25" },
  "legacy HTTP with sessions, 2025-03-26": {
    name: "legacy-sdk",
    client: { negotiation: { pin: "2025-03-26" } },
    revision: "2025-03-26",
    // There were no forms to fill in yet.
    lacks: ["questions"]
  },
  "legacy HTTP with sessions, only as JSON": {
    name: "legacy-sdk",
    args: ["json"],
    revision: "2025-11-25",
    lacks: ["progress", "questions"]
  },
  "legacy HTTP without sessions": {
    name: "legacy-sdk",
    args: ["stateless"],
    revision: "2025-11-25",
    lacks: ["questions", "changes", "subscriptions", "logs"]
  },
  "HTTP+SSE, found out": { name: "legacy-sdk", args: ["sse"], path: "/sse", revision: "2025-11-25" },
  "HTTP+SSE, as configured": {
    name: "legacy-sdk",
    args: ["sse"],
    path: "/sse",
    entry: { type: "sse" },
    revision: "2025-11-25"
  }
}

for (const [title, { args = [], entry, name, path = "/mcp", ...capabilities }] of Object.entries(ways)) {
  TransportSuite(
    `the official SDK's server over ${title}`,
    transportTo(Effect.map(start(name, ...args), ({ origin }) => ({ url: `${origin}${path}`, ...entry }))),
    { ...capabilities, faults: { dies: faults.dies } }
  )
}

describe("a server over HTTP", () => {
  const stays = [
    { title: "modern", name: "modern-sdk", args: [], path: "/mcp" },
    { title: "with a session", name: "legacy-sdk", args: ["sessions"], path: "/mcp" },
    { title: "with HTTP+SSE", name: "legacy-sdk", args: ["sse"], path: "/sse" }
  ]

  for (const { args, name, path, title } of stays) {
    live(`has no open connection left when the client is closed in the middle of things (${title})`, Effect.gen(function*() {
      const server = yield* start(name, ...args)
      yield* Effect.gen(function*() {
        const client = yield* connectTo({ url: `${server.origin}${path}` })
        yield* untilTold(client.toolsChanged, client, "toggle", { kind: "tool" })
        yield* Effect.forkScoped(Stream.runDrain(client.toolsChanged))
        yield* Effect.forkScoped(client.callTool("slow", { label: "left", steps: 100_000, millis: 5 }))
        yield* labelsAre(client, "running", ["left"])
        assert.isAbove(yield* server.connections, 0)
      }).pipe(Effect.scoped, Effect.provide(Layer.fresh(NodeMcp.layer)))
      yield* server.deserted
      assert.strictEqual(yield* server.connections, 0)
    }))

    live(`fails the call that runs when it dies, and the next at once (${title})`, Effect.gen(function*() {
      const server = yield* start(name, ...args)
      const client = yield* connectTo({ url: `${server.origin}${path}` })
      const call = yield* Effect.forkChild(client.callTool("slow", { label: "cut", steps: 100_000, millis: 5 }))
      yield* labelsAre(client, "running", ["cut"])
      yield* server.kill
      assert.include(["Unreachable", "ConnectionClosed"], reasonOf(yield* Fiber.await(call))._tag)
      const next = reasonOf(yield* Effect.exit(Effect.timeoutOrElse(client.callTool("echo", { text: "?" }), {
        duration: "10 seconds",
        orElse: () => Effect.die(new Error("The call waits for a server that is dead"))
      })))
      assert.include(["Unreachable", "ConnectionClosed"], next._tag)
    }))
  }

  live("that is not there is told to be unreachable", Effect.gen(function*() {
    const port = yield* freePort
    const reason = reasonOf(yield* Effect.exit(connectTo({ url: `http://127.0.0.1:${port}/mcp` })))
    assert.strictEqual(reason._tag, "Unreachable")
    assert.include(reason.message, `http://127.0.0.1:${port}/mcp`)
  }))

  live("pings the client on the stream of its session", Effect.gen(function*() {
    const { origin } = yield* start("legacy-sdk", "sessions")
    const client = yield* connectTo({ url: `${origin}/mcp` })
    // The stream is there once something was heard on it.
    yield* untilTold(client.toolsChanged, client, "toggle", { kind: "tool" })
    assert.strictEqual(textOf(yield* client.callTool("ping")), "pong")
  }))
})

describe("Effect's own McpServer over HTTP", () => {
  for (const [revision, pin] of [["2026-07-28", {}], ["2025-11-25", { protocolVersion: "2025-11-25" }]] as const) {
    live(`is listed, called, read and interrupted (${revision})`, Effect.gen(function*() {
      const { origin } = yield* start("effect-server")
      const client = yield* connectTo({ url: `${origin}/mcp`, ...pin }, { outputSchema: "strict" })
      assert.strictEqual(client.revision, revision)
      assert.deepStrictEqual((yield* client.listTools()).map(({ name }) => name).toSorted(), ["add", "echo", "wait"])
      assert.deepStrictEqual(yield* client.callToolAs("add", { a: 2, b: 3 }, Sum), { sum: 5 })
      assert.deepInclude((yield* client.readResource("effect://about")).contents[0], { text: "An Effect server" })
      const { messages } = yield* client.getPrompt("explain", { topic: "layers" })
      assert.deepInclude(messages[0], { content: { type: "text", text: "Explain layers" } })
      const late = yield* Effect.exit(client.callTool("wait", { millis: 60_000 }, { timeout: "100 millis" }))
      assert.strictEqual(reasonOf(late)._tag, "RequestTimeout")
      assert.strictEqual(textOf(yield* client.callTool("wait", { millis: 1 })).replaceAll("\"", ""), "waited")
    }))
  }
})

describe("server-everything from npm", () => {
  for (const [mode, path] of [["streamableHttp", "/mcp"], ["sse", "/sse"]] as const) {
    live(`does over ${mode} what it does over stdio`, Effect.gen(function*() {
      const port = yield* freePort
      const origin = yield* startOn(port, process.execPath, [npm("server-everything"), mode], { PORT: String(port) })
      const client = yield* Effect.provide(connectTo({ url: `${origin}${path}` }), handlers)
      yield* everything(client)
    }))
  }
})

for (const { name, revision } of [
  { name: "modern-sdk", revision: "2026-07-28" },
  { name: "legacy-sdk", revision: "2025-11-25" }
] as const) {
  TransportSuite(
    `the official SDK's server (${name}) behind nginx, as it comes and below a path,`,
    transportTo(Effect.gen(function*() {
      const { origin } = yield* start(name)
      return { url: `${yield* startNginx(origin)}/mcp` }
    })),
    // What nginx takes as it comes: a megabyte, and 512 connections on both sides together.
    { revision, maxBytes: 512 * 1024, atOnce: 100 }
  )
}
