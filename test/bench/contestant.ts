/**
 * One contestant of the benchmark, in a process of its own: what another one leaves in the heap and in the compiler would
 * otherwise count against it. Told what to do by the process that forked it, and answers with figures.
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

/** What to do: keep calls in flight for a while, or fetch one result of a size, or end. */
export type Order =
  | { readonly _tag: "Calls"; readonly concurrency: number; readonly millis: number }
  | { readonly _tag: "Large"; readonly bytes: number }
  | { readonly _tag: "End" }

const server = join(import.meta.dirname, "echo-server.ts")
const small = { text: "hello, server" }

/** One way to call the server. */
export interface Contestant {
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
  return { call, calls: loops(call), close: () => client.close() }
}

const ours = async (args: ReadonlyArray<string>, options: McpClient.Options): Promise<Contestant> => {
  const runtime = ManagedRuntime.make(
    McpClient.layer(options).pipe(
      Layer.provide(StdioTransport.layer({ command: process.execPath, args: [server, ...args], env: {} })),
      Layer.provide(NodeMcp.layer)
    )
  )
  const client = await runtime.runPromise(McpClient.McpClient)
  return {
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

/** By name, the measure of the others first. */
export const contestants: Readonly<Record<string, () => Promise<Contestant>>> = {
  "plain Node": plainNode,
  "official SDK v1": officialSdk,
  "mcp-connect, legacy": () => ours([], {}),
  "mcp-connect, modern": () => ours(["--modern"], {}),
  "mcp-connect, modern, no spans": () => ours(["--modern"], { spans: false })
}

const serve = async ({ call, calls, close }: Contestant) => {
  const follow = async (order: Order): Promise<ReadonlyArray<number>> => {
    const cpu = process.cpuUsage()
    const start = performance.now()
    if (order._tag === "Calls") {
      const count = await calls(order.concurrency, start + order.millis)
      const seconds = (performance.now() - start) / 1000
      const { system, user } = process.cpuUsage(cpu)
      return [count / seconds, (system + user) / count]
    }
    if (order._tag === "Large") {
      await call({ bytes: order.bytes })
      return [performance.now() - start]
    }
    await close()
    process.disconnect()
    return []
  }
  process.on("message", async (order: Order) => {
    const figures = await follow(order)
    if (process.connected) process.send?.(figures)
  })
  process.send?.([])
}

const start = contestants[process.argv[2] ?? ""]
if (process.send !== undefined && start !== undefined) await serve(await start())
