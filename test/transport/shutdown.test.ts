import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as PlatformError from "effect/PlatformError"
import { ChildProcessSpawner, ExitCode, make, makeHandle, ProcessId } from "effect/process/ChildProcessSpawner"
import * as Scope from "effect/Scope"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Diagnostic from "../../src/Diagnostic.ts"
import * as McpError from "../../src/McpError.ts"
import * as StdioTransport from "../../src/transport/StdioTransport.ts"

/** What happened to a process that is not there, each with the milliseconds at which it did. */
type Log = Array<readonly [at: number, what: string]>

interface Behaviour {
  /** What ends it. */
  readonly leavesOn?: "stdin" | "SIGTERM" | "SIGKILL"
  readonly stdout?: Stream.Stream<Uint8Array>
  /** How the spawner gives the process back. */
  readonly release?: Effect.Effect<void>
}

const start = Effect.fnUntraced(function*(behaviour: Behaviour, shutdown?: StdioTransport.Options["shutdown"]) {
  const log: Log = []
  const exit = yield* Deferred.make<ExitCode, PlatformError.PlatformError>()
  const note = (what: string) =>
    Effect.gen(function*() {
      log.push([yield* Clock.currentTimeMillis, what])
      if (behaviour.leavesOn === what) yield* Deferred.succeed(exit, ExitCode(0))
    })
  const spawner = make((command) =>
    Effect.gen(function*() {
      assert(command._tag === "StandardCommand")
      yield* Effect.addFinalizer(() => Effect.andThen(note("released"), behaviour.release ?? Effect.void))
      return makeHandle({
        pid: ProcessId(4711),
        exitCode: Deferred.await(exit),
        isRunning: Effect.map(Deferred.isDone(exit), (done) => !done),
        // As a spawner has to: the first signal, and SIGKILL when that was not enough in time.
        kill: ({ forceKillAfter = "1 hour", killSignal = "SIGTERM" } = {}) =>
          note(killSignal).pipe(
            Effect.andThen(Effect.timeoutOption(Deferred.await(exit), forceKillAfter)),
            Effect.flatMap((gone) => gone._tag === "Some" ? Effect.void : note("SIGKILL")),
            Effect.andThen(Deferred.await(exit)),
            Effect.asVoid
          ),
        stdin: Sink.mapEffect(Sink.drain, () => note("stdin")),
        stdout: behaviour.stdout ?? Stream.never,
        stderr: Stream.never,
        all: Stream.never,
        getInputFd: () => Sink.drain,
        getOutputFd: () => Stream.never,
        unref: Effect.as(note("unref"), Effect.void)
      })
    })
  )
  const diagnostics: Array<Diagnostic.Diagnostic> = []
  const reasons: Array<McpError.McpErrorReason> = []
  const messages: Array<unknown> = []
  const scope = yield* Scope.make()
  const transport = yield* Effect.provideService(
    StdioTransport.make({ command: "server", env: {}, shutdown }),
    ChildProcessSpawner,
    spawner
  )
  yield* Scope.provide(
    transport.open({
      onMessage: (value) => messages.push(value),
      onFailure: () => {},
      onDiagnostic: (diagnostic) => diagnostics.push(diagnostic),
      onClose: (reason) => reasons.push(reason)
    }),
    scope
  )
  return { close: Scope.close(scope, Exit.void), diagnostics, exit, log, messages, reasons }
})

const byClient = new McpError.ConnectionClosed({ by: "client", detail: "its scope was closed" })

describe("shutting a process down", () => {
  it.effect("one that nothing ends is given up after every step had its time, with a warning that names it", () =>
    Effect.gen(function*() {
      const { close, diagnostics, log, reasons } = yield* start({})
      const closing = yield* Effect.forkChild(close, { startImmediately: true })
      assert.deepStrictEqual(reasons, [byClient])
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(log, [
        [0, "stdin"],
        [2_000, "SIGTERM"],
        [4_000, "SIGKILL"],
        [5_000, "unref"],
        [5_000, "released"]
      ])
      assert.deepStrictEqual(diagnostics, [
        Diagnostic.Warning({ detail: "the server's process 4711 did not end on SIGKILL and was given up" })
      ])
      assert.deepStrictEqual(reasons, [byClient])
    }))

  it.effect("a spawner that never gives it back does not hold up the close for ever", () =>
    Effect.gen(function*() {
      const { close } = yield* start({ release: Effect.uninterruptible(Effect.never) })
      const closing = yield* Effect.forkChild(close, { startImmediately: true })
      yield* TestClock.adjust("6 seconds")
      yield* Fiber.join(closing)
    }))

  it.effect("a spawner that fails to signal or to release does not fail the close", () =>
    Effect.gen(function*() {
      const { close, exit } = yield* start({ release: Effect.die("cannot release") })
      yield* Deferred.fail(exit, PlatformError.badArgument({ module: "ChildProcess", method: "exitCode" }))
      const closing = yield* Effect.forkChild(close, { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(closing)
    }))

  for (const [leavesOn, at] of [["stdin", 0], ["SIGTERM", 2_000], ["SIGKILL", 4_000]] as const) {
    it.effect(`one that leaves on ${leavesOn} is waited for no longer than it takes`, () =>
      Effect.gen(function*() {
        const { close, diagnostics, log } = yield* start({ leavesOn })
        const closing = yield* Effect.forkChild(close, { startImmediately: true })
        yield* TestClock.adjust(at)
        yield* Fiber.join(closing)
        assert.deepStrictEqual(log.at(-1), [at, "released"])
        assert.isEmpty(diagnostics)
      }))
  }

  it.effect("each step takes as long as it is told to", () =>
    Effect.gen(function*() {
      const { close, log } = yield* start({}, { stdin: "10 millis", terminate: "20 millis", kill: "30 millis" })
      const closing = yield* Effect.forkChild(close, { startImmediately: true })
      yield* TestClock.adjust("60 millis")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(log.map(([at]) => at), [0, 10, 30, 60, 60])
    }))

  it.effect("its group is signalled although it left by itself, because what it started may live on", () =>
    Effect.gen(function*() {
      const { close, log } = yield* start({ leavesOn: "stdin" })
      yield* close
      assert.deepStrictEqual(log.map(([, what]) => what), ["stdin", "SIGTERM", "unref", "released"])
    }))

  it.effect("closing a second time, and one that has exited already, is nothing", () =>
    Effect.gen(function*() {
      const { close, exit, reasons } = yield* start({ stdout: Stream.empty })
      yield* Deferred.succeed(exit, ExitCode(7))
      yield* TestClock.adjust("500 millis")
      yield* close
      assert.deepStrictEqual(reasons, [new McpError.ProcessExited({ code: 7, signal: null, stderr: "" })])
    }))

  it.effect("what is still in the pipes when it exits is delivered before the link closes", () =>
    Effect.gen(function*() {
      const late = Stream.fromEffect(Effect.delay(Effect.succeed(new TextEncoder().encode("\"late\"\n")), "400 millis"))
      const { close, exit, messages, reasons } = yield* start({ stdout: late })
      yield* Deferred.succeed(exit, ExitCode(0))
      yield* TestClock.adjust("400 millis")
      assert.deepStrictEqual(messages, ["late"])
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(reasons, [new McpError.ProcessExited({ code: 0, signal: null, stderr: "" })])
      yield* close
    }))

  it.effect("a stdout that ends is not the end of the connection before the exit had its time", () =>
    Effect.gen(function*() {
      const { close, exit, reasons } = yield* start({ stdout: Stream.empty })
      yield* TestClock.adjust("999 millis")
      assert.isEmpty(reasons)
      yield* Deferred.succeed(exit, ExitCode(0))
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual(reasons, [new McpError.ProcessExited({ code: 0, signal: null, stderr: "" })])
      yield* close
    }))
})
