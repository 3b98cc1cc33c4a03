import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Sse from "effect/encoding/Sse"
import * as fc from "fast-check"
import * as EventParser from "../../../src/transport/http/eventParser.ts"

const encoder = new TextEncoder()

type Seen = readonly [event: string, data: string, id: string | undefined] | readonly [retry: number, id: string | undefined]

const parse = (chunks: ReadonlyArray<Uint8Array | string>, maxLength = 1_000_000) => {
  const seen: Array<Seen> = []
  const parser = EventParser.make({
    maxLength,
    onEvent: (event, data, id) => {
      seen.push([event, data, id])
      return true
    },
    onRetry: (millis, id) => seen.push([millis, id])
  })
  const decoder = new TextDecoder()
  let verdict: EventParser.Verdict = "more"
  for (const chunk of chunks) {
    verdict = parser.push(typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true }))
    if (verdict !== "more") break
  }
  return { seen, verdict }
}

/** What Effect's own parser makes of it in one piece. */
const expected = (bytes: Uint8Array): ReadonlyArray<Seen> => {
  const seen: Array<Seen> = []
  Sse.makeParser((event) => {
    seen.push(event._tag === "Event"
      ? [event.event, event.data, event.id]
      : [Duration.toMillis(event.duration), event.lastEventId])
  }).feed(new TextDecoder().decode(bytes, { stream: true }))
  return seen
}

const cut = (bytes: Uint8Array, at: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const marks = [0, ...at.map((mark) => mark % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return marks.slice(1).map((mark, index) => bytes.subarray(marks[index], mark))
}

const end = fc.constantFrom("\n", "\r", "\r\n")

const value = fc.oneof(
  fc.constantFrom("", " ", "  x", "1", "007", "-1", "1.5", "a\0b", ":", "a: b", "é", "世界", "😀", "\u2028"),
  fc.string({ unit: "binary" }).map((text) => text.replace(/[\r\n]/g, ""))
)

const line = fc.oneof(
  { weight: 4, arbitrary: fc.constant("") },
  {
    weight: 8,
    arbitrary: fc.tuple(fc.constantFrom("data", "event", "id", "retry", "", "other", "Data", " data"), fc.constantFrom(":", ": "), value)
      .map((parts) => parts.join(""))
  },
  { weight: 1, arbitrary: fc.constantFrom("data", "event", "id", "retry", ":", "\ufeff") },
  { weight: 1, arbitrary: value }
)

/** Bytes of a stream; a third of them begin with a byte order mark, and what is last need not be whole. */
const stream = fc.tuple(
  fc.constantFrom("", "", "\ufeff"),
  fc.array(fc.tuple(line, end), { maxLength: 30 }),
  line,
  fc.nat({ max: 3 })
).map(([mark, lines, last, missing]) => {
  const bytes = encoder.encode(`${mark}${lines.map(([text, end]) => text + end).join("")}${last}`)
  return bytes.subarray(0, Math.max(0, bytes.length - missing))
  // Effect's parser would take away a second mark.
}).filter((bytes) => !new TextDecoder().decode(bytes).startsWith("\ufeff"))

describe("parsing events", () => {
  it("tells what Effect's parser tells of any stream, however it is cut", () =>
    fc.assert(
      fc.property(stream, fc.array(fc.nat(), { maxLength: 20 }), (bytes, marks) => {
        assert.deepStrictEqual(parse(cut(bytes, marks)).seen, expected(bytes))
      }),
      { numRuns: 1_000 }
    ))

  it("takes each byte alone", () => {
    const bytes = encoder.encode("\ufeff: hi\r\nid: 7\r\nevent: é\r\ndata: 世\r\ndata: 😀\r\n\r\nretry: 20\r\rdata\n\n")
    assert.deepStrictEqual(parse(Array.from(bytes, (byte) => Uint8Array.of(byte))).seen, [
      ["é", "世\n😀", "7"],
      [20, "7"],
      ["message", "", "7"]
    ])
  })

  it("drops an event that the end cuts off, and what it said", () => {
    assert.deepStrictEqual(parse(["data: 1\n\nevent: a\ndata: 2\n"]).seen, [["message", "1", undefined]])
  })

  it("keeps an LF after a CR apart from one that ends a line of its own", () => {
    assert.deepStrictEqual(parse(["data: 1\r", "\n", "\r", "\ndata: 2\r", "\r"]).seen, [
      ["message", "1", undefined],
      ["message", "2", undefined]
    ])
  })

  it("stops within a chunk when no more is wanted", () => {
    const seen: Array<string> = []
    const parser = EventParser.make({
      maxLength: 100,
      onEvent: (_, data) => {
        seen.push(data)
        return data !== "2"
      }
    })
    assert.strictEqual(parser.push("data: 1\n\n"), "more")
    assert.strictEqual(parser.push("data: 2\n\ndata: 3\n\n"), "enough")
    assert.deepStrictEqual(seen, ["1", "2"])
  })
})

describe("the limit", () => {
  const endless: ReadonlyArray<readonly [what: string, begin: string, more: string]> = [
    ["data without an end", "data: ", "x"],
    ["lines of data without an end of the event", "", "data\n"],
    ["a comment", ":", "x"],
    ["an id", "id: ", "x"],
    ["a name of a field", "", "x"],
    ["data in characters of several bytes", "data: ", "世"]
  ]
  for (const [what, begin, more] of endless) {
    it(`is kept by ${what}, in small pieces and in large ones`, () => {
      for (const times of [1, 7, 5_000]) {
        const { verdict } = parse([begin, ...Array.from({ length: Math.ceil(1_001 / times) }, () => more.repeat(times))], 1_000)
        assert.strictEqual(verdict, "too large")
      }
    })
  }

  it("falls on the same event however the stream is cut, and those before are told", () =>
    fc.assert(fc.property(fc.array(fc.nat(), { maxLength: 5 }), fc.constantFrom("x", "世"), (marks, letter) => {
      const fits = `data: ${letter.repeat(94)}\n\n`
      assert.deepStrictEqual(parse(cut(encoder.encode(fits), marks), 100), { seen: [["message", letter.repeat(94), undefined]], verdict: "more" })
      const { seen, verdict } = parse(cut(encoder.encode(`${fits}data: ${letter.repeat(95)}\n\n${fits}`), marks), 100)
      assert.strictEqual(verdict, "too large")
      assert.lengthOf(seen, 1)
    })))

  it("is not reached by any number of comments, names, ids and events", () => {
    const { seen, verdict } = parse(Array.from({ length: 1_000 }, () => ": still here\nid: 1\nevent: message\ndata: 1\n\n"), 20)
    assert.strictEqual(verdict, "more")
    assert.lengthOf(seen, 1_000)
  })

  it("lets one event come in more pieces than are kept apart", () => {
    const bytes = encoder.encode(`data: ${"0123456789".repeat(1_000)}\n\n`)
    const { seen } = parse(Array.from(bytes, (byte) => Uint8Array.of(byte)))
    assert.deepStrictEqual(seen, [["message", "0123456789".repeat(1_000), undefined]])
    const lines = Array.from({ length: 5_000 }, (_, index) => String(index))
    assert.deepStrictEqual(parse(lines.map((line) => `data: ${line}\n`).concat("\n")).seen, [["message", lines.join("\n"), undefined]])
  })
})
