import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import type { JsonObject } from "../../src/protocol/JsonRpc.ts"
import * as ParamHeaders from "../../src/protocol/ParamHeaders.ts"
import { anyText } from "../support/anyText.ts"

const annotated = (name: unknown = "Region", type: unknown = "string"): JsonObject => ({ type, "x-mcp-header": name })

const properties = (of: JsonObject): JsonObject => ({ type: "object", properties: of })

const problems = (schema: unknown): ReadonlyArray<string> => {
  const compiled = ParamHeaders.compile(schema)
  assert(Result.isFailure(compiled), "the schema was accepted")
  assert.isNotEmpty(compiled.failure)
  return compiled.failure
}

const headers = (schema: unknown, args: JsonObject | undefined) =>
  Result.getOrThrow(ParamHeaders.compile(schema)).headers(args)

describe("ParamHeaders", () => {
  describe("an annotation is refused", () => {
    const names = ["", "a b", "Ünï", "a:b", "a\r\nInjected: yes", "(a)", "a/b", " a", 1, true, null, {}, ["a"]]
    for (const name of names) {
      it(`with ${JSON.stringify(name)} for a name`, () =>
        assert.include(problems(properties({ a: annotated(name) }))[0], "properties.a: x-mcp-header is no name"))
    }

    for (const type of ["number", "object", "array", "null", undefined, ["string"], ["string", "null"]]) {
      it(`on the type ${JSON.stringify(type)} (G-09)`, () =>
        assert.include(problems(properties({ a: { "x-mcp-header": "A", type } }))[0], "needs the type"))
    }

    it("when its name is used twice, whatever the case and the place", () => {
      const schema = properties({ a: annotated("Region"), b: properties({ c: annotated("rEGION") }) })
      assert.deepStrictEqual(problems(schema), ["properties.b.properties.c: x-mcp-header \"rEGION\" is used twice"])
    })

    const elsewhere: Readonly<Record<string, JsonObject>> = {
      "on the root": { ...annotated(), properties: {} },
      "under items": properties({ a: { items: annotated() } }),
      "on a property of an item": properties({ a: { items: properties({ b: annotated() }) } }),
      "under prefixItems": properties({ a: { prefixItems: [annotated()] } }),
      "under contains": properties({ a: { contains: annotated() } }),
      "under additionalProperties": { additionalProperties: annotated() },
      "under unevaluatedProperties": { unevaluatedProperties: annotated() },
      "under patternProperties": { patternProperties: { "^a": annotated() } },
      "under propertyNames": { propertyNames: annotated() },
      "under oneOf": { oneOf: [properties({ a: annotated() })] },
      "under anyOf": { anyOf: [properties({ a: annotated() })] },
      "under allOf": { allOf: [properties({ a: annotated() })] },
      ...Object.fromEntries(["not", "if", "then", "else"].map((keyword) =>
        [`under ${keyword}`, { [keyword]: properties({ a: annotated() }) }]
      )),
      "under dependentSchemas": { dependentSchemas: { a: properties({ b: annotated() }) } },
      "under dependencies": { dependencies: { a: properties({ b: annotated() }) } },
      "behind a $ref into $defs": { $defs: { A: annotated() }, properties: { a: { $ref: "#/$defs/A" } } },
      "behind a $ref into definitions": { definitions: { A: annotated() }, properties: { a: { $ref: "#/definitions/A" } } },
      "behind a $ref to an unknown keyword": { "x-types": { A: annotated() }, properties: { a: { $ref: "#/x-types/A" } } },
      "under an array in place of properties": { properties: [annotated()] }
    }
    for (const [where, schema] of Object.entries(elsewhere)) {
      it(where, () => assert.include(problems({ type: "object", ...schema })[0], "reached through properties alone"))
    }

    it("although others are fine; all problems are told, up to five", () => {
      const names = Array.from({ length: 9 }, (_, index) => `p${index}`)
      const schema = properties({ good: annotated("Good"), ...Object.fromEntries(names.map((name) => [name, annotated("")])) })
      assert.deepStrictEqual(
        problems(schema),
        names.slice(0, 5).map((name) => `properties.${name}: x-mcp-header is no name for a header: ""`)
      )
    })
  })

  describe("a schema that cannot be looked through is refused", () => {
    it("nested too deeply", () => {
      let schema: JsonObject = {}
      for (let level = 0; level < 10_000; level++) schema = { not: schema }
      assert.match(problems(schema)[0] ?? "", /nested deeper/)
    })

    it("too large", () =>
      assert.match(problems(properties({ a: { anyOf: Array.from({ length: 60_000 }, () => ({})) } }))[0] ?? "", /more than/))

    it("in a circle", () => {
      const a: Record<string, unknown> = {}
      const b = { properties: { a }, anyOf: [a, a, a] }
      a.properties = { b }
      assert.isNotEmpty(problems(b))
    })
  })

  describe("no annotation is seen", () => {
    const none: Readonly<Record<string, unknown>> = {
      "in a property that has the keyword's name": properties({ "x-mcp-header": { type: "string" } }),
      "in a definition that has the keyword's name": { $defs: { "x-mcp-header": { type: "string" } } },
      "in a constant": properties({ a: { const: annotated() } }),
      "in a default": properties({ a: { default: annotated() } }),
      "in a choice": properties({ a: { enum: [annotated()] } }),
      "in an example": properties({ a: { examples: [annotated()] } }),
      "in a schema that is a boolean": true,
      "where there is no schema": undefined
    }
    for (const [where, schema] of Object.entries(none)) {
      it(where, () => assert.deepStrictEqual(headers(schema, { "x-mcp-header": "a", a: "b" }), {}))
    }
  })

  describe("arguments", () => {
    const schema = properties({
      region: annotated("Region"),
      size: annotated("Size", "integer"),
      dry: annotated("dry-run", "boolean"),
      // Not the standard header of that name (H-37).
      method: annotated("Method"),
      target: properties({ zone: annotated("Zone"), deep: properties({ er: annotated("Deeper") }) }),
      properties: annotated("Properties"),
      enum: properties({ const: annotated("Const") })
    })

    it("are mirrored from where they are, under the exact name", () =>
      assert.deepStrictEqual(
        headers(schema, {
          region: "us-west1",
          size: -7,
          dry: false,
          method: " padded ",
          target: { zone: "", deep: { er: "x" } },
          properties: "p",
          enum: { const: "c" },
          other: "not annotated"
        }),
        {
          "Mcp-Param-Region": "us-west1",
          "Mcp-Param-Size": "-7",
          "Mcp-Param-dry-run": "false",
          "Mcp-Param-Method": "=?base64?IHBhZGRlZCA=?=",
          "Mcp-Param-Zone": "=?base64??=",
          "Mcp-Param-Deeper": "x",
          "Mcp-Param-Properties": "p",
          "Mcp-Param-Const": "c"
        }
      ))

    const without: Readonly<Record<string, JsonObject | undefined>> = {
      "no arguments at all": undefined,
      "nothing at the place": {},
      "null": { region: null, size: null, dry: null, target: null },
      "undefined": { region: undefined },
      "values of other types": { region: 1, size: "1", dry: "true", method: ["a"], target: { zone: {} } },
      "an integer with a fraction": { size: 1.5 },
      "an integer that is too large": { size: 2 ** 53 },
      "an array in place of an object": { target: [{ zone: "a" }] }
    }
    for (const [what, args] of Object.entries(without)) {
      it(`make no header: ${what}`, () => assert.deepStrictEqual(headers(schema, args), {}))
    }

    it("that only a prototype has are not in the body and make no header", () => {
      const inherited = properties({ constructor: properties({ name: annotated("Name") }) })
      assert.deepStrictEqual(headers(inherited, {}), {})
      const own: JsonObject = JSON.parse(`{ "properties": { "__proto__": { "type": "string", "x-mcp-header": "__proto__" } } }`)
      assert.deepStrictEqual(headers(own, {}), {})
      assert.deepStrictEqual(headers(own, JSON.parse(`{ "__proto__": "a" }`)), { "Mcp-Param-__proto__": "a" })
    })
  })

  it("whatever the schema, it is accepted or refused without throwing", () => {
    const keywords = ["properties", "items", "anyOf", "$defs", "$ref", "const", "type", "x-mcp-header", "__proto__", "a"]
    const types = fc.constantFrom("string", "integer", "number", "#", "A b")
    const { schema } = fc.letrec((tie) => ({
      schema: fc.oneof(
        { depthSize: "medium" },
        types,
        fc.constantFrom(null, true, 1),
        fc.array(tie("schema"), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom(...keywords), tie("schema"))
      )
    }))
    fc.assert(fc.property(schema, fc.dictionary(fc.constantFrom(...keywords), fc.jsonValue()), (schema, args) => {
      const compiled = ParamHeaders.compile(schema)
      if (Result.isFailure(compiled)) return assert.isNotEmpty(compiled.failure)
      for (const [name, value] of Object.entries(compiled.success.headers(args))) {
        assert.match(name, /^Mcp-Param-[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/)
        assert.match(value, /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/)
      }
    }))
  })

  it("whatever the argument, its header cannot break out of its line", () =>
    fc.assert(fc.property(anyText, (value) => {
      const header = headers(properties({ a: annotated("A") }), { a: value })["Mcp-Param-A"]
      assert.match(header ?? "", /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/)
    })))
})
