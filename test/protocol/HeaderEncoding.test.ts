import { assert, describe, it } from "@effect/vitest"
import * as Base64 from "effect/encoding/Base64"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import * as HeaderEncoding from "../../src/protocol/HeaderEncoding.ts"
import { anyText } from "../support/anyText.ts"

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true })

/** UTF-8 has no lone surrogates. */
const wellFormed = (value: string): string => utf8.decode(new TextEncoder().encode(value))

/** What a server reads in a header. */
const decode = (header: string): string => {
  const [, base64] = /^=\?base64\?(.*)\?=$/.exec(header) ?? []
  return base64 === undefined ? header : utf8.decode(Result.getOrThrow(Base64.decode(base64)))
}

const visible = fc.string({ unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)), minLength: 1 })

describe("HeaderEncoding", () => {
  const vectors = [
    ["us-west1", "us-west1"],
    ["us west 1", "us west 1"],
    ["Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="],
    [" padded ", "=?base64?IHBhZGRlZCA=?="],
    ["line1\nline2", "=?base64?bGluZTEKbGluZTI=?="],
    ["=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="],
    ["=?base64?=", "=?base64?PT9iYXNlNjQ/PQ==?="],
    ["=?BASE64?literal?=", "=?BASE64?literal?="],
    ["=?base64?literal", "=?base64?literal"],
    ["", "=?base64??="],
    [" ", "=?base64?IA==?="],
    ["\tindented", "=?base64?CWluZGVudGVk?="],
    ["in\tside", "=?base64?aW4Jc2lkZQ==?="],
    ["ends\n", "=?base64?ZW5kcwo=?="],
    ["delete\x7f", "=?base64?ZGVsZXRlfw==?="],
    ["a\r\nInjected: yes", "=?base64?YQ0KSW5qZWN0ZWQ6IHllcw==?="],
    ["file:///path/to/file%20name.txt", "file:///path/to/file%20name.txt"]
  ] as const
  for (const [value, header] of vectors) {
    it(`${JSON.stringify(value)} is sent as ${header}`, () => assert.strictEqual(HeaderEncoding.encode(value), header))
  }

  it("whatever is encoded is visible ASCII without a space at either end, and reads back the same", () =>
    fc.assert(fc.property(anyText, (value) => {
      const header = HeaderEncoding.encode(value)
      assert.match(header, /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/)
      assert.strictEqual(decode(header), wellFormed(value))
    })))

  it("what is visible ASCII stays as it is, unless it looks like an envelope", () =>
    fc.assert(fc.property(fc.array(visible, { minLength: 1 }), (words) => {
      const value = words.join(" ")
      fc.pre(!value.startsWith("=?base64?"))
      assert.strictEqual(HeaderEncoding.encode(value), value)
    })))

  it("what looks like an envelope is put in one", () =>
    fc.assert(fc.property(fc.string({ unit: "binary" }), (inner) => {
      const value = `=?base64?${inner}?=`
      const header = HeaderEncoding.encode(value)
      assert.notStrictEqual(header, value)
      assert.strictEqual(decode(header), wellFormed(value))
    })))

  describe("an argument", () => {
    const mirrored = [
      ["string", "us west", "us west"],
      ["string", "", "=?base64??="],
      ["integer", 42, "42"],
      ["integer", -7, "-7"],
      ["integer", -0, "0"],
      ["integer", Number.MAX_SAFE_INTEGER, "9007199254740991"],
      ["integer", Number.MIN_SAFE_INTEGER, "-9007199254740991"],
      ["boolean", true, "true"],
      ["boolean", false, "false"]
    ] as const
    for (const [type, value, header] of mirrored) {
      it(`${type} ${JSON.stringify(value)} is sent as ${header}`, () =>
        assert.strictEqual(HeaderEncoding.encodeArgument(type, value), header))
    }

    const others: ReadonlyArray<readonly [HeaderEncoding.ArgumentType, unknown]> = [
      ["integer", 1.5],
      ["integer", 2 ** 53],
      ["integer", Number.NaN],
      ["integer", Number.POSITIVE_INFINITY],
      ["integer", "42"],
      ["integer", 42n],
      ["string", 42],
      ["string", ["a"]],
      ["boolean", "true"],
      ["boolean", 1],
      ["string", null],
      ["integer", undefined]
    ]
    for (const [type, value] of others) {
      it(`${String(value)} (${typeof value}) is left out where the type is ${type}`, () =>
        assert.isUndefined(HeaderEncoding.encodeArgument(type, value)))
    }

    it("an integer is in decimal digits only, however large", () =>
      fc.assert(fc.property(fc.maxSafeInteger(), (value) => {
        const header = HeaderEncoding.encodeArgument("integer", value) ?? ""
        assert.match(header, /^-?\d+$/)
        assert.strictEqual(Number(header), value)
      })))
  })
})
