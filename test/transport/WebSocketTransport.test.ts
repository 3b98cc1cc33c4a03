import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import * as McpClient from "../../src/McpClient.ts"
import * as McpError from "../../src/McpError.ts"
import * as NodeMcp from "../../src/node.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import { Transport } from "../../src/Transport.ts"
import * as WebSockets from "../../src/transport/websocket/WebSockets.ts"
import * as WebSocketTransport from "../../src/transport/WebSocketTransport.ts"
import { reasonOf } from "../support/reasonOf.ts"
import { makeReceiver } from "../support/receiver.ts"
import { waitUntil } from "../support/waitUntil.ts"
import { serve, serveRaw } from "../support/wsServer.ts"

const open = Effect.fnUntraced(function*(options: WebSocketTransport.Options) {
  const receiving = yield* makeReceiver
  const transport = yield* WebSocketTransport.make(options)
  const link = yield* transport.open(receiving.receiver)
  return { ...receiving, link }
})

const ping = JsonRpc.request(1, "ping", undefined)

const onNode = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>) =>
  effect.pipe(Effect.scoped, Effect.provide(NodeMcp.layer))

/** Answers every upgrade with these bytes. */
const answering = (answer: string, then: "end" | "stay" = "end") => {
  const upgrades: Array<string> = []
  return Effect.map(
    serveRaw((socket) => {
      socket.once("data", (data) => {
        upgrades.push(data.toString())
        if (then === "end") socket.end(answer)
        else socket.write(answer)
      })
    }),
    ({ port, sockets }) => ({ upgrades, sockets, url: `ws://127.0.0.1:${port}/mcp?key=s3cr3t` })
  )
}

describe("WebSocketTransport", () => {
  describe("when it cannot be opened", () => {
    it.live("a refused upgrade fails with its status, and shows no secret", () =>
      onNode(Effect.gen(function*() {
        for (const status of [401, 403, 503]) {
          const { upgrades, url } = yield* answering(
            `HTTP/1.1 ${status} No\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nnope`
          )
          const reason = reasonOf(yield* Effect.exit(open({ url, headers: { Authorization: Redacted.make("Bearer t0ken") } })))
          assert.deepInclude(reason, { _tag: "HttpStatus", verb: "GET", status, body: "nope", retryAfterMillis: 7_000 })
          assert.notMatch(JSON.stringify(reason) + reason.message, /s3cr3t|t0ken/)
          assert.strictEqual(upgrades.length, 1)
          assert.include(upgrades[0], "authorization: Bearer t0ken")
        }
      })))

    it.live("a body of a refusal that has no end is read so far and no further", () =>
      onNode(Effect.gen(function*() {
        const { url } = yield* answering(`HTTP/1.1 401 No\r\n\r\n${"x".repeat(200_000)}`, "stay")
        const reason = reasonOf(yield* Effect.exit(open({ url })))
        assert.isTrue(reason._tag === "HttpStatus" && reason.body.length === 2_048)
      })))

    it.live("a server that refuses what is offered is asked once more without, unless it is required", () =>
      onNode(Effect.gen(function*() {
        const { upgrades, url } = yield* answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        assert.deepInclude(reasonOf(yield* Effect.exit(open({ url }))), { _tag: "HttpStatus", status: 400 })
        assert.deepStrictEqual(upgrades.map((text) => /sec-websocket-protocol: mcp/i.test(text)), [true, false])
        yield* Effect.exit(open({ url, requireSubprotocol: true }))
        assert.strictEqual(upgrades.length, 3)
      })))

    it.live("an absent subprotocol is tolerated on the same connection, or fails when it is required", () =>
      onNode(Effect.gen(function*() {
        const server = yield* serve({ handleProtocols: () => false })
        yield* open({ url: server.url })
        yield* server.next
        const reason = reasonOf(yield* Effect.exit(open({ url: server.url, requireSubprotocol: true })))
        assert.strictEqual(reason._tag, "InvalidResponse")
        assert.include(reason.message, "expected the subprotocol \"mcp\", got none")
        const agreeing = yield* serve()
        yield* open({ url: agreeing.url, requireSubprotocol: true })
        assert.strictEqual((yield* agreeing.next).request.headers["sec-websocket-protocol"], "mcp")
      })))

    it.live("a handshake that is none, and a server that hangs up or is not there, are typed", () =>
      onNode(Effect.gen(function*() {
        const broken = yield* answering(
          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: nonsense\r\n\r\n"
        )
        const first = reasonOf(yield* Effect.exit(open({ url: broken.url })))
        assert.include(first.message, "Invalid Sec-WebSocket-Accept header")
        const silent = yield* answering("")
        assert.deepInclude(reasonOf(yield* Effect.exit(open({ url: silent.url }))), { _tag: "Unreachable", delivered: true })
        const { port, server } = yield* serveRaw(() => {})
        server.close()
        const refused = reasonOf(yield* Effect.exit(open({ url: `ws://127.0.0.1:${port}/a?key=s3cr3t` })))
        assert.deepInclude(refused, { _tag: "Unreachable", delivered: false, url: `ws://127.0.0.1:${port}/a` })
        assert.include(refused.message, "ECONNREFUSED")
      })))

    it.live("interruption during the upgrade destroys the socket at once", () =>
      onNode(Effect.gen(function*() {
        const asked = yield* Deferred.make<void>()
        const closed = yield* Deferred.make<void>()
        const { port } = yield* serveRaw((socket) => {
          socket.once("data", () => Deferred.doneUnsafe(asked, Exit.void))
          socket.on("end", () => Deferred.doneUnsafe(closed, Exit.void))
        })
        const opening = yield* Effect.forkChild(Effect.scoped(open({ url: `ws://127.0.0.1:${port}` })))
        yield* Deferred.await(asked)
        yield* Fiber.interrupt(opening)
        yield* Deferred.await(closed)
        assert.isTrue(Deferred.isDoneUnsafe(closed))
      })))

    it.effect("a URL or header that cannot be used names what is wrong and no value", () =>
      Effect.gen(function*() {
        const reason = reasonOf(yield* Effect.exit(open({ url: "http://s3cr3t", headers: { "X Y": "s3cr3t" } })))
        assert.strictEqual(reason._tag, "InvalidConfig")
        assert.notInclude(reason.message, "s3cr3t")
      }).pipe(Effect.scoped))
  })

  describe("what arrives", () => {
    it.live("text, binary and fragmented messages are delivered in order, many in one tick, others reported and skipped", () =>
      onNode(Effect.gen(function*() {
        const server = yield* serve()
        const { diagnostics, link, messages } = yield* open({ url: server.url })
        const { socket } = yield* server.next
        socket.send("{\"a\":\"é\"}")
        socket.send(Buffer.from("{\"b\":1}"), { binary: true })
        socket.send("{\"c\"", { fin: false })
        socket.send(":2}", { fin: true })
        socket.send("nonsense")
        socket.send(Buffer.from([0xff, 0xfe]), { binary: true })
        socket.send("  ")
        socket.send("[]")
        assert.deepStrictEqual(yield* Effect.replicateEffect(Queue.take(messages), 4), [
          { value: { a: "é" }, bytes: 10 },
          { value: { b: 1 }, bytes: 7 },
          { value: { c: 2 }, bytes: 7 },
          { value: [], bytes: 2 }
        ])
        assert.deepInclude(yield* Queue.take(diagnostics), { _tag: "Skipped", detail: "a message that is not JSON", excerpt: "nonsense" })
        assert.deepInclude(yield* Queue.take(diagnostics), { detail: "a message that is not UTF-8" })
        assert.strictEqual(yield* Queue.size(diagnostics), 0)
        assert.strictEqual(link.send(ping), Buffer.byteLength(JSON.stringify(ping)))
        assert.deepStrictEqual(JSON.parse(yield* server.message), JSON.parse(JSON.stringify(ping)))
        link.abandon(7, "no")
        assert.include(yield* server.message, "notifications/cancelled")
      })))

    it.live("any JSON arrives as it was, however it is cut into fragments", () =>
      onNode(Effect.gen(function*() {
        const server = yield* serve()
        const { next } = yield* open({ url: server.url })
        const { socket } = yield* server.next
        const cases = fc.sample(fc.tuple(fc.jsonValue(), fc.array(fc.nat(), { maxLength: 4 })), 200)
        for (const [value, cuts] of cases) {
          const bytes = Buffer.from(JSON.stringify(value))
          const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
          at.slice(1).forEach((end, index) =>
            socket.send(bytes.subarray(at[index], end), { binary: false, fin: index === at.length - 2 }))
          assert.deepStrictEqual(yield* next, JSON.parse(JSON.stringify(value)))
        }
      })))

    it.live("text that is no UTF-8 ends the link, and so does a message beyond the limit", () =>
      onNode(Effect.gen(function*() {
        const server = yield* serve()
        const invalid = yield* open({ url: server.url })
        const first = yield* server.next
        first.socket.send(Buffer.from([0xff]), { binary: false })
        assert.deepInclude(yield* invalid.closed, { _tag: "ConnectionClosed", close: { code: 1007, reason: "" } })
        const large = yield* open({ url: server.url, maxMessageBytes: 100 })
        const { socket } = yield* server.next
        const told = Effect.callback<number>((resume) => {
          socket.on("close", (code) => resume(Effect.succeed(code)))
        })
        socket.send(`"${"x".repeat(98)}"`)
        socket.send(`"${"x".repeat(99)}"`)
        assert.strictEqual(yield* large.next, "x".repeat(98))
        assert.deepInclude(yield* large.closed, { _tag: "MessageTooLarge", limitBytes: 100 })
        assert.strictEqual(yield* told, 1009)
        assert.deepStrictEqual(large.afterClose, [])
      })))
  })

  describe("the end", () => {
    it.live("the server's code and words are in the reason, after all it sent", () =>
      onNode(Effect.gen(function*() {
        const server = yield* serve()
        const { afterClose, closed, link, next } = yield* open({ url: server.url })
        const { socket } = yield* server.next
        socket.send("1")
        socket.close(1008, "not you")
        assert.strictEqual(yield* next, 1)
        const reason = yield* closed
        assert.deepInclude(reason, { _tag: "ConnectionClosed", by: "server", close: { code: 1008, reason: "not you" } })
        assert.strictEqual(link.send(ping), 0)
        assert.isUndefined(link.backpressure())
        assert.deepStrictEqual(afterClose, [])
        const broken = yield* open({ url: server.url })
        const other = yield* server.next
        other.socket.terminate()
        assert.deepInclude(yield* broken.closed, { close: { code: 1006, reason: "" } })
      })))

    it.live("closing the scope makes the closing handshake, and destroys a connection whose peer does not answer", () =>
      onNode(Effect.gen(function*() {
        const server = yield* serve()
        for (const frozen of [false, true]) {
          const scope = yield* Scope.make()
          const { closed } = yield* open({ url: server.url, closeTimeout: "50 millis" }).pipe(Scope.provide(scope))
          const { request, socket } = yield* server.next
          const gone = yield* Deferred.make<void>()
          socket.on("close", () => Deferred.doneUnsafe(gone, Exit.void))
          if (frozen) socket.pause()
          yield* Scope.close(scope, Exit.void)
          assert.deepInclude(yield* closed, { _tag: "ConnectionClosed", by: "client" })
          if (frozen) socket.resume()
          yield* Deferred.await(gone)
          assert.isTrue(request.socket.destroyed)
        }
      })))

    it.live("senders wait while the server does not read", () =>
      onNode(Effect.gen(function*() {
        const server = yield* serve()
        const { link } = yield* open({ url: server.url, highWaterMark: 64 * 1024 })
        const { socket } = yield* server.next
        socket.pause()
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
  })

  describe("time", () => {
    /** A platform in which nothing happens but what a test does. */
    const fake = (pongs: boolean) => {
      const did: Array<string> = []
      let heard = 0
      let handlers: WebSockets.Handlers | undefined
      const service: WebSockets.Service = {
        open: (_request, given) =>
          Effect.sync(() => {
            handlers = given
            return {
              protocol: "mcp",
              send: (text) => text.length,
              close: (code) => did.push(`close ${code}`),
              terminate: () => did.push("terminate"),
              liveness: {
                ping: () => {
                  did.push("ping")
                  if (pongs) heard++
                },
                heard: () => heard
              }
            }
          })
      }
      return {
        did,
        service,
        written: (bytes: number) => handlers?.onWritten(bytes),
        end: () => handlers?.onClose(WebSockets.closed(1000, ""))
      }
    }

    it.effect("a peer that answers pings lives; one that is silent ends the link with a typed error", () =>
      Effect.gen(function*() {
        const alive = fake(true)
        const a = yield* open({ url: "ws://x" }).pipe(Effect.provideService(WebSockets.WebSockets, alive.service))
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(alive.did.length, 15)
        assert.isFalse(a.isClosed())
        const dead = fake(false)
        const b = yield* open({ url: "ws://x", ping: { interval: "5 seconds", timeout: "2 seconds" } }).pipe(
          Effect.provideService(WebSockets.WebSockets, dead.service)
        )
        yield* TestClock.adjust(6_999)
        assert.isFalse(b.isClosed())
        yield* TestClock.adjust(1)
        assert.include((yield* b.closed).message, "no answer to a ping within 2000 ms")
        assert.deepStrictEqual(dead.did, ["ping", "terminate"])
        alive.end()
        dead.end()
      }).pipe(Effect.scoped))

    it.effect("a peer that takes nothing of what is sent to it is given five minutes, and no longer", () =>
      Effect.gen(function*() {
        const stuck = fake(false)
        const { closed, isClosed, link } = yield* open({ url: "ws://x" }).pipe(Effect.provideService(WebSockets.WebSockets, stuck.service))
        link.send(ping)
        yield* TestClock.adjust("5 minutes")
        assert.isFalse(isClosed())
        yield* TestClock.adjust("20 seconds")
        assert.include((yield* closed).message, "no answer to a ping")
        stuck.end()
      }).pipe(Effect.scoped))

    it.effect("a peer that has taken all that was sent to it is silent like any other", () =>
      Effect.gen(function*() {
        const slow = fake(false)
        const { closed, isClosed, link } = yield* open({ url: "ws://x" }).pipe(Effect.provideService(WebSockets.WebSockets, slow.service))
        const bytes = link.send(ping)
        yield* TestClock.adjust("2 minutes")
        assert.isFalse(isClosed())
        slow.written(bytes)
        yield* TestClock.adjust("40 seconds")
        assert.include((yield* closed).message, "no answer to a ping")
        slow.end()
      }).pipe(Effect.scoped))

    it.effect("pings can be turned off", () =>
      Effect.gen(function*() {
        const { did, end, service } = fake(false)
        yield* open({ url: "ws://x", ping: false }).pipe(Effect.provideService(WebSockets.WebSockets, service))
        yield* TestClock.adjust("1 day")
        assert.deepStrictEqual(did, [])
        end()
      }).pipe(Effect.scoped))

    it.effect("closing waits its time, terminates, and waits no longer than a second more", () =>
      Effect.gen(function*() {
        const { did, service } = fake(true)
        const scope = yield* Scope.make()
        yield* open({ url: "ws://x", closeTimeout: "3 seconds" }).pipe(
          Effect.provideService(WebSockets.WebSockets, service),
          Scope.provide(scope)
        )
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
        yield* TestClock.adjust(2_999)
        assert.deepStrictEqual(did, ["close 1000"])
        yield* TestClock.adjust(1)
        assert.deepStrictEqual(did, ["close 1000", "terminate"])
        assert.isUndefined(closing.pollUnsafe())
        yield* TestClock.adjust("1 second")
        assert.isTrue(Exit.isSuccess(yield* Fiber.await(closing)))
      }))
  })

  describe("without a platform of our own", () => {
    it.effect("what a constructor cannot do is refused, not ignored", () =>
      Effect.gen(function*() {
        for (const options of [{ compression: true }, { tls: { skipVerify: true } }, { headers: { A: "b" } }]) {
          assert.strictEqual(reasonOf(yield* Effect.exit(open({ url: "ws://127.0.0.1:1", ...options })))._tag, "UnsupportedTransport")
        }
      }).pipe(Effect.scoped))

    it.live("the global WebSocket connects, on a second attempt where the server ignores what it offers", () =>
      Effect.gen(function*() {
        const server = yield* serve({ handleProtocols: () => false })
        const { closed, link, next } = yield* open({ url: server.url })
        // It breaks off the first: nothing was agreed on.
        yield* server.next
        const { socket } = yield* server.next
        link.send(ping)
        assert.include(yield* server.message, "\"ping\"")
        socket.send(Buffer.from("{}"), { binary: true })
        assert.deepStrictEqual(yield* next, {})
        socket.close(4001, "bye")
        assert.deepInclude(yield* closed, { close: { code: 4001, reason: "bye" } })
      }).pipe(Effect.scoped))

    it.effect("a constructor's socket is watched until its bytes have left, and limited", () => {
      const listeners = new Map<string, (event: Socket.WebSocketEvent) => void>()
      const made = {
        readyState: 1,
        bufferedAmount: 0,
        addEventListener: (type: string, listener: (event: Socket.WebSocketEvent) => void) => listeners.set(type, listener),
        removeEventListener: () => {},
        close: () => {},
        send: (data: string | Uint8Array) => {
          made.bufferedAmount += data.length
        }
      }
      return Effect.gen(function*() {
        const opening = yield* Effect.forkChild(open({ url: "ws://x", highWaterMark: 10, maxMessageBytes: 5, closeTimeout: 0 }))
        yield* waitUntil(() => listeners.has("close"))
        listeners.get("open")?.({})
        const { closed, link } = yield* Fiber.join(opening)
        link.send(ping)
        const waiting = yield* Effect.forkChild(link.backpressure() ?? Effect.die("there is room"))
        yield* TestClock.adjust("1 second")
        assert.isUndefined(waiting.pollUnsafe())
        made.bufferedAmount = 0
        yield* TestClock.adjust("10 millis")
        yield* Fiber.join(waiting)
        listeners.get("message")?.({ data: "\"12345\"" })
        assert.deepInclude(yield* closed, { _tag: "MessageTooLarge", limitBytes: 5 })
        listeners.get("close")?.({ code: 1000 })
      }).pipe(Effect.scoped, Effect.provideService(Socket.WebSocketConstructor, () => made))
    })
  })

  it.live("a close during the probe is an outage, not a legacy server (W-04)", () =>
    onNode(Effect.gen(function*() {
      const server = yield* serve()
      const transport = yield* WebSocketTransport.make({ url: server.url })
      const connecting = yield* Effect.forkChild(
        McpClient.make({ name: "test" }).pipe(Effect.provideService(Transport, transport))
      )
      const { socket } = yield* server.next
      assert.include(yield* server.message, "server/discover")
      socket.close(1013)
      const reason = reasonOf(yield* Fiber.await(connecting))
      assert.isTrue(reason instanceof McpError.ConnectionClosed && reason.close?.code === 1013)
    })))
})
