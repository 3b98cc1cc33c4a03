/**
 * Runs soak programs, one after the other, each in a process of its own:
 *
 *   node test/soak/run.ts [killer|pool|fleet|cycles|closing|all] --seconds N --cycles N --servers N --seed N
 */
import { spawnSync } from "node:child_process"
import { join } from "node:path"

const programs = ["killer", "pool", "fleet", "cycles", "closing"]

const [first = "all", ...others] = process.argv.slice(2)
const [which, options] = first.startsWith("--") ? ["all", [first, ...others]] : [first, others]
const chosen = which === "all" ? programs : programs.filter((name) => name === which)

if (chosen.length === 0) {
  console.error(`No soak program is called ${which}: ${programs.join(", ")}, all`)
  process.exitCode = 2
}

for (const name of chosen) {
  const { status } = spawnSync(process.execPath, [join(import.meta.dirname, `${name}.ts`), ...options], { stdio: "inherit" })
  if (status !== 0) process.exitCode = 1
}
