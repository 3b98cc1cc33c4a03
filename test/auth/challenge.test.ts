import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Challenge from "../../src/auth/challenge.ts"

const shape = (header: string | undefined) =>
  Challenge.parse(header).map(({ parameters, scheme }) => [scheme, Object.fromEntries(parameters)])

describe("the challenges of a WWW-Authenticate header", () => {
  const table: ReadonlyArray<readonly [header: string | undefined, expected: ReadonlyArray<unknown>]> = [
    [undefined, []],
    ["", []],
    [", ,", []],
    ["=broken, Bearer", [["bearer", {}]]],
    ["Bearer", [["bearer", {}]]],
    ["BEARER error=invalid_token", [["bearer", { error: "invalid_token" }]]],
    ["Bearer Error=\"a\", error=\"b\"", [["bearer", { error: "a" }]]],
    ["Bearer realm=\"a, b=\\\"c\\\"\",scope=\"x y\"", [["bearer", { realm: "a, b=\"c\"", scope: "x y" }]]],
    ["Basic realm=x, Bearer scope=\"a\" , DPoP algs=\"ES256\"", [["basic", { realm: "x" }], ["bearer", { scope: "a" }], ["dpop", { algs: "ES256" }]]],
    ["Negotiate YII==, Bearer error=\"e\"", [["negotiate", {}], ["bearer", { error: "e" }]]],
    ["Bearer realm=\"never closed, error=invalid", [["bearer", {}]]],
    ["Negotiate a+/b.c_d~e-f==", [["negotiate", {}]]],
    ["NTLM, Negotiate, Bearer", [["ntlm", {}], ["negotiate", {}], ["bearer", {}]]],
    ["Basic YWJj, Bearer YWJj=, DPoP error=x", [["basic", {}], ["bearer", {}], ["dpop", { error: "x" }]]],
    ["Bearer realm=\"Bearer scope=\\\"no\\\", DPoP\", scope=yes", [["bearer", { realm: "Bearer scope=\"no\", DPoP", scope: "yes" }]]],
    ["Bearer a = \"b\" ,\tc\t=\td", [["bearer", { a: "b", c: "d" }]]],
    ["Bearer a=\"\", b=\"\\\\\"", [["bearer", { a: "", b: "\\" }]]],
    ["Bearer a=1, A=2, DPoP a=3", [["bearer", { a: "1" }], ["dpop", { a: "3" }]]],
    ["Bearer,, ,scope=a", [["bearer", { scope: "a" }]]],
    ["Bearer resource_metadata=https://a/b?c", [["bearer", { resource_metadata: "https://a/b?c" }]]]
  ]
  for (const [header, expected] of table) {
    it(`are read from ${header}`, () => {
      const [first] = expected
      assert.deepStrictEqual(shape(header).slice(0, expected.length), expected)
      assert.strictEqual(shape(header)[0] === undefined, first === undefined)
    })
  }

  it("say what is wanted by the first that has it, and never by those of other schemes", () => {
    const wanted = Challenge.wanted("Basic scope=\"no\", Bearer error=\"insufficient_scope\", DPoP scope=\"a b\"")
    assert.deepStrictEqual(wanted, { error: "insufficient_scope", scope: "a b", dpop: true })
  })

  it("come back as they were written", () => {
    const name = fc.stringMatching(/^[a-z]{1,8}$/)
    const value = fc.string({ unit: fc.constantFrom(..."ab \\\"=,;:/") })
    const challenges = fc.array(fc.tuple(name, fc.dictionary(name, value, { minKeys: 1, maxKeys: 3 })), { maxLength: 4 })
    fc.assert(fc.property(challenges, (all) => {
      const quote = (text: string) => `"${text.replace(/[\\"]/g, "\\$&")}"`
      const header = all.map(([scheme, parameters]) =>
        `${scheme} ${Object.entries(parameters).map(([name, value]) => `${name}=${quote(value)}`).join(", ")}`
      ).join(", ")
      assert.deepStrictEqual(shape(header), all.map(([scheme, parameters]) => [scheme, { ...parameters }]))
    }))
  })

  it("are never worth an exception or a second of work", () => {
    fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 300 }), (header) => {
      Challenge.parse(header)
    }))
    const start = performance.now()
    Challenge.parse("Bearer a=\"".repeat(10_000))
    Challenge.parse("a ".repeat(10_000))
    assert.isBelow(performance.now() - start, 500)
  })
})
