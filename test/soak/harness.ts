/**
 * What the soak programs share: randomness that can be repeated, a tally of outcomes, what the process holds, and checks
 * that decide how the program ends. Each program is a process of its own, so that what it holds is its own.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { readdirSync, writeSync } from "node:fs"
import { parseArgs } from "node:util"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as McpError from "../../src/McpError.ts"

// Options

const { values } = parseArgs({
  options: {
    seconds: { type: "string" },
    cycles: { type: "string" },
    servers: { type: "string" },
    seed: { type: "string" }
  }
})

/** A number from the command line, by the name of its option. */
export const option = (name: keyof typeof values, otherwise: number): number => {
  const value = values[name] === undefined ? otherwise : Number(values[name])
  if (!(value > 0)) throw new Error(`--${name} wants a number above 0`)
  return value
}

// Randomness

/** What a program picks at random follows from this; it is printed, to be given again. */
export const seed: number = option("seed", 1 + Date.now() % 1_000_000)

let state = seed

/** From 0 to 1, the same for the same seed (mulberry32). */
export const random = (): number => {
  state = (state + 0x6d2b79f5) | 0
  let mixed = Math.imul(state ^ (state >>> 15), state | 1)
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
}

export const randomInt = (below: number): number => Math.floor(random() * below)

/** One of them; there has to be one. */
export const pick = <const A>(items: ReadonlyArray<A>): A => {
  const [picked] = items.slice(randomInt(items.length))
  if (picked === undefined) throw new Error("nothing to pick from")
  return picked
}

// Outcomes

/** How often something came out one way or another. */
export interface Tally {
  readonly counts: ReadonlyMap<string, number>
  readonly total: () => number
  /** Counts one, by a word of one's own. */
  readonly add: (outcome: string) => void
  /** Counts an exit: `Success`, the tag of the reason, `Interrupted`, or `Untyped` for whatever is no McpError. */
  readonly exit: (exit: Exit.Exit<unknown, unknown>) => void
}

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return "Success"
  if (Cause.hasInterruptsOnly(exit.cause)) return "Interrupted"
  const error = Cause.squash(exit.cause)
  return !Cause.hasDies(exit.cause) && McpError.isMcpError(error) ? error.reason._tag : "Untyped"
}

export const makeTally = (): Tally => {
  const counts = new Map<string, number>()
  const add = (outcome: string) => counts.set(outcome, (counts.get(outcome) ?? 0) + 1)
  return {
    counts,
    total: () => [...counts.values()].reduce((sum, count) => sum + count, 0),
    add,
    exit: (exit) => add(outcomeOf(exit))
  }
}

// What the process holds

/** The processes below this one that are alive, as `pid args`; zombies are not. */
export const descendants = (): ReadonlyArray<string> => {
  const table = execFileSync("ps", ["-A", "-o", "pid=,ppid=,stat=,args="], { encoding: "utf8" })
  const rows = [...table.matchAll(/^ *(\d+) +(\d+) +(\S+) +(.*)$/gm)].map(([, pid, parent, stat = "", args = ""]) => ({
    pid: Number(pid),
    parent: Number(parent),
    alive: !stat.startsWith("Z") && !args.startsWith("ps -A -o pid=,ppid="),
    args
  }))
  const below = (pid: number): typeof rows => rows.filter(({ parent }) => parent === pid).flatMap((row) => [row, ...below(row.pid)])
  return below(process.pid).filter(({ alive }) => alive).map(({ args, pid }) => `${pid} ${args}`)
}

/** What is open or waited for, by kind, with how many there are. */
export type Resources = Readonly<Record<string, number>>

/** What keeps the event loop going, by kind. */
export const activeResources = (): Resources => {
  const counts: Record<string, number> = {}
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}

export const openFiles = (): number => readdirSync("/proc/self/fd").length

/** The listeners that are set on the process itself: signals, and the end. */
export const processListeners = (): number =>
  process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0)

let fibers = 0

/** Counts the fibers that are started by an effect, and by those; without it none is. */
export const countFibers: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = Effect.provideService(
  Metric.FiberRuntimeMetrics,
  {
    recordFiberStart: () => {
      fibers += 1
    },
    recordFiberEnd: () => {
      fibers -= 1
    }
  }
)

setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")

/** Bytes of the heap that are in use once everything unused is gone. */
export const heapUsed = async (): Promise<number> => {
  // What one round finalizes, the next one frees.
  for (let round = 0; round < 3; round++) {
    collectGarbage()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return process.memoryUsage().heapUsed
}

export interface Held {
  readonly descendants: ReadonlyArray<string>
  readonly fibers: number
  readonly files: number
  readonly listeners: number
  readonly resources: Resources
}

export const held = (): Held => ({
  descendants: descendants(),
  fibers,
  files: openFiles(),
  listeners: processListeners(),
  resources: activeResources()
})

/**
 * What is held, once it is no more than before, or after `seconds` whatever it is. Handles that were closed leave the
 * event loop some turns later, and only those are waited for: a process that is still there is found in the first look.
 */
const settled = async (before: Held, seconds: number): Promise<Held> => {
  const until = performance.now() + seconds * 1_000
  const first = descendants()
  while (performance.now() < until && (openFiles() > before.files || excess(before.resources, activeResources()) !== "")) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return { ...held(), descendants: first }
}

/** What there is more of, in words. */
const excess = (before: Resources, after: Resources): string =>
  Object.entries(after)
    .flatMap(([kind, count]) => count > (before[kind] ?? 0) ? [`${kind} ${before[kind] ?? 0} -> ${count}`] : [])
    .join(", ")

// Report

/** Columns as wide as their widest cell: words to the left, numbers to the right. */
export const printTable = (
  title: string,
  head: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string | number>>
): void => {
  const lines = [head, ...rows.map((row) => row.map(String))]
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  console.log(`\n${title}`)
  for (const line of lines) {
    console.log(`  ${line.map((cell, column) => column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)).join("  ")}`)
  }
}

export const printTally = (title: string, { counts }: Tally): void =>
  printTable(title, ["outcome", "count"], [...counts].sort(([, a], [, b]) => b - a))

let failures = 0

/** Decides how the program ends. */
export const check = (name: string, ok: boolean, detail: string | number = ""): void => {
  if (!ok) failures += 1
  console.log(`${ok ? "ok  " : "FAIL"}  ${name}${detail === "" ? "" : `: ${detail}`}`)
}

/** Checks that nothing is held that was not held before. */
export const checkNothingLeft = async (before: Held): Promise<void> => {
  const after = await settled(before, 2)
  check("no process is left", after.descendants.length <= before.descendants.length, after.descendants.join("; "))
  check("no fiber is left", after.fibers <= before.fibers, `${before.fibers} -> ${after.fibers}`)
  check("no file descriptor is left", after.files <= before.files, `${before.files} -> ${after.files}`)
  check("no listener is left", after.listeners <= before.listeners, `${before.listeners} -> ${after.listeners}`)
  check("nothing active is left", excess(before.resources, after.resources) === "", excess(before.resources, after.resources))
}

/**
 * Runs a soak program to its closing line and its exit code. The event loop has to run dry by itself: that it does is the
 * last check, and what keeps it is named.
 */
export const soak = async (name: string, main: () => Promise<void>): Promise<void> => {
  console.log(`soak ${name}, seed ${seed}`)
  // With the first process that it starts Node opens a file that it keeps.
  await once(spawn("true"), "close")
  await main()
  setTimeout(() => {
    check("the program ends by itself", false, JSON.stringify(activeResources()))
    process.exit()
  }, 5_000).unref()
  process.on("exit", () => {
    process.exitCode = failures === 0 ? 0 : 1
    writeSync(1, `soak ${name}: ${failures === 0 ? "passed" : `${failures} failed`}\n`)
  })
}
