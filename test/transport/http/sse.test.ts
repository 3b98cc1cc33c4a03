import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as fc from "fast-check"
import * as Sse from "../../../src/transport/http/sse.ts"

const encoder = new TextEncoder()

const request = HttpClientRequest.get("https://example.com/")

/** A response in these pieces, and how many of them were asked for. */
const pieces = (chunks: ReadonlyArray<Uint8Array>) => {
  const taken = { count: 0 }
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const chunk = chunks[taken.count++]
      if (chunk === undefined) controller.close()
      else controller.enqueue(chunk)
    }
  }, { highWaterMark: 0 })
  return { taken, response: HttpClientResponse.fromWeb(request, new Response(body)) }
}

const options = { shown: "https://example.com/", maxMessageBytes: 1_000 }

const cut = (bytes: Uint8Array, at: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const marks = [0, ...at.map((mark) => mark % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return marks.slice(1).map((mark, index) => bytes.subarray(marks[index], mark)).filter(({ length }) => length > 0)
}

describe("reading events", () => {
  it.effect("an event longer than the limit fails, however it is cut", () =>
    Effect.gen(function*() {
      const long = encoder.encode(`data: ${"x".repeat(2_000)}`)
      for (const marks of [[], [10, 900], [1_500]]) {
        const { response } = pieces(cut(long, marks))
        const error = yield* Effect.flip(Effect.scoped(Sse.read(response, { ...options, onEvent: () => true })))
        assert.strictEqual(error._tag, "MessageTooLarge")
      }
    }))

  it.effect("nothing more is taken from the server than is read: an unfinished reader holds it back", () =>
    Effect.gen(function*() {
      const chunks = Array.from({ length: 100 }, (_, index) => encoder.encode(`data: ${index}\n\n`))
      const { response, taken } = pieces(chunks)
      const handled: Array<string> = []
      const end = yield* Effect.scoped(Sse.read(response, {
        ...options,
        onEvent: ({ data }) => {
          handled.push(data)
          assert.isAtMost(taken.count, handled.length + 1)
          return true
        }
      }))
      assert.strictEqual(end, "ended")
      assert.lengthOf(handled, 100)
    }))

  const texts = fc.array(
    fc.array(fc.string({ unit: "grapheme" }).map((text) => text.replace(/[\r\n]/g, "")), { minLength: 1, maxLength: 3 }),
    { maxLength: 5 }
  )

  it("any cut and any line end gives the same events", () =>
    fc.assert(fc.asyncProperty(texts, fc.constantFrom("\n", "\r", "\r\n"), fc.array(fc.nat(), { maxLength: 10 }), async (messages, end, marks) => {
      const text = messages.map((lines) => `: é${end}${lines.map((line) => `data: ${line}${end}`).join("")}${end}`).join("")
      const { response } = pieces(cut(encoder.encode(text), marks))
      const events: Array<string> = []
      await Effect.runPromise(Effect.scoped(Sse.read(response, {
        ...options,
        onEvent: (event) => {
          events.push(event.data)
          return true
        }
      })))
      assert.deepStrictEqual(events, messages.map((lines) => lines.join("\n")))
    })))
})
