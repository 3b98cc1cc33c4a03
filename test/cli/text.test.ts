import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Text from "../../src/cli/text.ts"
import { anyText } from "../support/anyText.ts"

/** Everything a terminal acts on, but line feeds and tabs, and what turns the reading direction. */
// oxlint-disable-next-line no-control-regex
const acting = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/

const hostile = fc.array(fc.oneof(
  anyText,
  fc.constantFrom("\u001b[2J", "\u001b]0;title\u0007", "\u001b", "\u009b31m", "\r", "\u0008", "\u202e", "\u2066", "\u001bP", "\n", "\t", "漢字", "👩‍👩‍👧")
)).map((parts) => parts.join(""))

describe("text from outside", () => {
  it("reaches the terminal without anything it would act on", () => {
    fc.assert(fc.property(hostile, (text) => {
      assert.notMatch(Text.safe(text), acting)
      assert.notMatch(Text.oneLine(text), acting)
      assert.notMatch(Text.oneLine(text), /[\n\t\u2028\u2029]/)
    }))
  })

  it("keeps its line feeds and tabs", () => {
    assert.strictEqual(Text.safe("a\tb\n\u001b[31mred\u001b[0m\r\n"), "a\tb\nred\n")
  })

  it("cannot make a URL look like another one by turning the reading direction", () => {
    assert.strictEqual(Text.safe("https://evil.example/\u202emoc.elgoog"), "https://evil.example/moc.elgoog")
  })

  it("is cut before it is looked at closely, when it is to be one line", () => {
    assert.isAtMost(Text.oneLine("long ".repeat(1e6)).length, 1_000)
  })
})

describe("JSON", () => {
  it("reads back as the same value, and holds nothing a terminal acts on", () => {
    fc.assert(fc.property(fc.dictionary(hostile, fc.oneof(hostile, fc.integer(), fc.boolean())), (value) => {
      const shown = Text.json(value)
      assert.notMatch(shown, acting)
      assert.deepStrictEqual({ ...JSON.parse(shown) }, { ...value })
    }))
  })

  it("is null for what JSON cannot say", () => {
    assert.strictEqual(Text.json(undefined), "null")
  })
})

describe("a line that is cut", () => {
  it("never takes more cells than it may, whatever it is written in", () => {
    fc.assert(fc.property(hostile.map(Text.oneLine), fc.nat(60), (line, cells) => {
      assert.isAtMost(Text.width(Text.cut(line, cells)), cells)
    }))
  })

  it("stays as it is when it fits", () => {
    fc.assert(fc.property(hostile.map(Text.oneLine), (line) => {
      assert.strictEqual(Text.cut(line, Text.width(line)), line)
    }))
  })

  it("counts wide characters twice and cuts no character in two", () => {
    assert.strictEqual(Text.width("漢字"), 4)
    assert.strictEqual(Text.cut("漢字漢字", 6), "漢字…")
    assert.strictEqual(Text.cut("👩‍👩‍👧👩‍👩‍👧", 3), "👩‍👩‍👧…")
    assert.strictEqual(Text.cut("abc", 1), "…")
    assert.strictEqual(Text.cut("abc", 0), "")
  })
})

describe("amounts", () => {
  it("are short", () => {
    assert.deepStrictEqual([0, 999, 1_000, 12_345, 5e6, 2.5e9].map(Text.bytes), [
      "0 B",
      "999 B",
      "1.0 kB",
      "12.3 kB",
      "5.0 MB",
      "2.5 GB"
    ])
    assert.deepStrictEqual([3, 999, 1_234].map(Text.millis), ["3 ms", "999 ms", "1.2 s"])
  })
})
