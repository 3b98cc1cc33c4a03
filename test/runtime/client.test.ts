import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as McpConfig from "../../src/McpConfig.ts"
import * as McpServers from "../../src/McpServers.ts"
import * as ScriptedServer from "../support/scriptedServer.ts"
import { closedByServer, controlled } from "../support/servers.ts"
import { waitUntil } from "../support/waitUntil.ts"

/** Methods whose first request ends the connection instead of being answered. */
const fragile = (answers: ScriptedServer.Script["answers"]): ScriptedServer.Script["answers"] => {
  const broken = new Set<string>()
  return Object.fromEntries(Object.entries(answers).map(([method, answer]) => [
    method,
    (params, peer, id) => {
      if (broken.has(method)) return answer(params, peer, id)
      broken.add(method)
      return Effect.as(peer.close(closedByServer), undefined)
    }
  ]))
}

const start = Effect.fnUntraced(function*(script: ScriptedServer.Script, fields: Readonly<Record<string, unknown>> = {}) {
  const server = controlled(script)
  const config = yield* McpConfig.fromValue({
    mcpServers: { s: { command: "s", reconnect: { baseDelay: 1_000, jitter: false }, ...fields } }
  })
  const servers = yield* McpServers.makeWith(config, () => server.connect)
  const client = yield* servers.client("s")
  const lose = Effect.gen(function*() {
    yield* server.lose
    yield* waitUntil(() => server.open === 0)
  })
  const back = Effect.gen(function*() {
    yield* TestClock.adjust("1 second")
    while ((yield* servers.status("s"))._tag !== "Ready") yield* Effect.yieldNow
  })
  return { client, server, servers, lose, back }
})

const tool = (name: string, annotations: Readonly<Record<string, boolean>>) => ({ name, inputSchema: { type: "object" }, annotations })
const complete = (result: Readonly<Record<string, unknown>>) => ScriptedServer.value({ resultType: "complete", ...result })
const listed = complete({
  tools: [tool("read", { readOnlyHint: true }), tool("put", { idempotentHint: true }), tool("send", {})],
  ttlMs: 0
})

describe("a lost connection", () => {
  it.effect("what is safe is asked once more, on the next connection", () =>
    Effect.gen(function*() {
      const script = ScriptedServer.modern(fragile({
        "resources/read": complete({ contents: [{ uri: "x:1", text: "hello" }] })
      }))
      const { client, server } = yield* start(script)
      const reading = yield* Effect.forkChild(client.readResource("x:1"), { startImmediately: true })
      yield* waitUntil(() => server.open === 0)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(reading)).contents.length, 1)
      assert.strictEqual(ScriptedServer.requests(script, "resources/read").length, 2)
    }))

  for (const [name, calls] of [["send", 1], ["unlisted", 1], ["read", 2], ["put", 2]] as const) {
    it.effect(`the tool "${name}" is called ${calls === 1 ? "once only, and its failure says why it may not be repeated" : "again"}`, () =>
      Effect.gen(function*() {
        const script = ScriptedServer.modern({ "tools/list": listed, ...fragile({ "tools/call": complete({ content: [] }) }) })
        const { client, server } = yield* start(script)
        yield* client.listTools()
        const calling = yield* Effect.forkChild(Effect.result(client.callTool(name)), { startImmediately: true })
        yield* waitUntil(() => server.open === 0)
        yield* TestClock.adjust("1 second")
        const result = yield* Fiber.join(calling)
        assert.strictEqual(result._tag, calls === 1 ? "Failure" : "Success")
        if (result._tag === "Failure") {
          assert.strictEqual(result.failure.reason._tag, "ConnectionClosed")
          assert.strictEqual(result.failure.retry, "idempotent")
        }
        assert.strictEqual(ScriptedServer.requests(script, "tools/call").length, calls)
      }))
  }

  it.effect("a new call waits for the next connection, no longer than it may", () =>
    Effect.gen(function*() {
      const { client, lose, server } = yield* start(ScriptedServer.modern({ "tools/call": complete({ content: [] }) }))
      yield* lose
      const hasty = yield* Effect.forkChild(Effect.flip(client.callTool("t", {}, { timeout: "500 millis" })), { startImmediately: true })
      const patient = yield* Effect.forkChild(client.callTool("t"), { startImmediately: true })
      yield* TestClock.adjust("500 millis")
      const { reason } = yield* Fiber.join(hasty)
      assert(reason._tag === "RequestTimeout")
      assert.strictEqual(reason.millis, 500)
      yield* TestClock.adjust("500 millis")
      yield* Fiber.join(patient)
      assert.strictEqual(server.attempts, 2)
    }))
})

describe("what outlives a connection", () => {
  it.effect("lists in use are fetched again before the server is ready", () =>
    Effect.gen(function*() {
      const script = ScriptedServer.modern({ "tools/list": listed })
      const { back, client, lose } = yield* start(script)
      yield* client.listTools()
      yield* lose
      yield* back
      assert.strictEqual(ScriptedServer.requests(script, "tools/list").length, 2)
      assert.strictEqual(ScriptedServer.requests(script, "prompts/list").length, 0)
    }))

  it.effect("a list that fails, at first or again, does not keep the server from being used", () =>
    Effect.gen(function*() {
      let broken = false
      const fail = Effect.fail({ code: -32603, message: "no database" })
      const script = ScriptedServer.modern({
        "tools/list": (params, peer, id) => broken ? fail : listed(params, peer, id),
        "prompts/list": () => fail,
        "tools/call": complete({ content: [] })
      })
      const { back, client, lose } = yield* start(script)
      yield* client.listTools()
      assert.strictEqual((yield* Effect.flip(client.listPrompts())).reason._tag, "RemoteError")
      broken = true
      const refused = yield* Effect.forkChild(
        client.diagnostics.pipe(Stream.filter(({ _tag }) => _tag === "Warning"), Stream.runHead),
        { startImmediately: true }
      )
      yield* lose
      yield* back
      assert.include(JSON.stringify(yield* Fiber.join(refused)), "listing tools was refused")
      assert.strictEqual(ScriptedServer.requests(script, "prompts/list").length, 1)
      yield* client.callTool("send")
    }))

  it.effect("a reader of changes is told that something may have changed, and then of what does", () =>
    Effect.gen(function*() {
      const script = ScriptedServer.legacy({ "resources/subscribe": ScriptedServer.value({}) })
      const { back, client, lose } = yield* start(script)
      const updates: Array<string> = []
      yield* client.resourceUpdates("x:1").pipe(
        Stream.runForEach((uri) => Effect.sync(() => updates.push(uri))),
        Effect.forkChild({ startImmediately: true })
      )
      yield* waitUntil(() => ScriptedServer.requests(script, "resources/subscribe").length === 1)
      yield* lose
      yield* back
      assert.strictEqual(ScriptedServer.requests(script, "resources/subscribe").length, 2)
      yield* waitUntil(() => updates.length === 1)
      yield* script.peer?.send({ jsonrpc: "2.0", method: "notifications/resources/updated", params: { uri: "x:1" } }) ?? Effect.void
      yield* waitUntil(() => updates.length === 2)
    }))

  it.effect("an interest that is over is told to the server, and not to the next one", () =>
    Effect.gen(function*() {
      const script = ScriptedServer.legacy({
        "resources/subscribe": ScriptedServer.value({}),
        "resources/unsubscribe": ScriptedServer.value({})
      })
      const { back, client, lose } = yield* start(script)
      const reader = yield* Effect.forkChild(Stream.runDrain(client.resourceUpdates("x:1")), { startImmediately: true })
      yield* waitUntil(() => ScriptedServer.requests(script, "resources/subscribe").length === 1)
      yield* Fiber.interrupt(reader)
      yield* waitUntil(() => ScriptedServer.requests(script, "resources/unsubscribe").length === 1)
      yield* lose
      yield* back
      assert.strictEqual(ScriptedServer.requests(script, "resources/subscribe").length, 1)
    }))

  it.effect("a resource that is refused to one reader is refused to all who wait for the answer, and asked for anew by the next", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const script = ScriptedServer.legacy({
        "resources/subscribe": () => Effect.andThen(Deferred.await(gate), Effect.fail({ code: -32602, message: "no such resource" }))
      })
      const { client } = yield* start(script)
      const read = Effect.flip(Stream.runDrain(client.resourceUpdates("x:1")))
      const readers = [yield* Effect.forkChild(read, { startImmediately: true }), yield* Effect.forkChild(read, { startImmediately: true })]
      yield* waitUntil(() => ScriptedServer.requests(script, "resources/subscribe").length === 1)
      yield* Deferred.succeed(gate, undefined)
      for (const error of yield* Fiber.joinAll(readers)) assert.include(error.message, "no such resource")
      assert.include((yield* read).message, "no such resource")
      assert.strictEqual(ScriptedServer.requests(script, "resources/subscribe").length, 2)
    }))

  it.effect("a log level that is set while a new connection is told the old one is told to that, too", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      let levels = 0
      const script = ScriptedServer.legacy({
        "logging/setLevel": () => ++levels === 2 ? Effect.as(Deferred.await(gate), {}) : Effect.succeed({})
      })
      const { client, lose } = yield* start(script)
      yield* client.setLogLevel("error")
      yield* lose
      yield* TestClock.adjust("1 second")
      yield* waitUntil(() => levels === 2)
      const setting = yield* Effect.forkChild(client.setLogLevel("debug"), { startImmediately: true })
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(setting)
      assert.deepStrictEqual(
        ScriptedServer.requests(script, "logging/setLevel").map(({ level }) => level),
        ["error", "error", "debug"]
      )
    }))

  it.effect("the log level is set again, and log messages go on", () =>
    Effect.gen(function*() {
      const script = ScriptedServer.legacy({ "logging/setLevel": ScriptedServer.value({}) })
      const { back, client, lose } = yield* start(script)
      const logged: Array<unknown> = []
      yield* client.logs.pipe(
        Stream.runForEach(({ data }) => Effect.sync(() => logged.push(data))),
        Effect.forkChild({ startImmediately: true })
      )
      yield* client.setLogLevel("warning")
      yield* lose
      yield* back
      assert.deepStrictEqual(ScriptedServer.requests(script, "logging/setLevel").map(({ level }) => level), ["warning", "warning"])
      yield* script.peer?.send({
        jsonrpc: "2.0",
        method: "notifications/message",
        params: { level: "warning", data: "careful" }
      }) ?? Effect.void
      yield* waitUntil(() => logged.length === 1)
      assert.deepStrictEqual(logged, ["careful"])
    }))

  it.effect("a pool that may shrink to nothing keeps a connection for as long as changes are read", () =>
    Effect.gen(function*() {
      const script = ScriptedServer.legacy({ "resources/subscribe": ScriptedServer.value({}), "resources/unsubscribe": ScriptedServer.value({}) })
      const { client, server } = yield* start(script, { replicas: { min: 0 } })
      const updates: Array<string> = []
      const reader = yield* client.resourceUpdates("x:1").pipe(
        Stream.runForEach((uri) => Effect.sync(() => updates.push(uri))),
        Effect.forkChild({ startImmediately: true })
      )
      yield* waitUntil(() => ScriptedServer.requests(script, "resources/subscribe").length === 1)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(server.open, 1)
      yield* script.peer?.send({ jsonrpc: "2.0", method: "notifications/resources/updated", params: { uri: "x:1" } }) ?? Effect.void
      yield* waitUntil(() => updates.length === 1)
      yield* Fiber.interrupt(reader)
      yield* TestClock.adjust("2 minutes")
      yield* waitUntil(() => server.open === 0)
    }))

  it.effect("streams end when the server is removed", () =>
    Effect.gen(function*() {
      const { client, servers } = yield* start(ScriptedServer.modern({}))
      const logs = yield* Effect.forkChild(Stream.runDrain(client.logs), { startImmediately: true })
      yield* servers.remove("s")
      yield* Fiber.join(logs)
      assert.strictEqual((yield* client.closed).reason._tag, "ServerDraining")
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(client.toolsChanged))).reason._tag, "ServerDraining")
    }))
})
