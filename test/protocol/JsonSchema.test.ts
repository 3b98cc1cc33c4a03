import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import * as JsonSchema from "../../src/protocol/JsonSchema.ts"

const compiled = (schema: unknown): JsonSchema.Validator =>
  Result.getOrThrowWith(JsonSchema.compile(schema), (problem) => new Error(problem))

const check = (schema: unknown, value: unknown): ReadonlyArray<string> => compiled(schema).validate(value)

const unusable = (schema: unknown): string => {
  const result = JsonSchema.compile(schema)
  return Result.isFailure(result) ? result.failure : assert.fail("it should not be usable")
}

const draft07 = "http://json-schema.org/draft-07/schema#"

describe("JsonSchema.compile", () => {
  it("refuses what is no schema", () => {
    for (const schema of [null, 1, "x", [], undefined]) assert.strictEqual(unusable(schema), "Expected an object or a boolean")
    assert.include(unusable({ properties: { a: 1 } }), "Expected a schema")
  })

  it("refuses a dialect it does not know, also inside (T-06)", () => {
    assert.strictEqual(unusable({ $schema: "https://example.com/mine" }), "$schema: unknown dialect \"https://example.com/mine\"")
    assert.include(unusable({ $schema: 7 }), "$schema")
    assert.include(unusable({ properties: { a: { $id: "urn:a", $schema: draft07 } } }), "another dialect")
  })

  it("never fetches: a reference out of the schema makes it unusable (T-06)", () => {
    for (const $ref of ["http://127.0.0.1:1/schema.json", "file:///etc/passwd", "other.json", "#/$defs/missing", "#nowhere"]) {
      const problem = unusable({ properties: { a: { items: [{ $ref }] } } })
      assert.include(problem, "nothing is fetched")
      assert.include(problem, $ref)
    }
  })

  it("refuses references that lead back to themselves", () => {
    assert.include(unusable({ $ref: "#" }), "back to itself")
    assert.include(unusable({ $ref: "#a", $defs: { a: { $anchor: "a", allOf: [{ $ref: "#b" }] }, b: { $anchor: "b", not: { $ref: "#a" } } } }), "back to itself")
    assert.include(unusable({ if: { $ref: "#" } }), "back to itself")
    assert.include(unusable({ $dynamicAnchor: "a", $dynamicRef: "#a" }), "back to itself")
  })

  it("refuses patterns that are no regular expressions, or too long to be sane", () => {
    assert.include(unusable({ pattern: "(" }), "(")
    assert.include(unusable({ properties: { a: { pattern: "a".repeat(2_000) } } }), "longer than 1000")
    assert.include(unusable({ patternProperties: { "[": {} } }), "not a regular expression")
  })

  it("refuses keywords that hold something else than they should", () => {
    const malformed = [
      { required: true },
      { required: [1] },
      { enum: "a" },
      { type: "any" },
      { type: ["string", 1] },
      { properties: [] },
      { anyOf: {} },
      { $ref: 1 },
      { pattern: 1 },
      { $id: {} }
    ]
    for (const schema of malformed) assert.include(unusable({ items: schema }), Object.keys(schema)[0] ?? "")
  })

  it("refuses schemas that are too deep or too large, in a bounded text", () => {
    const deep = Array.from({ length: 200 }).reduce<object>((inner) => ({ items: inner }), {})
    assert.include(unusable(deep), "deeper than 100")
    assert.include(unusable({ anyOf: Array.from({ length: 60_000 }, () => ({})) }), "more than 50000")
    const chain = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`x${i}`, { $ref: `#/$defs/x${i + 1}` }]))
    assert.include(unusable({ $ref: "#/$defs/x0", $defs: { ...chain, x5000: {} } }), "more than 100 schemas")
    assert.isBelow(unusable({ $ref: `#/${"x".repeat(10_000)}` }).length, 300)
  })

  it("does not touch the schema it is given", () => {
    const schema = Object.freeze({
      $ref: "#/$defs/a",
      $defs: Object.freeze({ a: Object.freeze({ type: "string", format: "email", pattern: "\\@" }) })
    })
    const before = JSON.stringify(schema)
    assert.deepStrictEqual(check(schema, "a@b"), [])
    assert.strictEqual(JSON.stringify(schema), before)
    assert.deepStrictEqual(Reflect.ownKeys(schema.$defs.a), ["type", "format", "pattern"])
  })

  it("reads 2020-12 without `$schema`, and the dialect that `$schema` names", () => {
    const dialects = [undefined, "https://json-schema.org/draft/2020-12/schema#", draft07, "http://json-schema.org/draft-04/schema"]
    assert.deepStrictEqual(
      dialects.map(($schema) => compiled($schema === undefined ? {} : { $schema }).dialect),
      ["2020-12", "2020-12", "draft-07", "draft-04"]
    )
  })

  it("never throws, whatever JSON a server calls a schema", () => {
    const keyword = fc.constantFrom("type", "properties", "items", "$ref", "allOf", "pattern", "$id", "enum", "required", "x", "__proto__", "$defs", "if", "dependencies")
    const schema = fc.letrec((tie) => ({
      schema: fc.oneof(
        { depthSize: "small" },
        fc.jsonValue({ maxDepth: 1 }),
        fc.constantFrom("#", "#/$defs/x", "string", "object"),
        fc.array(tie("schema"), { maxLength: 3 }),
        fc.dictionary(keyword, tie("schema"), { maxKeys: 4 })
      )
    })).schema
    fc.assert(
      fc.property(schema, fc.jsonValue(), (schema, value) => {
        const result = JsonSchema.compile(schema)
        if (Result.isSuccess(result)) assert.isArray(result.success.validate(value))
        else assert.isBelow(result.failure.length, 300)
      }),
      { numRuns: 1_000 }
    )
  })
})

describe("Validator.validate", () => {
  it("tells what is wrong, with the path to it", () => {
    const schema = {
      type: "object",
      properties: { user: { type: "object", properties: { "first name": { type: "string" }, tags: { items: { type: "string" } } } } },
      required: ["id"],
      additionalProperties: false
    }
    assert.deepStrictEqual(check(schema, { user: { "first name": 1 } }), [
      "Instance does not have required property \"id\"",
      "user.first name: Instance type \"number\" is invalid. Expected \"string\""
    ])
    assert.deepStrictEqual(check(schema, { id: 1 }), ["id: is not allowed"])
    assert.deepStrictEqual(check(schema.properties.user, { tags: ["a", null] }), [
      "tags[1]: Instance type \"null\" is invalid. Expected \"string\""
    ])
  })

  it("tells a few problems of a few words, however wrong the value", () => {
    const problems = check(
      { required: Array.from({ length: 500 }, (_, i) => `key${i}`), enum: [{ text: "x".repeat(100_000) }] },
      { ["k".repeat(10_000)]: 1 }
    )
    assert.strictEqual(problems.length, 6)
    assert.strictEqual(problems.at(-1), "and 496 more")
    assert.isBelow(problems.join("").length, 1_500)
  })

  it("has a problem to tell of every value that does not fit, also when no part of it is wrong", () => {
    for (const schema of [{ anyOf: [] }, { oneOf: [] }, { not: {} }, { oneOf: [true, true] }, { contains: false }]) {
      assert.isAbove(check(schema, []).length, 0, JSON.stringify(schema))
    }
  })

  it("goes through recursive schemas, as deep as a sane value goes", () => {
    const tree = { type: "object", properties: { child: { $ref: "#" } }, additionalProperties: false }
    assert.deepStrictEqual(check(tree, { child: { child: {} } }), [])
    assert.deepStrictEqual(check(tree, { child: { child: { leaf: 1 } } }), ["child.child.leaf: is not allowed"])
    const abyss = Array.from({ length: 50_000 }).reduce<object>((child) => ({ child }), {})
    assert.deepStrictEqual(check(tree, abyss), ["nested deeper than 100 levels"])
  })

  it("reads dynamic references as plain ones, and refuses them where that is not the same", () => {
    const tree = { $dynamicAnchor: "node", type: "object", properties: { child: { $dynamicRef: "#node" } } }
    assert.deepStrictEqual(check(tree, { child: { child: {} } }), [])
    assert.strictEqual(check(tree, { child: { child: 1 } }).length, 1)
    const recursive = {
      $schema: "https://json-schema.org/draft/2019-09/schema",
      $recursiveAnchor: true,
      type: "object",
      properties: { child: { $recursiveRef: "#" } }
    }
    assert.strictEqual(check(recursive, { child: { child: 1 } }).length, 1)
    assert.include(unusable({ ...tree, $defs: { other: { $id: "urn:other" } } }), "$dynamicRef")
  })

  it("gives up on a schema whose work grows without bound", () => {
    const bomb = Object.fromEntries(
      Array.from({ length: 30 }, (_, i) => [`x${i}`, { allOf: [{ $ref: `#/$defs/x${i + 1}` }, { $ref: `#/$defs/x${i + 1}` }] }])
    )
    assert.deepStrictEqual(check({ $ref: "#/$defs/x0", $defs: { ...bomb, x30: {} } }, 1), [
      "validation takes too long and was given up"
    ])
    assert.include(check({ uniqueItems: true }, Array.from({ length: 100_000 }, (_, i) => i))[0] ?? "", "100000 items")
  })

  it("finds references by pointer, anchor and id, also outside of `$defs`", () => {
    const schema = {
      $id: "https://example.com/root",
      properties: {
        pointer: { $ref: "#/components/schemas/Name" },
        anchor: { $ref: "#count" },
        id: { $ref: "leaf" },
        escaped: { $ref: "#/$defs/a~1b%25" }
      },
      components: { schemas: { Name: { type: "string", pattern: "^\\@" } } },
      $defs: { count: { $anchor: "count", type: "integer" }, leaf: { $id: "leaf", type: "null" }, "a/b%": { const: 1 } }
    }
    assert.deepStrictEqual(check(schema, { pointer: "@x", anchor: 1, id: null, escaped: 1 }), [])
    for (const wrong of [{ pointer: "x" }, { anchor: 1.5 }, { id: 1 }, { escaped: 2 }]) {
      assert.strictEqual(check(schema, wrong).length, 1, JSON.stringify(wrong))
    }
  })

  it("ignores the siblings of `$ref` in draft 7 and heeds them in 2020-12", () => {
    const schema = { properties: { a: { $ref: "#/definitions/any", type: "string" } }, definitions: { any: {} } }
    assert.deepStrictEqual(check({ ...schema, $schema: draft07 }, { a: 1 }), [])
    assert.strictEqual(check(schema, { a: 1 }).length, 1)
  })

  it("takes `format` for an annotation", () => {
    assert.deepStrictEqual(check({ type: "string", format: "email" }, "nobody"), [])
    assert.deepStrictEqual(check({ type: "string", format: "constructor" }, "x"), [])
    assert.strictEqual(check({ properties: { format: { type: "string" } } }, { format: 1 }).length, 1)
  })

  it("reads patterns that are fine for JavaScript but not for its Unicode mode", () => {
    const pattern = "^[\\w\\-\\.]+\\@\\_\\-\\/$"
    assert.deepStrictEqual(check({ pattern }, "a-b.c@_-/"), [])
    assert.deepStrictEqual(check({ pattern }, "nope"), ["String does not match pattern"])
    assert.deepStrictEqual(check({ patternProperties: { "^\\@": { type: "string" } } }, { "@a": 1 }).length, 1)
    assert.deepStrictEqual(check({ pattern: "^\\\\@$" }, "\\@"), [])
  })

  it("is not fooled by names that are special to JavaScript", () => {
    const schema: unknown = JSON.parse(
      `{"properties":{"__proto__":{"type":"string"},"constructor":{"type":"number"}},"required":["toString"]}`
    )
    const value: unknown = JSON.parse(`{"__proto__":1,"constructor":"x"}`)
    const problems = check(schema, value)
    assert.include(problems[0] ?? "", "toString")
    assert.include(problems[1] ?? "", "__proto__")
    assert.deepStrictEqual(check(schema, JSON.parse(`{"toString":1}`)), [])
    assert.deepStrictEqual(Object.keys(Object.prototype), [])
  })

  it("is not misled by examples and defaults that look like schemas", () => {
    const schema = {
      default: { $ref: "http://example.com" },
      examples: [{ $id: "::" }],
      example: { id: "::", $ref: "nowhere" },
      properties: { a: { id: "same", type: "string" }, b: { id: "same", type: "number" } }
    }
    assert.deepStrictEqual(check(schema, { a: "x", b: 1 }), [])
  })

  it("accepts and refuses everything with the boolean schemas", () => {
    assert.deepStrictEqual(check(true, null), [])
    assert.deepStrictEqual(check(false, null), ["is not allowed"])
  })

  it("never throws, whatever the value", () => {
    const validator = compiled({
      type: ["object", "array"],
      properties: { a: { $ref: "#" } },
      items: { anyOf: [{ type: "string", maxLength: 3 }, { $ref: "#" }] },
      uniqueItems: true
    })
    fc.assert(fc.property(fc.anything(), (value) => assert.isArray(validator.validate(value))))
  })
})
