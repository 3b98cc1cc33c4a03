import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Result from "effect/Result"
import * as Arguments from "../../src/cli/arguments.ts"

const read = (words: ReadonlyArray<string>, schema?: unknown) =>
  Result.flatMap(Arguments.fromWords(words), ({ toArguments }) => toArguments(schema))
const value = (words: ReadonlyArray<string>, schema?: unknown) => Result.getOrThrow(read(words, schema))
const problem = (words: ReadonlyArray<string>, schema?: unknown) => Result.getOrUndefined(Result.flip(read(words, schema)))

const schemaOf = (property: unknown, rest: object = {}) => ({ type: "object", properties: { x: property }, ...rest })

describe("arguments that are wrong", () => {
  it("say what was expected", () => {
    assert.strictEqual(problem(["hello"]), "Expected key=value, key:=json or one JSON object, got \"hello\"")
    assert.strictEqual(problem(["=1"]), "Expected key=value, key:=json or one JSON object, got \"=1\"")
    assert.strictEqual(problem([":=1"]), "Expected key=value, key:=json or one JSON object, got \":=1\"")
    assert.match(problem(["{\"a\":"]) ?? "", /^The arguments are not valid JSON: /)
    assert.match(problem(["x:=[1"]) ?? "", /^The value of "x" is not valid JSON: /)
    assert.strictEqual(problem(["x=1", "x=2"]), "\"x\" is given twice")
    assert.strictEqual(problem(["x:=[1]", "x:=[2]"]), "\"x\" is given twice")
  })

  it("name the types their schema has", () => {
    assert.strictEqual(problem(["x=abc"], schemaOf({ type: "integer" })), "\"x\" must be a whole number, got \"abc\"")
    assert.strictEqual(problem(["x=1.5"], schemaOf({ type: "integer" })), "\"x\" must be a whole number, got \"1.5\"")
    assert.strictEqual(problem(["x=yes"], schemaOf({ type: "boolean" })), "\"x\" must be true or false, got \"yes\"")
    assert.strictEqual(problem(["x=[1]"], schemaOf({ type: ["object", "null"] })), "\"x\" must be null or a JSON object, got \"[1]\"")
    assert.strictEqual(problem(["x=a"], schemaOf({ type: "array", items: { type: "number" } })), "\"x\" must be a number, got \"a\"")
  })

  it("are refused where a text is not exactly a number", () => {
    for (const text of ["", " ", "0x10", "1_000", "Infinity", "NaN", "1e999", "01", "+1", "1 "]) {
      assert.isDefined(problem([`x=${text}`], schemaOf({ type: "number" })), text)
    }
  })

  it("are refused on stdin unless they are one object", () => {
    for (const text of ["[]", "1", "null", "\"text\"", "x=1", ""]) assert.isTrue(Result.isFailure(Arguments.fromJson(text)), text)
  })
})

describe("arguments", () => {
  it("are one JSON object as it is, whatever the schema says", () => {
    fc.assert(fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (object) => {
      const text = JSON.stringify(object)
      assert.deepStrictEqual(value([text], schemaOf({ type: "boolean" })), JSON.parse(text))
    }))
  })

  it("are any JSON value after :=", () => {
    fc.assert(fc.property(fc.jsonValue(), (json) => {
      const text = JSON.stringify(json)
      assert.deepStrictEqual(value([`x:=${text}`], schemaOf({ type: "string" })), { x: JSON.parse(text) })
    }))
  })

  it("are text, to the last character, where the schema says so or says nothing", () => {
    fc.assert(fc.property(fc.string(), (text) => {
      assert.deepStrictEqual(value([`x=${text}`], schemaOf({ type: "string" })), { x: text })
      assert.deepStrictEqual(value([`x=${text}`]), { x: text })
    }))
  })

  it("are numbers where the schema says so", () => {
    fc.assert(fc.property(fc.double({ noDefaultInfinity: true, noNaN: true }).filter((x) => !Object.is(x, -0)), (x) => {
      assert.deepStrictEqual(value([`x=${JSON.stringify(x)}`], schemaOf({ type: "number" })), { x })
    }))
    fc.assert(fc.property(fc.maxSafeInteger(), (x) => {
      assert.deepStrictEqual(value([`x=${x}`], schemaOf({ type: "integer" })), { x })
    }))
  })

  it("are whatever else the schema says", () => {
    assert.deepStrictEqual(value(["x=true"], schemaOf({ type: "boolean" })), { x: true })
    assert.deepStrictEqual(value(["x={\"a\":1}"], schemaOf({ type: "object" })), { x: { a: 1 } })
    assert.deepStrictEqual(value(["x=[1]"], schemaOf({ type: "array" })), { x: [1] })
    assert.deepStrictEqual(value(["x=5"], schemaOf({ type: ["string", "integer"] })), { x: 5 })
    assert.deepStrictEqual(value(["x=five"], schemaOf({ type: ["string", "integer"] })), { x: "five" })
    assert.deepStrictEqual(value(["x=null"], schemaOf({ anyOf: [{ type: "string" }, { type: "null" }] })), { x: null })
    assert.deepStrictEqual(value(["x=2"], schemaOf({ enum: [1, 2] })), { x: 2 })
    assert.deepStrictEqual(value(["x=2"], schemaOf({ const: "2" })), { x: "2" })
    assert.deepStrictEqual(value(["x=1"], schemaOf({ $ref: "#/$defs/n" }, { $defs: { n: { type: "number" } } })), { x: 1 })
  })

  it("make a list of a repeated key", () => {
    const list = schemaOf({ type: "array", items: { type: "number" } })
    assert.deepStrictEqual(value(["x=1"], list), { x: [1] })
    assert.deepStrictEqual(value(["x=1", "x=2"], list), { x: [1, 2] })
    assert.deepStrictEqual(value(["x=[1,2]", "x=3"], list), { x: [1, 2, 3] })
  })

  it("hold = and : in their values", () => {
    assert.deepStrictEqual(value(["url=http://a/?b=c", "x:y=1"]), { "url": "http://a/?b=c", "x:y": "1" })
  })

  it("are none when nothing is given", () => {
    assert.deepStrictEqual(value([]), {})
  })

  it("ask for the schema only when it decides", () => {
    const needs = (...words: ReadonlyArray<string>) => Result.getOrThrow(Arguments.fromWords(words)).needSchema
    assert.deepStrictEqual([needs(), needs("{}"), needs("x:=1"), needs("x:=1", "y=2")], [false, false, false, true])
  })

  it("cannot reach a prototype", () => {
    const args = value(["__proto__=1", "constructor=2"], schemaOf({ type: "string" }))
    assert.deepStrictEqual(Object.keys(args), ["__proto__", "constructor"])
    assert.isUndefined(Reflect.get({}, "1"))
  })

  it("survive schemas that refer to themselves", () => {
    const circle = schemaOf({ $ref: "#/properties/x" })
    assert.deepStrictEqual(value(["x=1"], circle), { x: "1" })
    const nested: Record<string, unknown> = {}
    nested.anyOf = Array.from({ length: 50 }, () => nested)
    assert.deepStrictEqual(value(["x=1"], schemaOf(nested)), { x: "1" })
    const items: Record<string, unknown> = { type: "array" }
    items.items = items
    assert.isDefined(problem(["x=1"], schemaOf(items)))
  })
})
