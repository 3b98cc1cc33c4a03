import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { McpError, McpServers } from "mcp-connect"
import { MockServer, MockTransport } from "mcp-connect/testing"

it.effect("the third reconnect waits 4 seconds", () =>
  Effect.gen(function*() {
    const server = yield* MockServer.make({ tools: { read: () => Effect.succeed("contents") } })
    // Connected at first, then out of reach twice.
    const files = MockTransport.faulty(server.binding, {
      refuse: (opening) =>
        opening === 2 || opening === 3 ? new McpError.ConnectionClosed({ by: "server", detail: "restarting" }) : undefined
    })
    yield* Effect.gen(function*() {
      const servers = yield* McpServers.McpServers
      const client = yield* servers.client("files")
      yield* server.disconnect()
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("2 seconds")
      yield* TestClock.adjust("3999 millis")
      assert.strictEqual((yield* servers.status("files"))._tag, "Reconnecting")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* servers.status("files"))._tag, "Ready")
      assert.strictEqual((yield* client.callTool("read")).isError, undefined)
    }).pipe(
      Effect.scoped,
      Effect.provide(McpServers.layerTransports({ files }, {
        fields: { files: { reconnect: { when: "eager", baseDelay: "1 second", factor: 2, jitter: false } } }
      }))
    )
  }))
