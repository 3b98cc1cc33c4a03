/** How the command ends: its exit codes, and failures on their way to one. */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as McpError from "../McpError.ts"
import * as Login from "./advice.ts"

/** Every exit code and when it is used. */
export const codes = {
  ok: { code: 0, meaning: "done" },
  failed: { code: 1, meaning: "a tool or a server answered with a failure" },
  usage: { code: 2, meaning: "the command line or the config is wrong" },
  unreachable: { code: 3, meaning: "a server that is needed could not be reached" },
  unauthorized: { code: 4, meaning: "a server wants a login, or it was not given" },
  interrupted: { code: 130, meaning: "interrupted, by Ctrl-C or SIGTERM" },
  unread: { code: 141, meaning: "whoever read the output is gone, as with head" }
} as const

export type Reason = keyof typeof codes

/** Ends the command with an exit code, and one line on stderr unless the message is empty. */
export class Failure extends Data.TaggedError("Failure")<{ readonly reason: Reason; readonly message: string }> {
  override readonly [Runtime.errorExitCode]: number = codes[this.reason].code
}

/** The command line or the config is wrong. */
export const usage = (message: string): Failure => new Failure({ reason: "usage", message })

/** The message, and the command that helps, if one does. */
export const withAdvice = (error: McpError.McpError): string =>
  Login.wouldHelp(error) && error.server !== undefined ? `${error.message}; log in with: ${Login.command(error.server, error)}` : error.message

const ofConfig: ReadonlySet<McpError.McpErrorReason["_tag"]> = new Set([
  "InvalidConfig",
  "ConfigUnreadable",
  "UnsetVariables",
  "UnknownServer"
])

const ofAuthorization: ReadonlySet<McpError.McpErrorReason["_tag"]> = new Set(["NeedsAuthorization", "Unauthorized"])

/** What an error of the library comes to; `otherwise` where it is about neither the config nor a login. */
export const fromMcpError = (error: McpError.McpError, otherwise: Reason): Failure => {
  const { _tag } = error.reason
  const reason = ofConfig.has(_tag) ? "usage" : ofAuthorization.has(_tag) ? "unauthorized" : otherwise
  return new Failure({ reason, message: withAdvice(error) })
}

/** What anything a command can fail with comes to. */
const fromUnknown = (error: unknown): Failure => {
  if (error instanceof Failure) return error
  if (McpError.isMcpError(error)) return fromMcpError(error, "failed")
  return new Failure({ reason: "failed", message: error instanceof Error ? error.message : String(error) })
}

/**
 * A command whose failures are told in one line. With `--log-level debug`,
 * everything that is known about them follows.
 */
export const reporting = <Input, A, E, R>(handler: (input: Input) => Effect.Effect<A, E, R>) =>
(input: Input): Effect.Effect<A, Failure, R> =>
  Effect.catchCause(handler(input), (cause) => {
    if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
    const failure = fromUnknown(Cause.squash(cause))
    const told = failure.message === ""
      ? Effect.void
      : Effect.andThen(Effect.logError(failure.message), Effect.logDebug(Cause.pretty(cause)))
    return Effect.andThen(told, Effect.fail(failure))
  })
