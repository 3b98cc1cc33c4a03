/**
 * What mcp-connect costs, beside what is possible (`raw`) and beside the other clients:
 *
 *   npm run bench -- [--quick] [--figure a,b] [--transport stdio,json,sse,ws] [--only raw,mcp-connect]
 *                    [--json] [--readme] [--cpu-prof DIRECTORY]
 *   npm run bench -- --soak [--calls N]
 *
 * `--quick` takes less than a minute, `--readme` writes the table of the README. Decides nothing: only a failure of
 * mcp-connect or of the limit itself is a failure of the run. A machine that does other things too changes the values from
 * run to run; the ratios within one run hold.
 */
import { spawnSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { clients } from "./clients/all.ts"
import { transports } from "./clients/Client.ts"
import { canPin, compareAll } from "./contest.ts"
import type { Choice, Figure, Mode, Report, Result } from "./Figure.ts"
import { figures } from "./figures/all.ts"
import { machine, withTable } from "./readme.ts"
import { aboutRatios, tables, verdicts, verdictTable } from "./table.ts"

const { values: given } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    minimal: { type: "boolean", default: false },
    figure: { type: "string" },
    transport: { type: "string" },
    only: { type: "string" },
    json: { type: "boolean", default: false },
    readme: { type: "boolean", default: false },
    soak: { type: "boolean", default: false },
    calls: { type: "string", default: "10000000" },
    "cpu-prof": { type: "string" }
  }
})

// Memory under traffic is a program of its own.
if (given.soak) {
  const soak = [join(import.meta.dirname, "soak.ts"), "--calls", given.calls]
  process.exit(spawnSync(process.execPath, soak, { stdio: "inherit" }).status ?? 1)
}

/** The names given with commas between, all of which must be known. */
const choose = <A extends string>(what: string, text: string, known: ReadonlyArray<A>): ReadonlyArray<A> => {
  const asked = text.split(",")
  const unknown = asked.find((name) => !known.some((each) => each === name))
  if (unknown !== undefined) {
    console.error(`There is no ${what} "${unknown}", only ${known.join(", ")}`)
    process.exit(2)
  }
  return known.filter((each) => asked.includes(each))
}

const mode: Mode = given.minimal ? "minimal" : given.quick ? "quick" : "full"

/** What is being done now, with the time passed: in place on a terminal. */
const step = (text: string) => {
  if (!process.stderr.isTTY) return
  const passed = text === "" ? "" : `${(performance.now() / 1000).toFixed(0)} s  `
  process.stderr.write(`\r\u001b[2K${`${passed}${text}`.slice(0, process.stderr.columns - 1)}`)
}

/** Minutes for what is compared; what needs no server takes one more. */
const minutes: Readonly<Record<Mode, number>> = { full: 9, quick: 0.75, minimal: 1 }

const choice: Choice = {
  mode,
  until: performance.now() + minutes[mode] * 60_000,
  transports: given.transport === undefined ? transports : choose("transport", given.transport, transports),
  only: given.only === undefined ? undefined : choose("client", given.only, Object.keys(clients)),
  cpuProf: given["cpu-prof"],
  onStep: step
}

const loadFigures = async () => {
  const names = given.figure === undefined ? Object.keys(figures) : choose("figure", given.figure, Object.keys(figures))
  const loaded = await Promise.all(names.map((name) => figures[name]?.()))
  // What takes long is left out of a quick run, unless it is asked for.
  return loaded.flatMap((module) => module === undefined ? [] : [module.figure])
    .filter(({ slow }) => mode !== "quick" || slow !== true || given.figure !== undefined)
}

const chosen = await loadFigures()
const reports: Array<Report> = []

const report = (figure: Figure, results: ReadonlyArray<Result>) => {
  reports.push({ figure, results })
  step("")
  if (!given.json) console.log(tables(figure, results).join("\n"))
}

const description = machine()
if (!given.json) {
  console.log(`${description}\n${aboutRatios}`)
  if (!canPin) console.log("Latency is measured without binding client and server to one core: there is no taskset here.")
}

await compareAll(chosen.flatMap((figure) => "cases" in figure ? [figure] : []), choice, report)
for (const figure of chosen) {
  if ("results" in figure) report(figure, await figure.results(choice))
}

if (given.json) {
  const shown = reports.map((each) => ({ figure: each.figure.name, results: each.results, targets: verdicts(each) }))
  console.log(JSON.stringify({ mode, machine: description, figures: shown }, undefined, 2))
} else {
  console.log(verdictTable(reports.flatMap(verdicts)).join("\n"))
  console.log(`\nTook ${(performance.now() / 1000).toFixed(0)} s.`)
}

if (given.readme) {
  const file = join(import.meta.dirname, "../../README.md")
  writeFileSync(file, withTable(readFileSync(file, "utf8"), description, reports))
}

const failed = reports.some(({ results }) =>
  results.some(({ client, failure }) => failure !== undefined && /^(raw|mcp-connect)/.test(client))
)
if (failed) process.exitCode = 1
