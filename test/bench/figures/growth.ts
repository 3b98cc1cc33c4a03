/**
 * How costs grow: with the calls in flight, and with the size of messages. `growth` is the cost of a call, or of a byte,
 * next to that of the step before, measured in turns with it: 1 is flat, linear or better, and what is above is not. What the
 * limit has too is the system's: sockets, and the memory for long texts.
 */
import type { Echo } from "../clients/Client.ts"
import type { Case, Comparison, Mode, Subject } from "../Figure.ts"
import { callsWithin, costOf, digits, measureFor, median, small, warmUp } from "./measure.ts"

interface Step {
  readonly id: string
  readonly concurrency: number
  readonly args: Echo
  /** What the cost is divided by. */
  readonly size: number
}

const inFlight = (concurrency: number): Step => ({ id: `${concurrency} in flight`, concurrency, args: small, size: 1 })

const bytes = (bytes: number, id: string): Step => ({ id, concurrency: 1, args: { bytes }, size: bytes })

const turns = (mode: Mode) => mode === "minimal" ? 1 : 5

const measured = (step: Step, before: Step): Case => ({
  id: step.id,
  measure: async (subject: Subject) => {
    const session = await subject.session()
    await warmUp(session, subject.mode)
    const cost = async ({ args, concurrency }: Step) => {
      const count = await callsWithin(session, concurrency, measureFor(subject.mode) / 4, args)
      const { cpuSeconds } = await costOf(() => session.calls(concurrency, count, args))
      return cpuSeconds / count * 1e6
    }
    const taken: Array<{ readonly cpu: number; readonly growth: number }> = []
    for (let turn = 0; turn < turns(subject.mode); turn++) {
      const last = await cost(before)
      const cpu = await cost(step)
      taken.push({ cpu, growth: Math.max(1, (cpu / step.size) / (last / before.size)) })
    }
    return { cpu: median(taken.map(({ cpu }) => cpu)), growth: median(taken.map(({ growth }) => growth)) }
  }
})

const steps = (all: ReadonlyArray<Step>): ReadonlyArray<Case> =>
  all.slice(1).map((step, index) => measured(step, all[index] ?? step))

const cases = [
  ...steps([1, 16, 64, 256, 1_024].map(inFlight)),
  ...steps([bytes(100, "100 B"), bytes(1_024, "1 KiB"), bytes(10_240, "10 KiB"), bytes(102_400, "100 KiB"), bytes(1_048_576, "1 MiB")])
]

export const figure: Comparison = {
  name: "growth",
  title: "Growth",
  slow: true,
  transports: ["stdio", "json", "ws"],
  clients: ["raw-2026", "mcp-connect"],
  rounds: (mode) => ({ full: 1, quick: 1, minimal: 0 })[mode],
  cases: (mode) => mode === "minimal" ? cases.slice(0, 1) : cases,
  metrics: [
    { id: "cpu", title: "CPU µs/call", show: digits },
    { id: "growth", title: "growth", show: (value) => value.toFixed(2) }
  ],
  targets: cases.map(({ id }) => ({ case: id, metric: "growth", of: "raw", atMost: 1.3 }))
}
