import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Flags from "../../src/cli/flags.ts"

describe("times of the command line", () => {
  it("have a number and a unit", () => {
    const millis = (text: string) => Option.getOrUndefined(Option.map(Flags.duration(text), Duration.toMillis))
    assert.deepStrictEqual(["500ms", "1.5s", "2m", "1h"].map(millis), [500, 1_500, 120_000, 3_600_000])
    for (const text of ["", "5", "s", "-1s", "0s", "1 s", "5 seconds", "1d", "Infinity"]) assert.isUndefined(millis(text), text)
  })
})
