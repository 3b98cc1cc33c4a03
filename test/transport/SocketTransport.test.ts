import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as fc from "fast-check"
import type { Socket } from "node:net"
import * as McpClient from "../../src/McpClient.ts"
import * as NodeMcp from "../../src/node.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import { Transport } from "../../src/Transport.ts"
import * as SocketTransport from "../../src/transport/SocketTransport.ts"
import { reasonOf } from "../support/reasonOf.ts"
import { makeReceiver } from "../support/receiver.ts"
import { awaitGone, serveRaw } from "../support/wsServer.ts"

const open = Effect.fnUntraced(function*(options: SocketTransport.Options) {
  const receiving = yield* makeReceiver
  const transport = yield* SocketTransport.make({ closeTimeout: "50 millis", ...options })
  const link = yield* transport.open(receiving.receiver)
  return { ...receiving, link, transport }
})

const ping = JsonRpc.request(1, "ping", undefined)

/** A server that does nothing by itself, and its next connection. */
const serve = Effect.gen(function*() {
  const connections = yield* Queue.unbounded<Socket>()
  const { port, server } = yield* serveRaw((socket) => Queue.offerUnsafe(connections, socket))
  return { server, address: { host: "127.0.0.1", port }, next: Queue.take(connections) }
})

const text = (socket: Socket) =>
  Effect.callback<string>((resume) => {
    let all = ""
    socket.on("data", (data) => {
      all += data
    })
    socket.on("end", () => resume(Effect.succeed(all)))
  })

const onNode = <A, E>(effect: Effect.Effect<A, E, Scope.Scope | FileSystem.FileSystem>) =>
  effect.pipe(Effect.scoped, Effect.provide(NodeMcp.layer))

describe("SocketTransport", () => {
  it.live("a refused connection and a socket that is not there name the address", () =>
    onNode(Effect.gen(function*() {
      const { address, server } = yield* serve
      server.close()
      const tcp = reasonOf(yield* Effect.exit(open({ address })))
      assert.deepInclude(tcp, { _tag: "Unreachable", delivered: false, url: `tcp://127.0.0.1:${address.port}` })
      assert.include(tcp.message, "ECONNREFUSED")
      const folder = yield* FileSystem.FileSystem.use((fs) => fs.makeTempDirectoryScoped())
      const unix = reasonOf(yield* Effect.exit(open({ address: { path: `${folder}/no.sock` } })))
      assert.deepInclude(unix, { _tag: "Unreachable", url: `unix://${folder}/no.sock` })
      assert.include(unix.message, "there is no such socket")
    })))

  it.effect("a platform without sockets says so", () =>
    Effect.gen(function*() {
      assert.strictEqual(reasonOf(yield* Effect.exit(open({ address: { host: "x", port: 1 } })))._tag, "UnsupportedTransport")
    }).pipe(Effect.scoped))

  it.live("a line per message in both directions, over TCP and over a unix domain socket", () =>
    onNode(Effect.gen(function*() {
      const folder = yield* FileSystem.FileSystem.use((fs) => fs.makeTempDirectoryScoped())
      const path = `${folder}/mcp.sock`
      const echo = (socket: Socket) => void socket.pipe(socket)
      yield* serveRaw(echo, { path })
      const { port } = yield* serveRaw(echo)
      for (const address of [{ path }, { host: "127.0.0.1", port }]) {
        const { link, messages, transport } = yield* open({ address })
        assert.strictEqual(transport.kind, "path" in address ? "unix" : "tcp")
        const bytes = link.send(ping)
        assert.deepStrictEqual(yield* Queue.take(messages), { value: JSON.parse(JSON.stringify(ping)), bytes })
        link.abandon(1, "no")
        assert.deepInclude((yield* Queue.take(messages)).value, { method: "notifications/cancelled" })
      }
    })))

  it.live("any JSON arrives as it was, however the stream is cut", () =>
    onNode(Effect.gen(function*() {
      const { address, next: connection } = yield* serve
      const { next } = yield* open({ address })
      const socket = yield* connection
      socket.setNoDelay(true)
      for (const [value, cuts] of fc.sample(fc.tuple(fc.jsonValue(), fc.array(fc.nat(), { maxLength: 4 })), 100)) {
        const bytes = Buffer.from(`${JSON.stringify(value)}\n`)
        const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
        at.slice(1).forEach((end, index) => socket.write(bytes.subarray(at[index], end)))
        assert.deepStrictEqual(yield* next, JSON.parse(JSON.stringify(value)))
      }
    })))

  it.live("a half close ends the link after all that was sent, an unfinished last line included", () =>
    onNode(Effect.gen(function*() {
      const { address, next: connection } = yield* serve
      const { afterClose, closed, diagnostics, link, next } = yield* open({ address })
      const socket = yield* connection
      socket.end("1\nnonsense\n2")
      assert.deepStrictEqual([yield* next, yield* next], [1, 2])
      assert.deepInclude(yield* Queue.take(diagnostics), { _tag: "Skipped", detail: "a line that is not JSON" })
      assert.deepInclude(yield* closed, { _tag: "ConnectionClosed", by: "server", detail: "it closed the connection" })
      assert.strictEqual(link.send(ping), 0)
      assert.deepStrictEqual(afterClose, [])
    })))

  it.live("a reset is told as one", () =>
    onNode(Effect.gen(function*() {
      const { address, next: connection } = yield* serve
      const { closed } = yield* open({ address })
      const socket = yield* connection
      socket.resetAndDestroy()
      assert.include((yield* closed).message, "the connection broke (ECONNRESET)")
    })))

  it.live("a line beyond the limit ends the link", () =>
    onNode(Effect.gen(function*() {
      const { address, next: connection } = yield* serve
      const { closed } = yield* open({ address, maxMessageBytes: 10 })
      const socket = yield* connection
      // Far more than fits into any buffer: what comes after the limit is not even read.
      socket.write("x".repeat(32 * 1024 * 1024))
      assert.deepInclude(yield* closed, { _tag: "MessageTooLarge", limitBytes: 10 })
      assert.isAbove(socket.writableLength, 0)
    })))

  it.live("senders wait while the server does not read", () =>
    onNode(Effect.gen(function*() {
      const { address, next: connection } = yield* serve
      const { link } = yield* open({ address, highWaterMark: 64 * 1024 })
      const socket = yield* connection
      const big = JsonRpc.notification("x", { text: "x".repeat(1024 * 1024) })
      for (let sent = 0; sent < 64 && link.backpressure() === undefined; sent++) {
        link.send(big)
        yield* Effect.sleep(1)
      }
      const waiting = link.backpressure()
      assert.isDefined(waiting)
      socket.resume()
      yield* waiting ?? Effect.void
      assert.isUndefined(link.backpressure())
    })))

  it.live("release destroys a connection whose peer neither reads nor closes", () =>
    onNode(Effect.gen(function*() {
      const { address, next: connection } = yield* serve
      for (const last of [undefined, "1\n"]) {
        const scope = yield* Scope.make()
        const { link, next } = yield* open({ address }).pipe(Scope.provide(scope))
        const socket = yield* connection
        for (let sent = 0; sent < 32; sent++) link.send(JsonRpc.notification("x", { text: "x".repeat(1024 * 1024) }))
        // Half closed or not.
        if (last !== undefined) {
          socket.end(last)
          yield* next
        }
        yield* Effect.timeout(Scope.close(scope, Exit.void), "1 second")
        yield* awaitGone(socket)
        assert.isBelow(socket.bytesRead, 32 * 1024 * 1024)
      }
    })))

  it.live("can be opened again, one link after the other and side by side", () =>
    onNode(Effect.gen(function*() {
      const { address, next: connection } = yield* serve
      const { closed, transport } = yield* open({ address })
      const first = yield* connection
      const again = yield* makeReceiver
      const link = yield* transport.open(again.receiver)
      const second = yield* connection
      first.end()
      yield* closed
      assert.isFalse(again.isClosed())
      second.once("data", (data) => second.write(data))
      link.send(ping)
      assert.deepInclude(yield* again.next, { method: "ping" })
    })))

  it.live("a server that ends a connection over the probe is asked again on a fresh one, as a process would be (V-26)", () =>
    onNode(Effect.gen(function*() {
      const { address, next: connection } = yield* serve
      const transport = yield* SocketTransport.make({ address, closeTimeout: "50 millis" })
      const connecting = yield* Effect.forkChild(
        McpClient.make({ name: "test" }).pipe(Effect.provideService(Transport, transport))
      )
      const first = yield* connection
      first.once("data", () => first.end())
      const second = yield* connection
      second.once("data", (data) => {
        const { id, params: { protocolVersion } } = JSON.parse(data.toString())
        const result = { protocolVersion, capabilities: {}, serverInfo: { name: "old", version: "1" } }
        second.write(`${JSON.stringify({ jsonrpc: "2.0", id, result })}\n`)
      })
      const client = yield* Fiber.join(connecting)
      assert.strictEqual(client.server.info?.name, "old")
    })))

  it.live("closing the scope sends what was written, and waits for a server that does not close no longer than it may", () =>
    onNode(Effect.gen(function*() {
      const { address, next: connection } = yield* serve
      const scope = yield* Scope.make()
      const { closed, link } = yield* open({ address, closeTimeout: "50 millis" }).pipe(Scope.provide(scope))
      const socket = yield* connection
      const gone = yield* Deferred.make<void>()
      socket.on("close", () => Deferred.doneUnsafe(gone, Exit.void))
      const received = yield* Effect.forkChild(text(socket))
      link.send(ping)
      yield* Scope.close(scope, Exit.void)
      assert.deepInclude(yield* closed, { _tag: "ConnectionClosed", by: "client" })
      assert.strictEqual(yield* Fiber.join(received), `${JSON.stringify(ping)}\n`)
      socket.end()
      yield* Deferred.await(gone)
    })))
})
