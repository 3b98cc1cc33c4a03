/** One large result at a time. */
import type { Case, Comparison, Mode } from "../Figure.ts"
import { costOf, digits } from "./measure.ts"

const mebibyte = 1024 * 1024

const callsOf = (mode: Mode, mebibytes: number) => mode === "minimal" ? 1 : Math.ceil(30 / mebibytes)

/** How much text came: every client gives it in the same place. */
const lengthOf = (result: unknown): number => {
  const { content } = result as { readonly content?: ReadonlyArray<{ readonly text?: string }> }
  return content?.[0]?.text?.length ?? 0
}

const result = (mebibytes: number): Case => ({
  id: `${mebibytes} MiB`,
  measure: async (subject) => {
    const session = await subject.session()
    const bytes = mebibytes * mebibyte
    const calls = callsOf(subject.mode, mebibytes)
    const { cpuSeconds, seconds } = await costOf(async () => {
      for (let call = 0; call < calls; call++) {
        const length = lengthOf(await session.call({ bytes }))
        if (length !== bytes) throw new Error(`got ${length} of ${bytes} bytes`)
      }
    })
    const megabytes = bytes * calls / 1e6
    return { rate: megabytes / seconds, cpu: cpuSeconds * 1000 / megabytes }
  }
})

export const figure: Comparison = {
  name: "large",
  title: "Large results",
  transports: ["stdio", "json", "sse", "ws"],
  rounds: (mode) => ({ full: 7, quick: 7, minimal: 0 })[mode],
  cases: (mode) => ({ full: [1, 10], quick: [10], minimal: [1] })[mode].map(result),
  metrics: [
    { id: "rate", title: "MB/s", show: digits },
    { id: "cpu", title: "CPU ms/MB", show: digits }
  ],
  headlines: [{ title: "one result of 10 MiB, MB/s", case: "10 MiB", metric: "rate" }],
  targets: [{ case: "10 MiB", metric: "rate", of: "raw", atLeast: 0.7 }]
}
