import { assert, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { McpClient, Transport } from "mcp-connect"
import { MockServer, MockTransport } from "mcp-connect/testing"

const read = Effect.gen(function*() {
  const client = yield* McpClient.McpClient
  return yield* client.callTool("read", { path: "a" }, { timeout: "5 seconds" })
}).pipe(Effect.provide(McpClient.layer()))

it.effect("a script: noise, a slow answer, then the end", () =>
  Effect.gen(function*() {
    const call = yield* Effect.forkChild(read)
    yield* TestClock.adjust("4 seconds")
    assert.deepStrictEqual((yield* Fiber.join(call)).content, [{ type: "text", text: "slow" }])
  }).pipe(Effect.provide(MockTransport.layer([
    ...MockTransport.agree(),
    MockTransport.expect("tools/call", { params: { name: "read", arguments: { path: "a" } } }),
    MockTransport.garbage("Listening on port 3000"),
    MockTransport.delay("4 seconds"),
    MockTransport.reply({ content: [{ type: "text", text: "slow" }] }),
    MockTransport.close()
  ]))))

it.effect("a good server on a bad line: the answer is lost, the work was done", () =>
  Effect.gen(function*() {
    const server = yield* MockServer.make({ tools: { read: () => Effect.succeed("contents") } })
    const lossy = MockTransport.faulty(server.binding, { received: { drop: (_, n) => n === 2 } })
    const call = yield* Effect.forkChild(Effect.flip(Effect.provideService(read, Transport.Transport, lossy)))
    yield* TestClock.adjust("5 seconds")
    assert.strictEqual((yield* Fiber.join(call)).reason._tag, "RequestTimeout")
    assert.strictEqual((yield* server.calls).length, 1)
  }))
