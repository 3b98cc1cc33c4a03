import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as McpError from "../../src/McpError.ts"
import * as ServerConfig from "../../src/ServerConfig.ts"
import * as Policy from "../../src/servers/policy.ts"

const lost = McpError.make(new McpError.ConnectionClosed({ by: "server", detail: "gone" }), "x")
const wrong = McpError.make(new McpError.InvalidConfig({ source: "value", issues: [] }), "x")

/** The delays before the first attempts, in milliseconds. */
const delays = Effect.fnUntraced(function*(policy: Policy.Policy, count: number, error: McpError.McpError = lost) {
  const step = yield* Schedule.toStep(policy.reconnect.schedule)
  const found: Array<number> = []
  for (let attempt = 0; attempt < count; attempt++) {
    const delay = yield* Pull.catchDone(
      Effect.map(step(0, error), ([, delay]) => Option.some(delay)),
      () => Effect.succeed(Option.none<Duration.Duration>())
    )
    if (Option.isNone(delay)) return found
    found.push(Duration.toMillis(delay.value))
  }
  return found
})

const problems = (entry: unknown) => {
  const decoded = ServerConfig.decode(entry)
  return Result.isFailure(decoded) ? decoded.failure.map(({ message, path }) => `${path.join(".")}: ${message}`) : []
}

describe("policy: config", () => {
  it("every problem is told at its key", () => {
    const time = (limit: string) => `Expected a time ${limit}: a number (milliseconds), or text such as "30 seconds"`
    assert.deepStrictEqual(
      problems({
        command: "npx",
        reconnect: {
          when: "later",
          attempts: -1,
          baseDelay: "soon",
          factor: 0.5,
          jitter: 1,
          breaker: { failures: 1.5, cooldown: 0, color: "red" }
        },
        health: { interval: -1, timeout: 0, failures: 0 },
        replicas: { min: -1, max: 0, maxInFlight: 0, maxQueue: -1, shrinkAfter: 0 },
        isolation: "alone",
        drainGrace: "x"
      }),
      [
        "reconnect.when: Expected \"eager\" | \"on-demand\" | \"never\"",
        "reconnect.attempts: Expected a value greater than or equal to 0",
        `reconnect.baseDelay: ${time("of zero or more")}`,
        "reconnect.factor: Expected a value greater than or equal to 1",
        "reconnect.jitter: Expected boolean",
        "reconnect.breaker.color: Unknown key",
        "reconnect.breaker.failures: Expected an integer",
        `reconnect.breaker.cooldown: ${time("greater than zero")}`,
        `health.interval: ${time("of zero or more")}`,
        `health.timeout: ${time("greater than zero")}`,
        "health.failures: Expected a value greater than 0",
        "replicas.min: Expected a value greater than or equal to 0",
        "replicas.max: Expected a value greater than 0",
        "replicas.maxInFlight: Expected a value greater than 0",
        "replicas.maxQueue: Expected a value greater than or equal to 0",
        `replicas.shrinkAfter: ${time("greater than zero")}`,
        "isolation: Expected \"shared\" | \"scope\"",
        `drainGrace: ${time("of zero or more")}`
      ]
    )
    assert.deepStrictEqual(problems({ url: "ws://x", replicas: { min: 3, max: 2 } }), [
      "replicas.min: Must not be greater than \"max\""
    ])
    for (const idleTimeToLive of [-1, "never", null, {}]) {
      assert.match(problems({ command: "x", idleTimeToLive })[0] ?? "", /^idleTimeToLive: Expected /)
    }
  })

  it("what an entry says is in its policy, whatever kind of server it is for", () => {
    for (const server of [{ command: "npx" }, { url: "http://x" }, { url: "ws://x" }, { url: "tcp://x:1" }]) {
      const { config, unused } = Result.getOrThrow(ServerConfig.decode({
        ...server,
        reconnect: { when: "on-demand", attempts: 2, baseDelay: 10, factor: 3, maxDelay: "1 second", jitter: false, lasting: 5, breaker: { failures: 3, cooldown: 7 } },
        health: { interval: 1, timeout: 2, failures: 4 },
        replicas: { min: 0, max: 4, maxInFlight: 1, maxQueue: 0, growAfter: 6, shrinkAfter: 8 },
        idleTimeToLive: "forever",
        isolation: "scope",
        drainGrace: 0
      }))
      assert.deepStrictEqual(unused, [])
      assert.deepStrictEqual(Result.getOrThrow(ServerConfig.decode(ServerConfig.encode(config))).config, config)
      const { reconnect, ...policy } = Policy.make(config)
      assert.deepStrictEqual(policy, {
        health: { interval: Duration.millis(1), timeout: Duration.millis(2), failures: 4 },
        replicas: { min: 0, max: 4, maxInFlight: 1, maxQueue: 0, growAfter: Duration.millis(6), shrinkAfter: Duration.millis(8) },
        idleTimeToLive: Duration.infinity,
        isolation: "scope",
        drainGrace: Duration.millis(0)
      })
      assert.strictEqual(reconnect.when, "on-demand")
      assert.deepStrictEqual(reconnect.breaker, { failures: 3, cooldown: Duration.millis(7) })
    }
  })

  it("health is asked by default, but not of a program", () => {
    assert.isUndefined(Policy.make(Result.getOrThrow(ServerConfig.decode({ command: "x" })).config).health)
    assert.isDefined(Policy.make(Result.getOrThrow(ServerConfig.decode({ url: "ws://x" })).config).health)
    assert.isDefined(Policy.make(Result.getOrThrow(ServerConfig.decode({ command: "x", health: {} })).config).health)
    assert.isUndefined(Policy.make({ health: { interval: Duration.zero } }).health)
  })

  it("in code, durations are whatever Effect takes for one", () => {
    const { drainGrace, health, idleTimeToLive, reconnect } = Policy.make({
      drainGrace: "2 seconds",
      idleTimeToLive: 1_500,
      health: { interval: "1 minute" },
      reconnect: { lasting: "1 hour", breaker: { cooldown: "5 minutes" } }
    })
    assert.deepStrictEqual(
      [drainGrace, idleTimeToLive, health?.interval, reconnect.lasting, reconnect.breaker?.cooldown].map((value) =>
        value === undefined ? undefined : Duration.toMillis(value)
      ),
      [2_000, 1_500, 60_000, 3_600_000, 300_000]
    )
  })

  it("a single replica has no limit, and a pool has one", () => {
    assert.strictEqual(Policy.make().replicas.maxInFlight, Infinity)
    assert.deepInclude(Policy.make({ replicas: { min: 3 } }).replicas, { min: 3, max: 3, maxInFlight: 16 })
    assert.deepInclude(Policy.make({ replicas: { max: 3 } }).replicas, { min: 1, max: 3 })
    assert.isUndefined(Policy.make({ reconnect: { breaker: { failures: 0 } } }).reconnect.breaker)
  })
})

describe("policy: delays", () => {
  it.effect("what nobody but a person can mend is not tried again", () =>
    Effect.gen(function*() {
      const policy = Policy.make()
      assert.deepStrictEqual(yield* delays(policy, 3, wrong), [])
      const status = (status: number) => new McpError.HttpStatus({ verb: "POST", url: "http://x", status, body: "" })
      assert.isTrue(Policy.isPermanent(status(401)))
      for (const passing of [408, 429, 500, 503]) assert.isFalse(Policy.isPermanent(status(passing)))
      assert.isTrue(Policy.isPermanent(new McpError.SpawnFailed({ command: "x", kind: "CommandNotFound", detail: "" })))
    }))

  it.effect("they grow up to the longest, and end with the attempts", () =>
    Effect.gen(function*() {
      const reconnect = { attempts: 4, baseDelay: Duration.millis(100), factor: 3, maxDelay: Duration.seconds(1), jitter: false }
      assert.deepStrictEqual(yield* delays(Policy.make({ reconnect }), 10), [100, 300, 900, 1_000])
      assert.deepStrictEqual(yield* delays(Policy.make({ reconnect: { attempts: 0 } }), 10), [])
    }))

  it.effect("chance only shortens them, by up to a half", () =>
    Effect.gen(function*() {
      const policy = Policy.make({ reconnect: { baseDelay: Duration.millis(100), maxDelay: Duration.millis(100) } })
      const found = yield* delays(policy, 500).pipe(Random.withSeed("seed"))
      assert.isTrue(found.every((millis) => millis >= 50 && millis <= 100))
      assert.isAbove(new Set(found).size, 100)
      assert.deepStrictEqual(found, yield* delays(policy, 500).pipe(Random.withSeed("seed")))
    }))

  it.effect("a Schedule of one's own takes their place", () =>
    Effect.gen(function*() {
      const policy = Policy.make({ reconnect: { schedule: Schedule.max([Schedule.spaced("7 millis"), Schedule.recurs(2)]) } })
      assert.deepStrictEqual(yield* delays(policy, 10), [7, 7])
    }))
})
