/**
 * What a call costs with so many servers connected, four calls in flight to each: mcp-connect through its runtime for many
 * servers, the limit over as many connections. `growth` is the cost next to that with one server, measured in turns with it.
 */
import type { Session } from "../clients/Client.ts"
import type { Case, Comparison, Mode, Subject } from "../Figure.ts"
import { callsWithin, costOf, digits, measureFor, median, small } from "./measure.ts"

const perServer = 4
const turns = (mode: Mode) => mode === "minimal" ? 1 : 5

type Calls = Pick<Session, "calls">

/** Calls each of the sessions in turn. */
const spread = (sessions: ReadonlyArray<Session>): Calls => ({
  calls: async (concurrency, count, args) => {
    const share = 1 / sessions.length
    await Promise.all(sessions.map((session) => session.calls(concurrency * share, Math.ceil(count * share), args)))
  }
})

const connectAll = async (count: number, { address, client }: Subject): Promise<Calls> =>
  client.fleet === undefined
    ? spread(await Promise.all(Array.from({ length: count }, () => client.connect(address))))
    : client.fleet(count, address)

const servers = (count: number): Case => {
  let prepared: Promise<readonly [Calls, Calls]> | undefined
  return {
    id: `${count} servers`,
    measure: async (subject) => {
      const [one, all] = await (prepared ??= Promise.all([connectAll(1, subject), connectAll(count, subject)]))
      const cost = async (session: Calls, concurrency: number) => {
        const calls = await callsWithin(session, concurrency, measureFor(subject.mode) / 4)
        const { cpuSeconds } = await costOf(() => session.calls(concurrency, calls, small))
        return cpuSeconds / calls * 1e6
      }
      const taken: Array<{ readonly cpu: number; readonly growth: number }> = []
      for (let turn = 0; turn < turns(subject.mode); turn++) {
        const least = await cost(one, perServer)
        const cpu = await cost(all, perServer * count)
        taken.push({ cpu, growth: Math.max(1, cpu / least) })
      }
      return { cpu: median(taken.map(({ cpu }) => cpu)), growth: median(taken.map(({ growth }) => growth)) }
    }
  }
}

const cases = [4, 16, 64].map(servers)

export const figure: Comparison = {
  name: "fleet",
  title: "Many servers",
  slow: true,
  transports: ["json", "ws"],
  clients: ["raw-2026", "mcp-connect"],
  rounds: (mode) => ({ full: 3, quick: 1, minimal: 0 })[mode],
  cases: (mode) => mode === "minimal" ? cases.slice(0, 1) : cases,
  metrics: [
    { id: "cpu", title: "CPU µs/call", show: digits },
    { id: "growth", title: "growth", show: (value) => value.toFixed(2) }
  ],
  targets: cases.map(({ id }) => ({ case: id, metric: "growth", of: "raw", atMost: 1.3 }))
}
