import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import * as Document from "../../src/config/Document.ts"

const problem = (text: string, format: Document.Format = "json"): string => {
  const result = Document.parse(text, format)
  assert.isTrue(Result.isFailure(result), text)
  return Result.isFailure(result) ? result.failure : ""
}

const value = (text: string, format: Document.Format = "json") => Result.getOrThrow(Document.parse(text, format))

describe("Document", () => {
  it("a syntax error in JSON tells line, column and what was expected", () => {
    assert.strictEqual(problem("{\n  \"a\": 1\n  \"b\": 2\n}"), "Line 3, column 3: expected \",\"")
    assert.strictEqual(problem("{\"a\" 1}"), "Line 1, column 6: expected \":\"")
    assert.strictEqual(problem("{a: 1}"), "Line 1, column 2: not valid JSON here")
    assert.strictEqual(problem("{\"a\": }"), "Line 1, column 7: expected a value")
    assert.strictEqual(problem("{\"a\": \"b"), "Line 1, column 7: the string is not closed")
    assert.strictEqual(problem("{\"a\": 1"), "Line 1, column 8: expected \"}\"")
    assert.strictEqual(problem("[1"), "Line 1, column 3: expected \"]\"")
    assert.strictEqual(problem("{} {}"), "Line 1, column 4: expected the end of the document")
    assert.strictEqual(problem(""), "Line 1, column 1: expected a value")
    assert.strictEqual(problem("{} /*"), "Line 1, column 4: the comment is not closed")
    assert.strictEqual(problem("{\"a\": \"\\x\"}"), "Line 1, column 7: not a valid escape in a string")
  })

  it("a syntax error in TOML tells line and column", () => {
    assert.strictEqual(problem("a = 1\nb = \n", "toml"), "Line 2, column 5: expected a value")
    assert.strictEqual(problem("[a\n", "toml"), "Line 1, column 3: expected ']'")
    assert.strictEqual(problem("a = 1\na = 2", "toml"), "Line 2, column 6: cannot redefine existing key")
  })

  it("a syntax error does not quote the document, which may hold secrets", () => {
    for (const text of ["TOKEN = s3cr3t", "TOKEN = \"s3cr3t", "[s3cr3t", "a = 's3cr3t\n'", "s3cr3t", "a = 2020-99-99s3cr3t", "a = \"\\s3cr3t\"", "a = s3cr3t'x' at line 1, column 1"]) {
      assert.notInclude(problem(text, "toml"), "s3cr3t")
    }
    for (const text of ["{ \"TOKEN\": s3cr3t }", "{ \"TOKEN\": \"s3cr3t }", "s3cr3t", "{ \"a\": \"\\s3cr3t\" }"]) {
      assert.notInclude(problem(text), "s3cr3t")
    }
  })

  it("a key that is given twice is an error, where it is given again", () => {
    assert.strictEqual(
      problem("{\n  \"mcpServers\": { \"a\": {},\n    \"a\": {} } }"),
      "Line 3, column 5: the key \"a\" was given before"
    )
    assert.strictEqual(problem("{ \"__proto__\": 1, \"__proto__\": 2 }"), "Line 1, column 19: the key \"__proto__\" was given before")
  })

  it("nesting that would exhaust the stack is an error", () => {
    for (const open of ["[", "{\"a\":"]) {
      assert.match(problem(open.repeat(100_000)), /^Line 1, column \d+: nested deeper than 100 levels$/)
    }
    assert.strictEqual(problem(`a = ${"[".repeat(100_000)}`, "toml"), "Not valid TOML")
    assert.deepStrictEqual(value(`${"[".repeat(100)}${"]".repeat(100)}`), value(`${"[ ".repeat(100)}${" ]".repeat(100)}`))
  })

  it("comments, trailing commas and a byte order mark are no errors", () => {
    assert.deepStrictEqual(
      value("\uFEFF// c\r\n{ /* c */ \"a\": [1, 2,], // c\n \"b\": \"//\", }"),
      { a: [1, 2], b: "//" }
    )
    assert.deepEqual(value("\uFEFFa = 1 # c", "toml"), { a: 1 })
  })

  it("a key __proto__ is a key like others, and no prototype changes", () => {
    for (const [text, format] of [["{ \"__proto__\": { \"x\": 1 } }", "json"], ["[__proto__]\nx = 1", "toml"]] as const) {
      const parsed = value(text, format)
      assert.isTrue(typeof parsed === "object" && parsed !== null && Object.hasOwn(parsed, "__proto__"))
      assert.isUndefined(Reflect.get(Object(parsed), "x"))
    }
    assert.isUndefined(Reflect.get({}, "x"))
  })

  it("what JSON.stringify writes is read as JSON.parse reads it", () => {
    fc.assert(fc.property(fc.jsonValue(), fc.constantFrom(undefined, 2), (json, indent) => {
      const text = JSON.stringify(json, null, indent)
      assert.deepStrictEqual(value(text), JSON.parse(text))
    }))
  })

  it("no text makes it throw", () => {
    const text = fc.string({ unit: fc.constantFrom("{", "}", "[", "]", "\"", ":", ",", "a", "=", "\n", "\\", "/", "*", "'", "#", "1", ".") })
    fc.assert(fc.property(text, (text) => {
      Document.parse(text, "json")
      Document.parse(text, "toml")
    }))
  })
})
