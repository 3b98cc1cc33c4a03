import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { InMemoryTransport, McpClient } from "mcp-connect"

// The program under test: it needs a client and knows nothing of processes.
const greet = Effect.gen(function*() {
  const client = yield* McpClient.McpClient
  const { content } = yield* client.callTool("greet", { name: "Ann" }, { timeout: "30 seconds" })
  return content
})

it.effect("with the client replaced", () =>
  greet.pipe(
    Effect.map((content) => assert.deepStrictEqual(content, [{ type: "text", text: "Hello" }])),
    Effect.provide(McpClient.layerMock({
      callTool: () => Effect.succeed({ content: [{ type: "text", text: "Hello" }] })
    }))
  ))

it.effect("with the server replaced: the real client, and no time passes", () =>
  Effect.gen(function*() {
    const call = yield* Effect.forkChild(Effect.flip(greet))
    yield* TestClock.adjust("30 seconds")
    const error = yield* Fiber.join(call)
    assert.strictEqual(error.reason._tag, "RequestTimeout")
  }).pipe(Effect.provide(silentServer)))

/** Agrees on a revision, then answers nothing. */
const silentServer = McpClient.layer({ name: "silent" }).pipe(
  Layer.provide(InMemoryTransport.layer((peer) =>
    Stream.runForEach(peer.incoming, (message) =>
      "id" in message && "method" in message && message.method === "server/discover"
        ? peer.send({
          jsonrpc: "2.0",
          id: message.id,
          result: { supportedVersions: ["2026-07-28"], capabilities: { tools: {} } }
        })
        : Effect.void)
  ))
)
