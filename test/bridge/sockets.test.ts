/** The bridge on real sockets of this machine. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as SocketServer from "effect/socket/SocketServer"
import { connect, type Socket } from "node:net"
import { WebSocket } from "ws"
import * as Bridge from "../../src/bridge/Bridge.ts"
import * as McpError from "../../src/McpError.ts"
import * as NodeMcp from "../../src/node.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import { echo, hand, json, modern, modernHeaders, type OnMessage } from "./support.ts"

/** A bridge on a free port, in a scope that the test may close. */
const listen = Effect.fnUntraced(function*(onMessage: OnMessage, options: Omit<Bridge.HttpOptions, "servers"> = {}) {
  const { binding, links } = yield* hand(onMessage)
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  const platform = yield* Layer.buildWithScope(NodeMcp.layerHttpServer({ maxMessageBytes: options.maxMessageBytes }), scope)
  const endpoints = yield* Bridge.http({ servers: { only: binding }, ...options }).pipe(
    Effect.provideContext(platform),
    Scope.provide(scope)
  )
  const [endpoint] = endpoints
  assert(endpoint !== undefined)
  return { endpoint, links, close: Scope.close(scope, Exit.void) }
})

type Heard = { readonly message: unknown } | { readonly code: number; readonly reason: string } | { readonly status: number }

/** A WebSocket, and what is heard on it. */
const dial = Effect.fnUntraced(function*(url: string, protocols: ReadonlyArray<string> = ["mcp"], headers: Record<string, string> = {}) {
  const heard = yield* Queue.unbounded<Heard>()
  const socket = yield* Effect.acquireRelease(
    Effect.callback<WebSocket>((resume) => {
      const socket = new WebSocket(url, [...protocols], { headers })
      socket.on("message", (data) => Queue.offerUnsafe(heard, { message: JSON.parse(String(data)) }))
      socket.on("close", (code, reason) => Queue.offerUnsafe(heard, { code, reason: String(reason) }))
      socket.on("unexpected-response", (request, response) => {
        Queue.offerUnsafe(heard, { status: response.statusCode ?? 0 })
        request.destroy()
        resume(Effect.succeed(socket))
      })
      socket.on("open", () => resume(Effect.succeed(socket)))
      socket.on("error", (error) => resume(Effect.die(error)))
    }),
    (socket) => Effect.sync(() => socket.terminate())
  )
  return { socket, next: Queue.take(heard), send: (value: unknown) => socket.send(JSON.stringify(value)) }
})

/** Looks until it holds, for two seconds at most. */
const until = (condition: () => boolean) =>
  Effect.andThen(
    Effect.repeat(Effect.sleep("5 millis"), { until: condition, times: 400 }),
    Effect.sync(() => assert(condition(), "it never came to hold"))
  )

const quickly = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const before = yield* Clock.currentTimeMillis
    yield* effect
    assert.isBelow((yield* Clock.currentTimeMillis) - before, 1_500)
  })

describe("WebSockets", () => {
  it.live("messages pass both ways as they are, under the subprotocol mcp", () =>
    Effect.gen(function*() {
      const { endpoint, links } = yield* listen(echo)
      const { next, send, socket } = yield* dial(endpoint.websocket, ["other", "mcp"])
      assert.strictEqual(socket.protocol, "mcp")
      send(JsonRpc.request("a", "tools/list", { x: "Grüße" }))
      assert.deepStrictEqual(yield* next, { message: JsonRpc.success("a", { method: "tools/list", params: { x: "Grüße" } }) })
      socket.send(Buffer.from(JSON.stringify(JsonRpc.request(2, "binary", undefined))))
      assert.deepInclude(yield* next, { message: JsonRpc.success(2, { method: "binary", params: null }) })
      socket.send("{")
      assert.deepInclude((yield* next as Effect.Effect<{ message: object }>).message, { id: null })
      socket.close()
      yield* next
      yield* until(() => links[0]?.open === false)
    }).pipe(Effect.scoped))

  it.live("a server that dies closes the socket with 1011 and its exit code, after its last words", () =>
    Effect.gen(function*() {
      const { endpoint } = yield* listen((message, peer) =>
        Effect.andThen(echo(message, peer), peer.close(new McpError.ProcessExited({ code: 4, signal: null, stderr: "secret" }))))
      const { next, send } = yield* dial(endpoint.websocket)
      send(JsonRpc.request(1, "x", {}))
      assert.deepInclude(yield* next, { message: JsonRpc.success(1, { method: "x", params: {} }) })
      assert.deepStrictEqual(yield* next, { code: 1011, reason: "the server's process exited with code 4" })
    }).pipe(Effect.scoped))

  it.live("a frame that is too large closes the socket with 1009", () =>
    Effect.gen(function*() {
      const { endpoint } = yield* listen(echo, { maxMessageBytes: 1_000 })
      const { next, socket } = yield* dial(endpoint.websocket)
      socket.send("x".repeat(2_000))
      assert.deepInclude(yield* next, { code: 1009 })
    }).pipe(Effect.scoped))

  it.live("a peer that does not read is let go", () =>
    Effect.gen(function*() {
      const { endpoint, links } = yield* listen(() => Effect.void, { maxBufferedBytes: 100_000 })
      const { next, socket } = yield* dial(endpoint.websocket)
      socket.pause()
      const flood = links[0]?.peer.send(JsonRpc.notification("x", { data: "x".repeat(200_000) })) ?? Effect.void
      yield* Effect.andThen(flood, flood)
      yield* until(() => links[0]?.open === false)
      socket.terminate()
      yield* next
    }).pipe(Effect.scoped))

  it.live("the token is shown as a header, or by a page as a subprotocol; others are refused with 401, foreign pages with 403", () =>
    Effect.gen(function*() {
      const { endpoint } = yield* listen(echo, { token: Redacted.make("secret") })
      const { socket } = yield* dial(endpoint.websocket, ["mcp"], { authorization: "Bearer secret" })
      assert.strictEqual(socket.readyState, WebSocket.OPEN)
      const page = yield* dial(endpoint.websocket, ["mcp", "mcp.bearer.secret"], { origin: "http://localhost:1" })
      assert.strictEqual(page.socket.protocol, "mcp")
      assert.deepStrictEqual(yield* (yield* dial(endpoint.websocket)).next, { status: 401 })
      assert.deepStrictEqual(yield* (yield* dial(endpoint.websocket, ["mcp", "mcp.bearer.wrong"])).next, { status: 401 })
      const foreign = yield* dial(endpoint.websocket, ["mcp"], { origin: "https://evil.example", authorization: "Bearer secret" })
      assert.deepStrictEqual(yield* foreign.next, { status: 403 })
    }).pipe(Effect.scoped))

  it.live("what only looks like an upgrade starts nothing", () =>
    Effect.gen(function*() {
      const { endpoint, links } = yield* listen(echo)
      const { host, port } = new URL(endpoint.http)
      const wellFormed = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA=="]
      for (const method of ["GET", "POST"]) {
        for (const missing of method === "GET" ? wellFormed : [""]) {
          const head = [`${method} /mcp HTTP/1.1`, `Host: ${host}`, ...wellFormed.filter((line) => line !== missing), "", ""]
          const status = yield* Effect.callback<string>((resume) => {
            const socket = connect(Number(port), "127.0.0.1", () => socket.write(head.join("\r\n")))
            socket.once("data", (data) => {
              socket.destroy()
              resume(Effect.succeed(String(data).slice(9, 12)))
            })
          })
          assert.match(status, /^4\d\d$/, `${method} without ${missing}`)
        }
      }
      assert.lengthOf(links, 0)
    }).pipe(Effect.scoped))

  it.live("an upgrade is refused when there are too many sessions", () =>
    Effect.gen(function*() {
      const { endpoint } = yield* listen(echo, { maxSessions: 1 })
      yield* dial(endpoint.websocket)
      assert.deepStrictEqual(yield* (yield* dial(endpoint.websocket)).next, { status: 503 })
    }).pipe(Effect.scoped))
})

describe("closing", () => {
  it.live("open streams, calls and sockets, also of peers that do not answer, hold nothing up", () =>
    Effect.gen(function*() {
      const { close, endpoint, links } = yield* listen((message, peer) =>
        JsonRpc.isRequest(message) && message.method === "initialize" ? echo(message, peer) : Effect.void)
      const { next } = yield* dial(endpoint.websocket)
      const deaf = yield* dial(endpoint.websocket)
      deaf.socket.pause()
      const begun = yield* Effect.promise(() =>
        fetch(endpoint.http, { method: "POST", headers: json, body: JSON.stringify(JsonRpc.request(1, "initialize", {})) }))
      yield* Effect.promise(() => begun.text())
      const stream = yield* Effect.promise(() =>
        fetch(endpoint.http, {
          headers: { accept: "text/event-stream", "mcp-session-id": begun.headers.get("mcp-session-id") ?? "" }
        }))
      yield* Effect.forkChild(Effect.exit(Effect.promise(() =>
        fetch(endpoint.http, { method: "POST", headers: modernHeaders("slow"), body: JSON.stringify(modern(1, "slow")) })
      )))
      yield* until(() => links.length === 4)
      yield* quickly(close)
      assert.deepStrictEqual(links.map(({ open }) => open), [false, false, false, false])
      assert.property(yield* next, "code")
      yield* Effect.ignore(Effect.tryPromise(() => stream.text()))
      assert.strictEqual(
        yield* Effect.promise(() => fetch(endpoint.http).then(() => "answered", () => "refused")),
        "refused"
      )
    }).pipe(Effect.scoped))
})

describe("an address that other machines reach", () => {
  it.live("is not served without a token", () =>
    Effect.gen(function*() {
      const { binding } = yield* hand(echo)
      const error = yield* Effect.flip(Bridge.http({ servers: { only: binding } }).pipe(
        Effect.provide(NodeMcp.layerHttpServer({ host: "0.0.0.0" }))
      ))
      assert.strictEqual(error._tag === "McpError" ? error.reason._tag : error._tag, "InvalidConfig")
    }).pipe(Effect.scoped))
})

describe("plain sockets", () => {
  const dialPlain = Effect.fnUntraced(function*(port: number) {
    const lines = yield* Queue.unbounded<unknown>()
    const socket = yield* Effect.acquireRelease(
      Effect.callback<Socket>((resume) => {
        let text = ""
        const socket = connect(port, "127.0.0.1", () => resume(Effect.succeed(socket)))
        socket.setEncoding("utf8").on("data", (chunk: string) => {
          const all = (text + chunk).split("\n")
          text = all.pop() ?? ""
          for (const line of all) Queue.offerUnsafe(lines, JSON.parse(line))
        })
        socket.on("close", () => Queue.offerUnsafe(lines, "closed"))
        socket.on("error", () => {})
      }),
      (socket) => Effect.sync(() => socket.destroy())
    )
    return { socket, next: Queue.take(lines) }
  })

  const listenPlain = Effect.fnUntraced(function*(onMessage: OnMessage, options: Bridge.Options = {}) {
    const { binding, links } = yield* hand(onMessage)
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
    const platform = yield* Layer.buildWithScope(NodeMcp.layerSocketServer(), scope)
    const port = yield* Effect.gen(function*() {
      yield* Bridge.socket(binding, options)
      const { address } = yield* SocketServer.SocketServer
      assert(NetAddress.isInetAddress(address))
      return address.port
    }).pipe(Effect.provideContext(platform), Scope.provide(scope))
    return { port, links, close: Scope.close(scope, Exit.void) }
  })

  it.live("carry one message per line, however the bytes are cut", () =>
    Effect.gen(function*() {
      const { port } = yield* listenPlain(echo)
      const { next, socket } = yield* dialPlain(port)
      const text = Buffer.from(`${JSON.stringify(JsonRpc.request(1, "x", { text: "世界" }))}\r\n\n${JSON.stringify(JsonRpc.request(2, "y", {}))}\n`)
      for (const byte of text) socket.write(Buffer.from([byte]))
      assert.deepStrictEqual(yield* next, JsonRpc.success(1, { method: "x", params: { text: "世界" } }))
      assert.deepStrictEqual(yield* next, JsonRpc.success(2, { method: "y", params: {} }))
    }).pipe(Effect.scoped))

  it.live("end when the server dies, when a line is too long, and within a second when the bridge is closed", () =>
    Effect.gen(function*() {
      const { close, links, port } = yield* listenPlain((_, peer) =>
        peer.close(new McpError.ProcessExited({ code: 1, signal: null, stderr: "" })), { maxMessageBytes: 1_000 })
      const dying = yield* dialPlain(port)
      dying.socket.write(`${JSON.stringify(JsonRpc.request(1, "x", {}))}\n`)
      assert.strictEqual(yield* dying.next, "closed")
      const long = yield* dialPlain(port)
      long.socket.write("x".repeat(2_000))
      assert.strictEqual(yield* long.next, "closed")
      const deaf = yield* dialPlain(port)
      deaf.socket.pause()
      yield* until(() => links.length === 3)
      yield* links[2]?.peer.send(JsonRpc.notification("x", { data: "x".repeat(8_000_000) })) ?? Effect.void
      yield* quickly(close)
      assert.isFalse(links[2]?.open)
    }).pipe(Effect.scoped))
})
