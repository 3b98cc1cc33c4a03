import { assert, describe, it } from "vitest"
import * as Suite from "./suite.ts"

describe("the official conformance suite", () => {
  for (const revision of Suite.revisions) {
    it(`finds nothing wrong with a client of ${revision}`, { timeout: 600_000 }, async () => {
      const outcomes = await Suite.runRevision(revision, { jobs: 2 })
      assert.deepStrictEqual(outcomes.filter((outcome) => !Suite.isExpected(outcome)).map(Suite.format), [])
      assert.isAtLeast(outcomes.length, 2)
    })
  }
})
