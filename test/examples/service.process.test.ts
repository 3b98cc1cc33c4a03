import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { processesWith } from "../support/faultServer.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const hook = pathToFileURL(join(import.meta.dirname, "fromSource.ts")).href

/** Runs the service; `onLine` is told each line as it comes. */
const run = async (onLine: (line: string, stop: () => void) => void) => {
  const child = spawn(process.execPath, ["--import", hook, "test/examples/service.ts"], {
    cwd: root,
    env: { PATH: `${dirname(process.execPath)}:${process.env["PATH"]}` },
    stdio: ["ignore", "pipe", "inherit"]
  })
  const lines: Array<string> = []
  let rest = ""
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    const parts = (rest + chunk).split("\n")
    rest = parts.pop() ?? ""
    for (const line of parts) {
      lines.push(line)
      onLine(line, () => child.kill("SIGTERM"))
    }
  })
  const [code] = await once(child, "close")
  return { code, lines }
}

/** Those of the service: the others name the file by its whole path. */
const ofWorkers = () => processesWith("node test/soak/worker.ts")

describe("the service of the README", () => {
  it("answers every request with a pool that has the work to do", async () => {
    const { code, lines } = await run(() => {})
    assert.strictEqual(code, 0)
    assert.strictEqual(lines.pop(), "drained")
    assert.sameMembers(lines, Array.from({ length: 300 }, (_, index) => `${index + 1}: 200`))
  })

  it("drains when it is told to stop: what was begun is answered, nothing is begun, no worker is left", async () => {
    const { code, lines } = await run((line, stop) => line.startsWith("40:") && stop())
    assert.strictEqual(code, 130)
    assert.strictEqual(lines.pop(), "drained")
    const answered = lines.map((line) => Number.parseInt(line, 10)).sort((a, b) => a - b)
    assert.isBelow(answered.length, 300)
    // None is missing among them: those before the last one that was begun are all answered.
    assert.deepStrictEqual(answered, answered.map((_, index) => index + 1))
    assert.deepStrictEqual(ofWorkers(), [])
  })
})
