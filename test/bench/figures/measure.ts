/** What figures have in common. */
import type { Echo, Session } from "../clients/Client.ts"
import type { Mode } from "../Figure.ts"

export const small: Echo = { text: "hello, server" }

export const median = (values: ReadonlyArray<number>): number => quantile(values, 0.5)

export const quantile = (values: ReadonlyArray<number>, part: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? Number.NaN

/** Milliseconds that a measurement is to take: short, so that those who take turns meet the same machine. */
export const measureFor = (mode: Mode): number => ({ full: 250, quick: 150, minimal: 5 })[mode]

/**
 * Calls that fill the time, by trying for a third of it. The try is long enough to leave behind what waiting for one's
 * turn does to the caches: a client that works is what is measured.
 */
export const callsWithin = async (session: Pick<Session, "calls">, concurrency: number, millis: number, args = small): Promise<number> => {
  const start = performance.now()
  let tried = 0
  let passed = 0
  while (passed < millis / 3) {
    await session.calls(concurrency, concurrency * 8, args)
    tried += concurrency * 8
    passed = performance.now() - start
  }
  return Math.ceil(tried * millis / passed)
}

const warm = new WeakSet<Session>()

/** Calls until nothing gets faster any more, as seen with each client; and the milliseconds after which it has to do. */
const warmth: Readonly<Record<Mode, { readonly calls: number; readonly least: number; readonly most: number }>> = {
  full: { calls: 60_000, least: 2_000, most: 4_000 },
  quick: { calls: 40_000, least: 1_200, most: 3_500 },
  minimal: { calls: 0, least: 0, most: 0 }
}

/** Lets the compiler see what is to be measured: a process that serves calls has been running for a while. */
export const warmUp = async (session: Session, mode: Mode): Promise<void> => {
  if (warm.has(session)) return
  warm.add(session)
  const { calls, least, most } = warmth[mode]
  const start = performance.now()
  for (let made = 0; ; made += 640) {
    const passed = performance.now() - start
    if (passed >= most || (passed >= least && made >= calls)) return
    await session.calls(64, 640, small)
  }
}

export interface Cost {
  readonly seconds: number
  /** Of this process, all threads of it. */
  readonly cpuSeconds: number
}

export const costOf = async (run: () => Promise<unknown>): Promise<Cost> => {
  const cpu = process.cpuUsage()
  const start = performance.now()
  await run()
  const seconds = (performance.now() - start) / 1000
  const { system, user } = process.cpuUsage(cpu)
  return { seconds, cpuSeconds: (system + user) / 1e6 }
}

/** Three digits that count. */
export const digits = (value: number): string =>
  value >= 1e6
    ? `${(value / 1e6).toPrecision(3)}M`
    : value >= 1e4
    ? `${(value / 1e3).toFixed(value < 1e5 ? 1 : 0)}k`
    : value >= 100
    ? value.toFixed(0)
    : value.toPrecision(3)
