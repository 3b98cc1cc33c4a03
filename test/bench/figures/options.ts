/**
 * What can be had besides plain calls, and what it costs: calls with and without it take turns in one process. A tracer
 * makes spans and keeps none: what becomes of them is the exporter's. Metrics, and the token that progress is told by, are always on.
 * Over stdio, where calls cost least.
 */
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"
import type { Address, Echo, Session } from "../clients/Client.ts"
import { effectful } from "../clients/effects.ts"
import { open, openServers, run } from "../clients/mcpConnect.ts"
import type { Case, Comparison } from "../Figure.ts"
import { callsWithin, costOf, digits, measureFor, median, small } from "./measure.ts"

const concurrency = 64

/** How often each of the two has its turn in one measurement. */
const turns = 9

type Calls = Pick<Session, "calls">

type Call = (args: Echo) => Effect.Effect<unknown, unknown>

interface Pair {
  readonly without: Call
  readonly having: Call
  /** What the program of all callers runs in, where that is what it is about. */
  readonly around?: <A, E>(program: Effect.Effect<A, E>) => Effect.Effect<A, E>
}

/** CPU time of one call, in microseconds. */
const costOfCall = async (session: Calls, count: number) =>
  (await costOf(() => session.calls(concurrency, count, small))).cpuSeconds / count * 1e6

const option = (id: string, make: (address: Address) => Promise<Pair>): Case => {
  let made: Promise<{ readonly without: Calls; readonly having: Calls }> | undefined
  const prepare = async (address: Address) => {
    const { around, having, without } = await make(address)
    return { without: effectful(run, without), having: effectful((program) => run(around?.(program) ?? program), having) }
  }
  return {
    id,
    measure: async ({ address, mode }) => {
      const { having, without } = await (made ??= prepare(address))
      const count = await callsWithin(having, concurrency, measureFor(mode) / 4)
      const taken: Array<{ readonly off: number; readonly on: number }> = []
      for (let turn = 0; turn < (mode === "minimal" ? 1 : turns); turn++) {
        const off = await costOfCall(without, count)
        taken.push({ off, on: await costOfCall(having, count) })
      }
      return {
        off: median(taken.map(({ off }) => off)),
        on: median(taken.map(({ on }) => on)),
        ratio: median(taken.map(({ off, on }) => on / off)),
        cost: median(taken.map(({ off, on }) => on - off))
      }
    }
  }
}

/** Hands on the spans it is given, as one does that exports them elsewhere. */
const tracer = Tracer.make({ span: (options) => new Tracer.NativeSpan(options) })

const tracing = option("a tracer", async (address) => {
  const client = await run(open(address, {}))
  const call: Call = (args) => client.callTool("echo", args)
  return { without: call, having: call, around: Effect.provideService(Tracer.Tracer, tracer) }
})

const deadline = option("a deadline", async (address) => {
  const limited = await run(open(address, {}))
  const unlimited = await run(open(address, { timeout: "Infinity", maxTotal: "Infinity" }))
  return { without: (args) => unlimited.callTool("echo", args), having: (args) => limited.callTool("echo", args) }
})

const ownDeadline = option("a deadline of the call's own", async (address) => {
  const client = await run(open(address, {}))
  return { without: (args) => client.callTool("echo", args), having: (args) => client.callTool("echo", args, { timeout: 10_000 }) }
})

const progress = option("a handler of progress", async (address) => {
  const client = await run(open(address, {}))
  const onProgress = () => Effect.void
  return { without: (args) => client.callTool("echo", args), having: (args) => client.callTool("echo", args, { onProgress }) }
})

const supervision = option("McpServers around it", async (address) => {
  const client = await run(open(address, {}))
  const servers = await run(openServers(1, address))
  return {
    without: (args) => client.callTool("echo", args),
    having: (args) => servers.use("server-0", (shared) => shared.callTool("echo", args))
  }
})

export const figure: Comparison = {
  name: "options",
  title: "Calls with",
  slow: true,
  transports: ["stdio"],
  clients: ["mcp-connect"],
  rounds: (mode) => ({ full: 3, quick: 2, minimal: 0 })[mode],
  cases: () => [tracing, deadline, ownDeadline, progress, supervision],
  metrics: [
    { id: "off", title: "without, µs", show: digits, ratio: false },
    { id: "on", title: "with, µs", show: digits, ratio: false },
    { id: "ratio", title: "with/without", show: (value) => value.toFixed(2), ratio: false },
    { id: "cost", title: "it costs, µs", show: (value) => value.toFixed(2), ratio: false }
  ],
  targets: [
    { case: tracing.id, metric: "ratio", atMost: 1.5 },
    { case: deadline.id, metric: "cost", atMost: 1 }
  ]
}
