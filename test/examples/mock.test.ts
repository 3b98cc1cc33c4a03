import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import { McpClient } from "mcp-connect"
import { MockServer } from "mcp-connect/testing"

const Forecast = Schema.Struct({ city: Schema.String, degrees: Schema.Finite })

// The program under test: it needs a client and knows nothing of processes.
const forecast = Effect.fn(function*(city: string) {
  const client = yield* McpClient.McpClient
  return yield* client.callToolAs("forecast", { city }, Forecast, { timeout: "30 seconds" })
})

// The server, declared once. Its schemas are derived, its handlers are effects.
const weather = {
  tools: {
    forecast: MockServer.tool({
      description: "Tells the weather of tomorrow",
      input: Schema.Struct({ city: Schema.String }),
      output: Forecast,
      run: Effect.fn(function*({ city }, call) {
        if (city === "Atlantis") return yield* Effect.fail("Atlantis is under water")
        yield* Effect.sleep("20 seconds")
        yield* call.progress({ progress: 1, total: 2 })
        yield* Effect.sleep("20 seconds")
        return { city, degrees: 21 }
      })
    })
  }
}

it.effect("in place of the client: a tool's failure is typed", () =>
  Effect.gen(function*() {
    const { reason } = yield* Effect.flip(forecast("Atlantis"))
    assert.deepInclude(reason, { _tag: "ToolFailed", text: "Atlantis is under water" })
  }).pipe(Effect.provide(MockServer.layerClient(weather))))

// The real client and real JSON, but no process, no socket, and no time that passes.
const overMemory = McpClient.layer().pipe(Layer.provideMerge(MockServer.layerTransport(weather)))

it.effect("a progress tick resets the deadline: 40 seconds of work in spite of a timeout of 30", () =>
  Effect.gen(function*() {
    const server = yield* MockServer.MockServer
    const call = yield* Effect.forkChild(forecast("Oslo"))
    yield* server.called("forecast")
    yield* TestClock.adjust("40 seconds")
    assert.deepStrictEqual(yield* Fiber.join(call), { city: "Oslo", degrees: 21 })
  }).pipe(Effect.provide(overMemory)))

it.effect("whoever gives up interrupts the server's effect", () =>
  Effect.gen(function*() {
    const server = yield* MockServer.MockServer
    const call = yield* Effect.forkChild(forecast("Oslo"))
    yield* server.called("forecast")
    yield* Fiber.interrupt(call)
    assert.deepStrictEqual(yield* server.ended("forecast"), [
      { tool: "forecast", args: { city: "Oslo" }, status: "cancelled" }
    ])
  }).pipe(Effect.provide(overMemory)))
