import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import * as Diagnostic from "../src/Diagnostic.ts"
import * as McpClient from "../src/McpClient.ts"
import * as McpError from "../src/McpError.ts"
import * as JsonRpc from "../src/protocol/JsonRpc.ts"
import { Transport } from "../src/Transport.ts"
import * as InMemoryTransport from "../src/transport/InMemoryTransport.ts"
import { reasonOf } from "./support/reasonOf.ts"
import * as Scripted from "./support/scriptedServer.ts"
import { waitUntil } from "./support/waitUntil.ts"

const exited = new McpError.ProcessExited({ code: 1, signal: null, stderr: "not initialized" })

const methods = (script: Scripted.Script) =>
  script.received.map((message) => "method" in message ? message.method : "reply")

const connect = (script: Scripted.Script, options?: McpClient.Options) =>
  McpClient.make({ name: "test", ...options }).pipe(Effect.provide(Scripted.layer(script)))

/** A legacy server that dies of any request before the handshake (V-26). */
const dies = (script: Scripted.Script): Scripted.Script => ({
  ...script,
  answers: {
    ...script.answers,
    "server/discover": (_, peer) => Effect.as(peer.close(exited), undefined)
  }
})

describe("Session", () => {
  it.effect("a server that exits on the probe is started again for the handshake, and not probed twice (V-26)", () =>
    Effect.gen(function*() {
      const script = dies(Scripted.legacy({}))
      const client = yield* connect(script)
      assert.strictEqual(client.revision, "2025-11-25")
      yield* waitUntil(() => script.received.length === 3)
      assert.deepStrictEqual(methods(script), ["server/discover", "initialize", "notifications/initialized"])
    }).pipe(Effect.scoped))

  it.effect("a server that always exits fails with its exit, not with a story about revisions", () =>
    Effect.gen(function*() {
      const script = dies(Scripted.legacy({ initialize: (_, peer) => Effect.as(peer.close(exited), undefined) }))
      assert.deepInclude(reasonOf(yield* Effect.exit(connect(script))), { _tag: "ProcessExited", stderr: "not initialized" })
    }).pipe(Effect.scoped))

  it.effect("a server that stays silent on the probe gets the handshake, and its late answer is dropped (V-25, V-27)", () =>
    Effect.gen(function*() {
      const script = Scripted.legacy({ "server/discover": () => Effect.succeed(undefined) })
      const connecting = yield* Effect.forkChild(connect(script, { negotiation: { probeTimeout: "3 seconds" } }))
      yield* TestClock.adjust("3 seconds")
      const client = yield* Fiber.join(connecting)
      assert.strictEqual(client.era, "legacy")
      const probe = script.received[0]
      assert(probe !== undefined && JsonRpc.isRequest(probe) && script.peer !== undefined)
      yield* script.peer.send(JsonRpc.success(probe.id, { supportedVersions: ["2026-07-28"], capabilities: {} }))
      assert.strictEqual(client.era, "legacy")
    }).pipe(Effect.scoped))

  it.effect("a server that never answers fails when the time for the start is up, with its last words on stderr", () =>
    Effect.gen(function*() {
      const silent = yield* InMemoryTransport.make((peer) =>
        peer.report(Diagnostic.Stderr({ line: "visit https://example.com/login" })))
      const connecting = yield* Effect.forkChild(
        McpClient.make({ name: "test", startupTimeout: "10 seconds" }).pipe(
          Effect.provideService(Transport, silent)
        )
      )
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(reasonOf(yield* Fiber.await(connecting)), {
        _tag: "RequestTimeout",
        method: "initialize",
        limit: "startup",
        millis: 10_000,
        stderr: "visit https://example.com/login"
      })
    }).pipe(Effect.scoped))

  it.effect("a pinned revision is spoken or the connection fails", () =>
    Effect.gen(function*() {
      const pinned = Scripted.legacy({}, { protocolVersion: "2025-03-26" })
      const client = yield* connect(pinned, { negotiation: { pin: "2025-03-26" } })
      assert.strictEqual(client.revision, "2025-03-26")
      yield* waitUntil(() => pinned.received.length === 2)
      assert.deepStrictEqual(methods(pinned), ["initialize", "notifications/initialized"])
      const other = yield* Effect.exit(connect(Scripted.legacy({}), { negotiation: { pin: "2024-11-05" } }))
      const reason = reasonOf(other)
      assert(reason._tag === "NegotiationFailed")
      assert.deepStrictEqual(reason.serverRevisions, ["2025-11-25"])
    }).pipe(Effect.scoped))

  it.effect("a downgrade to any legacy revision works (V-51)", () =>
    Effect.gen(function*() {
      for (const protocolVersion of ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]) {
        const client = yield* connect(Scripted.legacy({}, { protocolVersion }))
        assert.strictEqual(client.revision, protocolVersion)
      }
    }).pipe(Effect.scoped))

  it.effect("noise before the verdict is dropped and gets no answer (V-28)", () =>
    Effect.gen(function*() {
      const script = Scripted.modern({
        "server/discover": Effect.fnUntraced(function*(_, peer) {
          yield* peer.send(JsonRpc.request(1, "ping", undefined))
          yield* peer.send(JsonRpc.notification("notifications/message", { level: "info", data: "hello" }))
          yield* peer.send("not a message")
          return { supportedVersions: ["2026-07-28"], capabilities: {} }
        })
      })
      const client = yield* connect(script)
      assert.strictEqual(client.era, "modern")
      assert.deepStrictEqual(methods(script), ["server/discover"])
    }).pipe(Effect.scoped))

  it.effect("a ping during the handshake is answered (L-02)", () =>
    Effect.gen(function*() {
      const script = Scripted.legacy({
        initialize: Effect.fnUntraced(function*(_, peer) {
          yield* peer.send(JsonRpc.request("p", "ping", undefined))
          return { protocolVersion: "2025-06-18", capabilities: {}, serverInfo: { name: "s", version: "1" } }
        })
      })
      yield* connect(script)
      yield* waitUntil(() => script.received.some((message) => "result" in message && message.id === "p"))
    }).pipe(Effect.scoped))
})
