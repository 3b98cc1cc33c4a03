/** The end of a link, from both sides, and servers that behave badly. */
import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type * as McpError from "../../McpError.ts"
import type { Capabilities } from "./capabilities.ts"
import { type Client, endless, gone, type Prover, reasonOf, Sum, textOf, until } from "./prover.ts"

/** What is no message, and messages that nobody expects. */
const hostile = [
  "",
  "Listening on 127.0.0.1",
  "{\"jsonrpc\":",
  "null",
  "42",
  "[]",
  "[null,{}]",
  "{\"jsonrpc\":\"1.0\",\"id\":1,\"result\":{}}",
  "{\"jsonrpc\":\"2.0\",\"id\":987654,\"result\":{}}",
  "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"Parse error\"}}",
  "{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{}}",
  "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/unheard-of\"}",
  "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"nobody's\",\"progress\":1}}",
  "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":987654}}",
  "{\"__proto__\":{\"jsonrpc\":\"2.0\"},\"jsonrpc\":\"2.0\",\"id\":\"\\ud800\",\"result\":{}}",
  "[".repeat(1_000) + "]".repeat(1_000)
]

/** A call must not wait for a server that is gone. */
const atOnce = <A>(effect: Effect.Effect<A, McpError.McpError>): Effect.Effect<A, McpError.McpError> =>
  Effect.timeoutOrElse(effect, {
    duration: "10 seconds",
    orElse: () => Effect.die(new Error("The call waits although its link is gone"))
  })

export const register = <R>(
  proves: Prover<R>,
  { closesWithin = "10 seconds", deserted, faults = {}, lacks = [] }: Capabilities<R>
): void => {
  const close = (scope: Scope.Closeable) =>
    Effect.timeoutOrElse(Scope.close(scope, Exit.void), {
      duration: closesWithin,
      orElse: () => Effect.die(new Error(`The link is not closed within ${Duration.format(Duration.fromInputUnsafe(closesWithin))}`))
    })

  proves("fails what is running, and what comes after, when the client is closed", ({ connect, watched }) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const client = yield* Scope.provide(connect, scope)
      const calls = [endless(), endless(), endless()]
      const fibers = yield* Effect.forEach(calls, (slow) => Effect.forkChild(client.callTool("slow", slow)))
      yield* Effect.forEach(calls, (slow) => until(client, "running", slow))
      yield* close(scope)
      const after = yield* Effect.exit(client.callTool("echo", { text: "too late" }))
      for (const exit of [...yield* Effect.forEach(fibers, Fiber.await), after]) {
        assert.deepInclude(reasonOf(exit), { _tag: "ConnectionClosed", by: "client" })
      }
      assert.strictEqual((yield* client.closed).reason._tag, "ConnectionClosed")
      assert.strictEqual(watched.open(), 0)
      if (deserted !== undefined) yield* deserted
    }))

  proves("is taken down again when the start is interrupted", ({ connect, watched }) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const starting = yield* Effect.forkChild(Scope.provide(connect, scope), { startImmediately: true })
      yield* Fiber.interrupt(starting)
      yield* close(scope)
      assert.strictEqual(watched.open(), 0)
    }))

  if (!lacks.includes("reopening")) {
    proves("can be opened again after it was closed, and twice at once", ({ connect }) =>
      Effect.gen(function*() {
        yield* Effect.scoped(Effect.flatMap(connect, (client) => client.ping))
        const scope = yield* Scope.make()
        const [first, second] = yield* Effect.all([Scope.provide(connect, scope), connect])
        assert.deepStrictEqual(yield* first.callToolAs("add", { a: 1, b: 1 }, Sum), { sum: 2 })
        yield* close(scope)
        assert.deepStrictEqual(yield* second.callToolAs("add", { a: 2, b: 2 }, Sum), { sum: 4 })
      }))
  }

  const { dies, sends, stalls } = faults

  if (dies !== undefined) {
    proves.alone("fails what is running, and what comes after, at once when the server dies", ({ connect }) =>
      Effect.gen(function*() {
        const client = yield* connect
        const slow = endless()
        const call = yield* Effect.forkChild(client.callTool("slow", slow))
        yield* until(client, "running", slow)
        yield* Effect.forkChild(Effect.exit(dies(client)))
        const next = Effect.suspend(() => client.callTool("echo", { text: "?" }))
        for (const exit of [yield* Effect.exit(atOnce(Fiber.join(call))), yield* Effect.exit(atOnce(next))]) {
          const reason = reasonOf(exit)
          assert.include(gone, reason._tag)
          if (reason._tag === "ConnectionClosed") assert.strictEqual(reason.by, "server")
        }
      }))
  }

  if (sends !== undefined) {
    proves.alone("is not disturbed by what is no message, nor by messages nobody waits for", ({ connect }) =>
      Effect.gen(function*() {
        const client = yield* connect
        for (const text of hostile) {
          const other = yield* Effect.forkChild(client.callTool("echo", { text }))
          yield* sends(client, text)
          assert.strictEqual(textOf(yield* Fiber.join(other)), text)
        }
      }))
  }

  if (stalls !== undefined) {
    proves.alone("makes senders wait for a server that does not read, each no longer than its deadline", ({ connect, watched }) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const client = yield* Scope.provide(connect, scope)
        yield* stalls(client)
        const before = watched.sentBytes()
        const late = (client: Client) =>
          Effect.exit(client.callTool("echo", { text: "x".repeat(256 * 1024) }, { timeout: "1 second" }))
        const exits = yield* Effect.forEach(Array.from({ length: 256 }), () => late(client), { concurrency: "unbounded" })
        for (const exit of exits) assert.strictEqual(reasonOf(exit)._tag, "RequestTimeout")
        // Of 64 MiB, what the system takes and what counts as room.
        assert.isBelow(watched.sentBytes() - before, 24 * 1024 * 1024)
        yield* close(scope)
      }))
  }
}
