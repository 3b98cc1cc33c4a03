import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { McpServers } from "mcp-connect"
import { MockServer } from "mcp-connect/testing"

// The service: it names servers, and knows nothing of processes, sockets or when they are connected.
const brief = Effect.fn(function*(city: string) {
  const servers = yield* McpServers.McpServers
  const ask = (server: string, tool: string) => servers.use(server, (client) => client.callToolOrFail(tool, { city }))
  return yield* Effect.all({ weather: ask("weather", "forecast"), news: Effect.result(ask("news", "headlines")) }, {
    concurrency: "unbounded"
  })
})

// In production: McpServers.layerFile("mcp.json", { watch: true }) and NodeMcp.layer.
const Servers = McpServers.layerTransports({
  weather: MockServer.layerTransport({ tools: { forecast: ({ city }) => Effect.succeed(`Sun in ${city}`) } }),
  news: MockServer.layerTransport({ tools: { headlines: () => Effect.fail("the press is on strike") } })
}, { fields: { weather: { required: true } } })

it.effect("one server that fails leaves the others alone", () =>
  Effect.gen(function*() {
    const { news, weather } = yield* brief("Oslo")
    assert.deepStrictEqual(weather.content, [{ type: "text", text: "Sun in Oslo" }])
    assert.strictEqual(news._tag === "Failure" && news.failure.reason._tag, "ToolFailed")
  }).pipe(Effect.provide(Servers)))
