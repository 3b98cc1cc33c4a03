import { assert, describe, it, vi } from "@effect/vitest"
import * as fc from "fast-check"
import { LineSplitter, type Options } from "../../src/internal/lineSplitter.ts"
import { anyText } from "../support/anyText.ts"

const encoder = new TextEncoder()

/** Cuts bytes at the given places (taken modulo the length). */
const cut = (bytes: Uint8Array, places: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const sorted = [...new Set(places.map((place) => place % (bytes.length + 1)))].toSorted((a, b) => a - b)
  const from = [0, ...sorted]
  const to = [...sorted, bytes.length]
  // A copy each: a reader may reuse its buffer.
  return from.map((start, i) => bytes.slice(start, to[i]))
}

const split = (chunks: ReadonlyArray<Uint8Array>, options?: Partial<Options>) => {
  const lines: Array<string> = []
  const bytes: Array<number> = []
  let tooLong = 0
  const splitter = new LineSplitter({
    maxBytes: 1_000_000,
    onTooLong: () => tooLong++,
    onLine(line, size) {
      lines.push(line)
      bytes.push(size)
    },
    ...options
  })
  for (const chunk of chunks) splitter.push(chunk)
  splitter.end()
  return { lines, bytes, tooLong }
}

// A carriage return before the end of a line belongs to that end, so no line ends with one.
const text = anyText.map((text) => text.replace(/[\n\uFEFF\p{Cs}]/gu, "").replace(/\r+$/u, ""))
const places = fc.array(fc.nat())

describe("lineSplitter", () => {
  it("a line over the limit is told once, and everything from there on is ignored", () => {
    fc.assert(fc.property(fc.array(fc.string({ maxLength: 8 })), places, (after, places) => {
      const input = `ok\nfine\n123456789\n${after.map((line) => line.replaceAll("\n", "")).join("\n")}\n`
      const result = split(cut(encoder.encode(input), places), { maxBytes: 8 })
      assert.deepStrictEqual(result.lines, ["ok", "fine"])
      assert.strictEqual(result.tooLong, 1)
    }))
  })

  it("a line that never ends is refused before more than the limit is kept", () => {
    const set = vi.spyOn(Uint8Array.prototype, "set")
    let tooLong = 0
    const splitter = new LineSplitter({ maxBytes: 10_000, onTooLong: () => tooLong++, onLine: () => assert.fail() })
    for (let i = 0; i < 100; i++) splitter.push(new Uint8Array(1_000).fill(120))
    splitter.end()
    const buffers = new Set(set.mock.contexts.map((target) => (target as Uint8Array).buffer))
    set.mockRestore()
    assert.strictEqual(tooLong, 1)
    assert.strictEqual([...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0), 10_000)
  })

  it("a line of exactly the limit is taken, one byte more is not", () => {
    for (const at of [0, 3, 8]) {
      assert.deepStrictEqual(split(cut(encoder.encode("12345678\n"), [at]), { maxBytes: 8 }).lines, ["12345678"])
      assert.strictEqual(split(cut(encoder.encode("123456789\n"), [at]), { maxBytes: 8 }).tooLong, 1)
    }
  })

  it("bytes that are not UTF-8 never swallow a line end", () => {
    const input = Uint8Array.of(0xe2, 0x82, 0x0a, 0xf0, 0x0a, 0x61, 0x0a)
    for (let at = 0; at < input.length; at++) {
      assert.deepStrictEqual(split(cut(input, [at])).lines, ["\uFFFD", "\uFFFD", "a"])
    }
  })

  it("any cutting of any lines gives the same lines and counts every byte once", () => {
    fc.assert(fc.property(
      fc.array(fc.tuple(text, fc.constantFrom("\n", "\r\n"))),
      text,
      places,
      (lines, last, places) => {
        const input = encoder.encode(lines.map(([line, end]) => line + end).join("") + last)
        const result = split(cut(input, places))
        assert.deepStrictEqual(result.lines, [...lines.map(([line]) => line), ...(last === "" ? [] : [last])])
        assert.strictEqual(result.bytes.reduce((a, b) => a + b, 0), input.length)
      }
    ))
  })

  it("a byte order mark is dropped at the beginning of the input and nowhere else", () => {
    const input = encoder.encode("\uFEFF\uFEFFa\n\uFEFFb\n")
    for (let at = 0; at < input.length; at++) {
      assert.deepStrictEqual(split(cut(input, [at])).lines, ["\uFEFFa", "\uFEFFb"])
    }
  })

  it("what is left at the end is a line", () => {
    assert.deepStrictEqual(split([encoder.encode("a\nb")]).lines, ["a", "b"])
    assert.deepStrictEqual(split([encoder.encode("a\n")]).lines, ["a"])
  })

  it("in pieces, a long line loses nothing and no piece is over the limit", () => {
    fc.assert(fc.property(fc.stringMatching(/^[ -~]*$/), fc.integer({ min: 1, max: 10 }), places, (line, maxBytes, places) => {
      const { bytes, lines } = split(cut(encoder.encode(`${line}\n`), places), { maxBytes, onTooLong: "split" })
      assert.strictEqual(lines.join(""), line)
      assert.isTrue(lines.every((piece) => piece.length <= maxBytes))
      assert.strictEqual(bytes.reduce((a, b) => a + b, 0), line.length + 1)
    }))
  })

  it("a large line is copied a bounded number of times, whatever the size of the pieces", () => {
    for (const [size, piece] of [[8 << 20, 65_536], [1 << 18, 1]] as const) {
      const set = vi.spyOn(Uint8Array.prototype, "set")
      const decode = vi.spyOn(TextDecoder.prototype, "decode")
      const chunk = new Uint8Array(piece).fill(120)
      let bytes = 0
      const splitter = new LineSplitter({
        maxBytes: 64 << 20,
        onTooLong: () => assert.fail(),
        onLine(_, size) {
          bytes = size
        }
      })
      for (let i = 0; i < size / piece; i++) splitter.push(chunk)
      splitter.push(Uint8Array.of(10))
      const total = (calls: ReadonlyArray<ReadonlyArray<unknown>>) =>
        calls.reduce((sum, [source]) => sum + (source instanceof Uint8Array ? source.length : 0), 0)
      const copied = total(set.mock.calls)
      const decoded = total(decode.mock.calls)
      set.mockRestore()
      decode.mockRestore()
      assert.strictEqual(bytes, size + 1)
      assert.isBelow(copied, size * 3)
      assert.strictEqual(decoded, size)
    }
  })
})
