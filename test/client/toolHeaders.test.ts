import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Elicitation from "../../src/Elicitation.ts"
import * as McpClient from "../../src/McpClient.ts"
import type * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import { Transport } from "../../src/Transport.ts"
import * as StreamableHttpTransport from "../../src/transport/StreamableHttpTransport.ts"
import * as Http from "../support/httpLink.ts"
import { reasonOf } from "../support/reasonOf.ts"
import * as Recording from "../support/recordingBinding.ts"
import * as Scripted from "../support/scriptedServer.ts"

/** Connects over a binding with headers, or without on request. */
const connect = Effect.fnUntraced(function*(script: Scripted.Script, binding?: { readonly http: false }) {
  const memory = yield* Transport.pipe(Effect.provide(Scripted.layer(script)))
  const recorder = Recording.make(memory, binding)
  const client = yield* McpClient.make({ name: "test" }).pipe(Effect.provideService(Transport, recorder.binding))
  const calls = () => Recording.of(recorder.sent, "tools/call")
  return {
    client,
    /** The headers of every call of a tool, in order. */
    headers: () => calls().map(({ headers }) => headers),
    ids: () => calls().map(({ message }) => "id" in message ? message.id : undefined)
  }
})

const tool = (name: string, annotations: Readonly<Record<string, string>>, type = "string") => ({
  name,
  inputSchema: {
    type: "object",
    properties: Object.fromEntries(
      Object.entries(annotations).map(([key, header]) => [key, { type, "x-mcp-header": header }])
    )
  }
})

const done = { content: [{ type: "text" as const, text: "done" }] }

const mismatch: JsonRpc.ErrorObject = { code: -32020, message: "Mcp-Param-Zone is missing" }

/** A server whose tool has got another header since it was first listed, and which insists on it. */
const moved = (answers: Scripted.Script["answers"] = {}) => {
  let lists = 0
  return Scripted.modern({
    "tools/list": () =>
      Effect.sync(() => ({ tools: [tool("query", { zone: lists++ === 0 ? "Region" : "Zone" })], ttlMs: 60_000 })),
    "tools/call": () => Effect.suspend(() => lists < 2 ? Effect.fail(mismatch) : Effect.succeed(done)),
    ...answers
  })
}

describe("arguments in headers", () => {
  it.effect("a server that goes on missing a header gets one more call and no third (H-34)", () =>
    Effect.gen(function*() {
      const script = moved({ "tools/call": () => Effect.fail(mismatch) })
      const { client, headers } = yield* connect(script)
      yield* client.listTools()
      const reason = reasonOf(yield* Effect.exit(client.callTool("query", { zone: "eu" })))
      assert.deepInclude(reason, { _tag: "RemoteError", code: -32020 })
      assert.deepStrictEqual(headers(), [{ "Mcp-Param-Region": "eu" }, { "Mcp-Param-Zone": "eu" }])
      assert.lengthOf(Scripted.requests(script, "tools/list"), 2)
      assert.lengthOf(Scripted.requests(script, "initialize"), 0)
    }).pipe(Effect.scoped))

  it.effect("when the tools cannot be listed again, the call fails with what the server said of it", () =>
    Effect.gen(function*() {
      const script = moved({
        "tools/list": () => Effect.fail({ code: -32603, message: "broken" }),
        "tools/call": () => Effect.fail(mismatch)
      })
      const { client, headers } = yield* connect(script)
      const reason = reasonOf(yield* Effect.exit(client.callTool("query", { zone: "eu" })))
      assert.deepInclude(reason, { _tag: "RemoteError", method: "tools/call", code: -32020 })
      assert.lengthOf(headers(), 1)
    }).pipe(Effect.scoped))

  it.effect("any other error is final", () =>
    Effect.gen(function*() {
      const script = moved({ "tools/call": () => Effect.fail({ code: -32602, message: "no such zone" }) })
      const { client, headers } = yield* connect(script)
      yield* client.listTools()
      assert.deepInclude(reasonOf(yield* Effect.exit(client.callTool("query"))), { _tag: "RemoteError", code: -32602 })
      assert.lengthOf(headers(), 1)
      assert.lengthOf(Scripted.requests(script, "tools/list"), 1)
    }).pipe(Effect.scoped))

  it.effect("a tool with invalid annotations is left out of every list with a warning, others stay usable (H-33)", () =>
    Effect.gen(function*() {
      const script = Scripted.modern({
        "tools/list": Scripted.value({
          tools: [
            tool("good", { a: "A" }),
            tool("twice", { a: "A", b: "a" }),
            tool("float", { a: "A" }, "number"),
            tool("plain", {})
          ],
          ttlMs: 60_000
        }),
        "tools/call": Scripted.value(done)
      })
      const { client, headers } = yield* connect(script)
      const names = Effect.map(client.listTools(), (tools) => tools.map(({ name }) => name))
      assert.deepStrictEqual(yield* names, ["good", "plain"])
      const warnings = yield* Stream.runCollect(Stream.take(client.diagnostics, 2))
      assert.deepStrictEqual(warnings.map((warning) => warning._tag === "Warning" ? warning.detail : ""), [
        "left out the tool \"twice\", its headers are invalid: properties.b: x-mcp-header \"a\" is used twice",
        "left out the tool \"float\", its headers are invalid: " +
        "properties.a: x-mcp-header needs the type string, integer or boolean, not \"number\""
      ])
      // The second list comes from the cache.
      assert.deepStrictEqual(yield* names, ["good", "plain"])
      const pages = yield* Stream.runCollect(client.toolPages())
      assert.deepStrictEqual(pages.flat().map(({ name }) => name), ["good", "plain"])
      assert.lengthOf(Scripted.requests(script, "tools/list"), 1)
      yield* client.callTool("good", { a: "x" })
      yield* client.callTool("plain", { a: "x" })
      assert.deepStrictEqual(headers(), [{ "Mcp-Param-A": "x" }, {}])
    }).pipe(Effect.scoped))

  it.effect("arguments go along, encoded; what is absent or null does not (H-30, H-31)", () =>
    Effect.gen(function*() {
      const { client, headers } = yield* connect(moved({ "tools/call": Scripted.value(done) }))
      yield* client.listTools()
      for (const args of [{ zone: "us west" }, { zone: "世界" }, { zone: null }, {}, undefined]) {
        yield* client.callTool("query", args)
      }
      assert.deepStrictEqual(headers(), [
        { "Mcp-Param-Region": "us west" },
        { "Mcp-Param-Region": "=?base64?5LiW55WM?=" },
        {},
        {},
        {}
      ])
    }).pipe(Effect.scoped))

  it.effect("a header the tool has got since is found by listing past the cache, and the call made once more (H-34)", () =>
    Effect.gen(function*() {
      const script = moved()
      const { client, headers, ids } = yield* connect(script)
      yield* client.listTools()
      assert.deepInclude(yield* client.callTool("query", { zone: "eu" }), done)
      assert.deepStrictEqual(headers(), [{ "Mcp-Param-Region": "eu" }, { "Mcp-Param-Zone": "eu" }])
      const [first, second] = ids()
      assert.notStrictEqual(first, second)
      // What was learned stays.
      yield* client.callTool("query", { zone: "us" })
      assert.deepStrictEqual(headers()[2], { "Mcp-Param-Zone": "us" })
      assert.lengthOf(Scripted.requests(script, "tools/list"), 2)
    }).pipe(Effect.scoped))

  it.effect("a tool that was never listed is called without headers, and listed when the server misses them (H-36)", () =>
    Effect.gen(function*() {
      const script = Scripted.modern({
        "tools/list": Scripted.value({ tools: [tool("query", { zone: "Zone" })] }),
        "tools/call": () =>
          Effect.suspend(() =>
            Scripted.requests(script, "tools/list").length === 0 ? Effect.fail(mismatch) : Effect.succeed(done)
          )
      })
      const { client, headers } = yield* connect(script)
      assert.deepInclude(yield* client.callTool("query", { zone: "eu" }), done)
      assert.deepStrictEqual(headers(), [{}, { "Mcp-Param-Zone": "eu" }])
    }).pipe(Effect.scoped))

  it.effect("every round of input carries them", () =>
    Effect.gen(function*() {
      const params = { mode: "form", message: "Really?", requestedSchema: { type: "object", properties: {} } }
      const script = moved({
        "tools/call": ({ inputResponses }) =>
          Effect.succeed(
            inputResponses === undefined
              ? { resultType: "input_required", inputRequests: { sure: { method: "elicitation/create", params } } }
              : done
          )
      })
      const { client, headers } = yield* connect(script).pipe(
        Effect.provideService(Elicitation.Elicitation, { form: () => Effect.succeed({ action: "accept", content: {} }) })
      )
      yield* client.listTools()
      assert.deepInclude(yield* client.callTool("query", { zone: "eu" }), done)
      assert.deepStrictEqual(headers(), [{ "Mcp-Param-Region": "eu" }, { "Mcp-Param-Region": "eu" }])
    }).pipe(Effect.scoped))

  it.effect("over Streamable HTTP, where the mismatch comes with status 400", () =>
    Effect.gen(function*() {
      const results: Readonly<Record<string, JsonRpc.JsonObject>> = {
        "server/discover": { supportedVersions: ["2026-07-28"], capabilities: { tools: {} } },
        "tools/list": { tools: [tool("query", { zone: "Zone" })] },
        "tools/call": done
      }
      const server = Http.mock(({ headers, message }) =>
        Effect.succeed(
          message.method === "tools/call" && headers["mcp-param-zone"] !== "=?base64?5LiW55WM?="
            ? Http.json({ jsonrpc: "2.0", id: message.id, error: mismatch }, { status: 400 })
            : Http.json({ jsonrpc: "2.0", id: message.id, result: results[String(message.method)] })
        )
      )
      const transport = yield* StreamableHttpTransport.make({ url: "https://example.com/mcp" }).pipe(Effect.provide(server.layer))
      const client = yield* McpClient.make({ name: "test" }).pipe(Effect.provideService(Transport, transport))
      assert.deepInclude(yield* client.callTool("query", { zone: "世界" }), done)
      assert.deepStrictEqual(
        server.asked.map(({ message }) => message.method),
        ["server/discover", "tools/call", "tools/list", "tools/call"]
      )
    }).pipe(Effect.scoped))

  const indifferent = [
    ["a modern server without HTTP (S-12)", Scripted.modern, { http: false }],
    ["a legacy server over HTTP (H-38)", Scripted.legacy, undefined]
  ] as const
  for (const [what, make, binding] of indifferent) {
    it.effect(`annotations mean nothing from ${what}`, () =>
      Effect.gen(function*() {
        const script = make({
          "tools/list": Scripted.value({ tools: [tool("query", { zone: "Zone" }), tool("float", { a: "A" }, "number")] }),
          "tools/call": () => Effect.fail(mismatch)
        })
        const { client, headers } = yield* connect(script, binding)
        assert.lengthOf(yield* client.listTools(), 2)
        const reason = reasonOf(yield* Effect.exit(client.callTool("query", { zone: "eu" })))
        assert.deepInclude(reason, { _tag: "RemoteError", code: -32020 })
        assert.deepStrictEqual(headers(), [undefined])
        assert.lengthOf(Scripted.requests(script, "tools/list"), 1)
      }).pipe(Effect.scoped))
  }
})
