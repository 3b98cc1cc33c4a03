/**
 * Why a process could not be started, in words to act on. Arguments and values
 * of variables stay out of it; the search path is the one exception, because
 * "not found" is useless without it.
 */
import * as PlatformError from "effect/PlatformError"
import * as Predicate from "effect/Predicate"
import * as McpError from "../McpError.ts"

export interface Attempt {
  readonly command: string
  readonly cwd: string | undefined
  readonly searchPath: string | undefined
  readonly windows: boolean
}

type Kind = McpError.SpawnFailed["kind"]

const systemCode = (failure: unknown): string | undefined => {
  const error = PlatformError.isPlatformError(failure) ? failure.reason.cause : failure
  return Predicate.hasProperty(error, "code") && typeof error.code === "string" ? error.code : undefined
}

const notFound = ({ command, cwd, searchPath, windows }: Attempt): string => {
  const isPath = windows ? /[\\/:]/.test(command) : command.includes("/")
  if (isPath) {
    const where = cwd === undefined ? "" : ` (relative names are looked for in ${cwd})`
    return windows
      ? `there is no such file${where}`
      : `there is no such file, or the interpreter named in its first line does not exist${where}`
  }
  if (searchPath === undefined) return "it was looked for on the search path, but PATH is not set for the server"
  const directories = searchPath.split(windows ? ";" : ":").filter((directory) => directory !== "")
  return `it is in no directory of PATH (searched ${directories.join(", ")})`
}

const explain = (failure: unknown, attempt: Attempt): readonly [Kind, string] => {
  const { command, cwd } = attempt
  const reason = PlatformError.isPlatformError(failure) ? failure.reason : undefined
  const code = systemCode(failure)
  // The only file the spawner itself looks at is the working directory.
  if (cwd !== undefined && reason?.module === "FileSystem") {
    const wrong = reason._tag === "NotFound"
      ? "does not exist"
      : reason._tag === "PermissionDenied"
      ? "cannot be reached: permission denied"
      : "is not a directory"
    return ["InvalidWorkingDirectory", `its working directory ${cwd} ${wrong}`]
  }
  if (reason?._tag === "NotFound") return ["CommandNotFound", notFound(attempt)]
  if (reason?._tag === "PermissionDenied") {
    const orDirectory = cwd === undefined ? "" : `, or its working directory ${cwd} may not be entered`
    return ["PermissionDenied", `permission denied: it is not an executable file${orDirectory}`]
  }
  if (code === "ENOTDIR") {
    return cwd !== undefined && !/[\\/]/.test(command)
      ? ["InvalidWorkingDirectory", `its working directory ${cwd} is not a directory`]
      : ["Other", "a part of its path, or of its working directory, is not a directory"]
  }
  if (code === "E2BIG") return ["Other", "its arguments and environment are larger than the system allows"]
  if (reason?._tag === "BadArgument" && reason.description !== undefined) return ["Other", reason.description]
  return ["Other", `the system refused${code === undefined ? "" : ` (${code})`}`]
}

/** @param failure what the spawner failed or died with. */
export const make = (failure: unknown, attempt: Attempt): McpError.SpawnFailed => {
  const [kind, detail] = explain(failure, attempt)
  return new McpError.SpawnFailed({ command: attempt.command, kind, detail })
}
