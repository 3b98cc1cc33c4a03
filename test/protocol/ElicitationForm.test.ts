import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import * as ElicitationForm from "../../src/protocol/ElicitationForm.ts"
import type { JsonObject } from "../../src/protocol/JsonRpc.ts"
import * as McpSchema from "../../src/protocol/McpSchema.ts"

const form = (properties: JsonObject, required: ReadonlyArray<string> = []): McpSchema.ElicitationSchema => {
  const requestedSchema = { type: "object", properties, required }
  const request = Result.getOrThrowWith(
    McpSchema.decodeElicitRequest({ message: "?", requestedSchema }),
    (problem) => new Error(problem)
  )
  return request.mode === "url" ? assert.fail("a form was expected") : request.requestedSchema
}

const problem = (field: JsonObject, value: unknown): string | undefined =>
  ElicitationForm.validate(form({ f: field }), { f: value })[0]

describe("ElicitationForm.validate", () => {
  it("misses required fields, and only those", () => {
    const schema = form({ name: { type: "string" }, age: { type: "integer" } }, ["name"])
    assert.deepStrictEqual(ElicitationForm.validate(schema, {}), ["name: is required"])
    assert.deepStrictEqual(ElicitationForm.validate(schema, { name: "x" }), [])
  })

  it("refuses fields that were not asked for", () => {
    assert.deepStrictEqual(ElicitationForm.validate(form({}), { extra: 1 }), ["extra: was not asked for"])
  })

  const rows: ReadonlyArray<readonly [field: JsonObject, wrong: unknown, problem: string, right: unknown]> = [
    [{ type: "string" }, 1, "f: must be text", ""],
    [{ type: "string", minLength: 2 }, "é", "f: must have a length of at least 2", "éé"],
    [{ type: "string", maxLength: 1 }, "ab", "f: must have a length of at most 1", "😀"],
    [{ type: "string", format: "email" }, "nobody", "f: must be an email address", "a@example.com"],
    [{ type: "string", format: "uri" }, "not a uri", "f: must be a URI", "https://example.com/x"],
    [{ type: "string", format: "date" }, "2026-13-01", "f: must be a date such as 2026-07-28", "2026-07-28"],
    [
      { type: "string", format: "date-time" },
      "2026-07-28",
      "f: must be a date and time such as 2026-07-28T12:00:00Z",
      "2026-07-28T12:00:00Z"
    ],
    [{ type: "string", pattern: "^[a-z]+$" }, "A", "f: must match ^[a-z]+$", "a"],
    [{ type: "number" }, "1", "f: must be a number", 1.5],
    [{ type: "number" }, NaN, "f: must be a number", -1],
    [{ type: "integer" }, 1.5, "f: must be a whole number", 2],
    [{ type: "integer", minimum: 3 }, 2, "f: must be at least 3", 3],
    [{ type: "number", maximum: 3 }, 3.5, "f: must be at most 3", 3],
    [{ type: "boolean" }, "true", "f: must be true or false", false],
    [{ type: "string", enum: ["a", "b"] }, "c", "f: must be one of a, b", "b"],
    [{ type: "string", enum: ["a"], enumNames: ["A"] }, "A", "f: must be one of a", "a"],
    [{ type: "string", oneOf: [{ const: "a", title: "A" }] }, "A", "f: must be one of a", "a"],
    [{ type: "array", items: { type: "string", enum: ["a", "b"] } }, "a", "f: must be a list of a, b", ["a"]],
    [{ type: "array", items: { type: "string", enum: ["a", "b"] } }, ["c"], "f: must be a list of a, b", []],
    [
      { type: "array", minItems: 1, items: { anyOf: [{ const: "a", title: "A" }] } },
      [],
      "f: needs a choice of at least 1",
      ["a"]
    ],
    [{ type: "array", maxItems: 1, items: { enum: ["a", "b"] } }, ["a", "b"], "f: takes a choice of at most 1", ["b"]]
  ]
  for (const [field, wrong, expected, right] of rows) {
    it(`for ${JSON.stringify(field)} says "${expected}" of ${JSON.stringify(wrong)}`, () => {
      assert.strictEqual(problem(field, wrong), expected)
      assert.isUndefined(problem(field, right))
    })
  }

  it("leaves a pattern it cannot read, and a format it does not know, to the server", () => {
    assert.isUndefined(problem({ type: "string", pattern: "(" }, "x"))
    assert.isUndefined(problem({ type: "string", format: "toString" }, "x"))
  })

  it("shortens a list of many choices", () => {
    const choices = Array.from({ length: 5_000 }, (_, i) => `choice-${i}`)
    assert.isBelow(problem({ type: "string", enum: choices }, "x")?.length ?? 0, 400)
  })

  it("never throws, whatever the answer", () => {
    const schema = form({ a: { type: "string", format: "uri" }, b: { type: "array", items: { enum: ["x"] } }, c: { type: "integer" } })
    fc.assert(fc.property(fc.dictionary(fc.constantFrom("a", "b", "c", "d", "__proto__"), fc.anything()), (content) => {
      assert.isArray(ElicitationForm.validate(schema, content))
    }))
  })
})

describe("ElicitationForm.withDefaults", () => {
  const schema = form({
    name: { type: "string", default: "John Doe" },
    age: { type: "integer", default: 30 },
    score: { type: "number", default: 95.5 },
    status: { type: "string", enum: ["active", "inactive"], default: "active" },
    verified: { type: "boolean", default: true },
    tags: { type: "array", items: { enum: ["a", "b"] }, default: ["a"] },
    comment: { type: "string" }
  })
  const all = { name: "John Doe", age: 30, score: 95.5, status: "active", verified: true, tags: ["a"] }

  it("fills in all that an answer leaves out (EL-04)", () => {
    assert.deepStrictEqual(ElicitationForm.withDefaults(schema, {}), all)
    assert.deepStrictEqual(ElicitationForm.defaults(schema), all)
    assert.deepStrictEqual(ElicitationForm.withDefaults(schema, { name: undefined, age: 31 }), { ...all, age: 31 })
  })

  it("keeps what was answered, also when it is empty or false", () => {
    const answer = { name: "", age: 0, score: 0, status: "inactive", verified: false, tags: [], comment: "" }
    assert.deepStrictEqual(ElicitationForm.withDefaults(schema, answer), answer)
  })

  it("makes nothing special of a field called __proto__", () => {
    const dangerous = form(JSON.parse(`{"__proto__":{"type":"string","default":"x"}}`), ["__proto__"])
    const content = ElicitationForm.withDefaults(dangerous, {})
    assert.strictEqual(JSON.stringify(content), `{"__proto__":"x"}`)
    assert.strictEqual(Object.getPrototypeOf(content), Object.prototype)
    assert.deepStrictEqual(ElicitationForm.validate(dangerous, content), [])
    assert.deepStrictEqual(ElicitationForm.validate(dangerous, {}), ["__proto__: is required"])
    assert.deepStrictEqual(ElicitationForm.validate(form({}, ["constructor"]), {}), [])
  })
})

describe("ElicitationForm.fields", () => {
  it("describes every way to write a choice alike, in the server's order", () => {
    const schema = form({
      b: { type: "string", title: "Bee", description: "a bee", enum: ["x", "y"], enumNames: ["X"], default: "y" },
      a: { type: "array", items: { oneOf: [{ const: "x" }, { const: "y", title: "Y" }] }, minItems: 1 }
    }, ["a"])
    assert.deepStrictEqual(ElicitationForm.fields(schema), [
      {
        name: "b",
        title: "Bee",
        description: "a bee",
        required: false,
        default: "y",
        kind: { _tag: "One", choices: [{ value: "x", title: "X" }, { value: "y", title: "y" }] }
      },
      {
        name: "a",
        title: "a",
        description: undefined,
        required: true,
        default: undefined,
        kind: {
          _tag: "Many",
          choices: [{ value: "x", title: "x" }, { value: "y", title: "Y" }],
          minItems: 1,
          maxItems: undefined
        }
      }
    ])
  })
})
