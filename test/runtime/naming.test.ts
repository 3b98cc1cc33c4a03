import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Naming from "../../src/servers/naming.ts"

const hostile = fc.oneof(
  fc.constantFrom("", "_", "__", "___", "a__b", "a_", "_a", "-", "é", "💥", "\ud800", "a b", "a.b", "a/b", "\0", "x".repeat(300), "__proto__"),
  fc.string({ unit: fc.constantFrom("a", "b", "_", "-", " ", "é"), maxLength: 8 }),
  fc.string({ unit: "grapheme", maxLength: 300 }),
  fc.stringMatching(/^[a-z_]{1,40}$/)
)
const origin = fc.record({ server: hostile, name: hostile })
const key = ({ name, server }: Naming.Origin) => JSON.stringify([server, name])

describe("naming", () => {
  it("every name, however hostile, becomes one that any provider accepts", () => {
    fc.assert(fc.property(origin, (origin) => {
      assert.match(Naming.mangle(origin), /^[a-zA-Z0-9_-]{1,64}$/)
    }), { numRuns: 2_000 })
  })

  it("two different tools never get one name", () => {
    fc.assert(fc.property(fc.uniqueArray(origin, { selector: key, maxLength: 60 }), (origins) => {
      assert.strictEqual(new Set(origins.map(Naming.mangle)).size, origins.length)
    }), { numRuns: 500 })
  })

  it("where a name reads back, it reads back to what it was made of", () => {
    fc.assert(fc.property(origin, (origin) => {
      const parsed = Naming.parse(Naming.mangle(origin))
      if (parsed !== undefined) assert.deepStrictEqual(parsed, origin)
      else assert.match(Naming.mangle(origin), /__[0-9a-z]{11}$/)
    }), { numRuns: 2_000 })
  })

  it("what reads back is named as it reads", () => {
    fc.assert(fc.property(fc.string({ unit: fc.constantFrom("a", "_", "-", "1", "é"), maxLength: 70 }), (name) => {
      const parsed = Naming.parse(name)
      if (parsed !== undefined) assert.strictEqual(Naming.mangle(parsed), name)
    }), { numRuns: 2_000 })
  })

  it("ordinary names stay as they are, and 65 characters are one too many", () => {
    assert.strictEqual(Naming.mangle({ server: "github", name: "create_issue" }), "github__create_issue")
    const name = "x".repeat(64 - "github__".length)
    assert.strictEqual(Naming.mangle({ server: "github", name }), `github__${name}`)
    assert.match(Naming.mangle({ server: "github", name: `${name}x` }), /^github__x+__[0-9a-z]{11}$/)
  })

  it("what had to be changed still shows what it was", () => {
    assert.match(Naming.mangle({ server: "my server", name: "files.read" }), /^my_server__files_read__[0-9a-z]{11}$/)
    assert.match(Naming.mangle({ server: "", name: "" }), /^x__x__[0-9a-z]{11}$/)
    const both = Naming.mangle({ server: "s".repeat(300), name: "t".repeat(300) })
    assert.match(both, /^s{20}__t{29}__[0-9a-z]{11}$/)
  })

  it("the place where a name is split is not ambiguous", () => {
    const names = [
      { server: "a", name: "b__c" },
      { server: "a__b", name: "c" },
      { server: "a_", name: "b" },
      { server: "a", name: "_b" }
    ].map(Naming.mangle)
    assert.strictEqual(new Set(names).size, 4)
    for (const name of names) assert.isUndefined(Naming.parse(name))
  })

  it("a pattern matches what a regular expression of it matches", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "*"), maxLength: 8 })
    fc.assert(fc.property(letters, fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 10 }), (pattern, text) => {
      assert.strictEqual(Naming.matches(pattern, text), new RegExp(`^${pattern.replaceAll("*", ".*")}$`).test(text))
    }), { numRuns: 2_000 })
    assert.isFalse(Naming.matches("*a".repeat(2_000) + "b", "a".repeat(10_000)))
  })

  it("what is searched for is found by name before title before description, more words first", () => {
    const items = [
      { name: "fs__read", description: "Reads a file" },
      { name: "db__query", title: "Read rows" },
      { name: "misc__other", description: "May read things" },
      { name: "fs__read_file" },
      { name: "none__at_all" }
    ]
    const found = (text: string) => Naming.search(items, text, (item) => item).map(({ name }) => name)
    assert.deepStrictEqual(found("read"), ["fs__read", "fs__read_file", "db__query", "misc__other"])
    assert.deepStrictEqual(found("READ file"), ["fs__read_file", "fs__read", "db__query", "misc__other"])
    assert.deepStrictEqual(found(""), [])
    assert.deepStrictEqual(found("…"), [])
  })

  it("the order of what is found does not depend on the order it came in", () => {
    const item = fc.record({ name: fc.constantFrom("a", "b", "ab", "abc", "c"), description: fc.constantFrom("a", "b c", "") })
    fc.assert(fc.property(fc.uniqueArray(item, { selector: ({ name }) => name }), fc.constantFrom("a", "b", "a b c"), (items, text) => {
      assert.deepStrictEqual(
        Naming.search(items, text, (item) => item),
        Naming.search([...items].reverse(), text, (item) => item)
      )
    }))
  })
})
