/** The token on upgrades to WebSockets, on the streams of HTTP+SSE, and on requests of Streamable HTTP over the platform's shortest way; real sockets on both sides. */
import { assert, describe, it } from "@effect/vitest"
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { Socket } from "node:net"
import * as Auth from "../../src/auth/Auth.ts"
import { Authorize } from "../../src/auth/Authorize.ts"
import * as TokenStore from "../../src/auth/TokenStore.ts"
import * as McpClient from "../../src/McpClient.ts"
import * as McpConfig from "../../src/McpConfig.ts"
import * as McpServers from "../../src/McpServers.ts"
import * as NodeMcp from "../../src/node.ts"
import { Transport } from "../../src/Transport.ts"
import * as StreamableHttpTransport from "../../src/transport/StreamableHttpTransport.ts"
import * as Http from "../servers/http.ts"
import { serve } from "../support/loopback.ts"
import * as Protected from "../support/protectedServer.ts"
import { serveRaw } from "../support/wsServer.ts"

/** A user who goes where they are sent. */
const agreeing = Layer.succeed(Authorize, {
  begin: () =>
    Effect.succeed({
      redirectUri: "http://127.0.0.1:4000/callback",
      ask: (url: URL) =>
        Effect.promise(async () => new URL((await fetch(url, { redirect: "manual" })).headers.get("location") ?? ""))
    })
})

const connect = Effect.fnUntraced(function*(entry: object) {
  const config = yield* McpConfig.fromValue({ mcpServers: { peer: entry } })
  return yield* McpClient.fromConfig(yield* McpConfig.get(config, "peer"))
})

const run = <A, E>(effect: Effect.Effect<A, E, Layer.Success<typeof NodeMcp.layer> | import("effect/Scope").Scope>) =>
  effect.pipe(Effect.scoped, Effect.provide(Layer.mergeAll(TokenStore.layerMemory, NodeMcp.layer)))

const hello = (client: McpClient.McpClient["Service"]) =>
  Effect.map(client.callToolOrFail("hello"), ({ content }) => content.map((part) => part.type === "text" ? part.text : "").join(""))

describe("a WebSocket", () => {
  const socketOf = ({ origin }: Protected.Protected) => `${origin.replace("http", "ws")}/ws`

  it.live("that wants a token says so where nobody logs in", () =>
    run(Effect.gen(function*() {
      const peer = yield* Protected.start()
      const { reason } = yield* Effect.flip(connect({ url: socketOf(peer) }))
      assert.strictEqual(reason._tag, "NeedsAuthorization")
      assert.deepStrictEqual(peer.requests, ["GET /ws refused"])
    })))

  it.live("is opened again with the token that its server wants", () =>
    run(Effect.gen(function*() {
      const peer = yield* Protected.start()
      const client = yield* Effect.provide(connect({ url: socketOf(peer) }), agreeing)
      assert.strictEqual(yield* hello(client), "hello")
      assert.deepStrictEqual(peer.requests.slice(0, 2), ["GET /ws refused", "GET /ws"])
      assert.deepStrictEqual(peer.grants, ["authorization_code"])
    })))

  it.live("has the token that is kept, and a new one when that is refused", () =>
    run(Effect.gen(function*() {
      const peer = yield* Protected.start()
      yield* Effect.scoped(Effect.provide(connect({ url: socketOf(peer) }), agreeing))
      yield* Effect.scoped(connect({ url: socketOf(peer) }))
      peer.expire()
      assert.strictEqual(yield* hello(yield* connect({ url: socketOf(peer) })), "hello")
      assert.deepStrictEqual(peer.grants, ["authorization_code", "refresh_token"])
    })))

  it.live("with a header, a bearer token or auth switched off gets none, and shows the server's own refusal", () =>
    run(Effect.gen(function*() {
      const peer = yield* Protected.start()
      for (const fixed of [{ headers: { Authorization: "Bearer mine" } }, { headers: { aUTHORIZATION: "Basic mine" } }, { auth: false }, { headers: { "X-API-Key": "mine" } }]) {
        const { reason } = yield* Effect.flip(Effect.provide(connect({ url: socketOf(peer), ...fixed }), agreeing))
        assert.deepInclude(reason, { _tag: "HttpStatus", status: 401, body: "no" })
      }
      assert.deepStrictEqual(peer.grants, [])
    })))

  it.live("whose server has nothing of OAuth keeps its own refusal", () =>
    run(Effect.gen(function*() {
      const { port } = yield* serveRaw((socket) => {
        socket.once("data", (data) => {
          const upgrade = data.toString().startsWith("GET /mcp")
          socket.end(`HTTP/1.1 ${upgrade ? "401 Unauthorized" : "404 Not Found"}\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope`)
        })
      })
      const { reason } = yield* Effect.flip(Effect.provide(connect({ url: `ws://127.0.0.1:${port}/mcp` }), agreeing))
      assert.deepInclude(reason, { _tag: "HttpStatus", status: 401, body: "nope" })
    })))

  it.live("that refuses every token is not asked for ever", () =>
    run(Effect.gen(function*() {
      const peer = yield* Protected.start()
      const url = socketOf(peer)
      const refused = yield* Effect.flip(Effect.provide(
        Effect.gen(function*() {
          yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sync(peer.expire), Effect.yieldNow)))
          return yield* connect({ url })
        }),
        agreeing
      ))
      assert.strictEqual(refused.reason._tag, "Unauthorized")
      assert.isAtMost(peer.requests.length, 4)
    })))
})

describe("Streamable HTTP", () => {
  const posts = ({ requests }: Protected.Protected) => requests.filter((request) => request === "POST /mcp").length

  it.live("calls with the token that is kept, and each call once when that is refused on the way", () =>
    run(Effect.gen(function*() {
      const peer = yield* Protected.start()
      const client = yield* Effect.provide(connect({ url: `${peer.origin}/mcp` }), agreeing)
      assert.strictEqual(yield* hello(client), "hello")
      peer.expire()
      const before = posts(peer)
      const answers = yield* Effect.all(Array.from({ length: 20 }, () => hello(client)), { concurrency: "unbounded" })
      assert.deepStrictEqual(answers, Array.from({ length: 20 }, () => "hello"))
      assert.strictEqual(posts(peer) - before, 20)
      assert.deepStrictEqual(peer.grants, ["authorization_code", "refresh_token"])
    })))

  it.live("sends a token only to the server that it is for", () =>
    run(Effect.gen(function*() {
      const trusted = yield* Protected.start()
      const seen: Array<string | undefined> = []
      const http = Http.stateless(() => {
        const server = new McpServer({ name: "other", version: "1" })
        server.registerTool("hello", {}, () => ({ content: [{ type: "text", text: "from another" }] }))
        return server
      })
      const other = yield* serve((request, response) => {
        seen.push(request.headers.authorization)
        http(request, response)
      })
      const { decorate } = yield* Effect.provide(Auth.make({ url: `${trusted.origin}/mcp` }), agreeing)
      const open = (origin: string) =>
        McpClient.make().pipe(
          Effect.provideServiceEffect(Transport, StreamableHttpTransport.make({ url: `${origin}/mcp`, decorate }))
        )
      assert.strictEqual(yield* hello(yield* open(trusted.origin)), "hello")
      const elsewhere = yield* open(other.origin)
      for (let call = 0; call < 3; call++) assert.strictEqual(yield* hello(elsewhere), "from another")
      assert.isAbove(seen.length, 3)
      assert.deepStrictEqual(seen.filter((header) => header !== undefined), [])
    })))
})

describe("challenges in several headers", () => {
  const refuse = (socket: Socket, lines: ReadonlyArray<string>, status = "401 Unauthorized") =>
    socket.once("data", () => {
      socket.end(`HTTP/1.1 ${status}\r\n${[...lines, "Content-Length: 2", "Connection: close"].join("\r\n")}\r\n\r\n{}`)
    })
  const several = ["WWW-Authenticate: Basic realm=\"a, b\"", "Www-Authenticate: Bearer resource_metadata=\"http://127.0.0.1:1/named\""]

  for (const scheme of ["http", "ws"]) {
    it.live(`are all read, over ${scheme}`, () =>
      run(Effect.gen(function*() {
        const { port } = yield* serveRaw((socket) => refuse(socket, several))
        const { reason } = yield* Effect.flip(Effect.provide(connect({ url: `${scheme}://127.0.0.1:${port}/mcp` }), agreeing))
        assert.deepInclude(reason, { _tag: "Unauthorized", stage: "discovery", detail: "http://127.0.0.1:1/named cannot be reached" })
      })))
  }

  it.live("of a redirect are none: an upgrade is not taken to another place with its token", () =>
    run(Effect.gen(function*() {
      let reached = 0
      const elsewhere = yield* serveRaw(() => {
        reached += 1
      })
      const moved = yield* serveRaw((socket) => refuse(socket, [`Location: http://127.0.0.1:${elsewhere.port}/mcp`], "307 Temporary Redirect"))
      const { reason } = yield* Effect.flip(connect({ url: `ws://127.0.0.1:${moved.port}/mcp` }))
      assert.strictEqual(reason._tag === "HttpStatus" ? reason.status : reason._tag, 307)
      assert.strictEqual(reached, 0)
    })))
})

describe("a WebSocket that is lost", () => {
  const lost = Effect.fnUntraced(function*(peer: Protected.Protected, before: Effect.Effect<void>) {
    const url = `${peer.origin.replace("http", "ws")}/ws`
    const config = yield* McpConfig.fromValue({ mcpServers: { peer: { url } } })
    const servers = yield* McpServers.make(config)
    const call = servers.use("peer", hello)
    assert.strictEqual(yield* call, "hello")
    const status = yield* servers.statusOf("peer")
    yield* before
    peer.requests.length = 0
    const gone = yield* SubscriptionRef.changes(status).pipe(
      Stream.filter(({ _tag }) => _tag === "Reconnecting"),
      Stream.runHead,
      Effect.forkScoped({ startImmediately: true })
    )
    peer.drop()
    yield* Fiber.join(gone)
    assert.strictEqual(yield* call, "hello")
  })

  it.live("after its token has expired is opened again with a new one at once", () =>
    run(Effect.gen(function*() {
      const peer = yield* Protected.start({ expiresIn: 1 })
      yield* Effect.provide(lost(peer, Effect.sleep("1 second")), agreeing)
      assert.deepStrictEqual(peer.requests, ["GET /ws"])
      assert.deepStrictEqual([peer.grants[0], new Set(peer.grants.slice(1))], ["authorization_code", new Set(["refresh_token"])])
    })))

  it.live("and refused at its upgrade is refreshed once", () =>
    run(Effect.gen(function*() {
      const peer = yield* Protected.start()
      yield* Effect.provide(lost(peer, Effect.sync(peer.expire)), agreeing)
      assert.deepStrictEqual(peer.requests, ["GET /ws refused", "GET /ws"])
      assert.deepStrictEqual(peer.grants, ["authorization_code", "refresh_token"])
    })))
})

describe("HTTP+SSE", () => {
  it.live("with a header of its own, in whatever case, or auth switched off gets none, and shows the server's own refusal", () =>
    run(Effect.gen(function*() {
      const peer = yield* Protected.start()
      const url = `${peer.origin}/sse`
      for (const fixed of [{ headers: { authorization: "Bearer mine" } }, { headers: { AUTHORIZATION: "Basic mine" } }, { headers: { "x-api-key": "mine" } }, { auth: false }]) {
        const { reason } = yield* Effect.flip(Effect.provide(connect({ type: "sse", url, ...fixed }), agreeing))
        assert.deepInclude(reason, { _tag: "HttpStatus", status: 401 })
      }
      assert.deepStrictEqual(new Set(peer.requests), new Set(["GET /sse refused"]))
      assert.deepStrictEqual(peer.grants, [])
    })))

  it.live("has the token on its stream and on every message, and goes on with the next one", () =>
    run(Effect.gen(function*() {
      const peer = yield* Protected.start()
      const entry = { type: "sse", url: `${peer.origin}/sse` }
      const client = yield* Effect.provide(connect(entry), agreeing)
      assert.strictEqual(yield* hello(client), "hello")
      peer.expire()
      assert.deepStrictEqual(yield* Effect.all([hello(client), hello(client), hello(client)], { concurrency: "unbounded" }), ["hello", "hello", "hello"])
      assert.deepStrictEqual(peer.grants, ["authorization_code", "refresh_token"])
      const refused = peer.requests.filter((request) => request.endsWith("refused"))
      assert.deepStrictEqual(refused.slice(0, 1), ["GET /sse refused"])
      assert.deepStrictEqual(new Set(refused.slice(1)), new Set(["POST /messages refused"]))
      assert.isAbove(peer.requests.filter((request) => request === "POST /messages").length, 4)
    })))
})
