import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Render from "../../src/cli/render.ts"
import type { ContentBlock } from "../../src/protocol/McpSchema.ts"

const image: ContentBlock = { type: "image", mimeType: "image/png", data: Buffer.alloc(1_500).toString("base64") }

describe("content for a person", () => {
  it("holds nothing a terminal would act on, in whatever field a server puts it", () => {
    const evil = "\u001b[2J\u001b]0;x\u0007\u009b31m\u202e"
    const blocks: ReadonlyArray<ContentBlock> = [
      { type: "text", text: evil },
      { type: "image", mimeType: evil, data: evil },
      { type: "audio", mimeType: evil, data: evil },
      { type: "resource_link", uri: evil, name: evil, title: evil, description: evil, mimeType: evil },
      { type: "resource", resource: { uri: evil, text: evil, mimeType: evil } },
      { type: "resource", resource: { uri: evil, blob: evil, mimeType: evil } },
      JSON.parse(JSON.stringify({ type: evil, [evil]: evil }))
    ]
    const shown = [
      ...blocks.map(Render.block),
      Render.toolResult({ content: [], structuredContent: { [evil]: evil } }),
      Render.messages({ messages: [{ role: "user", content: { type: "text", text: evil } }] })
    ]
    // oxlint-disable-next-line no-control-regex
    for (const text of shown) assert.notMatch(text, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202e]/)
  })

  it("is text as it is, and a word on everything else", () => {
    assert.deepStrictEqual(
      [
        { type: "text" as const, text: "a\n\tb" },
        image,
        { type: "resource_link" as const, uri: "file:///a", name: "a", mimeType: "text/plain", size: 12, description: "An a" },
        { type: "resource" as const, resource: { uri: "file:///b", text: "inside" } },
        { type: "resource" as const, resource: { uri: "file:///c", blob: "AAAA" } }
      ].map(Render.block),
      [
        "a\n\tb",
        "[image: image/png, 1.5 kB]",
        "a <file:///a> (text/plain, 12 B, An a)",
        "file:///b:\ninside",
        "[file:///c: application/octet-stream, 3 B]"
      ]
    )
  })

  it("has the structured result only where there is no text", () => {
    const structuredContent = { sum: 3 }
    assert.strictEqual(Render.toolResult({ content: [], structuredContent }), "{\n  \"sum\": 3\n}")
    assert.strictEqual(Render.toolResult({ content: [{ type: "text", text: "3" }], structuredContent }), "3")
    assert.strictEqual(Render.toolResult({ content: [image], structuredContent: null }), "[image: image/png, 1.5 kB]\nnull")
  })

  it("counts the bytes of base64 exactly", () => {
    fc.assert(fc.property(fc.nat(990), (size) => {
      const data = Buffer.alloc(size).toString("base64")
      assert.strictEqual(Render.block({ type: "audio", mimeType: "a", data }), `[audio: a, ${size} B]`)
    }))
  })

  it("can be saved where it is not text", () => {
    const blob = { uri: "a", blob: "AAAA", mimeType: "b" }
    assert.deepStrictEqual(
      Render.binariesOf([{ type: "text", text: "a" }, { type: "audio", data: "AA==", mimeType: "a" }, { type: "resource", resource: blob }]),
      [{ base64: "AA==", mimeType: "a" }, { base64: "AAAA", mimeType: "b" }]
    )
  })
})
