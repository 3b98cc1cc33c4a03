/** How long one call takes with nothing else in flight; client and server share a core, so that no wake-up of another one counts. */
import type { Comparison } from "../Figure.ts"
import { callsWithin, digits, measureFor, quantile, small, warmUp } from "./measure.ts"

const sequential = "one after the other"

export const figure: Comparison = {
  name: "latency",
  title: "Latency",
  transports: ["stdio", "json", "sse", "ws"],
  oneCore: true,
  rounds: (mode) => ({ full: 9, quick: 9, minimal: 1 })[mode],
  weight: 2,
  cases: () => [{
    id: sequential,
    measure: async (subject) => {
      const session = await subject.session()
      await warmUp(session, subject.mode)
      const times = await session.timed(await callsWithin(session, 1, measureFor(subject.mode)), small)
      return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) }
    }
  }],
  metrics: [
    { id: "p50", title: "p50 µs", show: digits },
    { id: "p99", title: "p99 µs", show: digits }
  ],
  headlines: [{ title: "one call after the other, p50 µs", case: sequential, metric: "p50" }],
  targets: [
    { transports: ["stdio", "ws"], case: sequential, metric: "p50", of: "raw", atMost: 1.2 },
    { transports: ["json", "sse"], case: sequential, metric: "p50", of: "raw", atMost: 1.6 }
  ]
}
