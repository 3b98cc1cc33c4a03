/**
 * What a tool call over stdio costs: calls per second, and CPU time of this process per call, for a client written by
 * hand in plain Node, the official SDK, and mcp-connect; then how long large results take. All of them talk to the same
 * echo server, in turns within one run, because only ratios mean anything on a machine that does other things too.
 * Takes less than a minute, prints tables, decides nothing.
 */
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { spawn } from "node:child_process"
import { join } from "node:path"
import { McpClient, StdioTransport } from "../../src/index.ts"
import * as NodeMcp from "../../src/node.ts"

const millis = 200
const rounds = 5
const concurrencies = [1, 16, 64]
const sizes = [1, 4, 8]

const server = join(import.meta.dirname, "echo-server.ts")
const small = { text: "hello, server" }

/** One way to call the server. */
interface Contestant {
  readonly name: string
  /** Keeps this many calls in flight until the time is up, and tells how many were made. */
  readonly calls: (concurrency: number, until: number) => Promise<number>
  /** Makes one call. */
  readonly call: (args: Record<string, unknown>) => Promise<unknown>
  readonly close: () => Promise<unknown>
}

/** Callers made of promises. */
const loops = (call: Contestant["call"]): Contestant["calls"] => async (concurrency, until) => {
  let count = 0
  const caller = async () => {
    while (performance.now() < until) {
      await call(small)
      count++
    }
  }
  await Promise.all(Array.from({ length: concurrency }, caller))
  return count
}

// Contestants

const plainNode = async (): Promise<Contestant> => {
  const child = spawn(process.execPath, [server], { stdio: ["pipe", "pipe", "inherit"] })
  const pending = new Map<number, (result: unknown) => void>()
  let nextId = 0
  let partial: Array<string> = []

  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    let start = 0
    for (let end = chunk.indexOf("\n"); end !== -1; end = chunk.indexOf("\n", start)) {
      partial.push(chunk.slice(start, end))
      const reply = JSON.parse(partial.join(""))
      partial = []
      start = end + 1
      pending.get(reply.id)?.(reply.result)
      pending.delete(reply.id)
    }
    if (start < chunk.length) partial.push(chunk.slice(start))
  })

  const request = (method: string, params: unknown) =>
    new Promise<unknown>((resolve) => {
      const id = nextId++
      pending.set(id, resolve)
      child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`)
    })

  await request("initialize", { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "bench", version: "1" } })
  const call: Contestant["call"] = (args) => request("tools/call", { name: "echo", arguments: args })
  return {
    name: "plain Node",
    call,
    calls: loops(call),
    close: () =>
      new Promise((resolve) => {
        child.once("exit", resolve)
        child.stdin.end()
      })
  }
}

const officialSdk = async (): Promise<Contestant> => {
  const client = new Client({ name: "bench", version: "1" })
  await client.connect(new StdioClientTransport({ command: process.execPath, args: [server], stderr: "inherit" }))
  const call: Contestant["call"] = (args) => client.callTool({ name: "echo", arguments: args })
  return { name: "official SDK v1", call, calls: loops(call), close: () => client.close() }
}

const ours = async (name: string, args: ReadonlyArray<string>, options: McpClient.Options): Promise<Contestant> => {
  const runtime = ManagedRuntime.make(
    McpClient.layer(options).pipe(
      Layer.provide(StdioTransport.layer({ command: process.execPath, args: [server, ...args], env: {} })),
      Layer.provide(NodeMcp.layer)
    )
  )
  const client = await runtime.runPromise(McpClient.McpClient)
  return {
    name,
    call: (params) => runtime.runPromise(client.callTool("echo", params)),
    calls: (concurrency, until) => {
      let count = 0
      const caller = Effect.whileLoop({
        while: () => performance.now() < until,
        body: () => client.callTool("echo", small),
        step: () => {
          count++
        }
      })
      return runtime.runPromise(
        Effect.forEach(Array.from({ length: concurrency }), () => caller, { concurrency: "unbounded", discard: true })
          .pipe(Effect.map(() => count))
      )
    },
    close: () => runtime.dispose()
  }
}

// Measuring

const median = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

/** The medians of figures taken in rounds in which everybody has a turn; the first round warms up. */
const inTurns = async (rounds: number, measure: (contestant: Contestant) => Promise<ReadonlyArray<number>>) => {
  const taken = new Map(contestants.map((contestant) => [contestant, new Array<ReadonlyArray<number>>()]))
  for (let round = 0; round <= rounds; round++) {
    for (const [contestant, figures] of taken) {
      const measured = await measure(contestant)
      if (round > 0) figures.push(measured)
    }
  }
  return [...taken].map(([{ name }, figures]) => ({
    name,
    medians: (figures[0] ?? []).map((_, index) => median(figures.map((each) => each[index] ?? Number.NaN)))
  }))
}

const print = (title: string, head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>) => {
  console.log(`\n${title}`)
  for (const [name = "", ...cells] of [["", ...head], ...rows]) {
    console.log(`  ${name.padEnd(32)}${cells.map((cell) => cell.padStart(16)).join("")}`)
  }
}

const contestants = [
  await plainNode(),
  await officialSdk(),
  await ours("mcp-connect, legacy", [], {}),
  await ours("mcp-connect, modern", ["--modern"], {}),
  await ours("mcp-connect, modern, no spans", ["--modern"], { spans: false })
]

for (const concurrency of concurrencies) {
  const results = await inTurns(rounds, async ({ calls }) => {
    const cpu = process.cpuUsage()
    const start = performance.now()
    const count = await calls(concurrency, start + millis)
    const seconds = (performance.now() - start) / 1000
    const { system, user } = process.cpuUsage(cpu)
    return [count / seconds, (system + user) / count]
  })
  const [baseRate = Number.NaN, baseCpu = Number.NaN] = results[0]?.medians ?? []
  print(
    `${concurrency} in flight`,
    ["calls/s", "of plain Node", "CPU us/call", "of plain Node"],
    results.map(({ medians: [rate = Number.NaN, cpu = Number.NaN], name }) => [
      name,
      rate.toFixed(0),
      (rate / baseRate).toFixed(2),
      cpu.toFixed(1),
      (cpu / baseCpu).toFixed(2)
    ])
  )
}

const large: Array<Awaited<ReturnType<typeof inTurns>>> = []
for (const size of sizes) {
  large.push(
    await inTurns(3, async ({ call }) => {
      const start = performance.now()
      await call({ bytes: size * 1024 * 1024 })
      return [performance.now() - start]
    })
  )
}
print(
  "One large result, in ms",
  sizes.map((size) => `${size} MiB`),
  contestants.map(({ name }, index) => [name, ...large.map((results) => results[index]?.medians[0]?.toFixed(1) ?? "")])
)

await Promise.all(contestants.map((contestant) => contestant.close()))
