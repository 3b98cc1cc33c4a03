import { assert, describe, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as McpConfig from "../src/McpConfig.ts"
import * as McpError from "../src/McpError.ts"
import * as McpServers from "../src/McpServers.ts"
import * as NodeMcp from "../src/node.ts"
import * as InMemoryTransport from "../src/transport/InMemoryTransport.ts"
import * as Watch from "../src/servers/watch.ts"
import * as ScriptedServer from "./support/scriptedServer.ts"
import { controlled } from "./support/servers.ts"
import { waitUntil } from "./support/waitUntil.ts"

describe("layerTransports", () => {
  it.effect("one layer under two names is two transports", () => {
    let built = 0
    const once = Layer.unwrap(Effect.sync(() => {
      built += 1
      return ScriptedServer.layer(ScriptedServer.modern({}))
    }))
    return Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      yield* servers.use("a", (client) => client.ping)
      yield* servers.use("b", (client) => client.ping)
      assert.strictEqual(built, 2)
    }).pipe(Effect.provide(McpServers.layerTransports({ a: once, b: once })))
  })

  it.effect("what an entry says besides its transport holds", () => {
    const dead = InMemoryTransport.layer((peer) => peer.close(new McpError.ConnectionClosed({ by: "server", detail: "no" })))
    const layer = McpServers.layerTransports({ a: dead }, { fields: { a: { required: true } } })
    return Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
      assert.strictEqual(error.server, "a")
    })
  })
})

describe("layerConfig", () => {
  const names = (document: unknown) =>
    Effect.flatMap(McpServers.McpServers, ({ names }) => names).pipe(
      Effect.provide(McpServers.layerConfig(Config.succeed(document)).pipe(Layer.provide(NodeMcp.layer)))
    )

  it.effect("takes a document as a value and as text", () =>
    Effect.gen(function*() {
      const document = { mcpServers: { a: { command: "a" } } }
      assert.deepStrictEqual(yield* names(document), ["a"])
      assert.deepStrictEqual(yield* names(JSON.stringify(document)), ["a"])
    }))

  it.effect("fails with what is wrong with the document, or with its absence", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* Effect.flip(names({ mcpServers: { a: {} } }))).reason._tag, "InvalidConfig")
      const absent = McpServers.layerConfig(Config.String("ABSENT")).pipe(Layer.provide(NodeMcp.layer))
      const error = yield* Effect.flip(Effect.scoped(Layer.build(absent))).pipe(
        Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown({}))
      )
      assert.strictEqual(error.reason._tag, "InvalidConfig")
      assert.include(error.message, "ABSENT")
    }))
})

describe("hundreds of servers", () => {
  it.effect("200 servers answer 2,000 calls at once", () =>
    Effect.gen(function*() {
      const names = Array.from({ length: 200 }, (_, index) => `s${index}`)
      const transport = ScriptedServer.layer(ScriptedServer.modern({
        "tools/call": ScriptedServer.value({ resultType: "complete", content: [] })
      }))
      yield* Effect.gen(function*() {
        const servers = yield* McpServers.McpServers
        const results = yield* Effect.forEach(
          Array.from({ length: 2_000 }, (_, index) => `s${index % 200}`),
          (name) => servers.use(name, (client) => client.callTool("t")),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(results.length, 2_000)
      }).pipe(Effect.provide(McpServers.layerTransports(Object.fromEntries(names.map((name) => [name, transport])))))
    }))
})

describe("a watched file", () => {
  it.effect("what changes in it is changed, replaced files are followed, and a broken one changes nothing", () =>
    Effect.gen(function*() {
      const files = new Map([["/etc/mcp.json", JSON.stringify({ mcpServers: { a: { command: "a" } } })]])
      const events = yield* Queue.unbounded<FileSystem.WatchEvent>()
      const watched: Array<string> = []
      const fs = FileSystem.layerNoop({
        readFileString: (file) => Effect.sync(() => files.get(file) ?? ""),
        watch: (path) => {
          watched.push(path)
          return Stream.fromQueue(events)
        }
      })
      yield* Effect.gen(function*() {
        const servers = yield* McpServers.makeWith(yield* McpConfig.load("/etc/mcp.json"), () => controlled().connect)
        yield* Watch.file("/etc/mcp.json", servers)
        const results: Array<Result.Result<McpServers.Reload, McpError.McpError>> = []
        yield* servers.reloads.pipe(
          Stream.runForEach((result) => Effect.sync(() => results.push(result))),
          Effect.forkChild({ startImmediately: true })
        )
        const write = (text: string, event: FileSystem.WatchEvent["_tag"]) =>
          Effect.gen(function*() {
            files.set("/etc/mcp.json", text)
            // What belongs to another file is nothing, and several steps are one change.
            for (const path of ["/etc/other.json", "/etc/mcp.json", "/etc/mcp.json"]) {
              yield* Queue.offer(events, { _tag: event, path })
            }
            const before = results.length
            yield* TestClock.adjust("100 millis")
            yield* waitUntil(() => results.length === before + 1)
          })
        assert.deepStrictEqual(watched, ["/etc"])
        yield* write("{ broken", "Update")
        assert.deepStrictEqual(yield* servers.names, ["a"])
        yield* write(JSON.stringify({ mcpServers: { a: { command: "a" }, b: { command: "b" } } }), "Create")
        assert.deepStrictEqual(yield* servers.names, ["a", "b"])
        assert.deepStrictEqual(results.map(Result.isSuccess), [false, true])
      }).pipe(Effect.scoped, Effect.provide(Layer.merge(fs, Path.layer)))
    }))

  it.effect("is followed while what it has replaced has its time to end", () =>
    Effect.gen(function*() {
      let text = JSON.stringify({ mcpServers: { a: { command: "a", drainGrace: 60_000 } } })
      const events = yield* Queue.unbounded<FileSystem.WatchEvent>()
      const fs = FileSystem.layerNoop({ readFileString: () => Effect.sync(() => text), watch: () => Stream.fromQueue(events) })
      yield* Effect.gen(function*() {
        const script = ScriptedServer.modern({ "tools/call": () => Effect.never })
        const servers = yield* McpServers.makeWith(yield* McpConfig.load("/etc/mcp.json"), () => controlled(script).connect)
        yield* Watch.file("/etc/mcp.json", servers)
        yield* TestClock.adjust("1 second")
        const call = yield* Effect.forkChild(servers.use("a", (client) => client.callTool("slow")), { startImmediately: true })
        yield* waitUntil(() => ScriptedServer.requests(script, "tools/call").length === 1)
        for (const document of [{ b: { command: "b" } }, { c: { command: "c" } }]) {
          text = JSON.stringify({ mcpServers: document })
          yield* Queue.offer(events, { _tag: "Update", path: "/etc/mcp.json" })
          yield* Effect.repeat(Effect.andThen(TestClock.adjust("1 second"), servers.names), {
            until: (names) => names.join() === Object.keys(document).join()
          })
        }
        assert.isUndefined(call.pollUnsafe())
        yield* Fiber.interrupt(call)
      }).pipe(Effect.scoped, Effect.provide(Layer.merge(fs, Path.layer)))
    }))
})
