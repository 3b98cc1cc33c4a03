import { assert, describe, it } from "@effect/vitest"
import type { Comparison, Report, Result } from "./Figure.ts"
import { digits, median, quantile } from "./figures/measure.ts"
import { withTable } from "./readme.ts"
import { ratioTo, tables, verdicts, verdictTable } from "./table.ts"

const id = "64 in flight"

const figure: Comparison = {
  name: "throughput",
  title: "Calls",
  transports: ["stdio"],
  rounds: () => 3,
  cases: () => [],
  metrics: [{ id: "cpu", title: "CPU µs/call", show: digits }, { id: "lost", title: "lost", show: String, ratio: false }],
  headlines: [{ title: "CPU per call", case: id, metric: "cpu" }],
  targets: [
    { case: id, metric: "cpu", of: "raw", atMost: 2 },
    { case: id, metric: "cpu", of: "sdk-v1", atMost: 0.5 },
    { case: id, metric: "lost", atMost: 0 }
  ]
}

const result = (client: string, ...cpu: ReadonlyArray<number>): Result => ({
  transport: "stdio",
  case: id,
  client,
  values: { cpu: median(cpu), lost: 0 },
  rounds: cpu.map((cpu) => ({ cpu, lost: 0 }))
})

const failing = (client: string): Result => ({ transport: "stdio", case: id, client, failure: "it broke\nhere" })

const report = (...results: ReadonlyArray<Result>): Report => ({ figure, results })

describe("the arithmetic of the benchmark", () => {
  it("gives no number for the median of nothing", () => {
    assert.isNaN(median([]))
  })

  it("takes the value in the middle, whatever the order", () => {
    assert.strictEqual(median([9, 1, 5]), 5)
    assert.strictEqual(quantile([4, 3, 2, 1], 1), 4)
    assert.strictEqual(quantile(Array.from({ length: 100 }, (_, index) => index), 0.99), 99)
  })

  it("shows three digits that count", () => {
    assert.deepStrictEqual([1.234, 123.4, 12_345, 123_456, 1_234_567].map(digits), ["1.23", "123", "12.3k", "123k", "1.23M"])
  })

  it("compares within each round, so that a machine which slows down for a round changes no ratio", () => {
    const ours = result("mcp-connect", 4, 40, 6)
    const ratio = ratioTo([result("raw-2026", 2, 20, 3), ours], ours, "cpu")
    assert.strictEqual(ratio, 2)
  })

  it("compares only the rounds that both took part in", () => {
    const guest = result("sdk-v1", 6)
    assert.strictEqual(ratioTo([result("raw", 2, 100, 100), guest], guest, "cpu"), 3)
  })

  it("has no ratio to who failed, or did not take part", () => {
    const ours = result("mcp-connect", 4)
    assert.isUndefined(ratioTo([failing("raw-2026"), ours], ours, "cpu"))
    assert.isUndefined(ratioTo([ours], ours, "cpu"))
  })

  it("compares each client with the limit of its own revision, or else with the other one", () => {
    const ours = result("mcp-connect", 4)
    const older = result("mcp-connect-legacy", 4)
    const all = [result("raw", 1), result("raw-2026", 2), ours, older]
    assert.deepStrictEqual(all.map((each) => ratioTo(all, each, "cpu")), [1, 1, 2, 4])
    assert.strictEqual(ratioTo([result("raw", 1), ours], ours, "cpu"), 4)
  })
})

describe("what came of the targets", () => {
  it("is missed when mcp-connect fails", () => {
    const [verdict] = verdicts(report(result("raw-2026", 1), failing("mcp-connect")))
    assert.deepInclude(verdict, { measured: "fails", met: false })
  })

  it("says nothing about a comparison with who did not take part", () => {
    const given = verdicts(report(result("mcp-connect", 4)))
    assert.deepStrictEqual(given.map(({ wanted }) => wanted), ["≤ 0"])
  })

  it("says what the column of ratios says", () => {
    const results = [result("raw-2026", 2, 20, 3), result("mcp-connect", 5, 41, 9), result("sdk-v1", 10, 80, 20)]
    const given = verdicts(report(...results))
    assert.deepStrictEqual(given.map(({ measured, met }) => [measured, met]), [["2.50", false], ["0.50", true], ["0", true]])
    assert.match(tables(figure, results).find((line) => line.includes("mcp-connect")) ?? "", /9\.00 +2\.50/)
    assert.match(verdictTable(given).join("\n"), /2\.50 {2}≤ 2 × limit +MISSED/)
  })
})

describe("the tables", () => {
  it("show why there is no value, in one line", () => {
    const lines = tables(figure, [result("raw", 1), failing("sdk-v1")])
    assert.match(lines.at(-1) ?? "", /sdk-v1 +fails: it broke$/)
  })

  it("go into the README between its markers, with every target that was missed", () => {
    const text = "before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n"
    const given = withTable(text, "a machine", [report(result("raw-2026", 1), result("mcp-connect", 3))])
    assert.match(given, /^before\n<!-- bench -->\nMeasured on a machine\./)
    assert.include(given, "| stdio: CPU per call | 1.00 | 3.00 (3.00 ×) |")
    assert.include(given, "this run missed 1 of 2")
    assert.include(given, "| mcp-connect | 3.00 | ≤ 2 × limit | **missed** |")
    assert.notInclude(given, "old")
    assert.isTrue(given.endsWith("<!-- /bench -->\nafter\n"))
  })

  it("want a README that has a place for them", () => {
    assert.throws(() => withTable("no markers", "a machine", []), /no place/)
  })
})
