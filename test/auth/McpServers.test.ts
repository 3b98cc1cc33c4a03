/** Servers that need a login, among many: what their status is, and how they go on. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as TestClock from "effect/testing/TestClock"
import * as Account from "../../src/auth/Account.ts"
import { Authorize, NotAuthorized } from "../../src/auth/Authorize.ts"
import * as TokenStore from "../../src/auth/TokenStore.ts"
import * as McpConfig from "../../src/McpConfig.ts"
import * as McpServers from "../../src/McpServers.ts"
import * as Status from "../../src/servers/status.ts"
import * as Scripted from "../support/scriptedAuth.ts"
import { waitUntil } from "../support/waitUntil.ts"

/** A protected server that speaks MCP, as of 2025-11-25, to those who have a token. */
const protectedServer = (): Scripted.Script => {
  const script = Scripted.make()
  script.override = ({ body, headers, method, url }) => {
    if (url.href !== Scripted.server || !script.valid.has(headers["authorization"]?.slice(7) ?? "")) return undefined
    if (method !== "POST") return new Response("", { status: 405 })
    const { id, method: asked } = JSON.parse(body)
    const result = asked === "initialize"
      ? { protocolVersion: "2025-11-25", capabilities: { tools: {} }, serverInfo: { name: "docs", version: "1" } }
      : asked === "tools/list"
      ? { tools: [] }
      : asked === "ping"
      ? {}
      : undefined
    return id === undefined
      ? new Response("", { status: 202 })
      : Scripted.json({ jsonrpc: "2.0", id, ...(result === undefined ? { error: { code: -32601, message: "no" } } : { result }) })
  }
  return script
}

const provide = (script: Scripted.Script, ...layers: ReadonlyArray<Layer.Layer<never>>) =>
  Effect.provide(Layer.mergeAll(
    NodeServices.layer,
    TokenStore.layerMemory,
    ConfigProvider.layer(ConfigProvider.fromEnvRecord({})),
    Layer.succeed(HttpClient.HttpClient, Scripted.client(script)),
    ...layers
  ))

const start = Effect.fnUntraced(function*(fields: object = {}) {
  const config = yield* McpConfig.fromValue({ mcpServers: { docs: { url: Scripted.server, ...fields } } })
  const servers = yield* McpServers.make(config)
  const status = yield* servers.statusOf("docs")
  const list = servers.use("docs", (client) => client.listTools())
  return {
    list,
    call: servers.use("docs", (client) => client.callTool("write", {})),
    resume: servers.resume("docs"),
    statusUnsafe: () => status.value._tag,
    status: SubscriptionRef.get(status),
    until: (tag: Status.Status["_tag"]) =>
      SubscriptionRef.changes(status).pipe(Stream.filter(({ _tag }) => _tag === tag), Stream.runHead)
  }
})

const login = (script: Scripted.Script) =>
  Effect.provide(Account.login({ url: Scripted.server }), Scripted.agreeing(script).layer)

describe("a server of many that needs a login", () => {
  it.effect("says where, in its status and to every call, and is not asked again by calls", () => {
    const script = protectedServer()
    return Effect.gen(function*() {
      const { list, status } = yield* start()
      const first = yield* Effect.flip(list)
      assert.strictEqual(first.reason._tag, "NeedsAuthorization")
      const now = yield* status
      assert.isTrue(now._tag === "NeedsAuthorization" && now.error.reason._tag === "NeedsAuthorization")
      if (now._tag === "NeedsAuthorization" && now.error.reason._tag === "NeedsAuthorization") {
        assert.strictEqual(new URL(now.error.reason.authorizationUrl).origin, Scripted.issuer)
      }
      const asked = script.calls.length
      assert.strictEqual((yield* Effect.flip(list)).reason, first.reason)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(script.calls.length, asked)
    }).pipe(Effect.scoped, provide(script))
  })

  it.effect("goes on by itself when somebody has logged in", () => {
    const script = protectedServer()
    return Effect.gen(function*() {
      const { list, until } = yield* start()
      yield* Effect.flip(list)
      yield* login(script)
      yield* until("Ready")
      assert.deepStrictEqual(yield* list, [])
    }).pipe(Effect.scoped, provide(script))
  })

  it.effect("sees each principal with a token of their own, and of those an entry names one with theirs", () => {
    const script = protectedServer()
    const tokens = (path: string) =>
      Scripted.to(script, path).filter(({ body }) => body.includes("tools/list")).map(({ headers }) => headers["authorization"])
    return Effect.gen(function*() {
      const config = yield* McpConfig.fromValue({
        mcpServers: { docs: { url: Scripted.server }, team: { url: Scripted.server, auth: { principal: "team" } } }
      })
      const servers = yield* McpServers.make(config)
      const list = (name: string, id: string) => servers.use(name, (client) => client.listTools(), { principal: { id } })
      const reasonOf = (id: string) => Effect.map(Effect.flip(list("docs", id)), ({ reason }) => reason._tag)
      for (const principal of ["alice", "bob", "team"]) {
        const user = Scripted.agreeing(script)
        yield* Effect.provide(Account.login({ url: Scripted.server, principal }), user.layer)
        assert.deepStrictEqual(user.principals, [principal])
      }
      for (const number of [1, 2, 3]) script.valid.add(`token-${number}`)
      for (const id of ["bob", "alice"]) yield* list("docs", id)
      for (const id of ["alice", "carol"]) yield* list("team", id)
      assert.strictEqual(yield* reasonOf("carol"), "NeedsAuthorization")
      assert.deepStrictEqual(tokens("/mcp"), ["Bearer token-2", "Bearer token-1", "Bearer token-3", "Bearer token-3"])
    }).pipe(Effect.scoped, provide(script))
  })

  it.effect("waits for the first call after that, if it is only connected on demand", () => {
    const script = protectedServer()
    return Effect.gen(function*() {
      const { list, statusUnsafe, until } = yield* start({ reconnect: { when: "on-demand" } })
      yield* Effect.flip(list)
      yield* login(script)
      yield* until("Idle")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(statusUnsafe(), "Idle")
      assert.deepStrictEqual(yield* list, [])
    }).pipe(Effect.scoped, provide(script))
  })

  it.effect("sees within seconds, or with the next call, that another program has logged in", () => {
    const script = protectedServer()
    const files = new Map<string, string>()
    const store = () =>
      TokenStore.make(KeyValueStore.makeStringOnly({
        get: (key) => Effect.sync(() => files.get(key)),
        set: (key, value) => Effect.sync(() => files.set(key, value)),
        remove: (key) => Effect.sync(() => files.delete(key)),
        clear: Effect.void,
        size: Effect.succeed(0),
        keys: Effect.succeed([])
      }))
    return Effect.gen(function*() {
      const { list, statusUnsafe, until } = yield* start()
      yield* Effect.flip(list)
      yield* Effect.provideService(login(script), TokenStore.TokenStore, store())
      assert.strictEqual(statusUnsafe(), "NeedsAuthorization")
      assert.deepStrictEqual(yield* list, [])
      assert.strictEqual(statusUnsafe(), "Ready")
      // The token is refused, and another one is kept while nobody calls.
      script.valid.clear()
      script.refreshToken = undefined
      yield* Effect.flip(list)
      assert.strictEqual(statusUnsafe(), "NeedsAuthorization")
      yield* Effect.provideService(login(script), TokenStore.TokenStore, store())
      yield* TestClock.adjust("5 seconds")
      yield* until("Ready")
    }).pipe(Effect.scoped, Effect.provideService(TokenStore.TokenStore, store()), provide(script))
  })

  it.effect("asks its user once, who may take longer than the start", () => {
    const script = protectedServer()
    return Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const user = Scripted.agreeing(script, { gate })
      yield* Effect.gen(function*() {
        const { list, status, statusUnsafe } = yield* start({ timeout: "1 hour" })
        const listing = yield* Effect.forkChild(list, { startImmediately: true })
        yield* user.began
        yield* TestClock.adjust("7 minutes")
        assert.strictEqual(statusUnsafe(), "Connecting")
        yield* Deferred.succeed(gate, undefined)
        assert.deepStrictEqual(yield* Fiber.join(listing), [])
        assert.strictEqual((yield* status)._tag, "Ready")
        assert.strictEqual(user.asked.length, 1)
      }).pipe(Effect.provide(user.layer))
    }).pipe(Effect.scoped, provide(script))
  })

  it.effect("that keeps silent after the login has as long as any start, and no longer", () => {
    const script = protectedServer()
    const { override } = script
    script.override = (call) => call.method === "POST" && script.tokens > 0 && call.url.href === Scripted.server ? Effect.never : override(call)
    return Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const user = Scripted.agreeing(script, { gate })
      yield* Effect.gen(function*() {
        const { list, status, statusUnsafe } = yield* start({ timeout: "1 hour", reconnect: { when: "never" } })
        yield* Effect.forkChild(Effect.exit(list), { startImmediately: true })
        yield* user.began
        yield* TestClock.adjust("90 seconds")
        yield* Deferred.succeed(gate, undefined)
        yield* waitUntil(() => script.tokens > 0)
        yield* TestClock.adjust("50 seconds")
        assert.strictEqual(statusUnsafe(), "Connecting")
        // With two seconds for the end of what it was sent.
        yield* TestClock.adjust("13 seconds")
        const now = yield* status
        assert.strictEqual(now._tag === "Failed" ? now.error.reason._tag : now._tag, "RequestTimeout")
      }).pipe(Effect.provide(user.layer))
    }).pipe(Effect.scoped, provide(script))
  })

  it.effect("lets a call that leads to a login wait for it", () => {
    const script = protectedServer()
    return Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const user = Scripted.agreeing(script, { gate })
      yield* login(script)
      yield* Effect.gen(function*() {
        const { list } = yield* start({ timeout: "10 seconds", health: { interval: "1 second", timeout: "1 second", failures: 2 } })
        assert.deepStrictEqual(yield* list, [])
        script.valid.clear()
        script.refreshToken = undefined
        const listing = yield* Effect.forkChild(list, { startImmediately: true })
        yield* user.began
        yield* TestClock.adjust("5 minutes")
        yield* Deferred.succeed(gate, undefined)
        assert.deepStrictEqual(yield* Fiber.join(listing), [])
      }).pipe(Effect.provide(user.layer))
    }).pipe(Effect.scoped, provide(script))
  })

  const health = { interval: "10 seconds", timeout: "5 seconds", failures: 2 }

  it.effect("asks nobody for the sake of a health check, and whoever calls next", () => {
    const script = protectedServer()
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const { list, until } = yield* start({ health })
      yield* list
      assert.strictEqual(user.asked.length, 1)
      script.valid.clear()
      script.refreshToken = undefined
      // Only a quiet server is asked, which it has not been before.
      yield* TestClock.adjust("20 seconds")
      yield* until("NeedsAuthorization")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(user.asked.length, 1)
      assert.deepStrictEqual(yield* list, [])
      assert.strictEqual(user.asked.length, 2)
    }).pipe(Effect.scoped, provide(script, user.layer))
  })

  it.effect("asks nobody for the sake of a connection that is made again, or before it is used", () => {
    const script = protectedServer()
    const { override } = script
    let down = false
    script.override = (call) => down && call.url.href === Scripted.server ? new Response("", { status: 503 }) : override(call)
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const config = yield* McpConfig.fromValue({ mcpServers: { docs: { url: Scripted.server, health } } })
      const servers = yield* McpServers.make(config, { preload: "all" })
      const status = yield* servers.statusOf("docs")
      const until = (tag: Status.Status["_tag"]) =>
        SubscriptionRef.changes(status).pipe(Stream.filter(({ _tag }) => _tag === tag), Stream.runHead)
      const list = servers.use("docs", (client) => client.listTools())
      yield* until("NeedsAuthorization")
      assert.strictEqual(user.asked.length, 0)
      yield* list
      assert.strictEqual(user.asked.length, 1)
      down = true
      yield* TestClock.adjust("30 seconds")
      yield* until("Reconnecting")
      down = false
      script.valid.clear()
      script.refreshToken = undefined
      yield* TestClock.adjust("1 minute")
      yield* until("NeedsAuthorization")
      assert.strictEqual(user.asked.length, 1)
      assert.deepStrictEqual(yield* list, [])
      assert.strictEqual(user.asked.length, 2)
    }).pipe(Effect.scoped, provide(script, user.layer))
  })

  it.effect("renews a token without asking for health checks as well", () => {
    const script = protectedServer()
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const { list, statusUnsafe } = yield* start({ health })
      yield* list
      script.valid.clear()
      yield* TestClock.adjust("20 seconds")
      yield* waitUntil(() => script.tokens === 2)
      assert.deepStrictEqual(yield* list, [])
      assert.deepStrictEqual([statusUnsafe(), user.asked.length], ["Ready", 1])
    }).pipe(Effect.scoped, provide(script, user.layer))
  })

  it.effect("asks a user who has refused only when it is resumed", () => {
    const script = protectedServer()
    const asked: Array<string> = []
    const refusing = Layer.succeed(Authorize, {
      begin: () =>
        Effect.succeed({
          redirectUri: "http://127.0.0.1:4000/callback",
          ask: (url: URL) => {
            asked.push(url.href)
            return Effect.fail(new NotAuthorized({ detail: "not now" }))
          }
        })
    })
    return Effect.gen(function*() {
      const { list, resume, statusUnsafe } = yield* start()
      for (let call = 0; call < 3; call += 1) assert.strictEqual((yield* Effect.flip(list)).reason._tag, "Unauthorized")
      yield* TestClock.adjust("4 minutes")
      assert.deepStrictEqual([statusUnsafe(), asked.length], ["NeedsAuthorization", 1])
      yield* resume
      yield* Effect.flip(list)
      assert.strictEqual(asked.length, 2)
    }).pipe(Effect.scoped, provide(script, refusing))
  })

  it.effect("of which one call wants more than there is goes on for the others", () => {
    const script = protectedServer()
    const { override } = script
    script.override = (call) =>
      call.body.includes("tools/call") && call.headers["authorization"] !== undefined
        ? new Response("", { status: 403, headers: { "www-authenticate": "Bearer error=\"insufficient_scope\", scope=\"write\"" } })
        : override(call)
    return Effect.gen(function*() {
      yield* login(script)
      const { call, list, statusUnsafe } = yield* start()
      yield* list
      const { reason } = yield* Effect.flip(call)
      assert.deepStrictEqual(reason._tag === "NeedsAuthorization" ? reason.scopes : reason, ["write"])
      assert.strictEqual(statusUnsafe(), "Ready")
      assert.deepStrictEqual(yield* list, [])
    }).pipe(Effect.scoped, provide(script))
  })

  it.effect("whose authorization server is in trouble is tried again like any that is down", () => {
    const script = protectedServer()
    const { override } = script
    let broken = true
    script.override = (call) =>
      broken && call.url.pathname === "/token" ? Scripted.json({ error: "temporarily_unavailable" }, 503) : override(call)
    return Effect.gen(function*() {
      const { list, statusUnsafe } = yield* start({ auth: { type: "client_credentials", clientId: "svc", clientSecret: "s" } })
      assert.strictEqual((yield* Effect.flip(list)).reason._tag, "Unauthorized")
      assert.strictEqual(statusUnsafe(), "Failed")
      broken = false
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* list, [])
    }).pipe(Effect.scoped, provide(script))
  })
})
