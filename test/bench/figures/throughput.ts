/** Calls per second, and what a call costs the client's process. */
import type { Case, Comparison } from "../Figure.ts"
import { callsWithin, costOf, digits, measureFor, small, warmUp } from "./measure.ts"

const inFlight = (concurrency: number): Case => ({
  id: `${concurrency} in flight`,
  measure: async (subject) => {
    const session = await subject.session()
    await warmUp(session, subject.mode)
    const count = await callsWithin(session, concurrency, measureFor(subject.mode))
    const { cpuSeconds, seconds } = await costOf(() => session.calls(concurrency, count, small))
    return { rate: count / seconds, cpu: cpuSeconds / count * 1e6 }
  }
})

const most = "64 in flight"

export const figure: Comparison = {
  name: "throughput",
  title: "Calls in flight",
  transports: ["stdio", "json", "sse", "ws"],
  rounds: (mode) => ({ full: 9, quick: 9, minimal: 1 })[mode],
  weight: 5,
  cases: (mode) => (mode === "full" ? [1, 16, 64] : [64]).map(inFlight),
  metrics: [
    { id: "rate", title: "calls/s", show: digits },
    { id: "cpu", title: "CPU µs/call", show: digits }
  ],
  headlines: [
    { title: "calls/s, 64 in flight", case: most, metric: "rate" },
    { title: "client CPU µs per call, 64 in flight", case: most, metric: "cpu" }
  ],
  targets: [
    { transports: ["stdio"], case: most, metric: "cpu", of: "raw", atMost: 2 },
    { transports: ["stdio"], case: most, metric: "cpu", of: "sdk-v1", atMost: 0.5 },
    { transports: ["ws"], case: most, metric: "cpu", of: "raw", atMost: 1.5 },
    { transports: ["json"], case: most, metric: "cpu", of: "raw", atMost: 2 },
    { transports: ["sse"], case: most, metric: "cpu", of: "raw", atMost: 2.5 }
  ]
}
