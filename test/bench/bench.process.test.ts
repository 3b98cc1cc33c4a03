import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { transports } from "./clients/Client.ts"
import type { Result } from "./Figure.ts"
import { figures } from "./figures/all.ts"

interface Output {
  readonly figures: ReadonlyArray<{ readonly figure: string; readonly results: ReadonlyArray<Result> }>
}

const loaded = await Promise.all(Object.values(figures).map(async (load) => (await load()).figure))

/** The results of figures, as fast as can be had, by the limit and by mcp-connect. */
const run = async (names: ReadonlyArray<string>, ...args: ReadonlyArray<string>) => {
  const program = join(import.meta.dirname, "run.ts")
  const chosen = ["--minimal", "--json", "--only", "raw-2026,mcp-connect", "--figure", names.join(","), ...args]
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...chosen], { timeout: 55_000, maxBuffer: 16 * 1024 * 1024 })
  const output: Output = JSON.parse(stdout)
  return new Map(output.figures.map(({ figure, results }) => [figure, results] as const))
}

const assertMeasured = (figure: string, results: ReadonlyArray<Result> | undefined) => {
  assert.isNotEmpty(results, figure)
  for (const { case: id, client, failure, values = {} } of results ?? []) {
    const where = `${figure}, ${id}, ${client}`
    assert.isUndefined(failure, where)
    assert.isNotEmpty(values, where)
    for (const [metric, value] of Object.entries(values)) assert.isTrue(Number.isFinite(value), `${where}: ${metric}`)
  }
}

describe("the benchmark", () => {
  it.each(transports)("compares over %s in every figure, and no progress gets lost or comes late", async (transport) => {
    const names = loaded.flatMap((figure) => "transports" in figure && figure.transports.includes(transport) ? [figure.name] : [])
    const measured = await run(names, "--transport", transport)
    for (const name of names) assertMeasured(name, measured.get(name))
    for (const { client, values } of measured.get("progress") ?? []) {
      assert.deepStrictEqual({ lost: values?.lost, late: values?.late }, { lost: 0, late: 0 }, client)
    }
  })

  it("measures what needs no server", async () => {
    const names = loaded.flatMap((figure) => "results" in figure ? [figure.name] : [])
    const measured = await run(names)
    for (const name of names) assertMeasured(name, measured.get(name))
  })
})
