/**
 * Starts a program as a child process through whatever spawner there is, and
 * says in our own words why it could not.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as ChildProcess from "effect/process/ChildProcess"
import { type ChildProcessHandle, ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as McpError from "../McpError.ts"
import { reveal } from "./reveal.ts"
import * as SpawnFailure from "./spawnFailure.ts"
import * as WindowsCommand from "./windowsCommand.ts"

export interface Program {
  readonly command: string
  readonly args?: ReadonlyArray<string | Redacted.Redacted<string>> | undefined
  /** The complete environment; nothing is inherited. */
  readonly env: Readonly<Record<string, string | Redacted.Redacted<string>>>
  readonly cwd?: string | undefined
}

export type Spawn = (program: Program) => Effect.Effect<ChildProcessHandle, McpError.McpError, Scope.Scope>

/** On Windows: the file a command means, inside cmd.exe where it is a batch file. */
const resolveOnWindows = Effect.fnUntraced(function*(
  { args = [], command, env }: Program,
  options: ChildProcess.CommandOptions,
  fs: Option.Option<FileSystem.FileSystem>
): Effect.fn.Return<ChildProcess.StandardCommand, McpError.McpError> {
  const value = (name: string) => reveal(WindowsCommand.variable(env, name) ?? "")
  const candidates = WindowsCommand.candidates(command, {
    path: value("PATH"),
    pathExt: value("PATHEXT") || WindowsCommand.defaultPathExt
  })
  const found = Option.isNone(fs)
    ? Option.none()
    : yield* Effect.findFirst(candidates, (file) => Effect.orElseSucceed(fs.value.exists(file), () => false))
  const file = Option.getOrElse(found, () => command)
  if (!WindowsCommand.isBatchFile(file)) return ChildProcess.make(file, args, options)
  const words = args.map(reveal)
  if (words.some((word) => /[\r\n]/.test(word))) {
    return yield* McpError.make(
      new McpError.SpawnFailed({
        command,
        kind: "Other",
        detail: `it is a batch file (${file}), and a batch file cannot take an argument with a line break`
      })
    )
  }
  return ChildProcess.make(WindowsCommand.batchScript(file, words), { ...options, shell: true })
})

/**
 * The path and file services are used on Windows only, to find what a command
 * means; where they are not given, commands are taken as they are.
 */
export const make: Effect.Effect<Spawn, never, ChildProcessSpawner> = Effect.gen(function*() {
  const spawner = yield* ChildProcessSpawner
  const fs = yield* Effect.serviceOption(FileSystem.FileSystem)
  const windows = Option.exists(yield* Effect.serviceOption(Path.Path), (path) => path.sep === "\\")

  return (program) => {
    const { args = [], command, cwd, env } = program
    const options: ChildProcess.CommandOptions = { cwd, env, extendEnv: false, killSignal: "SIGKILL" }
    const toError = (failure: unknown) => {
      const path = windows ? WindowsCommand.variable(env, "PATH") : env.PATH
      return McpError.make(SpawnFailure.make(failure, {
        command,
        cwd,
        searchPath: path === undefined ? undefined : reveal(path),
        windows
      }))
    }
    const spawned = (resolved: ChildProcess.StandardCommand) =>
      spawner.spawn(resolved).pipe(
        Effect.mapError(toError),
        // Some refusals of the system, such as E2BIG, are thrown by Node instead of being reported.
        Effect.catchDefect((defect) => Effect.fail(toError(defect)))
      )
    return windows
      ? Effect.flatMap(resolveOnWindows(program, options, fs), spawned)
      : spawned(ChildProcess.make(command, args, options))
  }
})
