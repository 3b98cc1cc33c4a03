/**
 * Child processes of Node.js: each with three pipes and, but for Windows, a
 * process group of its own. The scope owns the process with its group. Whatever
 * else a command may ask for is left to Effect's own spawner.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as PlatformError from "effect/PlatformError"
import * as Predicate from "effect/Predicate"
import type { Command, KillOptions, Signal, StandardCommand } from "effect/process/ChildProcess"
import * as Spawner from "effect/process/ChildProcessSpawner"
import * as CommandLine from "effect/process/CommandLine"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import { type ChildProcessWithoutNullStreams, execFile, spawn as spawnChild } from "node:child_process"
import * as Pipes from "../internal/pipes.ts"
import { reveal } from "../internal/reveal.ts"
import { Input, Output } from "./pipes.ts"

const windows = process.platform === "win32"

/** After the first member of a group has gone, for the others. */
const groupTime = Duration.seconds(1)

const pollTime = Duration.millis(10)

/** Nothing but a program with three pipes; nor what Effect's spawner refuses in its own words. */
const isPlain = (command: Command): command is StandardCommand => {
  if (command._tag !== "StandardCommand") return false
  const { additionalFds, detached, env = {}, extendEnv, shell, stderr, stdin, stdout } = command.options
  const texts = [command.command, ...command.args, ...Object.values(env)]
  return [stdin, stdout, stderr].every((stream) => stream === undefined || stream === "pipe") &&
    additionalFds === undefined && detached === undefined && extendEnv !== true &&
    (!shell || command.args.length === 0) &&
    !texts.some((text) => text !== undefined && reveal(text).includes("\0"))
}

const loadEffects = Effect.promise(() => import("@effect/platform-node/NodeChildProcessSpawner"))

// =============================================================================
// Failures
// =============================================================================

const tags: Readonly<Record<string, PlatformError.SystemErrorTag>> = {
  ENOENT: "NotFound",
  EACCES: "PermissionDenied",
  EPERM: "PermissionDenied",
  EISDIR: "BadResource",
  ENOTDIR: "BadResource",
  ELOOP: "BadResource",
  EBUSY: "Busy"
}

const failing = ({ args, command }: StandardCommand) => (method: string) => (cause: unknown): PlatformError.PlatformError =>
  PlatformError.systemError({
    _tag: Predicate.hasProperty(cause, "code") && tags[String(cause.code)] || "Unknown",
    module: "ChildProcess",
    method,
    pathOrDescriptor: CommandLine.display([command, ...args], { format: windows ? "windows" : "posix" }),
    syscall: Predicate.hasProperty(cause, "syscall") ? String(cause.syscall) : undefined,
    cause
  })

// =============================================================================
// Processes and groups
// =============================================================================

type ExitStatus = readonly [code: number | null, signal: string | null]

/** What the system says to a signal for a group: `undefined` when there was somebody to get it. */
const signalGroup = (pid: number, signal: Signal | 0): unknown => {
  try {
    process.kill(-pid, signal)
    return undefined
  } catch (error) {
    return error
  }
}

/** On some systems the answer for a group of which only zombies are left. */
const onlyZombies = (error: unknown): boolean => Predicate.hasProperty(error, "code") && error.code === "EPERM"

interface Running {
  readonly child: ChildProcessWithoutNullStreams
  readonly handle: Spawner.ChildProcessHandle
  readonly release: Effect.Effect<void>
}

/** All that listens is there before the process can say anything, or fail to. */
const start = (command: StandardCommand, cwd: string | undefined): Effect.Effect<Running, PlatformError.PlatformError> =>
  Effect.callback((resume) => {
    const { env, shell, windowsHide } = command.options
    const failure = failing(command)
    let child: ChildProcessWithoutNullStreams
    try {
      child = spawnChild(command.command, command.args.map(reveal), {
        cwd,
        env: env && Object.fromEntries(Object.entries(env).map(([name, value]) => [name, value && reveal(value)])),
        shell,
        detached: !windows,
        windowsHide: windowsHide ?? windows
      })
    } catch (cause) {
      return resume(Effect.fail(failure("spawn")(cause)))
    }
    child.on("error", (cause) => {
      // Node adds the arguments to it.
      const spawnargs = command.args.map((arg) => Redacted.isRedacted(arg) ? "<redacted>" : arg)
      resume(Effect.fail(failure("spawn")(Object.assign(cause, { spawnargs }))))
    })
    // Without one it was not started, and the error comes in a moment.
    if (child.pid !== undefined) resume(Effect.succeed(running(command, child, child.pid)))
  })

const running = (command: StandardCommand, child: ChildProcessWithoutNullStreams, pid: number): Running => {
  const failure = failing(command)
  const exited = Deferred.makeUnsafe<ExitStatus>()
  const { killSignal = "SIGTERM" } = command.options
  let referenced = true

  child.once("exit", (code, signal) => {
    Deferred.doneUnsafe(exited, Exit.succeed([code, signal]))
    if (code !== 0 && code !== null && !windows) signalGroup(pid, killSignal)
  })

  const hasExited = () => Deferred.isDoneUnsafe(exited)

  const isAlive = () => {
    if (!hasExited()) return true
    if (windows) return false
    const error = signalGroup(pid, 0)
    return error === undefined || onlyZombies(error)
  }

  const send = (signal: Signal): Effect.Effect<void, PlatformError.PlatformError> =>
    Effect.callback((resume) => {
      const done = (error: unknown) => resume(error ? Effect.fail(failure("kill")(error)) : Effect.void)
      if (windows && hasExited()) return done(undefined)
      if (windows) return void execFile("taskkill", ["/pid", String(pid), "/T", "/F"], { windowsHide: true }, done)
      const error = signalGroup(pid, signal)
      done(hasExited() && onlyZombies(error) ? undefined : error)
    })

  const groupGone: Effect.Effect<void> = Effect.suspend(() =>
    isAlive() ? Effect.andThen(Effect.sleep(pollTime), groupGone) : Effect.void)

  const goneWithin = (time: Duration.Input) =>
    Deferred.await(exited).pipe(Effect.andThen(groupGone), Effect.timeoutOption(time))

  const kill = ({ forceKillAfter, killSignal = "SIGTERM" }: KillOptions = {}) =>
    Effect.gen(function*() {
      yield* send(killSignal)
      if (forceKillAfter === undefined) {
        yield* Deferred.await(exited)
        yield* goneWithin(groupTime)
      } else {
        yield* goneWithin(forceKillAfter)
        if (isAlive()) {
          yield* send("SIGKILL")
          yield* goneWithin(groupTime)
        }
      }
      yield* Deferred.await(exited)
    })

  const stdin = new Input(child.stdin, failure("stdin"))
  const stdout = new Output(child.stdout, failure("stdout"))
  const stderr = new Output(child.stderr, failure("stderr"))

  return {
    child,
    handle: Pipes.register(Spawner.makeHandle({
      pid: Spawner.ProcessId(pid),
      exitCode: Effect.flatMap(Deferred.await(exited), ([code, signal]) =>
        code === null
          ? Effect.fail(failure("exitCode")(new Error(`Process interrupted due to receipt of signal: '${signal}'`)))
          : Effect.succeed(Spawner.ExitCode(code))),
      isRunning: Effect.sync(() => !hasExited()),
      kill,
      stdin: stdin.sink,
      stdout: stdout.stream,
      stderr: stderr.stream,
      all: Stream.suspend(() => Stream.merge(stdout.stream, stderr.stream)),
      getInputFd: () => Sink.drain,
      getOutputFd: () => Stream.empty,
      unref: Effect.sync(() => {
        child.unref()
        referenced = false
        return Effect.sync(() => {
          child.ref()
          referenced = true
        })
      })
    }), (user) => {
      stdout.read(user.onStdout, () => user.onEnd("stdout"))
      stderr.read(user.onStderr, () => user.onEnd("stderr"))
      stdin.write(user.stdin, user.onStdinLost)
    }),
    release: Effect.suspend(() => referenced ? Effect.ignore(kill(command.options)) : Effect.void).pipe(
      // What left the group may hold the other ends, and an open pipe keeps this program alive.
      Effect.ensuring(Effect.sync(() => {
        for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe.destroy()
      }))
    )
  }
}

/** A spawner for commands of every kind. */
export const layer: Layer.Layer<Spawner.ChildProcessSpawner, never, FileSystem.FileSystem | Path.Path> = Layer.effect(
  Spawner.ChildProcessSpawner,
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const services = yield* Effect.context<FileSystem.FileSystem | Path.Path>()

    const other = Effect.fnUntraced(function*(command: Command) {
      const { layer } = yield* loadEffects
      const spawner = yield* Effect.provide(Spawner.ChildProcessSpawner, Layer.provide(layer, Layer.succeedContext(services)))
      return yield* spawner.spawn(command)
    })

    const plain = Effect.fnUntraced(function*(
      command: StandardCommand
    ): Effect.fn.Return<Spawner.ChildProcessHandle, PlatformError.PlatformError, Scope.Scope> {
      const { cwd } = command.options
      if (cwd !== undefined) yield* fs.access(cwd)
      const { handle } = yield* Effect.acquireRelease(
        start(command, cwd === undefined ? undefined : path.resolve(cwd)),
        ({ release }) => release
      )
      return handle
    })

    return Spawner.make((command) => isPlain(command) ? plain(command) : other(command))
  })
)
