/** Peers that break the protocol, at the level of bytes: no `ws` on their side keeps them from it. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { createHash } from "node:crypto"
import type { Socket } from "node:net"
import { deflateRawSync } from "node:zlib"
import * as McpClient from "../../src/McpClient.ts"
import type * as McpError from "../../src/McpError.ts"
import * as NodeMcp from "../../src/node.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import { Transport } from "../../src/Transport.ts"
import * as WebSocketTransport from "../../src/transport/WebSocketTransport.ts"
import { reasonOf } from "../support/reasonOf.ts"
import { makeReceiver } from "../support/receiver.ts"
import { awaitGone, serve, serveRaw } from "../support/wsServer.ts"

const open = Effect.fnUntraced(function*(options: WebSocketTransport.Options) {
  const receiving = yield* makeReceiver
  const transport = yield* WebSocketTransport.make(options)
  const link = yield* transport.open(receiving.receiver)
  return { ...receiving, link, transport }
})

const onNode = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>) =>
  effect.pipe(Effect.scoped, Effect.provide(NodeMcp.layer))

const accept = (request: string, extensions = ""): string => {
  const key = /sec-websocket-key: (.*)\r\n/i.exec(request)?.[1] ?? ""
  const digest = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")
  return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    `Sec-WebSocket-Accept: ${digest}\r\n${extensions}\r\n`
}

/** Agrees to every upgrade, reads nothing after it, and gives the connection away. */
const agreeing = Effect.fnUntraced(function*(extensions?: string) {
  const connections = yield* Queue.unbounded<Socket>()
  const { port } = yield* serveRaw((socket) => {
    socket.once("data", (request) => {
      socket.pause()
      socket.write(accept(request.toString(), extensions))
      Queue.offerUnsafe(connections, socket)
    })
  })
  return { url: `ws://127.0.0.1:${port}`, next: Queue.take(connections) }
})

const big = JsonRpc.notification("x", { text: "x".repeat(1024 * 1024) })

const text = (message: string) => Buffer.concat([Buffer.from([0x81, message.length]), Buffer.from(message)])

describe("WebSocketTransport", () => {
  it.live("what is no WebSocket's frame ends the link with a typed error, after what came before it", () =>
    onNode(Effect.gen(function*() {
      const server = yield* agreeing()
      const cases: ReadonlyArray<readonly [frame: ReadonlyArray<number>, expected: Partial<McpError.McpErrorReason>, words: string]> = [
        [[0x83, 0x00], { _tag: "ConnectionClosed" }, "invalid opcode 3"],
        [[0xc1, 0x01, 0x31], { _tag: "ConnectionClosed" }, "RSV1 must be clear"],
        [[0x81, 0x81, 1, 2, 3, 4, 0x31], { _tag: "ConnectionClosed" }, "MASK must be clear"],
        [[0x80, 0x01, 0x31], { _tag: "ConnectionClosed" }, "invalid opcode 0"],
        [[0x09, 0x00], { _tag: "ConnectionClosed" }, "FIN must be set"],
        [[0x88, 0x02, 0x00, 0x01], { _tag: "ConnectionClosed" }, "invalid status code 1"],
        [[0x81, 0x02, 0xc3, 0x28], { _tag: "ConnectionClosed" }, "no UTF-8"],
        [[0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], { _tag: "MessageTooLarge" }, "larger than"],
        [[0x81, 0x7f, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00], { _tag: "MessageTooLarge" }, "larger than"]
      ]
      for (const [frame, expected, words] of cases) {
        const { afterClose, closed, next } = yield* open({ url: server.url })
        const socket = yield* server.next
        socket.write(Buffer.concat([text("1"), Buffer.from(frame), text("2")]))
        assert.strictEqual(yield* next, 1)
        const reason = yield* closed
        assert.deepInclude(reason, expected)
        assert.include(reason.message, words)
        if (reason._tag === "ConnectionClosed") assert.include(reason.message, "it broke the protocol")
        assert.deepStrictEqual(afterClose, [])
      }
    })))

  it.live("a connection that breaks within a frame, or ends without a close frame, is told as broken", () =>
    onNode(Effect.gen(function*() {
      const server = yield* agreeing()
      for (const how of ["end", "resetAndDestroy"] as const) {
        const { closed, link } = yield* open({ url: server.url })
        const socket = yield* server.next
        socket.write(Buffer.from([0x81, 0x7e, 0x01]))
        socket[how]()
        assert.deepInclude(yield* closed, { _tag: "ConnectionClosed", by: "server", close: { code: 1006, reason: "" } })
        assert.strictEqual(link.send(big), 0)
      }
    })))

  it.live("a server that ends its side while it does not read ends the link at once", () =>
    onNode(Effect.gen(function*() {
      const server = yield* agreeing()
      for (const last of [Buffer.alloc(0), Buffer.from([0x88, 0x02, 0x03, 0xe9])]) {
        const { closed, link } = yield* open({ url: server.url, ping: false })
        const socket = yield* server.next
        for (let sent = 0; sent < 32; sent++) link.send(big)
        socket.end(last)
        assert.deepInclude(yield* closed, { close: { code: last.length === 0 ? 1006 : 1001, reason: "" } })
        yield* awaitGone(socket)
      }
    })))

  it.live("a close frame of a server that then does nothing more ends the link within closeTimeout", () =>
    onNode(Effect.gen(function*() {
      const server = yield* agreeing()
      const { closed } = yield* open({ url: server.url, closeTimeout: "50 millis" })
      const socket = yield* server.next
      socket.write(Buffer.from([0x88, 0x02, 0x03, 0xe9]))
      assert.deepInclude(yield* Effect.timeout(closed, "5 seconds"), { close: { code: 1001, reason: "" } })
    })))

  it.live("release destroys a connection whose peer neither reads nor answers", () =>
    onNode(Effect.gen(function*() {
      const server = yield* agreeing()
      const scope = yield* Scope.make()
      const { link } = yield* open({ url: server.url, closeTimeout: "50 millis" }).pipe(Scope.provide(scope))
      const socket = yield* server.next
      for (let sent = 0; sent < 32; sent++) link.send(big)
      yield* Effect.timeout(Scope.close(scope, Exit.void), "1 second")
      yield* awaitGone(socket)
      assert.isBelow(socket.bytesRead, 32 * 1024 * 1024)
    })))

  it.live("a small message that inflates beyond the limit is refused before it is in memory", () =>
    onNode(Effect.gen(function*() {
      const server = yield* agreeing("Sec-WebSocket-Extensions: permessage-deflate\r\n")
      const { closed } = yield* open({ url: server.url, compression: true, maxMessageBytes: 1024 * 1024 })
      const socket = yield* server.next
      const bomb = deflateRawSync(Buffer.alloc(64 * 1024 * 1024, "x"))
      const head = Buffer.from([0xc1, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0])
      head.writeUInt32BE(bomb.length, 6)
      socket.write(Buffer.concat([head, bomb]))
      assert.deepInclude(yield* closed, { _tag: "MessageTooLarge", limitBytes: 1024 * 1024 })
    })))

  it.live("compression that was not asked for is not accepted", () =>
    onNode(Effect.gen(function*() {
      const server = yield* agreeing("Sec-WebSocket-Extensions: permessage-deflate\r\n")
      const reason = reasonOf(yield* Effect.exit(open({ url: server.url })))
      assert.deepInclude(reason, { _tag: "Unreachable", delivered: true })
      assert.include(reason.message, "no extension was requested")
    })))

  it.live("a limit beyond what a string can hold is still a limit", () =>
    onNode(Effect.gen(function*() {
      const server = yield* agreeing()
      const { closed } = yield* open({ url: server.url, maxMessageBytes: 4 * 1024 ** 3 })
      const socket = yield* server.next
      const head = Buffer.from([0x81, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0])
      head.writeUInt32BE(1024 ** 3, 6)
      socket.write(head)
      assert.strictEqual((yield* closed)._tag, "MessageTooLarge")
    })))

  it.live("a flood of pings whose answers are not read is bounded", () =>
    onNode(Effect.gen(function*() {
      const server = yield* agreeing()
      const { closed, link } = yield* open({ url: server.url })
      const socket = yield* server.next
      for (let sent = 0; sent < 32; sent++) link.send(big)
      socket.write(Buffer.alloc(127 * 1_000, Buffer.concat([Buffer.from([0x89, 0x7d]), Buffer.alloc(125)])))
      assert.deepInclude(yield* closed, { _tag: "ConnectionClosed", close: { code: 1006, reason: "" } })
    })))

  describe("an upgrade", () => {
    it.live("that is answered with garbage, endless headers, a redirect or a success is typed, and shows no secret", () =>
      onNode(Effect.gen(function*() {
        const answers: ReadonlyArray<readonly [answer: string, expected: Partial<McpError.McpErrorReason>]> = [
          ["SSH-2.0-OpenSSH_9.6\r\n", { _tag: "Unreachable", delivered: true }],
          [`HTTP/1.1 101 Switching\r\n${"X-Y: zzzzzzzzzzzzzzzz\r\n".repeat(20_000)}`, { _tag: "Unreachable", delivered: true }],
          ["HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/s3cr3t\r\nContent-Length: 0\r\n\r\n", { _tag: "HttpStatus", status: 302 }],
          ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", { _tag: "HttpStatus", status: 200, body: "ok" }],
          ["HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\ncut", { _tag: "HttpStatus", status: 403, body: "cut" }]
        ]
        for (const [answer, expected] of answers) {
          const { port } = yield* serveRaw((socket) => socket.once("data", () => socket.end(answer)))
          const options = { url: `ws://u:s3cr3t@127.0.0.1:${port}/mcp?key=s3cr3t`, headers: { "X-Key": Redacted.make("s3cr3t") } }
          const [time, exit] = yield* Effect.timed(Effect.exit(open(options)))
          assert.isBelow(Duration.toMillis(time), 3_000)
          const reason = reasonOf(exit)
          assert.deepInclude(reason, expected)
          assert.notInclude(JSON.stringify(reason) + reason.message, "s3cr3t")
        }
      })))

    it.live("that is refused leaves no connection open, whatever becomes of the body", () =>
      onNode(Effect.gen(function*() {
        const gone = yield* Deferred.make<void>()
        const { port } = yield* serveRaw((socket) => {
          socket.once("data", () => socket.write("HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno"))
          socket.on("end", () => Deferred.doneUnsafe(gone, Exit.void))
        })
        assert.deepInclude(reasonOf(yield* Effect.exit(open({ url: `ws://127.0.0.1:${port}` }))), { status: 401, body: "no" })
        yield* Deferred.await(gone)
        assert.isTrue(Deferred.isDoneUnsafe(gone))
      })))

    it.live("with certificates or credentials that cannot be used fails, and is no defect", () =>
      onNode(Effect.gen(function*() {
        for (const tls of [{ key: Redacted.make("garbage") }, { cert: "garbage" }]) {
          const reason = reasonOf(yield* Effect.exit(open({ url: "wss://127.0.0.1:9", tls })))
          assert.strictEqual(reason._tag, "InvalidConfig")
        }
        const reason = reasonOf(yield* Effect.exit(open({ url: "ws://%zz:s3cr3t@127.0.0.1:9" })))
        assert.strictEqual(reason._tag, "InvalidConfig")
        assert.notInclude(reason.message, "s3cr3t")
      })))

    it.live("tells which headers it does not send", () =>
      onNode(Effect.gen(function*() {
        const server = yield* serve()
        const { diagnostics } = yield* open({ url: server.url, headers: { "Sec-WebSocket-Protocol": "other" } })
        assert.strictEqual((yield* server.next).request.headers["sec-websocket-protocol"], "mcp")
        assert.deepInclude(yield* Queue.take(diagnostics), {
          _tag: "Warning",
          detail: "the header \"Sec-WebSocket-Protocol\" of the config is not sent: the protocol sets it itself"
        })
      })))
  })

  it.live("a real server that answers pings stays, and one that is frozen is found out", () =>
    onNode(Effect.gen(function*() {
      const server = yield* serve()
      const pings = yield* Queue.unbounded<void>()
      const { closed, isClosed } = yield* open({ url: server.url, ping: { interval: "5 millis", timeout: "500 millis" } })
      const { socket } = yield* server.next
      socket.on("ping", () => Queue.offerUnsafe(pings, undefined))
      yield* Effect.replicateEffect(Queue.take(pings), 2)
      assert.isFalse(isClosed())
      socket.pause()
      assert.include((yield* closed).message, "no answer to a ping")
    })))

  it.effect("a server is not silent that is still being sent to: the ping waits behind a long message", () =>
    onNode(Effect.gen(function*() {
      const server = yield* serve()
      const { isClosed, link } = yield* open({ url: server.url })
      const { socket } = yield* server.next
      socket.pause()
      const bytes = link.send(JsonRpc.notification("x", { text: "x".repeat(32 * 1024 * 1024) }))
      yield* TestClock.adjust("3 minutes")
      assert.isFalse(isClosed())
      socket.resume()
      assert.lengthOf(yield* server.message, bytes)
      assert.isFalse(isClosed())
    })))

  it.live("can be opened again, one link after the other and side by side", () =>
    onNode(Effect.gen(function*() {
      const server = yield* serve()
      const { closed, transport } = yield* open({ url: server.url })
      const first = yield* server.next
      const again = yield* makeReceiver
      const link = yield* transport.open(again.receiver)
      yield* server.next
      first.socket.close(1001)
      yield* closed
      assert.isFalse(again.isClosed())
      link.send(JsonRpc.request(1, "ping", undefined))
      assert.include(yield* server.message, "\"ping\"")
    })))

  it.live("silence during the probe means a legacy server (W-04)", () =>
    onNode(Effect.gen(function*() {
      const server = yield* serve()
      const transport = yield* WebSocketTransport.make({ url: server.url })
      const connecting = yield* Effect.forkChild(
        McpClient.make({ name: "test", negotiation: { probeTimeout: "20 millis" } }).pipe(
          Effect.provideService(Transport, transport)
        )
      )
      const { socket } = yield* server.next
      assert.include(yield* server.message, "server/discover")
      let initialize = yield* server.message
      // What is not answered is given up first.
      if (initialize.includes("notifications/cancelled")) initialize = yield* server.message
      const { id, params } = JSON.parse(initialize)
      socket.send(JSON.stringify({
        jsonrpc: "2.0",
        id,
        result: { protocolVersion: params.protocolVersion, capabilities: {}, serverInfo: { name: "quiet", version: "1" } }
      }))
      assert.include(yield* server.message, "notifications/initialized")
      const client = yield* Fiber.join(connecting)
      assert.strictEqual(client.server.info?.name, "quiet")
    })))
})
