/**
 * Memory under traffic: ten million small calls over one connection, a server that says more than is read, and a server that
 * reads less than is sent. The heap, after everything unused is gone, has to stay where it is.
 *
 *   npm run bench -- --soak [--calls N]
 *
 * Takes minutes; ends with 1 when something grew.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import type { Address } from "./clients/Client.ts"
import { open, run } from "./clients/mcpConnect.ts"
import { small } from "./figures/measure.ts"

const { values: given } = parseArgs({ options: { calls: { type: "string", default: "10000000" } } })

const calls = Number(given.calls)
const samples = 10

/** What a heap swings by anyway: a tenth of a byte for each call would be more. */
const tolerance = 1024 * 1024

/** What may wait for someone who is slow. What is sent meanwhile is many times that. */
const room = 16 * 1024 * 1024

setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")

/** Bytes in use, inside and outside of the heap, once everything unused is gone. */
const used = () => {
  collectGarbage()
  const { external, heapUsed } = process.memoryUsage()
  return heapUsed + external
}

/** What one round finalizes, the next one frees. */
const settled = Effect.gen(function*() {
  for (let round = 0; round < 3; round++) {
    used()
    yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
  }
  return used()
})

const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(2)} MiB`

const check = (what: string, ok: boolean, detail: string) => {
  if (!ok) process.exitCode = 1
  console.log(`${ok ? "ok  " : "FAIL"}  ${what}: ${detail}`)
}

const server = (file: string) => join(import.meta.dirname, "servers", file)
const stdio = (file: string): Address => ({ transport: "stdio", command: process.execPath, args: [server(file)] })

const repeat = <E>(callers: number, count: number, call: () => Effect.Effect<unknown, E>) => {
  let left = count
  const caller = Effect.whileLoop({ while: () => left-- > 0, body: call, step: () => {} })
  return Effect.forEach(Array.from({ length: callers }), () => caller, { concurrency: "unbounded", discard: true })
}

/** Does something, and looks at the memory meanwhile. */
const watched = <A, E, R>(what: string, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const before = yield* settled
    let most = before
    const look = Effect.sync(() => {
      most = Math.max(most, used())
    })
    const watching = yield* Effect.forkChild(Effect.forever(Effect.delay(look, 200)))
    yield* effect
    yield* Fiber.interrupt(watching)
    check(what, most - before <= room, `${mebibytes(before)} before, ${mebibytes(most)} at most`)
  })

const traffic = Effect.gen(function*() {
  const client = yield* open(stdio("stdio.ts"), {})
  const part = Math.ceil(calls / samples)
  const taken: Array<number> = []
  for (let sample = 1; sample <= samples; sample++) {
    const start = performance.now()
    yield* repeat(64, part, () => client.callTool("echo", { ...small }))
    const seconds = (performance.now() - start) / 1000
    const memory = yield* settled
    taken.push(memory)
    console.log(`      ${sample * part} calls: ${mebibytes(memory)}, ${(part / seconds).toFixed(0)} calls/s`)
  }
  // The first sample has in it what is still to be compiled.
  const [, first = Number.NaN] = taken
  const last = taken.at(-1) ?? Number.NaN
  check(`memory is flat over ${part * samples} calls`, last - first <= tolerance, `${mebibytes(first)} -> ${mebibytes(last)}`)
})

/** A million notifications, to someone who takes a millisecond for each. */
const flood = (address: Address) =>
  Effect.gen(function*() {
    const client = yield* open(address, {})
    yield* watched(
      `progress is not kept for a slow handler, ${address.transport}`,
      repeat(1, 50, () => client.callTool("progress", { count: 20_000 }, { onProgress: () => Effect.sleep(1) }))
    )
  })

/** A hundred times what may wait, to a server that is slow to read. */
const stuffed = Effect.gen(function*() {
  const client = yield* open(stdio("slow.ts"), {})
  const size = 32 * 1024
  yield* watched(
    "calls wait until the server reads",
    repeat(1_000, 100 * 2 ** 20 / size, () => Effect.suspend(() => client.callTool("echo", { text: "x".repeat(size), bytes: 1 })))
  )
})

const webSocketServer = fork(server("ws.ts"), { execArgv: [] })
const [[url]] = await once(webSocketServer, "message")

for (const part of [flood(stdio("stdio.ts")), flood({ transport: "ws", url }), stuffed, traffic]) {
  await run(Effect.scoped(part))
}
webSocketServer.disconnect()
