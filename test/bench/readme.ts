/** The tables of the README: one row for each thing measured and one column for each client; then the targets. */
import { cpus } from "node:os"
import { clients } from "./clients/all.ts"
import type { Headline, Metric, Report, Result } from "./Figure.ts"
import { ratioTo, showRatio, verdicts } from "./table.ts"

const begin = "<!-- bench -->"
const end = "<!-- /bench -->"

/** What it was measured on. */
export const machine = (): string => {
  const cores = cpus()
  return `${cores.length} cores of ${cores[0]?.model.trim() ?? "an unknown processor"}, Node ${process.versions.node}, ${process.platform}`
}

const cell = (results: ReadonlyArray<Result>, result: Result | undefined, { id, ratio, show }: Metric) => {
  if (result === undefined) return "–"
  const value = result.values?.[id]
  if (value === undefined) return "fails"
  const times = ratio === false || result.client.startsWith("raw") ? undefined : ratioTo(results, result, id)
  return times === undefined ? show(value) : `${show(value)} (${showRatio(times)} ×)`
}

/** A headline's row for one transport. */
const rowOf = ({ figure, results }: Report, headline: Headline, columns: ReadonlyArray<string>) => {
  const metric = figure.metrics.find(({ id }) => id === headline.metric)
  const named = results.filter((result) => result.case === headline.case)
  const transport = named[0]?.transport
  if (metric === undefined || named.length === 0) return []
  const cells = columns.map((client) => cell(named, named.find((result) => result.client === client), metric))
  return [[transport === undefined ? headline.title : `${transport}: ${headline.title}`, ...cells]]
}

/** By headline, then by transport. */
const rowsOf = (reports: ReadonlyArray<Report>, columns: ReadonlyArray<string>) => {
  const figures = new Set(reports.map(({ figure }) => figure))
  return [...figures].flatMap((figure) =>
    (figure.headlines ?? []).flatMap((headline) =>
      reports.filter((report) => report.figure === figure).flatMap((report) => rowOf(report, headline, columns))
    )
  )
}

const line = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`

/** The targets as a table: what lies between them and what was measured cannot be told otherwise. */
const targetsOf = (reports: ReadonlyArray<Report>) => {
  const all = reports.flatMap(verdicts)
  const rows = all.map(({ client, measured, met, wanted, what }) => [what, client, measured, wanted, met ? "met" : "**missed**"])
  const missed = all.filter(({ met }) => !met).length
  return [
    `Targets, of which this run missed ${missed} of ${all.length}:`,
    "",
    line(["target", "client", "measured", "wanted", ""]),
    line(["---", "---", "---:", "---:", "---"]),
    ...rows.map(line)
  ]
}

/** The text with its table renewed. */
export const withTable = (text: string, machine: string, reports: ReadonlyArray<Report>): string => {
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from === -1 || to < from) throw new Error(`README.md has no place for the table: ${begin} and ${end}`)
  const columns = Object.keys(clients).filter((name) =>
    reports.filter(({ figure }) => figure.headlines !== undefined).some(({ results }) => results.some(({ client }) => client === name))
  )
  const table = [
    line(["", ...columns]),
    line(["---", ...columns.map(() => "---:")]),
    ...rowsOf(reports, columns).map(line)
  ]
  const about = `Measured on ${machine}. In brackets: times the limit.`
  return `${text.slice(0, from)}${begin}\n${about}\n\n${[...table, "", ...targetsOf(reports)].join("\n")}\n${text.slice(to)}`
}
