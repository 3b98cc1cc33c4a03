/** What the figures about connecting have in common. Closing is not measured; over HTTP each needs new sockets. */
import { subscribe } from "node:diagnostics_channel"
import type { Case, Comparison, Subject } from "../Figure.ts"
import { costOf, digits, measureFor, median } from "./measure.ts"

const many = 32

let processes = 0
subscribe("child_process", () => {
  processes += 1
})

/** Connects to so many servers at once. */
const connectTo = async (count: number, { address, client }: Subject) => {
  const before = processes
  const sessions: Array<Awaited<ReturnType<typeof client.connect>>> = []
  const { cpuSeconds, seconds } = await costOf(() =>
    Promise.all(Array.from({ length: count }, async () => {
      const session = await client.connect(address)
      sessions.push(session)
      await session.list()
    }))
  )
  const started = processes - before
  await Promise.all(sessions.map((session) => session.close()))
  return { millis: seconds * 1000, cpu: cpuSeconds * 1000 / count, processes: started / count }
}

/** Milliseconds of connecting before it counts: the compiler has to see it often. Processes take their time anyway. */
const warmUpFor = ({ address, mode }: Subject) => address.transport === "stdio" || mode === "minimal" ? 0 : 1_500

const warm = new WeakSet<Subject>()

const warmUp = async (subject: Subject) => {
  if (warm.has(subject)) return
  warm.add(subject)
  const until = performance.now() + warmUpFor(subject)
  while (performance.now() < until) await connectTo(1, subject)
}

const one: Case = {
  id: "1 server",
  measure: async (subject) => {
    await warmUp(subject)
    const until = performance.now() + measureFor(subject.mode)
    const taken = [await connectTo(1, subject)]
    while (performance.now() < until || (subject.mode !== "minimal" && taken.length < 3)) taken.push(await connectTo(1, subject))
    return {
      millis: median(taken.map(({ millis }) => millis)),
      cpu: median(taken.map(({ cpu }) => cpu)),
      processes: Math.max(...taken.map(({ processes }) => processes))
    }
  }
}

const atOnce: Case = { id: `${many} servers at once`, measure: (subject) => connectTo(many, subject) }

export const connecting = (
  options: Pick<Comparison, "name" | "title" | "targets" | "server" | "clients" | "slow" | "headlines">
): Comparison => ({
  transports: ["stdio", "json", "ws"],
  rounds: (mode) => ({ full: 7, quick: 5, minimal: 0 })[mode],
  cases: (mode) => mode === "full" ? [one, atOnce] : [one],
  metrics: [
    { id: "millis", title: "ms", show: digits },
    { id: "cpu", title: "CPU ms each", show: digits },
    { id: "processes", title: "processes each", show: String, ratio: false }
  ],
  ...options,
  server: ["--hang-up", ...options.server ?? []],
  targets: [
    ...options.targets,
    { transports: ["stdio"], case: one.id, metric: "processes", atMost: 1 }
  ]
})
