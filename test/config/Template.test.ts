import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Template from "../../src/config/Template.ts"

const literal = (text: string): Template.Template => text === "" ? [] : [text]

const variable = (name: string, fallback?: string): Template.Reference => ({ _tag: "Variable", name, fallback })

/** Text in which marks and braces are frequent. */
const tricky = fc.string({ unit: fc.constantFrom("$", "\\", "{", "}", ":", "-", "A", "env:", "input:", "é", "\n", "${A}") })

const problem = (template: string): string | undefined => {
  const part = Template.parse(template).find((part) => typeof part !== "string" && part._tag === "Unusable")
  return typeof part === "object" && part._tag === "Unusable" ? part.problem : undefined
}

describe("Template", () => {
  it("a reference that is not closed, has no name or an unknown form is told, without quoting it", () => {
    for (const secret of ["${", "x${secret", "${}", "${1secret}", "${a b}", "${env:}", "${secret%x}", "${config:secret}", "${VAR:secret}"]) {
      const told = problem(secret) ?? ""
      assert.include(told, "write \"$${\" where it is meant literally", secret)
      assert.notInclude(told, "secret")
    }
  })

  it("a value that an editor would ask for is told to be unavailable", () => {
    assert.include(problem("Bearer ${input:token}"), "asks a person for a value")
  })

  it("a default cannot hold another reference", () => {
    assert.include(problem("${A:-${B}}"), "a default is literal text")
  })

  it("variables are found with and without env: and with a default up to the first brace", () => {
    assert.deepStrictEqual(Template.parse("a${A}b${env:B_2}${C:-d:-e}${env:D:-}}"), [
      "a",
      variable("A"),
      "b",
      variable("B_2"),
      variable("C", "d:-e"),
      variable("D", ""),
      "}"
    ])
  })

  it("the editor's variables are not variables of the environment", () => {
    assert.deepStrictEqual(
      Template.parse("${workspaceFolder}${/}x"),
      [{ _tag: "Place", place: "workspaceFolder" }, { _tag: "Place", place: "/" }, "x"]
    )
  })

  it("an odd number of marks before ${ escapes it, and two of them stand for one", () => {
    assert.deepStrictEqual(Template.parse("$${A}"), ["${A}"])
    assert.deepStrictEqual(Template.parse("$$${A}"), ["$", variable("A")])
    assert.deepStrictEqual(Template.parse("$$$${A}"), ["$${A}"])
    assert.deepStrictEqual(Template.parse("\\${A}"), ["${A}"])
    assert.deepStrictEqual(Template.parse("\\\\${A}"), ["\\", variable("A")])
    assert.deepStrictEqual(Template.parse("\\\\\\${A}"), ["\\${A}"])
    assert.deepStrictEqual(Template.parse("${A}\\${A}"), [variable("A"), "${A}"])
  })

  it("marks that are not before ${ are themselves", () => {
    for (const text of ["pa$$word", "$HOME", "C:\\tools\\", "$$", "\\\\server\\share", "{$}", "$ {A}", "50$"]) {
      assert.deepStrictEqual(Template.parse(text), [text])
    }
  })

  it("any literal text, escaped, is itself again", () => {
    fc.assert(fc.property(fc.oneof(tricky, fc.string({ unit: "binary" })), (text) => {
      assert.deepStrictEqual(Template.parse(Template.escape(text)), literal(text))
    }))
  })

  it("escaped text stays itself between references", () => {
    const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]*$/).filter((name) => !Template.places.some((place) => place === name))
    fc.assert(fc.property(tricky, name, tricky, (before, name, after) => {
      // A backslash or a dollar that ends the text before would be a mark of the reference.
      fc.pre(!/[$\\]$/.test(before))
      assert.deepStrictEqual(
        Template.parse(`${Template.escape(before)}\${${name}}${Template.escape(after)}`),
        [...literal(before), variable(name), ...literal(after)]
      )
    }))
  })

  it("text without marks is unchanged", () => {
    fc.assert(fc.property(fc.string({ unit: "grapheme" }).map((text) => text.replace(/[$\\]/g, "")), (text) => {
      assert.deepStrictEqual(Template.parse(text), literal(text))
      assert.strictEqual(Template.escape(text), text)
    }))
  })

  it("no text makes it throw", () => {
    fc.assert(fc.property(tricky, (text) => {
      Template.parse(text)
      Template.mask(text)
    }))
  })

  it("hostile text of a megabyte takes no more than linear time", () => {
    const started = performance.now()
    for (const unit of ["$", "\\", "${", "$${", "\\${", "${A:-", "{", "${A}"]) {
      const text = unit.repeat(1_000_000 / unit.length)
      Template.parse(text)
      Template.escape(text)
    }
    // Quadratic time would be hours.
    assert.isBelow(performance.now() - started, 10_000)
  })

  it("a masked template shows its references and hides its literal text and defaults", () => {
    assert.strictEqual(Template.mask("sk-123"), "<redacted>")
    assert.strictEqual(Template.mask("${TOKEN}"), "${TOKEN}")
    assert.strictEqual(Template.mask("Bearer ${env:TOKEN}"), "Bearer ${TOKEN}")
    assert.strictEqual(Template.mask("Bearer sk-123"), "<redacted>")
    assert.strictEqual(Template.mask("sk-${TOKEN:-123}"), "<redacted>${TOKEN:-<redacted>}")
    assert.strictEqual(Template.mask("${sk-123}"), "<redacted>")
    assert.strictEqual(Template.mask("$${A}"), "<redacted>")
  })
})
