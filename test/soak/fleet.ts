/** Many servers at once: processes, HTTP in both eras and WebSockets in one runtime, all connected, all called, all closed. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { join } from "node:path"
import * as McpConfig from "../../src/McpConfig.ts"
import * as McpServers from "../../src/McpServers.ts"
import * as NodeMcp from "../../src/node.ts"
import * as McpSchema from "../../src/protocol/McpSchema.ts"
import { check, checkNothingLeft, countFibers, held, makeTally, option, printTable, printTally, soak } from "./harness.ts"
import * as Remote from "./remote.ts"

const count = option("servers", 200)

/** Processes are the dear ones: no more than these, whatever the number of servers. */
const maxProcesses = 60

const rounds = 3

const stdio = { command: process.execPath, args: [join(import.meta.dirname, "worker.ts")] }

const program = Effect.gen(function*() {
  const entryOf = yield* Remote.listen(count)
  const wayOf = (index: number): Remote.Way => {
    const way = Remote.ways[index % Remote.ways.length] ?? "stdio"
    return way === "stdio" && index >= maxProcesses * Remote.ways.length ? "websocket" : way
  }
  const names = Array.from({ length: count }, (_, index) => `s${index}`)
  const config = yield* McpConfig.fromValue({
    mcpServers: Object.fromEntries(names.map((name, index) => {
      const way = wayOf(index)
      return [name, way === "stdio" ? stdio : entryOf(index, way)]
    }))
  })

  const scope = yield* Scope.make()
  const start = performance.now()
  const servers = yield* McpServers.make(config, { preload: "all", concurrency: 16 }).pipe(Scope.provide(scope))
  const tally = makeTally()
  let foreign = 0
  for (let round = 0; round < rounds; round++) {
    yield* Effect.forEach(names, (name) => {
      const text = `${name} ${round}`
      return servers.use(name, (client) => client.callToolOrFail("echo", { text })).pipe(
        Effect.tap(({ content }) => Effect.sync(() => {
          // A worker answers with its process beside the text.
          if (!McpSchema.textOf(content).includes(text)) foreign += 1
        })),
        Effect.exit,
        Effect.map((exit) => tally.exit(exit))
      )
    }, { concurrency: "unbounded", discard: true })
  }
  const elapsed = performance.now() - start
  const statuses = yield* Effect.forEach(names, (name) => servers.status(name))
  const closing = performance.now()
  yield* Scope.close(scope, Exit.void)

  printTable(
    `${count} servers connected, and ${tally.total()} calls, in ${(elapsed / 1_000).toFixed(1)} s`,
    ["way", "servers"],
    Remote.ways.map((way) => [way, names.filter((_, index) => wayOf(index) === way).length])
  )
  printTally("Calls", tally)
  check("every call succeeds", tally.counts.get("Success") === rounds * count, tally.total())
  check("every result belongs to its caller", foreign === 0, foreign)
  check("every server is ready", statuses.every(({ _tag }) => _tag === "Ready"))
  const millis = performance.now() - closing
  check("the runtime closed within its bound", millis < 30_000, `${millis.toFixed(0)} ms`)
})

await soak("fleet", async () => {
  const before = held()
  const platform = Layer.merge(NodeMcp.layer, NodeMcp.layerHttpServer())
  await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(platform), countFibers))
  await checkNothingLeft(before)
})
