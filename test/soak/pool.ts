/**
 * What replicas are worth: calls per second of a tool that keeps a core busy, through a pool of at most one, two and four
 * servers that take one call at a time. Decides about results and shares of the work, never about time.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import * as McpConfig from "../../src/McpConfig.ts"
import * as McpServers from "../../src/McpServers.ts"
import * as NodeMcp from "../../src/node.ts"
import { check, checkNothingLeft, countFibers, held, option, printTable, soak } from "./harness.ts"

const sizes = [1, 2, 4]
const seconds = option("seconds", 60) / sizes.length
const callers = 16
const Done = Schema.Struct({ text: Schema.String, pid: Schema.Number })

/** The results by the process that they are from, once all replicas are there, and how long it took. */
const measure = Effect.fnUntraced(function*(max: number) {
  const config = yield* McpConfig.fromValue({
    mcpServers: {
      worker: { command: process.execPath, args: [join(import.meta.dirname, "worker.ts")], replicas: { max, maxInFlight: 1 } }
    }
  })
  const servers = yield* McpServers.make(config)
  const byProcess = new Map<number, number>()
  let foreign = 0
  let next = 0
  const call = Effect.suspend(() => {
    const text = String(next++)
    return Effect.map(
      servers.use("worker", (client) => client.callToolAs("spin", { text, millis: 5 }, Done)),
      (result) => {
        byProcess.set(result.pid, (byProcess.get(result.pid) ?? 0) + 1)
        if (result.text !== text) foreign += 1
      }
    )
  })
  const callWhile = (condition: () => boolean) =>
    Effect.forEach(
      Array.from({ length: callers }),
      () => Effect.whileLoop({ while: condition, body: () => call, step: () => {} }),
      { concurrency: "unbounded", discard: true }
    )
  yield* Effect.timeoutOption(callWhile(() => byProcess.size < max), "20 seconds")
  byProcess.clear()
  const start = performance.now()
  yield* callWhile(() => performance.now() < start + seconds * 1_000)
  return { byProcess, foreign, elapsed: (performance.now() - start) / 1_000 }
}, Effect.scoped)

await soak("pool", async () => {
  const before = held()
  const measured = await Effect.runPromise(Effect.forEach(sizes, measure).pipe(Effect.provide(NodeMcp.layer), countFibers))
  const rates = measured.map(({ byProcess, elapsed }) => [...byProcess.values()].reduce((sum, count) => sum + count, 0) / elapsed)
  const [single = Number.NaN] = rates
  printTable(
    `Calls of 5 ms of CPU time by ${callers} callers, on ${availableParallelism()} cores`,
    ["replicas", "calls/s", "of one"],
    sizes.map((size, index) => [size, rates[index]?.toFixed(0) ?? "", ((rates[index] ?? Number.NaN) / single).toFixed(2)])
  )
  console.log()
  for (const [index, { byProcess, foreign }] of measured.entries()) {
    check(`each of ${sizes[index]} got work`, byProcess.size === sizes[index], [...byProcess.values()].join(", "))
    check("every result belongs to its caller", foreign === 0, foreign)
  }
  await checkNothingLeft(before)
})
