/**
 * Closing a runtime at the worst moments: while its servers are being connected to, while they are lost and connected to
 * again, and under load. Every caller has an answer, every close ends, and nothing is left.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { join } from "node:path"
import * as McpConfig from "../../src/McpConfig.ts"
import * as McpServers from "../../src/McpServers.ts"
import * as NodeMcp from "../../src/node.ts"
import { check, checkNothingLeft, countFibers, held, makeTally, option, pick, printTally, randomInt, soak } from "./harness.ts"
import * as Remote from "./remote.ts"

const rounds = option("cycles", 100)

/** The longest a close may take: the shutdown of a process has five seconds. */
const bound = 10_000

const worker = { command: process.execPath, args: [join(import.meta.dirname, "worker.ts")] }
const quick = { reconnect: { baseDelay: 5, breaker: { failures: 0 } }, drainGrace: 20 }

const program = Effect.gen(function*() {
  const entryOf = yield* Remote.listen(4)
  const config = yield* McpConfig.fromValue({
    mcpServers: {
      pool: { ...worker, ...quick, replicas: { min: 1, max: 3, maxInFlight: 8 } },
      single: { ...worker, ...quick },
      broken: { command: process.execPath, args: ["--eval", "process.exit(3)"], ...quick },
      gone: { url: "http://127.0.0.1:9/mcp", ...quick },
      modern: { ...entryOf(0, "modern"), ...quick },
      legacy: { ...entryOf(1, "legacy"), ...quick },
      websocket: { ...entryOf(2, "websocket"), ...quick }
    }
  })
  const names = [...config.servers.keys()]
  const answers = makeTally()
  let unanswered = 0
  let longest = 0

  for (let round = 0; round < rounds; round++) {
    const scope = yield* Scope.make()
    const servers = yield* McpServers.make(config, { preload: pick(["none", "all"]) }).pipe(Scope.provide(scope))
    const callers = yield* Effect.forEach(Array.from({ length: 20 }, (_, index) => index), (index) =>
      Effect.forkChild(
        Effect.exit(servers.use(pick(names), (client) =>
          index % 5 === 0 ? client.callTool("die", { code: 1 + randomInt(3) }) : client.callTool("echo", { text: String(index) }))),
        { startImmediately: true }
      ))
    yield* Effect.sleep(pick([0, 1, 5, 20, 80, 200]))
    const start = performance.now()
    yield* Effect.timeoutOption(Scope.close(scope, Exit.void), 2 * bound)
    longest = Math.max(longest, performance.now() - start)
    for (const caller of callers) {
      const answer = yield* Effect.timeoutOption(Fiber.join(caller), "1 second")
      if (Option.isSome(answer)) answers.exit(answer.value)
      else unanswered += 1
    }
  }
  printTally(`${rounds} closes at random moments`, answers)
  check("every caller has an answer", unanswered === 0, unanswered)
  check("every failure is typed", (answers.counts.get("Untyped") ?? 0) === 0)
  check(`every close ends within ${bound / 1_000} s`, longest < bound, `${longest.toFixed(0)} ms at most`)
})

await soak("closing", async () => {
  const before = held()
  const platform = Layer.merge(NodeMcp.layer, NodeMcp.layerHttpServer())
  await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(platform), countFibers))
  await checkNothingLeft(before)
})
