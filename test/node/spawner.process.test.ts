import * as NodeChildProcessSpawner from "@effect/platform-node/NodeChildProcessSpawner"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as PlatformError from "effect/PlatformError"
import * as ChildProcess from "effect/process/ChildProcess"
import { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { existsSync, readdirSync } from "node:fs"
import { inspect } from "node:util"
import * as Spawner from "../../src/node/spawner.ts"
import { processesWith, serverFile } from "../support/faultServer.ts"

const files = Layer.merge(NodeFileSystem.layer, NodePath.layer)
const ours = Layer.provide(Spawner.layer, files)
const effects = Layer.provide(NodeChildProcessSpawner.layer, files)

const mebibyte = 1024 * 1024

const mark = Effect.sync(() => `mark=${crypto.randomUUID()}`)

const node = (file: string, steps: ReadonlyArray<string>, options?: ChildProcess.CommandOptions) =>
  ChildProcess.make(process.execPath, [serverFile(file), ...steps], { killSignal: "SIGKILL", ...options })

/** Starts a program that does this, one step after the other. */
const chatter = (...steps: ReadonlyArray<string>) => node("chatter.ts", steps)

const size = <E>(bytes: Stream.Stream<Uint8Array, E>) => Stream.runFold(bytes, () => 0, (total, chunk) => total + chunk.length)

const line = <E>(bytes: Stream.Stream<Uint8Array, E>) => Stream.mkString(Stream.take(Stream.splitLines(Stream.decodeText(bytes)), 1))

const pieces = (count: number) => Stream.map(Stream.range(1, count), () => new Uint8Array(65_536))

const codeOf = ({ reason }: PlatformError.PlatformError) => (reason.cause as NodeJS.ErrnoException | undefined)?.code

const test = (name: string, run: Effect.Effect<void, unknown, ChildProcessSpawner | Scope.Scope>) =>
  it.live(name, () => run.pipe(Effect.scoped, Effect.timeout("20 seconds"), Effect.provide(ours)))

describe("what a program writes", () => {
  test(
    "is all there after it has exited without anybody reading",
    Effect.gen(function*() {
      const { exitCode, stderr, stdout } = yield* chatter("err=40000", "out=100000", "exit=3")
      assert.strictEqual(Number(yield* exitCode), 3)
      assert.strictEqual(yield* size(stdout), 100_000)
      assert.strictEqual(yield* size(stderr), 40_000)
    })
  )

  test(
    "on stderr comes through while nobody reads its stdout",
    Effect.gen(function*() {
      const { stderr, stdout } = yield* chatter("out=100000", `err=${10 * mebibyte}`)
      assert.strictEqual(yield* size(stderr), 10 * mebibyte)
      assert.strictEqual(yield* size(stdout), 100_000)
    })
  )

  test(
    "waits in the program for a reader",
    Effect.gen(function*() {
      const { stderr, stdout } = yield* chatter(`fill=${32 * mebibyte}`)
      assert.isBelow(Number(yield* line(stderr)), mebibyte)
      assert.strictEqual(yield* size(stdout), 32 * mebibyte)
    })
  )

  test(
    "waits in the program for a slow reader, and nothing of it is lost",
    Effect.gen(function*() {
      const { stderr, stdout } = yield* chatter(`fill=${32 * mebibyte}`)
      const goOn = yield* Deferred.make<void>()
      const reading = yield* Effect.forkScoped(size(Stream.tap(stdout, () => Deferred.await(goOn))))
      assert.isBelow(Number(yield* line(stderr)), mebibyte)
      yield* Deferred.succeed(goOn, undefined)
      assert.strictEqual(yield* Fiber.join(reading), 32 * mebibyte)
    })
  )

  test(
    "goes to the next reader from where the last one stopped",
    Effect.gen(function*() {
      const { stdin, stdout } = yield* chatter("say=hello", "echo")
      assert.strictEqual(yield* line(stdout), "hello")
      yield* Stream.run(Stream.encodeText(Stream.make("and ", "again")), stdin)
      assert.strictEqual(yield* Stream.mkString(Stream.decodeText(stdout)), "and again")
    })
  )

  test(
    "ends where it closes its stdout, although it lives on",
    Effect.gen(function*() {
      const { isRunning, stdout } = yield* chatter("say=bye", "close-stdout", "stay")
      assert.strictEqual(yield* size(stdout), 4)
      assert.isTrue(yield* isRunning)
    })
  )

  test(
    "can be read from both pipes as one",
    Effect.gen(function*() {
      const { all } = yield* chatter("out=1000", "err=1000")
      assert.strictEqual(yield* size(all), 2_000)
    })
  )
})

describe("what is written to a program", () => {
  test(
    "arrives whole and in order, and its stdin ends with it",
    Effect.gen(function*() {
      const { exitCode, stdin, stdout } = yield* chatter("echo")
      const text = Array.from({ length: 100_000 }, (_, i) => `line ${i}`)
      const writing = yield* Effect.forkScoped(Stream.run(Stream.encodeText(Stream.fromIterable(text)), stdin))
      assert.strictEqual(yield* Stream.mkString(Stream.decodeText(stdout)), text.join(""))
      yield* Fiber.join(writing)
      assert.strictEqual(Number(yield* exitCode), 0)
    })
  )

  test(
    "is asked for no faster than the program reads",
    Effect.gen(function*() {
      const { kill, stdin } = yield* chatter("stay")
      let asked = 0
      const source = Stream.tap(Stream.rechunk(pieces(1_000), 1), () => Effect.sync(() => asked++))
      const writing = yield* Effect.forkScoped(Effect.flip(Stream.run(source, stdin)))
      let before = -1
      yield* Effect.sync(() => [before, before = asked]).pipe(
        Effect.repeat({ until: ([last, now]) => last === now, schedule: Schedule.spaced("100 millis") })
      )
      assert.isBelow(asked * 65_536, mebibyte)
      yield* kill({ killSignal: "SIGKILL" })
      assert.strictEqual((yield* Fiber.join(writing))._tag, "PlatformError")
    })
  )

  test(
    "fails when it has closed its stdin and lives on",
    Effect.gen(function*() {
      const { isRunning, stdin, stdout } = yield* chatter("close-stdin", "say=closed", "stay")
      yield* line(stdout)
      const error = yield* Effect.flip(Stream.run(Stream.concat(pieces(1), Stream.never), stdin))
      assert.strictEqual(codeOf(error), "EPIPE")
      assert.isTrue(yield* isRunning)
    })
  )

  test(
    "fails when it is dead, and when it dies",
    Effect.gen(function*() {
      const dying = yield* chatter("stay")
      const writing = yield* Effect.forkScoped(Effect.flip(Stream.run(Stream.never, dying.stdin)))
      yield* dying.kill({ killSignal: "SIGKILL" })
      assert.strictEqual((yield* Fiber.join(writing)).reason._tag, "Unknown")
      const again = yield* Effect.flip(Stream.run(pieces(10), dying.stdin))
      assert.strictEqual(again.reason.method, "stdin")
    })
  )

  test(
    "ends with the interruption of who writes",
    Effect.gen(function*() {
      const { exitCode, stdin, stdout } = yield* chatter("say=ready", "echo")
      yield* line(stdout)
      const writing = yield* Effect.forkScoped(Stream.run(Stream.never, stdin), { startImmediately: true })
      yield* Fiber.interrupt(writing)
      assert.strictEqual(Number(yield* exitCode), 0)
    })
  )
})

describe("the end", () => {
  test(
    "by a signal is told in words",
    Effect.gen(function*() {
      const { exitCode, isRunning, kill } = yield* chatter("stay")
      yield* kill({ killSignal: "SIGKILL" })
      assert.include(String((yield* Effect.flip(exitCode)).reason.cause), "signal: 'SIGKILL'")
      assert.isFalse(yield* isRunning)
    })
  )

  test(
    "comes by force for one that ignores SIGTERM",
    Effect.gen(function*() {
      const { exitCode, kill, stdout } = yield* chatter("ignore-sigterm", "say=ready", "stay")
      yield* line(stdout)
      yield* kill({ killSignal: "SIGTERM", forceKillAfter: "100 millis" })
      assert.include(String((yield* Effect.flip(exitCode)).reason.cause), "SIGKILL")
    })
  )

  test(
    "of the scope is the end of what the program started, though that ignores SIGTERM",
    Effect.gen(function*() {
      const name = yield* mark
      const faults = ["child", "ignore-eof", "ignore-sigterm", "say=ready", name]
      yield* Effect.scoped(Effect.gen(function*() {
        const { stderr } = yield* node("fault.ts", faults, { killSignal: "SIGTERM", forceKillAfter: "100 millis" })
        yield* line(stderr)
        assert.lengthOf(processesWith(name), 2)
      }))
      assert.deepStrictEqual(processesWith(name), [])
    })
  )

  test(
    "of a program that failed is at once the end of what it started",
    Effect.gen(function*() {
      const name = yield* mark
      const { exitCode, stdout } = yield* node("fault.ts", ["child-holds-stdout", name, "exit=1"])
      assert.strictEqual(Number(yield* exitCode), 1)
      assert.strictEqual(yield* size(stdout), 0)
      assert.deepStrictEqual(processesWith(name), [])
    })
  )

  test(
    "of the scope leaves a program alone that is unreferenced, unless it was referenced again",
    Effect.gen(function*() {
      const name = yield* mark
      const pid = yield* Effect.scoped(Effect.gen(function*() {
        const left = yield* chatter("stay", name)
        yield* Effect.asVoid(left.unref)
        const taken = yield* chatter("stay", name)
        yield* Effect.flatten(taken.unref)
        return left.pid
      }))
      assert.lengthOf(processesWith(name), 1)
      assert.isTrue(yield* Effect.sync(() => process.kill(pid, "SIGKILL")))
    })
  )
})

describe("nothing is left", () => {
  const opened = () => ({
    handles: process.getActiveResourcesInfo().filter((name) => /Pipe|Process|Socket/.test(name)).length,
    // Only Linux tells.
    descriptors: existsSync("/proc/self/fd") ? readdirSync("/proc/self/fd").length : 0
  })

  /** Runs it twice: what is loaded with the first is kept. */
  const leavesNothing = Effect.fnUntraced(function*<E, R>(run: Effect.Effect<unknown, E, R | Scope.Scope>) {
    yield* Effect.scoped(run)
    const before = opened()
    yield* Effect.scoped(run)
    // What was destroyed is closed a turn of the loop later.
    yield* Effect.sync(opened).pipe(Effect.repeat({
      until: (now) => now.handles <= before.handles && now.descriptors <= before.descriptors,
      schedule: Schedule.spaced("10 millis")
    }))
  })

  test(
    "of a program that was read, written to, and killed",
    leavesNothing(Effect.gen(function*() {
      const { stdin, stdout } = yield* chatter("say=ready", "echo")
      yield* Effect.forkScoped(Stream.run(Stream.never, stdin))
      yield* line(stdout)
    }))
  )

  test("of a program that nobody heard", leavesNothing(Effect.flatMap(chatter("out=100000"), ({ exitCode }) => exitCode)))

  test("of a program that could not be started", leavesNothing(Effect.flip(ChildProcess.make("no such program", []))))

  test(
    "of the pipes that a process holds which left the group",
    Effect.gen(function*() {
      const name = yield* mark
      yield* leavesNothing(Effect.gen(function*() {
        const { stderr } = yield* node("fault.ts", ["child-leaves", "say=ready", name])
        yield* line(stderr)
      }))
      const left = processesWith(name)
      assert.lengthOf(left, 2)
      yield* Effect.sync(() => left.forEach((process_) => process.kill(parseInt(process_), "SIGKILL")))
    })
  )

  test(
    "of a start that is interrupted at any moment",
    Effect.gen(function*() {
      const name = yield* mark
      for (let yields = 0; yields < 10; yields++) {
        const start = node("chatter.ts", ["stay", name], { cwd: process.cwd() })
        const fiber = yield* Effect.forkChild(Effect.scoped(Effect.andThen(start, Effect.never)))
        for (let i = 0; i < yields; i++) yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
      }
      assert.deepStrictEqual(processesWith(name), [])
    })
  )
})

describe("a program that cannot be started", () => {
  const told = ({ reason }: PlatformError.PlatformError) => ({ ...reason, cause: String(reason.cause) })

  const commands: ReadonlyArray<readonly [what: string, command: ChildProcess.Command]> = [
    ["is not there", ChildProcess.make("no such program", ["a b", Redacted.make("s3cr3t")])],
    ["is not executable", ChildProcess.make(serverFile("chatter.ts"), [])],
    ["has a working directory that is not there", ChildProcess.make("ls", [], { cwd: "/no/such/directory" })],
    ["has a NUL in an argument", ChildProcess.make("ls", [Redacted.make("s3cr3t\0")])],
    ["has a shell and arguments", ChildProcess.make("ls", ["-l"], { shell: true })]
  ]
  for (const [what, command] of commands) {
    it.live(`because it ${what} fails as with Effect's own spawner`, () =>
      Effect.gen(function*() {
        const [mine, theirs] = yield* Effect.forEach([ours, effects], (layer) =>
          Effect.flip(Effect.scoped(Effect.provide(ChildProcessSpawner.use(({ spawn }) => spawn(command)), layer))))
        assert(mine !== undefined && theirs !== undefined)
        assert.deepStrictEqual(told(mine), told(theirs))
        assert.notInclude(inspect(mine, { depth: 10 }), "s3cr3t")
      }))
  }

  test(
    "for what Node throws fails all the same, with the code of the system",
    Effect.gen(function*() {
      const file = serverFile("chatter.ts")
      for (const [code, command] of [
        ["E2BIG", ChildProcess.make("ls", Array.from({ length: 100 }, () => "x".repeat(100_000)))],
        ["ENOTDIR", ChildProcess.make(`${file}/x`)],
        ["ENOTDIR", ChildProcess.make("ls", [], { cwd: file })]
      ] as const) assert.strictEqual(codeOf(yield* Effect.flip(command)), code)
    })
  )
})

describe("a command", () => {
  test(
    "is given its environment and nothing else, secrets revealed",
    Effect.gen(function*() {
      const env = { PATH: "/bin", EMPTY: "", TOKEN: Redacted.make("s3cr3t"), NONE: undefined }
      const { stdout } = yield* node("chatter.ts", ["env"], { env, extendEnv: false })
      assert.deepInclude(JSON.parse(yield* line(stdout)), { PATH: "/bin", EMPTY: "", TOKEN: "s3cr3t" })
    })
  )

  test(
    "that asks for more than three pipes is run by Effect's spawner",
    Effect.gen(function*() {
      const { string } = yield* ChildProcessSpawner
      assert.strictEqual(yield* string(ChildProcess.pipeTo(chatter("say=hello"), chatter("echo"))), "hello\n")
      const input = Stream.encodeText(Stream.make("from a stream"))
      assert.strictEqual(yield* string(node("chatter.ts", ["echo"], { stdin: input })), "from a stream")
    })
  )

  test(
    "is run by the helpers of the service too",
    Effect.gen(function*() {
      const { exitCode, lines } = yield* ChildProcessSpawner
      assert.deepStrictEqual(yield* lines(chatter("say=a", "err=100000", "say=b")), ["a", "b"])
      assert.strictEqual(Number(yield* exitCode(chatter(`out=${mebibyte}`, "exit=2"))), 2)
    })
  )

  it.live("outlives its scope by nothing when it is used twice at once", () =>
    Effect.gen(function*() {
      const name = yield* mark
      const scope = yield* Scope.make()
      yield* Scope.provide(
        Effect.all([node("chatter.ts", ["stay", name]), node("chatter.ts", ["stay", name])], { concurrency: 2 }),
        scope
      )
      assert.lengthOf(processesWith(name), 2)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(processesWith(name), [])
    }).pipe(Effect.provide(ours)))
})
