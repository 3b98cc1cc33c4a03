import { assert, describe, it } from "@effect/vitest"
import * as Turnstile from "../../src/internal/turnstile.ts"

const make = (most: number) => {
  const began: Array<string> = []
  const turnstile = Turnstile.make<string>(most, (one) => began.push(one))
  for (const one of ["a", "b", "c", "d"]) turnstile.enter(one)
  return { began, turnstile }
}

describe("a turnstile", () => {
  it("lets in no more than fit, and the others in their order when one leaves", () => {
    const { began, turnstile } = make(2)
    assert.deepStrictEqual(began, ["a", "b"])
    turnstile.leave("b")
    assert.deepStrictEqual(began, ["a", "b", "c"])
    turnstile.leave("a")
    assert.deepStrictEqual(began, ["a", "b", "c", "d"])
  })

  it("never lets in one that went away while it waited", () => {
    const { began, turnstile } = make(1)
    turnstile.leave("b")
    assert.deepStrictEqual(began, ["a"])
    turnstile.leave("a")
    assert.deepStrictEqual(began, ["a", "c"])
  })

  it("makes room once only for one that leaves twice or was never there", () => {
    const { began, turnstile } = make(1)
    turnstile.leave("nobody")
    turnstile.leave("a")
    turnstile.leave("a")
    assert.deepStrictEqual(began, ["a", "b"])
  })

  it("lets the next ones in although each leaves at once", () => {
    const began: Array<number> = []
    const turnstile = Turnstile.make<number>(1, (one) => {
      began.push(one)
      if (one > 0) turnstile.leave(one)
    })
    for (const one of [0, 1, 2, 3]) turnstile.enter(one)
    turnstile.leave(0)
    assert.deepStrictEqual(began, [0, 1, 2, 3])
  })
})
