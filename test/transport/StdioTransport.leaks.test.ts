import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as ChildProcess from "effect/process/ChildProcess"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { call, fault, open, processesWith, serverFile } from "../support/faultServer.ts"

const shutdown = { stdin: "300 millis", terminate: "300 millis" } as const

const mark = Effect.sync(() => `mark=${crypto.randomUUID()}`)

/** Opens a link to a server that is up, with everything it starts. */
const up = Effect.fnUntraced(function*(...faults: ReadonlyArray<string>) {
  const session = yield* open({ ...fault(...faults), shutdown })
  call(session.link, "echo", { text: "up" })
  yield* session.next
  return session
})

describe("closing the scope", () => {
  const servers: ReadonlyArray<readonly [what: string, processes: number, faults: ReadonlyArray<string>]> = [
    ["a server that leaves when its stdin ends", 1, []],
    ["a server that ignores the end of its stdin", 1, ["ignore-eof"]],
    ["a server that ignores the end of its stdin and SIGTERM", 1, ["ignore-eof", "ignore-sigterm"]],
    ["a server whose child ignores SIGTERM", 2, ["child"]],
    ["a server whose child ignores SIGTERM and holds the pipes", 2, ["child-holds-stdout"]],
    ["a server that ignores everything, as does its child", 2, ["child", "ignore-eof", "ignore-sigterm"]]
  ]
  for (const [what, processes, faults] of servers) {
    it.live(`${what} is gone when it is done`, () =>
      Effect.gen(function*() {
        const name = yield* mark
        const scope = yield* Scope.make()
        yield* Scope.provide(up(...faults, name), scope)
        assert.lengthOf(processesWith(name), processes)
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(processesWith(name), [])
      }))
  }

  it.live("a server that does not read and one that floods stderr are gone too", () =>
    Effect.gen(function*() {
      const name = yield* mark
      yield* Effect.scoped(Effect.gen(function*() {
        const { link } = yield* open({ ...fault("deaf", name), shutdown })
        for (let i = 0; i < 100; i++) call(link, "echo", { text: "x".repeat(100_000) })
        yield* up("endless-stderr", name)
        assert.lengthOf(processesWith(name), 2)
      }))
      assert.deepStrictEqual(processesWith(name), [])
    }))

  for (const end of ["exit", "die"]) {
    it.live(`the child of a server that ended by itself (${end}) is gone without waiting for the scope`, () =>
      Effect.gen(function*() {
        const name = yield* mark
        const { closed, link } = yield* up("child", name)
        assert.lengthOf(processesWith(name), 2)
        call(link, end, { code: 0, signal: "SIGKILL" })
        yield* closed
        yield* Effect.sync(() => processesWith(name)).pipe(
          Effect.repeat({ until: (processes) => processes.length === 0, schedule: Schedule.spaced("20 millis") }),
          Effect.timeout("5 seconds")
        )
      }))
  }

  it.live("many at once leave nothing behind", () =>
    Effect.gen(function*() {
      const name = yield* mark
      yield* Effect.forEach([1, 2, 3, 4], () => Effect.scoped(up("child", name)), { concurrency: 4 })
      assert.deepStrictEqual(processesWith(name), [])
    }))

  it.live("an interrupted use of a server leaves nothing behind", () =>
    Effect.gen(function*() {
      const name = yield* mark
      const using = yield* Deferred.make<void>()
      const fiber = yield* up("child", name).pipe(
        Effect.andThen(Deferred.succeed(using, undefined)),
        Effect.andThen(Effect.never),
        Effect.scoped,
        Effect.forkChild
      )
      yield* Deferred.await(using)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(processesWith(name), [])
    }))

  it.live("an opening that is interrupted at any moment leaves nothing behind", () =>
    Effect.gen(function*() {
      const name = yield* mark
      for (let yields = 0; yields < 10; yields++) {
        const fiber = yield* Effect.forkChild(Effect.scoped(open({ ...fault(name), shutdown })))
        for (let i = 0; i < yields; i++) yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
      }
      assert.deepStrictEqual(processesWith(name), [])
    }))

  it.live("a process that left the group and holds the pipes does not hold up the close", () =>
    Effect.gen(function*() {
      const name = yield* mark
      yield* Effect.scoped(up("child-leaves", name))
      const [left = "", ...others] = processesWith(name)
      assert.isEmpty(others)
      yield* Effect.sync(() => process.kill(parseInt(left), "SIGKILL"))
    }))
})

describe("the end of the program", () => {
  /** Starts a program that owns a server, and waits until both are up. */
  const own = Effect.fnUntraced(function*(...args: ReadonlyArray<string>) {
    const owner = yield* Effect.provide(
      ChildProcess.make(process.execPath, [serverFile("owner.ts"), ...args], { forceKillAfter: "1 second" }),
      NodeServices.layer
    )
    const line = yield* owner.stdout.pipe(Stream.decodeText(), Stream.splitLines, Stream.runHead)
    assert.deepStrictEqual(line, Option.some("ready"))
    return owner
  })

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    it.live(`by ${signal} leaves no server behind and exits with 130`, () =>
      Effect.gen(function*() {
        const name = yield* mark
        const owner = yield* own("wait", "child", "ignore-eof", "ignore-sigterm", name)
        yield* Effect.sync(() => process.kill(owner.pid, signal))
        assert.strictEqual(Number(yield* owner.exitCode), 130)
        assert.deepStrictEqual(processesWith(name), [])
      }))
  }

  for (const [end, code] of [["succeed", 0], ["fail", 1], ["die", 1]] as const) {
    it.live(`when it is told to ${end} leaves no server behind`, () =>
      Effect.gen(function*() {
        const name = yield* mark
        const owner = yield* own(end, "child", "ignore-eof", "ignore-sigterm", name)
        assert.strictEqual(Number(yield* owner.exitCode), code)
        assert.deepStrictEqual(processesWith(name), [])
      }))
  }

  it.live("is not held up by a process that left the group and holds the pipes", () =>
    Effect.gen(function*() {
      const name = yield* mark
      const owner = yield* own("succeed", "child-leaves", name)
      assert.strictEqual(Number(yield* owner.exitCode), 0)
      const left = processesWith(name)
      assert.strictEqual(left.length, 1)
      yield* Effect.sync(() => process.kill(parseInt(left[0] ?? ""), "SIGKILL"))
    }))

  it.live("by SIGKILL ends the server, because its stdin does", () =>
    Effect.gen(function*() {
      const name = yield* mark
      const owner = yield* own("wait", name)
      yield* Effect.sync(() => process.kill(owner.pid, "SIGKILL"))
      yield* Effect.exit(owner.exitCode)
      // Nobody is left to say when the server is gone.
      yield* Effect.sync(() => processesWith(name)).pipe(
        Effect.repeat({ until: (processes) => processes.length === 0, schedule: Schedule.spaced("20 millis") }),
        Effect.timeout("5 seconds")
      )
    }))
})
