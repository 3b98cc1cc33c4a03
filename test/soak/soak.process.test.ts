import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"

/** What a program printed, and the code it ended with. */
const run = async (name: string, options: ReadonlyArray<string>) => {
  const started = promisify(execFile)(process.execPath, [join(import.meta.dirname, `${name}.ts`), ...options], { timeout: 55_000 })
  return started.then(
    ({ stdout }) => ({ code: 0, output: stdout }),
    ({ code, stderr, stdout }) => ({ code, output: stdout + stderr })
  )
}

/** The soak programs, short; by script they run long. */
const programs: ReadonlyArray<readonly [claim: string, name: string, ...options: ReadonlyArray<string>]> = [
  ["killing servers under a thousand callers leaves no call unanswered", "killer", "--seconds", "4"],
  ["a pool gives every replica work", "pool", "--seconds", "1"],
  ["many servers of every kind are connected, called and closed at once", "fleet", "--servers", "40"],
  ["connecting and closing over and over leaves nothing behind", "cycles", "--cycles", "40"],
  ["closing at the worst moments leaves nothing behind", "closing", "--cycles", "15"]
]

describe("under load", () => {
  it.each(programs)("%s", async (_, name, ...options) => {
    const { code, output } = await run(name, options)
    assert.strictEqual(code, 0, output)
    assert.include(output, `soak ${name}: passed`)
  })
})
