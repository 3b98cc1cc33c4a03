import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { interpret } from "../../src/protocol/ResultType.ts"

const invalid = (method: string, result: unknown) => {
  const interpretation = interpret(method, result, "modern")
  assert.strictEqual(interpretation._tag, "Invalid")
  return interpretation._tag === "Invalid" ? interpretation.detail : ""
}

describe("ResultType.interpret", () => {
  it("refuses a result that is no object", () => {
    for (const result of [null, "x", 1, [], undefined]) assert.strictEqual(invalid("tools/list", result), "Expected an object")
  })

  it("refuses a result type nobody agreed on, `task` among them (R-03, R-04)", () => {
    assert.include(invalid("tools/call", { resultType: "task", taskId: "1" }), "\"task\"")
    assert.include(invalid("tools/call", { resultType: 1 }), "resultType 1")
    assert.isBelow(invalid("tools/call", { resultType: "x".repeat(1_000) }).length, 100)
  })

  it("refuses input_required where a server must not send it (R-05)", () => {
    for (const method of ["tools/list", "server/discover", "completion/complete", "subscriptions/listen"]) {
      assert.include(invalid(method, { resultType: "input_required", requestState: "s" }), method)
    }
  })

  it("refuses input_required without requests and state, or with malformed ones (MR-01)", () => {
    const malformed = [
      {},
      { inputRequests: [] },
      { inputRequests: { a: "x" } },
      { inputRequests: { a: {} } },
      { inputRequests: { a: { method: "roots/list", params: [] } } },
      { requestState: 1 }
    ]
    for (const members of malformed) {
      assert.match(invalid("tools/call", { resultType: "input_required", ...members }), /inputRequests|requestState/)
    }
  })

  it("takes a result without a type for complete, and hands on the very object (R-02, G-01)", () => {
    for (const result of [{}, { resultType: "complete", extra: 1 }, { tools: [] }]) {
      const interpretation = interpret("tools/list", result, "modern")
      assert.isTrue(interpretation._tag === "Complete" && interpretation.result === result)
    }
  })

  it("gives a result type no meaning in the legacy era", () => {
    const result = { resultType: "input_required", content: [] }
    const interpretation = interpret("tools/call", result, "legacy")
    assert.isTrue(interpretation._tag === "Complete" && interpretation.result === result)
  })

  it("keeps the keys, the order and the state of what is asked, dangerous names included (MR-04)", () => {
    const result: unknown = JSON.parse(
      `{"resultType":"input_required","requestState":"opaque==","inputRequests":{"b":{"method":"roots/list"},"__proto__":{"method":"x/y","params":{"p":1}}}}`
    )
    assert.deepStrictEqual(interpret("prompts/get", result, "modern"), {
      _tag: "InputRequired",
      input: {
        requests: [
          { key: "b", method: "roots/list", params: undefined },
          { key: "__proto__", method: "x/y", params: { p: 1 } }
        ],
        requestState: "opaque=="
      }
    })
  })

  it("accepts a bare state, to be sent back at once (MR-03)", () => {
    assert.deepStrictEqual(interpret("resources/read", { resultType: "input_required", requestState: "" }, "modern"), {
      _tag: "InputRequired",
      input: { requests: [], requestState: "" }
    })
  })

  it("never throws, whatever JSON arrives", () => {
    const result = fc.oneof(
      fc.jsonValue(),
      fc.record({ resultType: fc.constant("input_required"), inputRequests: fc.jsonValue(), requestState: fc.jsonValue() })
    )
    fc.assert(fc.property(result, fc.constantFrom("modern" as const, "legacy" as const), (result, era) => {
      assert.include(["Complete", "InputRequired", "Invalid"], interpret("tools/call", result, era)._tag)
    }))
  })
})
