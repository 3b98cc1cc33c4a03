/**
 * The whole environment of a program that is started: of the surrounding one
 * only what every program needs (S-13), then the entry's `envFile`, the
 * variables it names in `passEnv`, and its own `env`; the later wins.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type { Stdio } from "../ServerConfig.ts"
import * as DotEnv from "./DotEnv.ts"
import type * as Expander from "./Expander.ts"
import * as File from "./File.ts"
import * as Rules from "./Rules.ts"

const posix = ["HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"]

// A ConfigProvider knows names exactly, Windows does not: both usual spellings are asked for.
const windows = [
  "APPDATA",
  "HOMEDRIVE",
  "HOMEPATH",
  "LOCALAPPDATA",
  "PATH",
  "Path",
  "PROCESSOR_ARCHITECTURE",
  "SYSTEMDRIVE",
  "SystemDrive",
  "SYSTEMROOT",
  "SystemRoot",
  "TEMP",
  "USERNAME",
  "USERPROFILE",
  "PROGRAMFILES",
  "ProgramFiles"
]

type Variables = Readonly<Record<string, Redacted.Redacted<string>>>

export const make = Effect.fnUntraced(function*(
  config: Stdio,
  expander: Expander.Expander
): Effect.fn.Return<Variables, never, FileSystem.FileSystem | Path.Path> {
  const variables = new Map<string, readonly [name: string, value: Redacted.Redacted<string>]>()
  const set = (name: string, value: Redacted.Redacted<string>) =>
    variables.set(expander.windows ? name.toUpperCase() : name, [name, value])

  for (const name of expander.windows ? windows : posix) {
    const value = yield* expander.lookup(["env"], name)
    // A function that bash exports begins so: code, not a value.
    if (value !== undefined && !value.startsWith("()")) set(name, Redacted.make(value))
  }
  for (const [name, value] of yield* readEnvFile(config, expander)) set(name, Redacted.make(value))
  for (const name of config.passEnv) {
    const value = yield* expander.lookup(["passEnv"], name)
    if (value !== undefined) set(name, Redacted.make(value))
  }
  const own = yield* expander.expandAll("env", config.env, Rules.noNul)
  for (const [name, value] of Object.entries(own)) set(name, value)
  return Object.fromEntries(variables.values())
})

const nothing: ReadonlyMap<string, string> = new Map()

const readEnvFile = Effect.fnUntraced(function*(
  { envFile }: Stdio,
  expander: Expander.Expander
) {
  if (envFile === undefined) return nothing
  const file = yield* expander.expandPath(["envFile"], envFile)
  if (file === undefined) return nothing
  const contents = yield* Effect.result(File.read(file))
  if (Result.isFailure(contents)) {
    expander.problems.unreadable.push(contents.failure)
    return nothing
  }
  const { problems: unread, values } = DotEnv.parse(contents.success)
  for (const problem of unread) expander.note(["envFile"], problem)
  return values
})
