/**
 * What a connection keeps in the heap while nothing happens: listed its tools once, and everything unused is gone. Each is
 * to another origin, so that none shares its sockets with others.
 */
import type { Session } from "../clients/Client.ts"
import type { Comparison, Mode, Subject } from "../Figure.ts"

const kept = "kept for each"

/** Connections before the first reading, and those that are measured: processes are the dear ones. */
const countsOf = (mode: Mode, { address }: Subject) =>
  address.transport === "stdio"
    ? { full: [16, 24], quick: [8, 8], minimal: [1, 2] }[mode] as [number, number]
    : { full: [50, 200], quick: [50, 50], minimal: [1, 2] }[mode] as [number, number]

const collectGarbage = async () => {
  // What one round finalizes, the next one frees.
  for (let round = 0; round < 4; round++) {
    globalThis.gc?.()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const used = async () => {
  await collectGarbage()
  const { external, heapUsed } = process.memoryUsage()
  return { external, heap: heapUsed }
}

export const figure: Comparison = {
  name: "idle",
  title: "Idle connections",
  slow: true,
  transports: ["stdio", "json", "ws"],
  fresh: true,
  server: ["--origins", "256"],
  rounds: (mode) => ({ full: 2, quick: 1, minimal: 0 })[mode],
  cases: (mode) => [{
    id: kept,
    measure: async (subject) => {
      const sessions: Array<Session> = []
      const connect = async (count: number) => {
        for (let index = 0; index < count; index++) {
          const { address, addresses, client } = subject
          const session = await client.connect(addresses[sessions.length % addresses.length] ?? address)
          await session.list()
          sessions.push(session)
        }
      }
      const [first, count] = countsOf(mode, subject)
      // What is loaded, compiled and cached with the first ones is not theirs.
      await connect(first)
      const before = await used()
      await connect(count)
      const after = await used()
      await Promise.all(sessions.map((session) => session.close()))
      return {
        heap: (after.heap - before.heap) / count / 1024,
        external: (after.external - before.external) / count / 1024
      }
    }
  }],
  metrics: [
    { id: "heap", title: "heap KiB", show: (value) => value.toFixed(1) },
    { id: "external", title: "outside KiB", show: (value) => value.toFixed(1), ratio: false }
  ],
  headlines: [{ title: "heap of an idle connection, KiB", case: kept, metric: "heap" }],
  targets: [{ case: kept, metric: "heap", of: "raw", atMost: 2 }]
}
