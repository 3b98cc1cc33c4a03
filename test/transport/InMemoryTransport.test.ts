import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Diagnostic from "../../src/Diagnostic.ts"
import * as McpError from "../../src/McpError.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import type { Receiver } from "../../src/Transport.ts"
import * as InMemoryTransport from "../../src/transport/InMemoryTransport.ts"

const gone = new McpError.ProcessExited({ code: 3, signal: null, stderr: "boom" })

const recorder = () => {
  const events: Array<unknown> = []
  const receiver: Receiver = {
    onMessage: (value, bytes) => events.push({ value, bytes }),
    onFailure: () => {},
    onDiagnostic: (diagnostic) => events.push(diagnostic),
    onClose: (reason) => events.push(reason)
  }
  return { events, receiver }
}

/** A transport whose server does nothing but hand out its side of each link. */
const handOut = Effect.gen(function*() {
  const peers: Array<InMemoryTransport.Peer> = []
  const transport = yield* InMemoryTransport.make((peer) => Effect.sync(() => peers.push(peer)))
  const open = Effect.fnUntraced(function*(receiver: Receiver) {
    const link = yield* transport.open(receiver)
    const peer = peers.at(-1)
    assert(peer !== undefined)
    return { link, peer }
  })
  return { open, peers }
})

describe("InMemoryTransport", () => {
  it.effect("closing the scope tells the client once, ends the stream of messages and interrupts the server", () =>
    Effect.gen(function*() {
      const { events, receiver } = recorder()
      const interrupted = yield* Deferred.make<void>()
      const ended = yield* Deferred.make<void>()
      const transport = yield* InMemoryTransport.make((peer) =>
        Stream.runDrain(peer.incoming).pipe(
          Effect.andThen(Deferred.succeed(ended, undefined)),
          Effect.andThen(Effect.never),
          Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
        )
      )
      yield* Effect.scoped(transport.open(receiver))
      assert.isTrue(yield* Deferred.isDone(interrupted))
      assert.deepStrictEqual(events, [
        new McpError.ConnectionClosed({ by: "client", detail: "its scope was closed" })
      ])
    }))

  it.effect("a server that closes is told once, and nothing is delivered after it", () =>
    Effect.gen(function*() {
      const { events, receiver } = recorder()
      const { open } = yield* handOut
      yield* Effect.scoped(Effect.gen(function*() {
        const { peer } = yield* open(receiver)
        yield* peer.send(1)
        yield* peer.close(gone)
        yield* peer.close(gone)
        yield* peer.send(2)
        yield* peer.report(Diagnostic.Warning({ detail: "late" }))
      }))
      assert.deepStrictEqual(events, [{ value: 1, bytes: 1 }, gone])
    }))

  it.effect("a server that dies closes the link with the reason", () =>
    Effect.gen(function*() {
      const { events, receiver } = recorder()
      const transport = yield* InMemoryTransport.make(() => Effect.die(new Error("server bug")))
      yield* Effect.scoped(transport.open(receiver))
      assert.lengthOf(events, 1)
      assert.instanceOf(events[0], McpError.ConnectionClosed)
      assert.include(events[0].message, "server bug")
    }))

  it.effect("values cross as JSON text in both directions, counted in bytes", () =>
    Effect.gen(function*() {
      const { events, receiver } = recorder()
      const { open } = yield* handOut
      const { link, peer } = yield* open(receiver)
      const message = JsonRpc.request(1, "tools/call", { name: "é", absent: undefined })
      const bytes = link.send(message)
      assert.strictEqual(bytes, new TextEncoder().encode(JSON.stringify(message)).length)
      assert.deepStrictEqual(yield* peer.take, { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "é" } })
      yield* peer.send([{ é: undefined }, "€"])
      assert.deepStrictEqual(events, [{ value: [{}, "€"], bytes: 10 }])
    }))

  it.effect("giving a request up reaches the server as a cancellation", () =>
    Effect.gen(function*() {
      const { open } = yield* handOut
      const { link, peer } = yield* open(recorder().receiver)
      link.abandon(7, "no longer needed")
      assert.deepStrictEqual(
        yield* peer.take,
        JsonRpc.notification("notifications/cancelled", { requestId: 7, reason: "no longer needed" })
      )
    }))

  it.effect("each opening has a server of its own", () =>
    Effect.gen(function*() {
      const { open } = yield* handOut
      const first = yield* open(recorder().receiver)
      const second = yield* open(recorder().receiver)
      first.link.send(JsonRpc.notification("a"))
      second.link.send(JsonRpc.notification("b"))
      yield* first.peer.close(gone)
      assert.deepStrictEqual(yield* Stream.runCollect(first.peer.incoming), [JsonRpc.notification("a")])
      assert.deepStrictEqual(yield* second.peer.take, JsonRpc.notification("b"))
    }))

  it.effect("senders wait while the server does not read, until it has caught up", () =>
    Effect.gen(function*() {
      const { open } = yield* handOut
      const { link, peer } = yield* open(recorder().receiver)
      let sent = 0
      while (link.backpressure() === undefined) {
        link.send(JsonRpc.notification("n"))
        sent++
      }
      const waiting = yield* Effect.forkChild(link.backpressure() ?? Effect.void, { startImmediately: true })
      for (let i = 0; i < sent / 2 - 1; i++) yield* peer.take
      assert.isUndefined(waiting.pollUnsafe())
      yield* peer.take
      yield* Fiber.join(waiting)
      assert.isUndefined(link.backpressure())
    }))

  it.effect("a waiting sender is let go when the link closes", () =>
    Effect.gen(function*() {
      const { open } = yield* handOut
      const { link, peer } = yield* open(recorder().receiver)
      while (link.backpressure() === undefined) link.send(JsonRpc.notification("n"))
      const waiting = yield* Effect.forkChild(link.backpressure() ?? Effect.void, { startImmediately: true })
      yield* peer.close(gone)
      yield* Fiber.join(waiting)
    }))

  it.effect("a server that never reads loses the link rather than eating memory", () =>
    Effect.gen(function*() {
      const { events, receiver } = recorder()
      const { open } = yield* handOut
      const { link } = yield* open(receiver)
      for (let i = 0; i < 10_000 && events.length === 0; i++) link.send(JsonRpc.notification("n"))
      assert.deepStrictEqual(events, [
        new McpError.ConnectionClosed({ by: "server", detail: "it does not read its messages" })
      ])
    }))

  it.effect("a server waiting for a message is told when the link is gone", () =>
    Effect.gen(function*() {
      const { open } = yield* handOut
      const scope = yield* Scope.make()
      const { peer } = yield* Scope.provide(open(recorder().receiver), scope)
      const waiting = yield* Effect.forkChild(Effect.exit(peer.take), { startImmediately: true })
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* Fiber.join(waiting), Exit.fail(Cause.Done()))
    }))
})
