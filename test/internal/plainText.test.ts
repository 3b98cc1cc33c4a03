import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as PlainText from "../../src/internal/plainText.ts"
import { anyText } from "../support/anyText.ts"

describe("plainText", () => {
  it("no control character but tab and line feed survives, and no other character is lost", () => {
    fc.assert(fc.property(anyText, (text) => {
      assert.notMatch(PlainText.plain(text), /[^\P{Cc}\t\n]/u)
    }))
    fc.assert(fc.property(anyText.map((text) => text.replace(/[^\P{Cc}\t\n]/gu, "")), (text) => {
      assert.strictEqual(PlainText.plain(text), text)
    }))
  })

  it("colours, cursor movements, titles and links leave only their text", () => {
    const link = "\u001b]8;;https://example.com\u001b\\docs\u001b]8;;\u001b\\"
    assert.strictEqual(PlainText.plain(`\u001b[1;31merror\u001b[0m\u001b[2K\u001b]0;title\u0007: see ${link}\r\u001b7`), "error: see docs")
  })

  it("an excerpt is no longer than asked for", () => {
    assert.strictEqual(PlainText.excerpt("x".repeat(1_000), 10), "xxxxxxxxxx")
    assert.strictEqual(PlainText.excerpt("\u001b[31mred", 100), "red")
  })

  it("an excerpt is made of any value there can be", () => {
    assert.strictEqual(PlainText.excerptOfJson({ a: ["\u009b31mred"] }, 8), "{\"a\":[\"")
    assert.strictEqual(PlainText.excerptOfJson(undefined, 100), "undefined")
    const deep: unknown = JSON.parse(`${"[".repeat(100_000)}${"]".repeat(100_000)}`)
    assert.include(PlainText.excerptOfJson(deep, 100), "nested too deeply")
  })

  it("a tail keeps the end of what was appended", () => {
    fc.assert(fc.property(fc.array(fc.stringMatching(/^[a-z]*$/)), fc.integer({ min: 1, max: 40 }), (lines, max) => {
      const tail = PlainText.makeTail(max)
      for (const line of lines) tail.append(line)
      assert.strictEqual(tail.text(), lines.map((line) => `${line}\n`).join("").slice(-max).trim())
    }))
  })
})
