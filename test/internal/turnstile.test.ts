import { assert, describe, it } from "@effect/vitest"
import { Turnstile, type Visitor } from "../../src/internal/turnstile.ts"

interface Named extends Visitor {
  readonly name: string
}

const named = (name: string): Named => ({ name, place: "outside" })

/** `a` to `d` come to it one after the other. */
const make = (most: number) => {
  const began: Array<string> = []
  const turnstile = new Turnstile<Named>(most, ({ name }) => began.push(name))
  const a = named("a")
  const b = named("b")
  for (const one of [a, b, named("c"), named("d")]) turnstile.enter(one)
  return { began, turnstile, a, b }
}

describe("a turnstile", () => {
  it("lets in no more than fit, and the others in their order when one leaves", () => {
    const { a, b, began, turnstile } = make(2)
    assert.deepStrictEqual(began, ["a", "b"])
    turnstile.leave(b)
    assert.deepStrictEqual(began, ["a", "b", "c"])
    turnstile.leave(a)
    assert.deepStrictEqual(began, ["a", "b", "c", "d"])
  })

  it("never lets in one that went away while it waited", () => {
    const { a, b, began, turnstile } = make(1)
    turnstile.leave(b)
    assert.deepStrictEqual(began, ["a"])
    turnstile.leave(a)
    assert.deepStrictEqual(began, ["a", "c"])
  })

  it("makes room once only for one that leaves twice or was never there", () => {
    const { a, began, turnstile } = make(1)
    turnstile.leave(named("nobody"))
    turnstile.leave(a)
    turnstile.leave(a)
    assert.deepStrictEqual(began, ["a", "b"])
  })

  it("lets the next ones in although each leaves at once", () => {
    const began: Array<string> = []
    const first = named("first")
    const turnstile = new Turnstile<Named>(1, (one) => {
      began.push(one.name)
      if (one !== first) turnstile.leave(one)
    })
    for (const one of [first, named("a"), named("b"), named("c")]) turnstile.enter(one)
    turnstile.leave(first)
    assert.deepStrictEqual(began, ["first", "a", "b", "c"])
  })
})
