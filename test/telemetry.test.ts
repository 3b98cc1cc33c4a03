import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Tracer from "effect/Tracer"
import { TestClock } from "effect/testing"
import * as McpClient from "../src/McpClient.ts"
import * as JsonRpc from "../src/protocol/JsonRpc.ts"
import * as Scripted from "./support/scriptedServer.ts"

/** A tracer that keeps every span. */
const recording = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  return { spans, tracer }
}

const connect = (script: Scripted.Script, options?: McpClient.Options) =>
  McpClient.make({ name: "files", ...options }).pipe(Effect.provide(Scripted.layer(script)))

describe("telemetry", () => {
  it.effect("each call is one client span with OpenTelemetry's names for MCP", () =>
    Effect.gen(function*() {
      const { spans, tracer } = recording()
      const client = yield* connect(Scripted.modern({
        "tools/call": Scripted.value({ content: [] }),
        "resources/read": () => Effect.fail({ code: -32602, message: "no such resource" })
      }))
      yield* Effect.gen(function*() {
        yield* client.callTool("write", { secret: "hunter2" })
        yield* Effect.exit(client.readResource("file:///x"))
        yield* Effect.exit(client.callTool("missing"))
      }).pipe(Effect.provideService(Tracer.Tracer, tracer))
      assert.deepStrictEqual(spans.map(({ name }) => name), [
        "tools/call write",
        "resources/read",
        "tools/call missing"
      ])
      const [call, read] = spans
      assert.strictEqual(call?.kind, "client")
      assert.deepStrictEqual(Object.fromEntries(call?.attributes ?? []), {
        "mcp.method.name": "tools/call",
        "mcp.protocol.version": "2026-07-28",
        "mcp.server": "files",
        "network.transport": "inproc",
        "gen_ai.tool.name": "write",
        "gen_ai.operation.name": "execute_tool"
      })
      assert.strictEqual(read?.attributes.get("mcp.resource.uri"), "file:///x")
      assert.strictEqual(read?.attributes.get("error.type"), "-32602")
      assert.strictEqual(read?.attributes.get("rpc.response.status_code"), "-32602")
      assert.notInclude(JSON.stringify(spans.map((span) => [...span.attributes])), "hunter2")
    }).pipe(Effect.scoped))

  it.effect("no span is made where nobody would keep it", () =>
    Effect.gen(function*() {
      const script = Scripted.modern({ "tools/call": Scripted.value({ content: [] }) })
      const client = yield* connect(script)
      yield* client.callTool("write")
      assert.notInclude(JSON.stringify(Scripted.requests(script, "tools/call")), "traceparent")
    }).pipe(Effect.scoped))

  it.effect("bytes are counted while other calls still wait for their answer", () =>
    Effect.gen(function*() {
      const script = Scripted.modern({
        "tools/call": ({ name }) => name === "slow" ? Effect.never : Effect.succeed({ content: [] })
      })
      const client = yield* connect(script, { name: "busy" })
      yield* Effect.forkChild(client.callTool("slow"), { startImmediately: true })
      yield* client.callTool("quick")
      yield* Effect.promise(() => Promise.resolve())
      const metrics = yield* Metric.snapshot
      const of = (id: string) =>
        metrics.find((metric) => metric.id === id && metric.attributes?.["mcp.server"] === "busy")?.state
      assert.deepInclude(of("mcp.client.in_flight"), { value: 1 })
      for (const id of ["mcp.client.sent_bytes", "mcp.client.received_bytes"]) {
        const state = of(id)
        assert.isAbove(state !== undefined && "count" in state ? Number(state.count) : 0, 100)
      }
    }).pipe(Effect.scoped))

  it.effect("calls that wait for their answer are in flight, also where none has ended", () =>
    Effect.gen(function*() {
      const client = yield* connect(Scripted.modern({ "tools/call": () => Effect.never }), { name: "hanging" })
      for (let call = 0; call < 50; call++) yield* Effect.forkChild(client.callTool("slow"), { startImmediately: true })
      yield* Effect.promise(() => Promise.resolve())
      const metrics = yield* Metric.snapshot
      const gauge = metrics.find(({ attributes, id }) => id === "mcp.client.in_flight" && attributes?.["mcp.server"] === "hanging")
      assert.deepInclude(gauge?.state, { value: 50 })
    }).pipe(Effect.scoped))

  it.effect("calls, failures, time, bytes and stray replies are counted per server and method", () =>
    Effect.gen(function*() {
      const client = yield* connect(
        Scripted.modern({
          "tools/call": Effect.fnUntraced(function*({ name }, peer, id) {
            yield* Effect.sleep("2 seconds")
            if (name === "bad") return yield* Effect.fail({ code: -32000, message: "no" })
            yield* peer.send(JsonRpc.success(id, { content: [] }))
            return { content: [] }
          })
        }),
        { name: "counted" }
      )
      for (const tool of ["good", "bad", "good"]) {
        const call = yield* Effect.forkChild(Effect.exit(client.callTool(tool)), { startImmediately: true })
        yield* TestClock.adjust("2 seconds")
        assert.isDefined(call.pollUnsafe())
      }
      const metrics = yield* Metric.snapshot
      const of = (id: string) =>
        metrics.find((metric) =>
          metric.id === id && metric.attributes?.["mcp.server"] === "counted" &&
          (metric.attributes["mcp.method.name"] ?? "tools/call") === "tools/call"
        )?.state
      assert.deepInclude(of("mcp.client.calls"), { count: 3 })
      assert.deepInclude(of("mcp.client.failures"), { count: 1 })
      assert.deepInclude(of("mcp.client.operation.duration"), { count: 3, sum: 6 })
      assert.deepInclude(of("mcp.client.in_flight"), { value: 0 })
      assert.deepInclude(of("mcp.client.stray_replies"), { count: 1 })
      for (const id of ["mcp.client.sent_bytes", "mcp.client.received_bytes"]) {
        const state = of(id)
        assert.isAbove(state !== undefined && "count" in state ? Number(state.count) : 0, 100)
      }
    }).pipe(Effect.scoped))
})
