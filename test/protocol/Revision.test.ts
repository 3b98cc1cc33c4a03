import { assert, describe, it } from "@effect/vitest"
import * as Revision from "../../src/protocol/Revision.ts"

const everything = {
  tools: {},
  prompts: {},
  resources: { subscribe: true },
  completions: {},
  logging: {}
}

describe("Revision", () => {
  it("knows four legacy revisions and a modern one, newest first", () => {
    assert.deepStrictEqual(Revision.all, ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"])
    assert.deepStrictEqual(Revision.all.toSorted().toReversed(), Revision.all)
  })

  it("does not take a date for a revision because it looks like one", () => {
    assert.isFalse(Revision.isModern("2024-10-07") || Revision.isLegacy("2024-10-07"))
    assert.isFalse(Revision.isModern("2099-01-01") || Revision.isLegacy("2099-01-01"))
    assert.isFalse(Revision.isModern("") || Revision.isLegacy(""))
  })

  it("picks our newest revision that the other side has too", () => {
    assert.strictEqual(Revision.newestMutual(Revision.legacy, ["2024-11-05", "2025-06-18"]), "2025-06-18")
    assert.isUndefined(Revision.newestMutual(Revision.modern, ["2025-06-18"]))
  })

  it("accepts batches in 2025-03-26 only (B-11)", () => {
    assert.deepStrictEqual(Revision.all.filter(Revision.hasBatches), ["2025-03-26"])
  })

  it("knows how each revision may ask the user (L-30)", () => {
    const modes = Revision.all.map((revision) => Revision.features(revision).elicitation.join("+"))
    assert.deepStrictEqual(modes, ["form+url", "form+url", "form", "", ""])
  })

  const legacy: ReadonlyArray<Revision.Revision> = Revision.legacy
  const modern: ReadonlyArray<Revision.Revision> = Revision.modern

  it("has the handshake and the session's methods in the legacy era, discovery and listening in the modern one", () => {
    const has = (method: string) => Revision.all.filter((revision) => Revision.has(revision, method))
    for (
      const method of [
        "initialize",
        "notifications/initialized",
        "ping",
        "resources/subscribe",
        "resources/unsubscribe",
        "logging/setLevel",
        "notifications/progress",
        "notifications/roots/list_changed"
      ]
    ) assert.deepStrictEqual(has(method), legacy, method)
    for (const method of ["server/discover", "subscriptions/listen"]) {
      assert.deepStrictEqual(has(method), modern, method)
    }
    for (const method of ["tools/call", "resources/templates/list", "completion/complete", "notifications/cancelled"]) {
      assert.deepStrictEqual(has(method), Revision.all, method)
    }
    assert.deepStrictEqual(has("vendor/extension"), Revision.all, "what no revision knows is nobody's to refuse")
  })
})

describe("Revision.lacks", () => {
  it("says that a revision does not have a method, whatever the server declares", () => {
    assert.strictEqual(
      Revision.lacks("2026-07-28", everything, "logging/setLevel"),
      "revision 2026-07-28 does not have it"
    )
    assert.isDefined(Revision.lacks("2025-11-25", everything, "subscriptions/listen"))
  })

  it("says which capability a server does not declare (C-07)", () => {
    assert.strictEqual(
      Revision.lacks("2025-11-25", {}, "tools/call"),
      "the server does not declare the capability \"tools\""
    )
    assert.strictEqual(
      Revision.lacks("2025-11-25", { resources: {} }, "resources/subscribe"),
      "the server does not declare \"subscribe\" in its capability \"resources\""
    )
    assert.isDefined(Revision.lacks("2025-11-25", { resources: { subscribe: false } }, "resources/subscribe"))
  })

  it("finds nothing lacking when the capability is declared", () => {
    for (const revision of Revision.legacy) {
      for (const method of ["tools/call", "prompts/get", "resources/subscribe", "completion/complete", "logging/setLevel"]) {
        assert.isUndefined(Revision.lacks(revision, everything, method), `${revision} ${method}`)
      }
    }
  })

  it("lets completion be tried in 2024-11-05, which has no capability for it (CP-01)", () => {
    assert.isUndefined(Revision.lacks("2024-11-05", {}, "completion/complete"))
    assert.isDefined(Revision.lacks("2025-03-26", {}, "completion/complete"))
  })

  it("needs no capability for what every server has", () => {
    assert.isUndefined(Revision.lacks("2025-11-25", {}, "ping"))
    assert.isUndefined(Revision.lacks("2026-07-28", {}, "server/discover"))
  })
})
