import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as DotEnv from "../../src/config/DotEnv.ts"

const values = (contents: string) => {
  const { problems, values } = DotEnv.parse(contents)
  assert.deepStrictEqual(problems, [])
  return Object.fromEntries(values)
}

describe("DotEnv", () => {
  it("lines that are not understood are told by number, without quoting them", () => {
    assert.deepStrictEqual(DotEnv.parse("A=1\ns3cr3t\n=s3cr3t\n# c\n__proto__=x\n\0=s3cr3t\nB=\"1\n2\"s3cr3t\nC=\"s3cr3t\nD=2").problems, [
      "Line 2: Expected NAME=value",
      "Line 3: Expected NAME=value",
      "Line 5: The name \"__proto__\" is not allowed: it has a meaning of its own in JavaScript",
      "Line 6: Must not contain a NUL character",
      "Line 8: Expected the end of the line after the quote",
      "Line 9: The quote is not closed"
    ])
  })

  it("comments, blank lines, export, spaces and line ends of any kind are fine", () => {
    assert.deepStrictEqual(
      values("\uFEFF# c\r\n\r\nexport A=1\r B = two words # c\n\tC=a#b\nD=\nE= # c"),
      { A: "1", B: "two words", C: "a#b", D: "", E: "" }
    )
  })

  it("quotes keep spaces and comments, span lines, and only double ones have escapes", () => {
    assert.deepStrictEqual(
      values("A=\" # x \"\nB='a\\nb'\nC=\"a\\nb\\\"c\\\\n\" # c\nD=`a\nb`\nE=\"1\n2\"\nF=it's"),
      { A: " # x ", B: "a\\nb", C: "a\nb\"c\\n", D: "a\nb", E: "1\n2", F: "it's" }
    )
  })

  it("nothing is expanded", () => {
    assert.deepStrictEqual(values("A=${B}$C"), { A: "${B}$C" })
  })

  it("any value in double quotes, escaped, is itself", () => {
    fc.assert(fc.property(fc.string({ unit: fc.constantFrom("a", "\"", "\\", "\n", "\r", "n", "#", "'", " ", "=") }), (value) => {
      const escaped = value.replace(/[\\"]/g, "\\$&").replaceAll("\r", "\\r")
      assert.deepStrictEqual(values(`A="${escaped}"\nB=1`), { A: value, B: "1" })
    }))
  })

  it("an unclosed quote before a megabyte of lines takes no more than linear time", () => {
    const started = performance.now()
    assert.lengthOf(DotEnv.parse("A=\"\n".repeat(1_000_000)).problems, 0)
    assert.lengthOf(DotEnv.parse(`A="${"\n".repeat(1_000_000)}`).problems, 1)
    assert.lengthOf(DotEnv.parse(`A="${"\\\n".repeat(500_000)}`).problems, 1)
    assert.isBelow(performance.now() - started, 10_000)
  })
})
