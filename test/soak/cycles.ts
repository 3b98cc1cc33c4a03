/** Connecting, calling and closing over and over, by every way in turn: memory, file descriptors and listeners stay flat. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { join } from "node:path"
import * as McpClient from "../../src/McpClient.ts"
import * as McpConfig from "../../src/McpConfig.ts"
import * as NodeMcp from "../../src/node.ts"
import { check, checkNothingLeft, countFibers, held, heapUsed, openFiles, option, printTable, processListeners, soak } from "./harness.ts"
import * as Remote from "./remote.ts"

const cycles = option("cycles", 1_000)

/** Looked at so often: the first look comes after everything was loaded and compiled. */
const looks = 5

/** Generous: what a leaked connection, schema or listener would cost is many times that. */
const maxGrowthPerCycle = 4_096

/** What the compiler and its caches take in the beginning. */
const warmUp = 4 * 1_024 * 1_024

const stdio = { command: process.execPath, args: [join(import.meta.dirname, "worker.ts")] }

const warnings: Array<string> = []
process.on("warning", ({ message, name }) => warnings.push(`${name}: ${message}`))

const program = Effect.gen(function*() {
  const entryOf = yield* Remote.listen(1)
  const entries = yield* Effect.forEach(Remote.ways, (way) =>
    Effect.flatMap(
      McpConfig.fromValue({ mcpServers: { peer: way === "stdio" ? stdio : entryOf(0, way) } }),
      (config) => McpConfig.get(config, "peer")
    ))
  const cycle = (index: number) =>
    Effect.scoped(Effect.gen(function*() {
      const entry = entries[index % entries.length]
      if (entry === undefined) return
      const client = yield* McpClient.fromConfig(entry)
      yield* client.callToolOrFail("echo", { text: "hello" })
    }))

  const seen: Array<{ readonly cycle: number; readonly heap: number; readonly files: number; readonly listeners: number }> = []
  const perLook = Math.ceil(cycles / looks)
  for (let index = 0; index < cycles; index++) {
    yield* cycle(index)
    if ((index + 1) % perLook === 0) {
      seen.push({
        cycle: index + 1,
        heap: yield* Effect.promise(heapUsed),
        files: openFiles(),
        listeners: processListeners()
      })
    }
  }
  printTable(
    `${cycles} connects, calls and closes over ${Remote.ways.join(", ")} in turn`,
    ["cycle", "heap, KiB", "files", "listeners"],
    seen.map(({ cycle, files, heap, listeners }) => [cycle, (heap / 1_024).toFixed(0), files, listeners])
  )
  const [first, last] = [seen[0], seen.at(-1)]
  if (first === undefined || last === undefined || first === last) return check("there is something to compare", false)
  const growth = (last.heap - first.heap - warmUp) / (last.cycle - first.cycle)
  check(`the heap grows by less than ${maxGrowthPerCycle} bytes a cycle once it is warm`, growth < maxGrowthPerCycle)
  check("file descriptors stay flat", last.files <= first.files + 2, `${first.files} -> ${last.files}`)
  check("listeners stay flat", last.listeners === first.listeners, `${first.listeners} -> ${last.listeners}`)
})

await soak("cycles", async () => {
  const before = held()
  const platform = Layer.merge(NodeMcp.layer, NodeMcp.layerHttpServer())
  await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(platform), countFibers))
  check("Node warns of nothing", warnings.length === 0, warnings.join("; "))
  await checkNothingLeft(before)
})
