import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"

describe("JsonRpc.isMessage", () => {
  const refused: ReadonlyArray<readonly [why: string, value: unknown]> = [
    ["a value that is no object", 1],
    ["null", null],
    ["an array of messages", [{ jsonrpc: "2.0", method: "ping" }]],
    ["a log record without jsonrpc", { level: "info", message: "started" }],
    ["another version of JSON-RPC", { jsonrpc: "1.0", id: 1, result: {} }],
    ["an object that is neither request nor answer", { jsonrpc: "2.0", id: 1 }],
    ["a request whose id is null", { jsonrpc: "2.0", id: null, method: "ping" }],
    ["a request whose id has a fraction", { jsonrpc: "2.0", id: 1.5, method: "ping" }],
    ["a request whose params are an array", { jsonrpc: "2.0", id: 1, method: "ping", params: [] }],
    ["a method that is no string", { jsonrpc: "2.0", method: 1 }],
    ["a result without an id", { jsonrpc: "2.0", result: {} }],
    ["a result whose id is null", { jsonrpc: "2.0", id: null, result: {} }],
    ["an error that is a string", { jsonrpc: "2.0", id: 1, error: "broken" }],
    ["an error without a message", { jsonrpc: "2.0", id: 1, error: { code: 1 } }],
    ["an error whose code has a fraction", { jsonrpc: "2.0", id: 1, error: { code: 1.5, message: "" } }],
    ["an error whose code is beyond all integers", { jsonrpc: "2.0", id: 1, error: { code: 1e300, message: "" } }]
  ]
  for (const [why, value] of refused) {
    it(`refuses ${why}`, () => assert.isFalse(JsonRpc.isMessage(value)))
  }

  const accepted: ReadonlyArray<readonly [what: string, value: unknown]> = [
    ["a request", { jsonrpc: "2.0", id: 1, method: "ping" }],
    ["a request with an empty string as its id", { jsonrpc: "2.0", id: "", method: "ping", params: {} }],
    ["a notification", { jsonrpc: "2.0", method: "notifications/initialized" }],
    ["a result that is null", { jsonrpc: "2.0", id: 0, result: null }],
    ["unknown members beside the known ones", { jsonrpc: "2.0", id: 1, result: {}, trace: "x" }],
    ["an error without an id (B-05)", { jsonrpc: "2.0", error: { code: -32700, message: "" } }],
    ["an error whose id is null (B-05)", { jsonrpc: "2.0", id: null, error: { code: -32700, message: "" } }],
    ["a result beside an error that is null", { jsonrpc: "2.0", id: 1, result: {}, error: null }],
    ["an error beside a result that is null", { jsonrpc: "2.0", id: 1, result: null, error: { code: 1, message: "" } }]
  ]
  for (const [what, value] of accepted) {
    it(`accepts ${what}`, () => assert.isTrue(JsonRpc.isMessage(value)))
  }

  it("never throws, whatever JSON arrives", () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => {
      assert.isBoolean(JsonRpc.isMessage(value))
    }))
  })

  it("never throws on what looks like a message, and tells exactly one kind", () => {
    const member = fc.oneof(fc.jsonValue(), fc.constantFrom("2.0", "ping", 1, {}, { code: 1, message: "m" }))
    const lookalike = fc.record(
      { jsonrpc: fc.constantFrom("2.0", "1.0"), id: member, method: member, params: member, result: member, error: member },
      { requiredKeys: ["jsonrpc"] }
    )
    fc.assert(fc.property(lookalike, (value) => {
      if (!JsonRpc.isMessage(value)) return
      const kinds = [JsonRpc.isRequest(value), "method" in value && !("id" in value), !("method" in value)]
      assert.strictEqual(kinds.filter(Boolean).length, 1)
      if ("method" in value) assert.isString(value.method)
      else assert.isTrue(JsonRpc.isFailure(value) ? Number.isInteger(value.error.code) : "result" in value)
    }))
  })

  it("accepts every message this library makes, after a round trip as JSON", () => {
    const id = fc.oneof(fc.string(), fc.maxSafeInteger())
    const params = fc.option(fc.dictionary(fc.string(), fc.jsonValue()), { nil: undefined })
    const error = fc.record({ code: fc.integer(), message: fc.string() })
    const message: fc.Arbitrary<JsonRpc.Message> = fc.oneof(
      fc.tuple(id, fc.string(), params).map(([id, method, params]) => JsonRpc.request(id, method, params)),
      fc.tuple(fc.string(), params).map(([method, params]) => JsonRpc.notification(method, params)),
      fc.tuple(id, fc.jsonValue()).map(([id, result]) => JsonRpc.success(id, result)),
      fc.tuple(id, error).map(([id, error]) => JsonRpc.failure(id, error))
    )
    fc.assert(fc.property(message, (message) => assert.isTrue(JsonRpc.isMessage(JSON.parse(JSON.stringify(message))))))
  })
})

describe("JsonRpc.isFailure", () => {
  it("looks at the error, not at the result, when an answer has both members", () => {
    assert.isTrue(JsonRpc.isFailure({ jsonrpc: "2.0", id: 1, error: { code: 1, message: "" } }))
    const both: unknown = { jsonrpc: "2.0", id: 1, result: {}, error: null }
    assert.isTrue(JsonRpc.isMessage(both) && !JsonRpc.isFailure(both))
  })
})
