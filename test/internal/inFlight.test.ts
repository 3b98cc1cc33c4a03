import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { InFlight } from "../../src/internal/inFlight.ts"
import type { RequestId } from "../../src/protocol/JsonRpc.ts"

interface Entry {
  readonly id: RequestId
}

describe("InFlight", () => {
  it("does what a Map does, whatever comes and goes, and never gives out an id twice", () => {
    const step = fc.oneof(
      fc.constant("add" as const),
      fc.record({ remove: fc.nat() }),
      fc.record({ name: fc.constantFrom("a", "b") }),
      fc.record({ ask: fc.oneof(fc.integer(), fc.double(), fc.string()) }),
      fc.constant("clear" as const)
    )
    fc.assert(fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const table = new InFlight<Entry>()
      const model = new Map<RequestId, Entry>()
      let last = 0
      for (const step of steps) {
        if (step === "add") {
          const id = table.nextId()
          assert.isAbove(id, last)
          last = id
          const entry = { id }
          table.add(entry)
          model.set(id, entry)
        } else if (step === "clear") {
          assert.sameMembers([...table.clear()], [...model.values()])
          model.clear()
        } else if ("name" in step) {
          if (model.has(step.name)) continue
          const entry = { id: step.name }
          table.add(entry)
          model.set(step.name, entry)
        } else if ("ask" in step) {
          assert.strictEqual(table.get(step.ask), model.get(step.ask))
        } else {
          const entry = [...model.values()][step.remove % model.size]
          if (entry === undefined) continue
          table.remove(entry)
          model.delete(entry.id)
          assert.isUndefined(table.get(entry.id))
        }
        assert.strictEqual(table.size, model.size)
        for (const [id, entry] of model) assert.strictEqual(table.get(id), entry)
      }
    }))
  })

  it("keeps one that waits for long while thousands of others come and go", () => {
    const table = new InFlight<Entry>()
    const long = { id: table.nextId() }
    table.add(long)
    for (let count = 0; count < 10_000; count++) {
      const entry = { id: table.nextId() }
      table.add(entry)
      assert.strictEqual(table.get(entry.id), entry)
      table.remove(entry)
    }
    assert.strictEqual(table.get(long.id), long)
    assert.strictEqual(table.size, 1)
  })

  it("tells ids that may have been given out from others", () => {
    const table = new InFlight<Entry>()
    const id = table.nextId()
    assert.isTrue(table.knows(id))
    for (const other of [id + 1, 0, -1, Number.NaN, String(id)]) assert.isFalse(table.knows(other))
  })
})
