/**
 * A thousand callers over pools of servers that are killed at random. Every call has to be answered, with its own result or
 * with an error that is expected here; and at the end nothing may be left.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import * as McpConfig from "../../src/McpConfig.ts"
import type * as McpError from "../../src/McpError.ts"
import * as McpServers from "../../src/McpServers.ts"
import * as NodeMcp from "../../src/node.ts"
import {
  check, checkNothingLeft, countFibers, descendants, held, makeTally, option, pick, printTable, printTally, randomInt, soak
} from "./harness.ts"

const seconds = option("seconds", 60)
const callers = 1_000
const names = Array.from({ length: option("servers", 4) }, (_, index) => `worker-${index}`)
const Echo = Schema.Struct({ text: Schema.String })

const server = {
  command: process.execPath,
  args: [join(import.meta.dirname, "worker.ts")],
  replicas: { min: 2, max: 3, maxInFlight: 64, maxQueue: 32 },
  reconnect: { baseDelay: 20, maxDelay: 200, lasting: 100, breaker: { failures: 2, cooldown: 200 } },
  timeout: 20_000
}

/** The first two end the calls of a server that was killed; then it may be down for a while, and the queue is short. */
const expected = new Set<string>(
  [
    "ProcessExited",
    "ConnectionClosed",
    "ServerUnavailable",
    "Overloaded"
  ] satisfies ReadonlyArray<McpError.McpErrorReason["_tag"]>
)

const outcomes = makeTally()
const deaths = makeTally()
let started = 0
let ended = 0
let foreign = 0

type Servers = McpServers.McpServers["Service"]

const call = Effect.fnUntraced(function*(servers: Servers, caller: number) {
  const text = `${caller}/${started++}`
  const exit = yield* Effect.exit(
    servers.use(pick(names), (client) => client.callToolAs(pick(["echo", "spin"]), { text, millis: 1 }, Echo))
  )
  ended += 1
  outcomes.exit(exit)
  if (exit._tag === "Success" && exit.value.text !== text) foreign += 1
  // A caller that was refused has other things to do first, or it would do nothing but ask.
  if (exit._tag === "Failure") yield* Effect.sleep(10 + randomInt(40))
})

/** One death, after a while: by a signal out of the blue, or by the server's own hand. */
const kill = Effect.fnUntraced(function*(servers: Servers) {
  yield* Effect.sleep(20 + randomInt(100))
  const how = pick(["SIGKILL", "SIGTERM", "exit", "signal"])
  if (how === "exit" || how === "signal") {
    const fate = how === "exit" ? { code: randomInt(3) } : { signal: "SIGKILL" }
    const { reason } = yield* Effect.flip(servers.use(pick(names), (client) => client.callTool("die", fate)))
    if (reason._tag === "ProcessExited") deaths.add(how)
    return
  }
  const victims = descendants()
  if (victims.length === 0) return
  process.kill(Number.parseInt(pick(victims)), how)
  deaths.add(how)
})

const underLoad = Effect.gen(function*() {
  const config = yield* McpConfig.fromValue({ mcpServers: Object.fromEntries(names.map((name) => [name, server])) })
  const servers = yield* McpServers.make(config)
  const fibers = yield* FiberSet.make()
  const until = performance.now() + seconds * 1_000
  for (let caller = 0; caller < callers; caller++) {
    yield* FiberSet.run(fibers, Effect.whileLoop({
      while: () => performance.now() < until,
      body: () => call(servers, caller),
      step: () => {}
    }))
  }
  const killing = yield* Effect.forkChild(
    Effect.forEach([1, 2, 3], () => Effect.forever(kill(servers)), { concurrency: "unbounded" })
  )
  yield* Effect.sleep(Duration.seconds(seconds))
  yield* Fiber.interrupt(killing)
  // No call takes longer than its timeout.
  yield* Effect.timeoutOption(FiberSet.awaitEmpty(fibers), "30 seconds")
  check("every call was answered", started === ended, `${ended} of ${started}`)
  check("every caller is done", (yield* FiberSet.size(fibers)) === 0, yield* FiberSet.size(fibers))
})

await soak("killer", async () => {
  const before = held()
  let closing = 0
  await Effect.runPromise(
    underLoad.pipe(
      Effect.ensuring(Effect.sync(() => {
        closing = performance.now()
      })),
      Effect.scoped,
      Effect.provide(NodeMcp.layer),
      countFibers
    )
  )
  const closed = performance.now() - closing
  printTally(`${ended} calls by ${callers} callers over ${names.length} servers in ${seconds} s`, outcomes)
  printTally(`${deaths.total()} deaths`, deaths)
  printTable("Rates", ["per second", "calls", "deaths"], [["", (ended / seconds).toFixed(0), (deaths.total() / seconds).toFixed(1)]])
  console.log()
  const unexpected = [...outcomes.counts.keys()].filter((outcome) => outcome !== "Success" && !expected.has(outcome))
  check("servers died", deaths.total() > 0, deaths.total())
  check("every failure is one that is expected", unexpected.length === 0, unexpected.join(", "))
  check("calls succeed all the same", (outcomes.counts.get("Success") ?? 0) > callers, outcomes.counts.get("Success"))
  check("every result belongs to its caller", foreign === 0, foreign)
  check("the runtime closed within its bound", closed < 10_000, `${closed.toFixed(0)} ms`)
  await checkNothingLeft(before)
})
