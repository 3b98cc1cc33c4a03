/**
 * Runs scenarios of the official conformance suite against `client.ts`, one by one and distrustfully: the suite's own
 * verdict forgives a client that crashes, that is too late, and that never did anything.
 */
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"

/** The revisions whose frozen sets of requirements we hold ourselves to. */
export const revisions = ["2025-03-26", "2025-11-25", "2026-07-28"] as const

/** Scenarios that no set of requirements has, of a revision that is still spoken. */
const more: ReadonlyMap<string, ReadonlyArray<string>> = new Map([
  ["2025-03-26", ["auth/2025-03-26-oauth-metadata-backcompat", "auth/2025-03-26-oauth-endpoint-fallback"]]
])

export interface Outcome {
  readonly revision: string
  readonly scenario: string
  readonly verdict: "passed" | "failed"
  /** Checks by status. */
  readonly success: number
  /** What speaks against the client: checks that failed or warned, its exit code, what it printed. */
  readonly problems: ReadonlyArray<string>
}

/** Whether an outcome is as it should be. */
export const isExpected = ({ verdict }: Outcome): boolean => verdict === "passed"

const suite = path.resolve(import.meta.dirname, "../../node_modules/@modelcontextprotocol/conformance/dist/index.js")
const client = path.join(import.meta.dirname, "client.ts")

/** Longest one scenario may take, in milliseconds. */
const patience = 60_000

interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const run = (args: ReadonlyArray<string>): Promise<Ran> =>
  new Promise((resolve) => {
    execFile(
      process.execPath,
      ["--disable-warning=DEP0190", suite, ...args],
      { timeout: patience + 10_000, killSignal: "SIGKILL", maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : 1, stdout, stderr })
    )
  })

/** The client scenarios that a revision's requirements run: those that are scored and those added since. */
export const scenarios = async (revision: string): Promise<ReadonlyArray<string>> => {
  const others = more.get(revision)
  if (others !== undefined) return others
  const { stdout } = await run(["list", "--requirements", revision])
  const [, scored = "", ...added] = stdout.split(/^Client scenarios.*$|^Run and reported.*$/m)
  const names = [
    ...scored.matchAll(/^ +- (\S+)$/gm),
    ...added.join("").matchAll(/^ +- (\S+) \[client\]$/gm)
  ].map((match) => match[1] ?? "")
  if (names.length < 10) throw new Error(`The suite lists too few scenarios for ${revision}:\n${stdout}`)
  return names
}

interface Check {
  readonly id: string
  readonly status: "SUCCESS" | "FAILURE" | "WARNING" | "SKIPPED" | "INFO"
  readonly errorMessage?: string
  readonly details?: unknown
}

const readResults = async (folder: string): Promise<{ readonly checks: ReadonlyArray<Check>; readonly stderr: string }> => {
  const files = existsSync(folder) ? await readdir(folder, { recursive: true }) : []
  const read = async (name: string) => {
    const file = files.find((file) => path.basename(file) === name)
    return file === undefined ? "" : await readFile(path.join(folder, file), "utf8")
  }
  return { checks: JSON.parse(await read("checks.json") || "[]"), stderr: await read("stderr.txt") }
}

/** The end of a text, on one line. */
const tail = (text: string): string => text.trim().replaceAll(/\s+/g, " ").slice(-600)

/** Runs one scenario. Never rejects because of what the client does. */
export const runScenario = async (revision: string, scenario: string): Promise<Outcome> => {
  const folder = await mkdtemp(path.join(tmpdir(), "mcp-connect-conformance-"))
  try {
    // Without `exec` the suite's time limit would end a shell and leave the client running.
    const command = `exec ${process.execPath} ${client}`
    const { code, stderr: log } = await run([
      "client",
      `--command=${command}`,
      `--scenario=${scenario}`,
      `--spec-version=${revision}`,
      "--force",
      `--timeout=${patience}`,
      `--output-dir=${folder}`
    ])
    const { checks, stderr } = await readResults(folder)
    const success = checks.filter(({ status }) => status === "SUCCESS").length
    const against = checks.filter(({ status }) => status === "FAILURE" || status === "WARNING")
    const problems = against.map(({ details, errorMessage, id, status }) =>
      `${status} ${id}: ${errorMessage ?? tail(JSON.stringify(details ?? null))}`
    )
    if (code !== 0 && problems.length === 0) problems.push(`exit code ${code}: ${tail(stderr) || tail(log)}`)
    if (code === 0 && success === 0) problems.push("no check succeeded")
    const verdict = problems.length === 0 ? "passed" : "failed"
    if (verdict === "failed" && stderr !== "") problems.push(`the client said: ${tail(stderr)}`)
    return { revision, scenario, verdict, success, problems }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Runs all scenarios of a revision, `jobs` at a time: more and those that measure time fail on a busy machine. */
export const runRevision = async (
  revision: string,
  options: { readonly jobs: number; readonly only?: string | undefined }
): Promise<ReadonlyArray<Outcome>> => {
  const queue = (await scenarios(revision)).filter((scenario) => options.only === undefined || scenario.includes(options.only))
  const outcomes = new Map<string, Outcome>()
  const rest = queue.values()
  const worker = async () => {
    for (const scenario of rest) outcomes.set(scenario, await runScenario(revision, scenario))
  }
  await Promise.all(Array.from({ length: options.jobs }, worker))
  return queue.flatMap((scenario) => outcomes.get(scenario) ?? [])
}

/** One line of a table. */
export const format = ({ problems, revision, scenario, success, verdict }: Outcome): string => {
  const details = problems.map((problem) => `\n      ${problem}`)
  return `${verdict.padEnd(8)} ${revision}  ${scenario.padEnd(40)} ${String(success).padStart(3)} ok${details.join("")}`
}
