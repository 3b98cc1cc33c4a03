/** Results as text, of at most 100 columns: a table for each transport of a figure, and what came of the targets. */
import * as Predicate from "effect/Predicate"
import { limitsOf } from "./clients/all.ts"
import type { Figure, Metric, Report, Result, Target } from "./Figure.ts"
import { median } from "./figures/measure.ts"

export const limit = "raw"

/** How a ratio is made. */
export const aboutRatios =
  "× limit: next to the value of raw in the same round, or of raw-2026 for whom speaks 2026-07-28; of all rounds the ratio in the middle."

/** Whom a client is compared with: `raw` is the raw client of its own revision, where that takes part. */
const opponents = (client: string, of: string): ReadonlyArray<string> => of === limit ? limitsOf(client) : [of]

const columns = 100
const nameWidth = 26
const ratioWidth = 8

const same = (a: Result, b: Result): boolean => a.transport === b.transport && a.case === b.case

/**
 * How often the value of another client it is: in the middle one of the rounds, because what slows down a machine lasts
 * longer than a round.
 */
export const ratioTo = (results: ReadonlyArray<Result>, result: Result, metric: string, of: string = limit): number | undefined => {
  const others = results.filter((other) => same(other, result))
  const base = opponents(result.client, of).map((name) => others.find(({ client }) => client === name)).find(Predicate.isNotUndefined)
  if (base?.values === undefined || result.values === undefined) return undefined
  const bases = base.rounds ?? [base.values]
  const ratios = (result.rounds ?? [result.values]).flatMap((values, round) => {
    const value = values[metric]
    const other = bases[round]?.[metric]
    return value === undefined || other === undefined ? [] : [value / other]
  })
  return ratios.length === 0 ? undefined : median(ratios)
}

export const showRatio = (ratio: number): string => ratio < 10 ? ratio.toFixed(2) : ratio.toFixed(0)

const widthOf = ({ title }: Metric) => Math.max(10, title.length + 2)

const cells = (results: ReadonlyArray<Result>, result: Result, metrics: ReadonlyArray<Metric>) => {
  const { failure, values } = result
  if (values === undefined) return `  fails: ${failure?.split("\n")[0] ?? ""}`.slice(0, columns - nameWidth)
  return metrics.map((metric) => {
    const value = values[metric.id]
    const shown = (value === undefined ? "-" : metric.show(value)).padStart(widthOf(metric))
    if (metric.ratio === false) return shown
    const ratio = ratioTo(results, result, metric.id)
    return shown + (ratio === undefined ? "" : showRatio(ratio)).padStart(ratioWidth)
  }).join("")
}

const head = (metrics: ReadonlyArray<Metric>) =>
  metrics.map((metric) =>
    metric.title.padStart(widthOf(metric)) + (metric.ratio === false ? "" : "× limit".padStart(ratioWidth))
  ).join("")

export const tables = ({ metrics, title }: Figure, results: ReadonlyArray<Result>): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let last: Result | undefined
  for (const result of results) {
    if (last === undefined || last.transport !== result.transport) {
      const about = result.transport === undefined ? title : `${result.transport}: ${title}`
      lines.push("", about.padEnd(nameWidth) + head(metrics))
    }
    if (last === undefined || !same(last, result)) lines.push(`  ${result.case}`)
    lines.push(`    ${result.client.padEnd(nameWidth - 4)}${cells(results, result, metrics)}`)
    last = result
  }
  return lines
}

export interface Verdict {
  readonly what: string
  readonly client: string
  readonly measured: string
  readonly wanted: string
  readonly met: boolean
}

const wanted = ({ atLeast, atMost, of }: Target, { show }: Metric) => {
  const bound = atMost ?? atLeast ?? 0
  const sign = atMost === undefined ? "≥" : "≤"
  return of === undefined ? `${sign} ${show(bound)}` : `${sign} ${bound} × ${of === limit ? "limit" : of}`
}

const isMet = (value: number, { atLeast, atMost }: Target) =>
  (atMost === undefined || value <= atMost) && (atLeast === undefined || value >= atLeast)

/** Each target that the results speak about, for each way mcp-connect took part. */
export const verdicts = ({ figure, results }: Report): ReadonlyArray<Verdict> =>
  figure.targets.flatMap((target) =>
    results.filter((result) =>
      (target.client === undefined ? /^mcp-connect(-legacy)?$/.test(result.client) : target.client === result.client) &&
      result.case === target.case &&
      (target.transports === undefined || result.transport === undefined || target.transports.includes(result.transport))
    ).flatMap((result) => {
      const metric = figure.metrics.find(({ id }) => id === target.metric)
      if (metric === undefined) return []
      const measured = target.of === undefined ? result.values?.[metric.id] : ratioTo(results, result, metric.id, target.of)
      // What it is compared with did not take part.
      if (measured === undefined && result.values !== undefined) return []
      const show = target.of === undefined ? metric.show : showRatio
      return [{
        what: `${result.transport === undefined ? "" : `${result.transport}, `}${target.case}: ${metric.title}`,
        client: result.client,
        measured: measured === undefined ? "fails" : show(measured),
        wanted: wanted(target, metric),
        met: measured !== undefined && isMet(measured, target)
      }]
    })
  )

export const verdictTable = (verdicts: ReadonlyArray<Verdict>): ReadonlyArray<string> =>
  verdicts.length === 0 ? [] : [
    "",
    `${"Targets".padEnd(67)}${"measured".padStart(9)}  wanted`,
    ...verdicts.map(({ client, measured, met, wanted, what }) =>
      `  ${what.padEnd(44)} ${client.padEnd(20)}${measured.padStart(9)}  ${wanted.padEnd(15)} ${met ? "met" : "MISSED"}`
    )
  ]
