/** Listing many tools, checked and decoded as each client does. */
import type { Comparison } from "../Figure.ts"
import { costOf, digits, measureFor } from "./measure.ts"

const tools = 200

export const figure: Comparison = {
  name: "listing",
  title: "Listing tools",
  slow: true,
  transports: ["stdio", "json", "sse", "ws"],
  server: ["--tools", String(tools)],
  rounds: (mode) => ({ full: 5, quick: 2, minimal: 0 })[mode],
  cases: () => [{
    id: `${tools} tools`,
    measure: async (subject) => {
      const session = await subject.session()
      let count = 0
      const until = performance.now() + measureFor(subject.mode)
      const { cpuSeconds, seconds } = await costOf(async () => {
        do {
          const listed = await session.list()
          if (listed !== tools) throw new Error(`got ${listed} of ${tools} tools`)
          count++
        } while (performance.now() < until)
      })
      return { millis: seconds * 1000 / count, cpu: cpuSeconds * 1000 / count }
    }
  }],
  metrics: [
    { id: "millis", title: "ms", show: digits },
    { id: "cpu", title: "CPU ms", show: digits }
  ],
  headlines: [{ title: `listing ${tools} tools, ms`, case: `${tools} tools`, metric: "millis" }],
  targets: []
}
