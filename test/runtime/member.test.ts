import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as McpError from "../../src/McpError.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import * as Member from "../../src/servers/member.ts"
import * as Policy from "../../src/servers/policy.ts"
import type * as Status from "../../src/servers/status.ts"
import { reasonOf } from "../support/reasonOf.ts"
import * as ScriptedServer from "../support/scriptedServer.ts"
import { controlled, refused } from "../support/servers.ts"
import { waitUntil } from "../support/waitUntil.ts"

/** 1 s, 2 s, 4 s, …; no jitter, no breaker. */
const exponential: NonNullable<Policy.Options["reconnect"]> = {
  schedule: Schedule.exponential("1 second"),
  breaker: { failures: 0 }
}

const start = Effect.fnUntraced(function*(
  options: Policy.Options & Pick<Member.Options, "restore" | "demanded"> = {},
  server = controlled()
) {
  const { demanded, restore, ...policy } = options
  const seen: Array<Status.Status> = []
  const scope = yield* Scope.make()
  const member = yield* Member.make({
    name: "s",
    connect: server.connect,
    policy: Policy.make({ _tag: "Stdio", reconnect: exponential, ...policy }),
    onStatus: (status) => seen.push(status),
    ...(restore === undefined ? undefined : { restore }),
    ...(demanded === undefined ? undefined : { demanded })
  }).pipe(Effect.provideService(Scope.Scope, scope))
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  return { member, scope, server, seen, tags: () => seen.map(({ _tag }) => _tag) }
})

const loseAnd = Effect.fnUntraced(function*(server: ReturnType<typeof controlled>, member: Member.Member) {
  yield* server.lose
  yield* waitUntil(() => member.current() === undefined && server.open === 0)
})

describe("connecting", () => {
  it.effect("nothing is connected before it is needed, and once when many need it at once", () =>
    Effect.gen(function*() {
      const { member, server, tags } = yield* start()
      assert.strictEqual(server.attempts, 0)
      const clients = yield* Effect.all(Array.from({ length: 100 }, () => member.client), { concurrency: "unbounded" })
      assert.strictEqual(server.attempts, 1)
      assert.strictEqual(new Set(clients).size, 1)
      assert.deepStrictEqual(tags(), ["Connecting", "Ready"])
    }))

  it.effect("a first user who is interrupted does not spoil it for the second", () =>
    Effect.gen(function*() {
      const { member, server } = yield* start()
      const gate = yield* Deferred.make<void>()
      server.obstacles.push(gate)
      const first = yield* Effect.forkChild(member.client, { startImmediately: true })
      const second = yield* Effect.forkChild(member.client, { startImmediately: true })
      yield* Fiber.interrupt(first)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(second)
      assert.strictEqual(server.attempts, 1)
    }))

  it.effect("a failed connect fails all who wait, and whoever comes within its backoff at once, with when to come back", () =>
    Effect.gen(function*() {
      const { member, server, tags } = yield* start({ reconnect: { ...exponential, when: "on-demand" } })
      server.obstacles.push(refused())
      assert.strictEqual(reasonOf(yield* Effect.exit(member.client))._tag, "Unreachable")
      yield* TestClock.adjust("400 millis")
      const reason = reasonOf(yield* Effect.exit(member.client))
      assert(reason._tag === "ServerUnavailable")
      assert.strictEqual(reason.retryAfterMillis, 600)
      assert.isFalse(reason.circuitOpen)
      assert.strictEqual(reason.failure, "Unreachable")
      assert.strictEqual(server.attempts, 1)
      yield* TestClock.adjust("600 millis")
      yield* member.client
      assert.strictEqual(server.attempts, 2)
      assert.deepStrictEqual(tags(), ["Connecting", "Failed", "Connecting", "Ready"])
    }))

  it.effect("a connect that dies is a typed failure for those who wait", () =>
    Effect.gen(function*() {
      const scope = yield* Effect.scope
      const member = yield* Member.make({ name: "s", connect: Effect.die(new Error("boom")), policy: Policy.make({}) }).pipe(
        Effect.provideService(Scope.Scope, scope)
      )
      const reason = reasonOf(yield* Effect.exit(member.client))
      assert(reason._tag === "ConnectionClosed")
      assert.include(reason.detail, "boom")
    }))

  it.effect("where a server wants authorization calls fail with that until it is resumed", () =>
    Effect.gen(function*() {
      const { member, server, tags } = yield* start()
      server.obstacles.push(McpError.make(new McpError.HttpStatus({ verb: "POST", url: "http://x", status: 401, body: "" })))
      assert.strictEqual(reasonOf(yield* Effect.exit(member.client))._tag, "HttpStatus")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(reasonOf(yield* Effect.exit(member.client))._tag, "HttpStatus")
      assert.strictEqual(server.attempts, 1)
      yield* member.resume
      yield* member.client
      assert.deepStrictEqual(tags(), ["Connecting", "NeedsAuthorization", "Idle", "Connecting", "Ready"])
    }))
})

describe("reconnecting", () => {
  it.effect("the third reconnect waits 4 seconds, and calls wait for it", () =>
    Effect.gen(function*() {
      const { member, seen, server } = yield* start()
      yield* member.client
      server.obstacles.push(refused("1"), refused("2"))
      yield* loseAnd(server, member)
      const waiting = yield* Effect.forkChild(member.client, { startImmediately: true })
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(server.attempts, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(server.attempts, 2)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(server.attempts, 3)
      yield* TestClock.adjust("3999 millis")
      assert.strictEqual(server.attempts, 3)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(server.attempts, 4)
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(
        seen.map((status) => status._tag === "Reconnecting" ? [status.attempt, status.next, status.error.reason._tag] : status._tag),
        [
          "Connecting",
          "Ready",
          [1, 1_000, "ConnectionClosed"],
          [2, 3_000, "Unreachable"],
          [3, 7_000, "Unreachable"],
          "Ready"
        ]
      )
    }))

  it.effect("delays are shortened by chance, never lengthened", () =>
    Effect.gen(function*() {
      const { member, seen, server } = yield* start({ reconnect: { baseDelay: Duration.seconds(1) } })
      yield* member.client
      yield* loseAnd(server, member)
      const status = seen.at(-1)
      assert(status?._tag === "Reconnecting")
      assert.isAtLeast(status.next, 500)
      assert.isBelow(status.next, 1_000)
    }))

  it.effect("it is ready again only after what its users need was restored", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const { member, server } = yield* start({ restore: (_, again) => again ? Deferred.await(gate) : Effect.void })
      yield* member.client
      yield* loseAnd(server, member)
      yield* TestClock.adjust("1 second")
      yield* waitUntil(() => server.open === 1)
      assert.strictEqual(member.statusUnsafe()._tag, "Reconnecting")
      yield* Deferred.succeed(gate, undefined)
      yield* member.client
      assert.strictEqual(member.statusUnsafe()._tag, "Ready")
    }))

  it.effect("on demand, a lost connection is made again by the next call, not before its delay", () =>
    Effect.gen(function*() {
      const { member, server, tags } = yield* start({ reconnect: { ...exponential, when: "on-demand" } })
      yield* member.client
      yield* loseAnd(server, member)
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(server.attempts, 1)
      const waiting = yield* Effect.forkChild(member.client, { startImmediately: true })
      yield* TestClock.adjust("499 millis")
      assert.strictEqual(server.attempts, 1)
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(tags(), ["Connecting", "Ready", "Idle", "Reconnecting", "Ready"])
    }))

  it.effect("somebody who reads its changes is demand too", () =>
    Effect.gen(function*() {
      const { member, server } = yield* start({ reconnect: { ...exponential, when: "on-demand" }, demanded: () => true })
      yield* member.client
      yield* loseAnd(server, member)
      yield* TestClock.adjust("1 second")
      yield* waitUntil(() => member.current() !== undefined)
      assert.strictEqual(server.attempts, 2)
    }))

  it.effect("where it never reconnects, calls fail until it is resumed", () =>
    Effect.gen(function*() {
      const { member, server } = yield* start({ reconnect: { ...exponential, when: "never" } })
      yield* member.client
      yield* loseAnd(server, member)
      yield* TestClock.adjust("1 day")
      const reason = reasonOf(yield* Effect.exit(member.client))
      assert(reason._tag === "ServerUnavailable")
      assert.isUndefined(reason.retryAfterMillis)
      yield* member.resume
      yield* member.client
      assert.strictEqual(server.attempts, 2)
    }))

  it.effect("after the last attempt of the schedule it has failed, and the next call tries again", () =>
    Effect.gen(function*() {
      const schedule = Schedule.exponential("1 second").pipe(Schedule.upTo({ times: 2 }))
      const { member, server } = yield* start({ reconnect: { schedule, breaker: { failures: 0 } } })
      yield* member.client
      server.obstacles.push(refused(), refused())
      yield* loseAnd(server, member)
      const waiting = yield* Effect.forkChild(Effect.exit(member.client), { startImmediately: true })
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(reasonOf(yield* Fiber.join(waiting))._tag, "Unreachable")
      assert.strictEqual(member.statusUnsafe()._tag, "Failed")
      yield* member.client
      assert.strictEqual(server.attempts, 4)
    }))
})

describe("a crash loop", () => {
  const breaker: NonNullable<Policy.Options["reconnect"]> = {
    schedule: Schedule.spaced("1 second"),
    lasting: Duration.seconds(10),
    breaker: { failures: 3, cooldown: Duration.minutes(1) }
  }

  it.effect("opens the circuit: calls fail at once, and say when the next attempt is", () =>
    Effect.gen(function*() {
      const { member, server, tags } = yield* start({ reconnect: breaker })
      for (let crash = 1; crash <= 3; crash++) {
        yield* Effect.andThen(TestClock.adjust("1 second"), member.client)
        yield* loseAnd(server, member)
      }
      yield* TestClock.adjust("20 seconds")
      const reason = reasonOf(yield* Effect.exit(member.client))
      assert(reason._tag === "ServerUnavailable")
      assert.isTrue(reason.circuitOpen)
      assert.strictEqual(reason.retryAfterMillis, 40_000)
      assert.strictEqual(server.attempts, 3)
      assert.deepStrictEqual(tags().slice(-2), ["Ready", "Failed"])
    }))

  it.effect("half-open, one failure opens the circuit again and a connection that lasts closes it", () =>
    Effect.gen(function*() {
      const { member, server } = yield* start({ reconnect: breaker })
      for (let crash = 1; crash <= 3; crash++) {
        yield* Effect.andThen(TestClock.adjust("1 second"), member.client)
        yield* loseAnd(server, member)
      }
      server.obstacles.push(refused())
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(server.attempts, 4)
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(server.attempts, 4)
      yield* TestClock.adjust("1 second")
      yield* waitUntil(() => member.current() !== undefined)
      assert.strictEqual(server.attempts, 5)
      yield* TestClock.adjust("10 seconds")
      yield* loseAnd(server, member)
      assert.strictEqual(member.statusUnsafe()._tag, "Reconnecting")
    }))

  it.effect("resuming closes the circuit at once", () =>
    Effect.gen(function*() {
      const { member, server } = yield* start({ reconnect: { ...breaker, breaker: { failures: 1 } } })
      server.obstacles.push(refused())
      yield* Effect.exit(member.client)
      assert.strictEqual(member.statusUnsafe()._tag, "Failed")
      yield* member.resume
      yield* member.client
      assert.strictEqual(server.attempts, 2)
    }))
})

describe("trying again although nobody calls", () => {
  const after = (error: McpError.McpError, policy: Policy.Options = {}) =>
    Effect.gen(function*() {
      const server = controlled()
      const member = yield* Member.make({ name: "s", connect: Effect.fail(error), policy: Policy.make({ _tag: "Stdio", ...policy }) })
      yield* Effect.flip(member.client)
      assert.strictEqual(server.attempts, 0)
      return member.retryAt()
    }).pipe(Effect.scoped)

  it.effect("is for what may pass, and not for what a person has to mend or has ruled out", () =>
    Effect.gen(function*() {
      const absent = McpError.make(new McpError.SpawnFailed({ command: "x", kind: "CommandNotFound", detail: "" }), "s")
      const lost = McpError.make(new McpError.ConnectionClosed({ by: "server", detail: "gone" }), "s")
      assert.isUndefined(yield* after(absent))
      assert.isUndefined(yield* after(lost, { reconnect: { when: "never" } }))
      assert.isUndefined(yield* after(lost, { reconnect: { attempts: 0 } }))
      assert.strictEqual(yield* after(lost, { reconnect: { baseDelay: "1 second", jitter: false } }), 1_000)
    }))
})

describe("health", () => {
  const health = { interval: Duration.seconds(10), timeout: Duration.seconds(2), failures: 2 }

  it.effect("a server that is silent for too long is lost, and its calls fail with the reason", () =>
    Effect.gen(function*() {
      let silent = false
      const script = ScriptedServer.legacy({
        "server/discover": () => Effect.fail({ code: -32601, message: "no" }),
        ping: () => Effect.succeed(silent ? undefined : {}),
        "tools/call": () => Effect.undefined
      })
      const { member, seen, server } = yield* start({ health }, controlled(script))
      const client = yield* member.client
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(member.statusUnsafe()._tag, "Ready")
      silent = true
      const call = yield* Effect.forkChild(Effect.exit(client.callTool("slow")), { startImmediately: true })
      yield* TestClock.adjust("24 seconds")
      const reason = reasonOf(yield* Fiber.join(call))
      assert(reason._tag === "ConnectionClosed")
      assert.include(reason.detail, "2 health checks")
      assert.strictEqual(seen.at(-1)?._tag, "Reconnecting")
      assert.strictEqual(server.open, 0)
    }))

  it.effect("a server that says something by itself is not asked, and alive though it answers nothing meanwhile", () =>
    Effect.gen(function*() {
      const script = ScriptedServer.legacy({ ping: () => Effect.undefined })
      const { member, tags } = yield* start({ health }, controlled(script))
      yield* member.client
      const say = script.peer?.send(JsonRpc.notification("notifications/message", { level: "info", data: "busy" })) ?? Effect.void
      for (let second = 0; second < 120; second += 5) {
        yield* say
        yield* TestClock.adjust("5 seconds")
      }
      assert.strictEqual(member.statusUnsafe()._tag, "Ready")
      assert.strictEqual(ScriptedServer.requests(script, "ping").length, 0)
      // What it says while it is asked is an answer, too.
      yield* TestClock.adjust("11 seconds")
      assert.strictEqual(ScriptedServer.requests(script, "ping").length, 1)
      yield* say
      yield* TestClock.adjust("21 seconds")
      assert.deepStrictEqual(tags(), ["Connecting", "Ready"])
      yield* TestClock.adjust("5 seconds")
      assert.include(tags(), "Reconnecting")
    }))

  it.effect("a server that refuses to be asked is alive", () =>
    Effect.gen(function*() {
      let asked = 0
      const refuse = () => {
        asked += 1
        return Effect.fail({ code: -32601, message: "no" })
      }
      const script = ScriptedServer.legacy({ ping: refuse })
      const { member } = yield* start({ health }, controlled(script))
      yield* member.client
      yield* TestClock.adjust("10 minutes")
      assert.isAbove(asked, 10)
      assert.strictEqual(member.statusUnsafe()._tag, "Ready")
    }))
})

describe("closing", () => {
  for (const [when, prepare] of [
    ["connecting", (server: ReturnType<typeof controlled>) => Effect.sync(() => server.obstacles.push(Deferred.makeUnsafe()))],
    ["waiting to reconnect", (server: ReturnType<typeof controlled>, member: Member.Member) =>
      Effect.andThen(member.client, loseAnd(server, member))]
  ] as const) {
    it.effect(`while ${when} leaves nothing, and whoever waits is told`, () =>
      Effect.gen(function*() {
        const { member, scope, server } = yield* start()
        yield* prepare(server, member)
        const waiting = yield* Effect.forkChild(Effect.exit(member.client), { startImmediately: true })
        yield* Effect.yieldNow
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(reasonOf(yield* Fiber.join(waiting))._tag, "ServerDraining")
        assert.strictEqual(server.open, 0)
        assert.strictEqual(member.statusUnsafe()._tag, "Draining")
        assert.strictEqual(reasonOf(yield* Effect.exit(member.client))._tag, "ServerDraining")
      }))
  }

  it.effect("draining refuses new users and keeps the connection until the scope closes", () =>
    Effect.gen(function*() {
      const { member, scope, server } = yield* start()
      yield* member.client
      yield* member.drain
      assert.strictEqual(reasonOf(yield* Effect.exit(member.client))._tag, "ServerDraining")
      assert.strictEqual(server.open, 1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(server.open, 0)
    }))
})
