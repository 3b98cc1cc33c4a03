import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as McpConfig from "../src/McpConfig.ts"
import type * as McpError from "../src/McpError.ts"
import * as McpServers from "../src/McpServers.ts"
import * as ServerConfig from "../src/ServerConfig.ts"
import { reasonOf } from "./support/reasonOf.ts"
import * as ScriptedServer from "./support/scriptedServer.ts"
import { type Controlled, controlled, refused } from "./support/servers.ts"
import { waitUntil } from "./support/waitUntil.ts"

type Fields = Readonly<Record<string, unknown>>

/** A runtime whose servers are scripted, by name. */
const start = Effect.fnUntraced(function*(
  document: Readonly<Record<string, Fields>>,
  options?: McpServers.Options,
  servers: Readonly<Record<string, Controlled>> = {}
) {
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  const byName = new Map(Object.entries(servers))
  const server = (name: string): Controlled => {
    const known = byName.get(name)
    if (known !== undefined) return known
    const made = controlled()
    byName.set(name, made)
    return made
  }
  const connected: Array<ServerConfig.ServerConfig> = []
  const config = yield* configOf(document)
  const runtime = yield* McpServers.makeWith(config, ({ config, name }) => {
    connected.push(config)
    return server(name).connect
  }, options).pipe(Effect.provideService(Scope.Scope, scope))
  return { runtime, scope, server, connected }
})

const configOf = (document: Readonly<Record<string, Fields>>) =>
  McpConfig.fromValue({
    mcpServers: Object.fromEntries(Object.entries(document).map(([name, fields]) => [name, { command: name, ...fields }]))
  })

const tagOf = <A>(exit: Exit.Exit<A, McpError.McpError>) => reasonOf(exit)._tag

describe("names", () => {
  it.effect("a server that is not there, disabled or not allowed is refused, each with its own reason", () =>
    Effect.gen(function*() {
      const { runtime } = yield* start({ a: {}, b: { disabled: true }, c: {} }, { allowedServers: ["a", "b"] })
      const reason = (name: string) => Effect.map(Effect.exit(Effect.scoped(runtime.client(name))), reasonOf)
      const unknown = yield* reason("x")
      assert(unknown._tag === "UnknownServer")
      assert.deepStrictEqual(unknown.known, ["a"])
      assert.deepInclude(yield* reason("b"), { _tag: "ServerDisabled", by: "disabled" })
      assert.deepInclude(yield* reason("c"), { _tag: "ServerDisabled", by: "allowedServers" })
      assert.deepStrictEqual(yield* runtime.names, ["a"])
    }))

  it.effect("names of an object's own are names like any other", () =>
    Effect.gen(function*() {
      const { runtime } = yield* start({ a: {} })
      for (const name of ["__proto__", "constructor", "toString"]) {
        assert.strictEqual(tagOf(yield* Effect.exit(runtime.status(name))), "UnknownServer")
      }
    }))
})

describe("sharing", () => {
  it.effect("nothing is connected before its first use, and then once for all", () =>
    Effect.gen(function*() {
      const { runtime, server } = yield* start({ a: {}, b: {} })
      assert.strictEqual((yield* runtime.status("a"))._tag, "Idle")
      yield* Effect.forEach(Array.from({ length: 50 }), () => runtime.use("a", (client) => client.ping), { concurrency: "unbounded" })
      assert.strictEqual(server("a").attempts, 1)
      assert.strictEqual(server("b").attempts, 0)
    }))

  it.effect("a first user who is interrupted does not spoil it for the second", () =>
    Effect.gen(function*() {
      const { runtime, server } = yield* start({ a: {} })
      const gate = yield* Deferred.make<void>()
      server("a").obstacles.push(gate)
      const first = yield* Effect.forkChild(Effect.scoped(runtime.client("a")), { startImmediately: true })
      const second = yield* Effect.forkChild(Effect.scoped(runtime.client("a")), { startImmediately: true })
      yield* Fiber.interrupt(first)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(second)
      assert.strictEqual(server("a").attempts, 1)
    }))

  it.effect("two principals never share, and neither do two tokens of one", () =>
    Effect.gen(function*() {
      const { connected, runtime } = yield* start({ a: { env: { TOKEN: "own", OTHER: "kept" } } })
      const as = (id: string, token: string) => ({ principal: { id, env: { TOKEN: Redacted.make(token) } } })
      for (const options of [{}, as("ann", "1"), as("bob", "1"), as("ann", "2"), as("ann", "1"), {}]) {
        yield* runtime.use("a", (client) => client.ping, options)
      }
      assert.deepStrictEqual(
        connected.map((config) => config._tag === "Stdio" && Object.entries(config.env).map(([name, value]) => [name, Redacted.value(value)])),
        ["own", "1", "1", "2"].map((token) => [["TOKEN", token], ["OTHER", "kept"]])
      )
    }))

  it.effect("what a principal brings is taken as it is, and refused where it has no place", () =>
    Effect.gen(function*() {
      const { connected, runtime } = yield* start({ a: {} })
      yield* runtime.use("a", (client) => client.ping, { principal: { id: "x", env: { T: Redacted.make("${HOME}") } } })
      const [config] = connected
      assert(config?._tag === "Stdio")
      assert.strictEqual(Redacted.value(config.env["T"] ?? Redacted.make("")), ServerConfig.escape("${HOME}"))
      const principal = { id: "x", headers: { Authorization: Redacted.make("secret") } }
      const exit = yield* Effect.exit(runtime.use("a", (client) => client.ping, { principal }))
      assert.strictEqual(tagOf(exit), "InvalidConfig")
      assert.notInclude(JSON.stringify(exit), "secret")
    }))

  it.effect("what a principal shows of itself takes the place of what its entry would show", () =>
    Effect.gen(function*() {
      const config = yield* McpConfig.fromValue({
        mcpServers: { a: { url: "https://example.com/mcp", bearerTokenEnv: "SERVICE", headers: { "X-Api-Key": "entry", "X-Kept": "kept" } } }
      })
      const sent: Array<Record<string, string>> = []
      const runtime = yield* McpServers.makeWith(config, (entry) =>
        Effect.gen(function*() {
          const resolved = yield* McpConfig.resolve(entry)
          assert(resolved._tag === "Http")
          sent.push(Object.fromEntries(Object.entries(resolved.headers).map(([name, value]) => [name, Redacted.value(value)])))
          return yield* controlled().connect
        }).pipe(
          Effect.provide(Layer.merge(NodeServices.layer, ConfigProvider.layer(ConfigProvider.fromEnvRecord({ SERVICE: "service" }))))
        ))
      const as = (headers: Readonly<Record<string, string>>) =>
        runtime.use("a", (client) => client.ping, {
          principal: { id: "ann", headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Redacted.make(value)])) }
        })
      yield* as({})
      yield* as({ authorization: "Bearer ann", "x-api-key": "ann" })
      assert.deepStrictEqual(sent, [
        { "X-Api-Key": "entry", "X-Kept": "kept", Authorization: "Bearer service" },
        { "X-Kept": "kept", authorization: "Bearer ann", "x-api-key": "ann" }
      ])
    }).pipe(Effect.scoped))

  for (const [what, principal, path] of [
    ["an empty id", { id: "" }, ["a", "auth", "principal"]],
    ["a header whose name is none", { id: "ann", headers: { "x y": Redacted.make("secret") } }, ["a", "headers", "x y"]]
  ] as const) {
    it.effect(`a principal with ${what} is refused with the place of it`, () =>
      Effect.gen(function*() {
        const config = yield* McpConfig.fromValue({ mcpServers: { a: { url: "https://example.com/mcp" } } })
        const runtime = yield* McpServers.makeWith(config, () => Effect.die("connected"))
        const { reason } = yield* Effect.flip(runtime.use("a", (client) => client.ping, { principal }))
        assert(reason._tag === "InvalidConfig")
        assert.deepStrictEqual(reason.issues.map((issue) => issue.path), [path])
        assert.notInclude(JSON.stringify(reason), "secret")
      }).pipe(Effect.scoped))
  }

  it.effect("a connection nobody uses is closed after its idle time, and not while somebody does", () =>
    Effect.gen(function*() {
      const { runtime, server } = yield* start({ a: { idleTimeToLive: 10_000 } })
      yield* Effect.scoped(runtime.client("a"))
      yield* TestClock.adjust("9 seconds")
      const scope = yield* Scope.make()
      yield* runtime.client("a").pipe(Effect.provideService(Scope.Scope, scope))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(server("a").open, 1)
      // From any fiber.
      yield* Fiber.join(yield* Effect.forkChild(Scope.close(scope, Exit.void)))
      yield* TestClock.adjust("9999 millis")
      assert.strictEqual(server("a").open, 1)
      yield* TestClock.adjust("1 millis")
      yield* waitUntil(() => server("a").open === 0)
      assert.strictEqual((yield* runtime.status("a"))._tag, "Idle")
      yield* runtime.use("a", (client) => client.ping)
      assert.strictEqual(server("a").attempts, 2)
    }))

  it.effect("with isolation by scope each has a connection of its own, which ends with the scope", () =>
    Effect.gen(function*() {
      const { runtime, server } = yield* start({ a: {} })
      yield* Effect.scoped(Effect.gen(function*() {
        yield* runtime.client("a", { isolation: "scope" })
        yield* runtime.client("a", { isolation: "scope" })
        assert.strictEqual(server("a").open, 2)
      }))
      assert.strictEqual(server("a").open, 0)
    }))
})

describe("starting", () => {
  it.effect("a required server that cannot connect fails the start with its error, and leaves nothing", () =>
    Effect.gen(function*() {
      const a = controlled()
      const b = controlled()
      b.obstacles.push(refused())
      const exit = yield* Effect.exit(Effect.scoped(start({ a: { required: true }, b: { required: true } }, {}, { a, b })))
      assert.strictEqual(tagOf(exit), "Unreachable")
      assert.strictEqual(a.open, 0)
    }))

  it.effect("other servers that cannot connect are reported, and do not delay or sink the rest", () =>
    Effect.gen(function*() {
      const dead = controlled()
      dead.obstacles.push(Deferred.makeUnsafe())
      const broken = controlled()
      broken.obstacles.push(refused())
      const { runtime, server } = yield* start({ dead: {}, broken: {}, a: { required: true } }, { preload: "all" }, { dead, broken })
      yield* runtime.use("a", (client) => client.ping)
      yield* waitUntil(() => broken.attempts === 1)
      assert.strictEqual((yield* runtime.status("dead"))._tag, "Connecting")
      assert.strictEqual((yield* runtime.status("broken"))._tag, "Failed")
      assert.strictEqual(server("a").attempts, 1)
    }))

  it.effect("preloading by list connects those, so many at once", () =>
    Effect.gen(function*() {
      const a = controlled()
      const gate = yield* Deferred.make<void>()
      a.obstacles.push(gate)
      const { server } = yield* start({ a: {}, b: {}, c: {} }, { preload: ["a", "b"], concurrency: 1 }, { a })
      yield* waitUntil(() => a.attempts === 1)
      assert.strictEqual(server("b").attempts, 0)
      yield* Deferred.succeed(gate, undefined)
      yield* waitUntil(() => server("b").open === 1)
      assert.strictEqual(server("c").attempts, 0)
    }))
})

describe("changing", () => {
  it.effect("a reload keeps what is the same, secrets compared, and closes what is not", () =>
    Effect.gen(function*() {
      const { runtime, server } = yield* start({ same: { env: { T: "1" } }, changed: { env: { T: "1" } }, gone: {} })
      for (const name of yield* runtime.names) yield* runtime.use(name, (client) => client.ping)
      const changes = yield* runtime.reload(yield* configOf({ same: { env: { T: "1" } }, changed: { env: { T: "2" } }, added: {} }))
      assert.deepStrictEqual(changes, { added: ["added"], replaced: ["changed"], removed: ["gone"], unchanged: ["same"] })
      assert.deepStrictEqual([server("same").open, server("changed").open, server("gone").open], [1, 0, 0])
      yield* runtime.use("same", (client) => client.ping)
      yield* runtime.use("changed", (client) => client.ping)
      assert.deepStrictEqual([server("same").attempts, server("changed").attempts], [1, 2])
    }))

  it.effect("removing lets calls in flight end within the grace, and refuses new ones at once", () =>
    Effect.gen(function*() {
      const answer = yield* Deferred.make<void>()
      const a = controlled(ScriptedServer.modern({
        "tools/call": () => Effect.as(Deferred.await(answer), { resultType: "complete", content: [] })
      }))
      const { runtime } = yield* start({ a: { drainGrace: 5_000 } }, {}, { a })
      const client = yield* runtime.client("a")
      const inTime = yield* Effect.forkChild(Effect.exit(client.callTool("slow")), { startImmediately: true })
      const removing = yield* Effect.forkChild(runtime.remove("a"), { startImmediately: true })
      assert.strictEqual(tagOf(yield* Effect.exit(client.callTool("slow"))), "ServerDraining")
      assert.strictEqual(tagOf(yield* Effect.exit(runtime.status("a"))), "UnknownServer")
      yield* TestClock.adjust("4 seconds")
      yield* Deferred.succeed(answer, undefined)
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(inTime)))
      yield* Fiber.join(removing)
      assert.strictEqual(a.open, 0)
      assert.strictEqual((yield* client.closed).reason._tag, "ServerDraining")
    }))

  it.effect("calls that outlast the grace fail, and may be made again where that is safe", () =>
    Effect.gen(function*() {
      const a = controlled(ScriptedServer.modern({ "tools/call": () => Effect.undefined }))
      const { runtime } = yield* start({ a: { drainGrace: 5_000 } }, {}, { a })
      const call = yield* Effect.forkChild(Effect.flip(runtime.use("a", (client) => client.callTool("slow"))), { startImmediately: true })
      yield* waitUntil(() => ScriptedServer.requests(a.script, "tools/call").length === 1)
      const removing = yield* Effect.forkChild(runtime.remove("a"), { startImmediately: true })
      yield* TestClock.adjust("5 seconds")
      const error = yield* Fiber.join(call)
      assert.strictEqual(error.reason._tag, "ConnectionClosed")
      assert.strictEqual(error.retry, "idempotent")
      yield* Fiber.join(removing)
      assert.strictEqual(a.open, 0)
    }))

  it.effect("a server can be added and replaced while running", () =>
    Effect.gen(function*() {
      const { connected, runtime } = yield* start({})
      const entry = Effect.fnUntraced(function*(fields: Fields) {
        return yield* McpConfig.get(yield* configOf({ a: fields }), "a")
      })
      yield* runtime.set(yield* entry({}))
      yield* runtime.use("a", (client) => client.ping)
      yield* runtime.set(yield* entry({ args: ["2"] }))
      yield* runtime.use("a", (client) => client.ping)
      assert.deepStrictEqual(connected.map((config) => config._tag === "Stdio" && config.args), [[], ["2"]])
    }))

  it.effect("a server that is not to be used is not used because it was added while running", () =>
    Effect.gen(function*() {
      const { runtime, server } = yield* start({ a: {} }, { allowedServers: ["a"] })
      const set = Effect.fnUntraced(function*(name: string, fields: Fields) {
        yield* runtime.set(yield* McpConfig.get(yield* configOf({ [name]: fields }), name))
        return yield* Effect.exit(runtime.use(name, (client) => client.ping))
      })
      assert.deepInclude(reasonOf(yield* set("b", {})), { _tag: "ServerDisabled", by: "allowedServers" })
      assert.isTrue(Exit.isSuccess(yield* set("a", {})))
      assert.deepInclude(reasonOf(yield* set("a", { disabled: true })), { _tag: "ServerDisabled", by: "disabled" })
      assert.deepStrictEqual(yield* runtime.names, [])
      assert.strictEqual(server("a").open, 0)
      assert.isTrue(Exit.isSuccess(yield* set("a", {})))
    }))
})

describe("supervision in code", () => {
  it.effect("leaves what it does not say as it is for the kind of server: programs are not asked for their health", () =>
    Effect.gen(function*() {
      const script = ScriptedServer.legacy({ ping: ScriptedServer.value({}) })
      const { runtime } = yield* start({ a: {} }, { policy: () => ({ idleTimeToLive: "forever" }) }, { a: controlled(script) })
      yield* Effect.scoped(runtime.client("a"))
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(ScriptedServer.requests(script, "ping").length, 0)
    }))
})

describe("sessions", () => {
  it.effect("one that has the only place does not keep others from the client, whose calls wait as long as they may", () =>
    Effect.gen(function*() {
      const { runtime } = yield* start({ a: { timeout: 5_000, replicas: { max: 1, maxInFlight: 1 } } })
      yield* Effect.gen(function*() {
        yield* runtime.session("a")
        const client = yield* runtime.client("a")
        const call = yield* Effect.forkChild(Effect.exit(client.ping), { startImmediately: true })
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual(tagOf(yield* Fiber.join(call)), "Overloaded")
      }).pipe(Effect.scoped)
    }))
})

describe("status", () => {
  it.effect("every transition of every server is told, in order", () =>
    Effect.gen(function*() {
      const { runtime, server } = yield* start({ a: { reconnect: { baseDelay: 1_000, jitter: false } }, b: {} })
      const seen: Array<string> = []
      yield* runtime.statuses.pipe(
        Stream.runForEach(({ server, status }) => Effect.sync(() => seen.push(`${server} ${status._tag}`))),
        Effect.forkChild({ startImmediately: true })
      )
      yield* runtime.client("a")
      yield* server("a").lose
      yield* waitUntil(() => server("a").open === 0)
      yield* TestClock.adjust("1 second")
      yield* waitUntil(() => server("a").open === 1)
      yield* runtime.use("a", (client) => client.ping)
      yield* runtime.remove("a")
      yield* waitUntil(() => seen.includes("a Draining"))
      assert.deepStrictEqual(seen, [
        "a Idle",
        "b Idle",
        "a Connecting",
        "a Ready",
        "a Reconnecting",
        "a Ready",
        "a Draining"
      ])
    }))
})

describe("the view over all", () => {
  it.effect("is told of what a server's list becomes, of its reconnect, and of servers that come and go", () =>
    Effect.gen(function*() {
      const tools = ["one"]
      const a = controlled(ScriptedServer.legacy({
        "tools/list": () => Effect.sync(() => ({ tools: tools.map((name) => ({ name, inputSchema: { type: "object" } })) }))
      }))
      const { runtime } = yield* start({ a: {} }, {}, { a })
      const catalog = runtime.catalog()
      const views: Array<ReadonlyArray<string>> = []
      yield* catalog.changes.pipe(
        Stream.runForEach((view) => Effect.sync(() => views.push(view.tools.map(({ name }) => name)))),
        Effect.forkChild({ startImmediately: true })
      )
      const latest = (...names: ReadonlyArray<string>) =>
        Effect.andThen(TestClock.adjust("1 second"), waitUntil(() => views.at(-1)?.join() === names.join()))
      yield* latest("a__one")
      tools.push("two")
      yield* a.script.peer?.send({ jsonrpc: "2.0", method: "notifications/tools/list_changed" }) ?? Effect.void
      yield* latest("a__one", "a__two")
      tools.pop()
      yield* a.lose
      yield* latest("a__one")
      yield* runtime.remove("a")
      yield* latest()
    }))
})

describe("metrics", () => {
  it.effect("count connects, reconnects and failures by server", () =>
    Effect.gen(function*() {
      const { runtime, server } = yield* start({ a: { reconnect: { baseDelay: 1_000, jitter: false } } })
      yield* runtime.use("a", (client) => client.ping)
      yield* server("a").lose
      yield* TestClock.adjust("1 second")
      yield* runtime.use("a", (client) => client.ping)
      const snapshot = yield* Metric.snapshot
      const counts = ["connects", "reconnects", "failures"].map((what) =>
        snapshot.find(({ attributes, id }) => id === `mcp.server.${what}` && attributes?.["mcp.server"] === "a")?.state)
      assert.deepStrictEqual(counts.map((state) => state !== undefined && "count" in state && state.count), [2, 1, 1])
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))
})

describe("closing", () => {
  it.effect("closes everything, under load, while connecting and while reconnecting", () =>
    Effect.gen(function*() {
      const busy = controlled(ScriptedServer.modern({ "tools/call": () => Effect.undefined }))
      const connecting = controlled()
      connecting.obstacles.push(Deferred.makeUnsafe())
      const { runtime, scope, server } = yield* start({ busy: {}, connecting: {}, lost: {} }, {}, { busy, connecting })
      yield* runtime.use("lost", (client) => client.ping)
      yield* server("lost").lose
      const calls = yield* Effect.forkChild(
        Effect.forEach(["busy", "connecting", "lost", "busy"], (name) =>
          Effect.flip(runtime.use(name, (client) => client.callTool("slow"))), { concurrency: "unbounded" }),
        { startImmediately: true }
      )
      yield* waitUntil(() => ScriptedServer.requests(busy.script, "tools/call").length === 2)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(closing)
      const errors = yield* Fiber.join(calls)
      assert.deepStrictEqual(errors.map(({ reason }) => reason._tag), ["ConnectionClosed", "ServerDraining", "ServerDraining", "ConnectionClosed"])
      assert.deepStrictEqual([busy.open, connecting.open, server("lost").open], [0, 0, 0])
      assert.strictEqual(tagOf(yield* Effect.exit(runtime.use("busy", (client) => client.ping))), "ServerDraining")
    }))

  it.effect("a runtime nobody uses closes at once", () =>
    Effect.gen(function*() {
      const { runtime, scope, server } = yield* start({ a: {} })
      yield* runtime.use("a", (client) => client.ping)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(server("a").open, 0)
    }))
})

