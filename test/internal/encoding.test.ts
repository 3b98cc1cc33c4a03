import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { utf8 } from "../../src/internal/encoding.ts"

describe("encoding", () => {
  it("no text disturbs another, whatever their characters and lengths", () => {
    const text = fc.oneof(
      fc.string({ unit: "grapheme", maxLength: 300 }),
      fc.string({ unit: "binary", minLength: 500, maxLength: 4_000 }),
      fc.constant("\u20ac".repeat(1_365))
    )
    fc.assert(fc.property(fc.array(text, { maxLength: 60 }), (texts) => {
      const encoded = texts.map(utf8)
      assert.deepStrictEqual(encoded.map((bytes) => Buffer.from(bytes).toString("hex")), texts.map((text) => Buffer.from(text).toString("hex")))
    }), { numRuns: 30 })
  })
})
