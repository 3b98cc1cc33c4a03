/**
 * What a tool call over stdio costs: calls per second, and CPU time of the client's process per call, for a client written
 * by hand in plain Node, the official SDK, and mcp-connect; then how long large results take. Each has a process of its own
 * and an echo server; they take turns within one run, because only ratios mean anything on a machine that does other things
 * too. Takes less than a minute, prints tables, decides nothing.
 */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { contestants, type Order } from "./contestant.ts"

const millis = 300
const rounds = 5
const concurrencies = [1, 16, 64]
const sizes = [1, 4, 8]

interface Runner {
  readonly name: string
  readonly child: ChildProcess
}

const answer = async (child: ChildProcess): Promise<ReadonlyArray<number>> => (await once(child, "message"))[0]

const give = ({ child }: Runner, order: Order) => {
  child.send(order)
  return answer(child)
}

const runners: ReadonlyArray<Runner> = await Promise.all(
  Object.keys(contestants).map(async (name) => {
    const child = fork(join(import.meta.dirname, "contestant.ts"), [name])
    await answer(child)
    return { name, child }
  })
)

const median = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

/** The medians of figures taken in rounds in which everybody has a turn; the first round warms up. */
const inTurns = async (rounds: number, order: Order) => {
  const taken = new Map(runners.map((runner) => [runner, new Array<ReadonlyArray<number>>()]))
  for (let round = 0; round <= rounds; round++) {
    for (const [runner, figures] of taken) {
      const measured = await give(runner, order)
      if (round > 0) figures.push(measured)
    }
  }
  return [...taken].map(([{ name }, figures]) => ({
    name,
    medians: (figures[0] ?? []).map((_, index) => median(figures.map((each) => each[index] ?? Number.NaN)))
  }))
}

const print = (title: string, head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>) => {
  console.log(`\n${title}`)
  for (const [name = "", ...cells] of [["", ...head], ...rows]) {
    console.log(`  ${name.padEnd(32)}${cells.map((cell) => cell.padStart(16)).join("")}`)
  }
}

for (const concurrency of concurrencies) {
  const results = await inTurns(rounds, { _tag: "Calls", concurrency, millis })
  const [baseRate = Number.NaN, baseCpu = Number.NaN] = results[0]?.medians ?? []
  print(
    `${concurrency} in flight`,
    ["calls/s", "of plain Node", "CPU us/call", "of plain Node"],
    results.map(({ medians: [rate = Number.NaN, cpu = Number.NaN], name }) => [
      name,
      rate.toFixed(0),
      (rate / baseRate).toFixed(2),
      cpu.toFixed(1),
      (cpu / baseCpu).toFixed(2)
    ])
  )
}

const large: Array<Awaited<ReturnType<typeof inTurns>>> = []
for (const size of sizes) large.push(await inTurns(3, { _tag: "Large", bytes: size * 1024 * 1024 }))
print(
  "One large result, in ms",
  sizes.map((size) => `${size} MiB`),
  runners.map(({ name }, index) => [name, ...large.map((results) => results[index]?.medians[0]?.toFixed(1) ?? "")])
)

for (const { child } of runners) child.send({ _tag: "End" } satisfies Order)
