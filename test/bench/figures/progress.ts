/** Notifications of progress that share a chunk with the result of their call: how fast, how many get lost, how many come after it. */
import type { ProgressSeen } from "../clients/Client.ts"
import type { Comparison, Mode } from "../Figure.ts"
import { digits } from "./measure.ts"

const countOf = (mode: Mode) => mode === "minimal" ? 500 : 10_000

const callsOf = (mode: Mode) => ({ full: 10, quick: 3, minimal: 1 })[mode]

const inOneChunk = "in one chunk with the result"

export const figure: Comparison = {
  name: "progress",
  title: "Progress",
  transports: ["stdio", "sse", "ws"],
  rounds: (mode) => ({ full: 5, quick: 5, minimal: 1 })[mode],
  cases: (mode) => [{
    id: inOneChunk,
    measure: async (subject) => {
      const { progress } = await subject.session()
      if (progress === undefined) return undefined
      const count = countOf(mode)
      const calls: Array<ProgressSeen> = []
      for (let call = 0; call < callsOf(mode); call++) calls.push(await progress(count))
      const sum = (of: (seen: ProgressSeen) => number) => calls.reduce((total, seen) => total + of(seen), 0)
      return {
        rate: sum(({ received }) => received) / sum(({ seconds }) => seconds),
        lost: Math.max(...calls.map(({ late, received }) => count - received - late)),
        late: Math.max(...calls.map(({ late }) => late))
      }
    }
  }],
  metrics: [
    { id: "rate", title: "told/s", show: digits },
    { id: "lost", title: "lost", show: String, ratio: false, worst: true },
    { id: "late", title: "late", show: String, ratio: false, worst: true }
  ],
  headlines: [
    { title: "progress notifications/s", case: inOneChunk, metric: "rate" },
    { title: "lost of 10,000 in one chunk", case: inOneChunk, metric: "lost" }
  ],
  targets: [
    { case: inOneChunk, metric: "rate", of: "raw", atLeast: 0.4 },
    { case: inOneChunk, metric: "lost", atMost: 0 },
    { case: inOneChunk, metric: "late", atMost: 0 }
  ]
}
