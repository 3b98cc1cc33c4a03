import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Style from "../../src/cli/style.ts"
import * as Table from "../../src/cli/table.ts"
import { width } from "../../src/cli/text.ts"
import { anyText } from "../support/anyText.ts"

const columns: ReadonlyArray<Table.Column> = [
  { title: "NAME", keep: true },
  { title: "COUNT", align: "right" },
  { title: "DESCRIPTION" }
]

const lines = (rows: ReadonlyArray<Table.Row>, room: number) => Table.render(columns, rows, { room }).split("\n")

describe("a table", () => {
  it("is never wider than its room, whatever is in it", () => {
    const cell = fc.oneof(anyText, fc.constantFrom("漢字漢字漢字", "👩‍👩‍👧", "", "x".repeat(200)))
    const row = fc.array(cell, { minLength: 1, maxLength: 3 }).map((cells): Table.Row => ({ cells }))
    fc.assert(fc.property(fc.array(row), fc.integer({ min: -1, max: 120 }), (rows, room) => {
      const rendered = lines(rows, room)
      assert.lengthOf(rendered, rows.length + 1)
      for (const line of rendered) assert.isAtMost(width(line), Math.max(1, room))
    }))
  })

  it("is as narrow as what is in it", () => {
    assert.deepStrictEqual(lines([{ cells: ["files", "3", "Reads files"] }, { cells: ["a", "12", "b"] }], 100), [
      "NAME   COUNT  DESCRIPTION",
      "files      3  Reads files",
      "a         12  b"
    ])
  })

  it("cuts what is only read before what is copied", () => {
    const rendered = lines([{ cells: ["a-name-of-27-characters-long", "1", "x".repeat(100)] }], 50)
    assert.deepStrictEqual(rendered, [
      "NAME                          COUNT  DESCRIPTION",
      `a-name-of-27-characters-long      1  ${"x".repeat(12)}…`
    ])
  })

  it("gives the last of too few cells the rest of the line", () => {
    assert.deepStrictEqual(lines([{ cells: ["files", "3", "ok"] }, { cells: ["broken", "it did not start at all"] }], 24), [
      "NAME    COUNT  DESCRIPT…",
      "files       3  ok",
      "broken  it did not star…"
    ])
  })

  it("puts every cell on one line", () => {
    assert.deepStrictEqual(lines([{ cells: ["a", "1", "first\nsecond\r\n\tthird"] }], 80)[1], "a         1  first second third")
  })

  it("leaves out the last columns where there is no room for all", () => {
    assert.deepStrictEqual(lines([{ cells: ["a", "1", "b"] }], 4), ["…  …", "a  1"])
    assert.deepStrictEqual(lines([{ cells: ["a", "1", "b"] }], 2), ["N…", "a"])
  })

  it("has colours that take no room", () => {
    const { bold, red } = Style.make(true)
    const rendered = Table.render(columns, [{ cells: ["files", "no"], style: red }], { room: 12, heading: bold })
    assert.strictEqual(rendered.split("\n")[1], "files  \u001b[31mno\u001b[0m")
    for (const line of rendered.split("\n")) assert.isAtMost(width(line), 12)
  })
})

describe("colours", () => {
  it("are for terminals, unless the environment says otherwise", () => {
    assert.isTrue(Style.isWanted({}, true))
    assert.isFalse(Style.isWanted({}, false))
    assert.isFalse(Style.isWanted({ TERM: "dumb" }, true))
    assert.isFalse(Style.isWanted({ NO_COLOR: "1" }, true))
    assert.isFalse(Style.isWanted({ NO_COLOR: "1", FORCE_COLOR: "1" }, true))
    assert.isTrue(Style.isWanted({ NO_COLOR: "" }, true))
    assert.isTrue(Style.isWanted({ FORCE_COLOR: "1" }, false))
    assert.isFalse(Style.isWanted({ FORCE_COLOR: "0" }, true))
  })

  it("leave nothing behind where they are not wanted", () => {
    const { bold, red } = Style.make(false)
    assert.strictEqual(red(bold("text")), "text")
  })
})
