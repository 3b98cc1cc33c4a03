/**
 * The pipes of a child process as a transport uses them: told what comes out as
 * it comes, asking for what goes in. A platform that has such pipes itself
 * registers them; of all others the streams are used, which costs a fiber for
 * each pipe and a wake-up for each chunk.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { ChildProcessHandle } from "effect/process/ChildProcessSpawner"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Outbox } from "./outbox.ts"

/** Who uses the pipes. Nothing of it may throw. */
export interface User {
  /** Its end is the end of stdin. */
  readonly stdin: Outbox
  readonly onStdout: (chunk: Uint8Array) => void
  readonly onStderr: (chunk: Uint8Array) => void
  /** Called once for each output, after all that came out of it. */
  readonly onEnd: (output: "stdout" | "stderr") => void
  /** Nobody reads any longer what is written. */
  readonly onStdinLost: () => void
}

type Connect = (user: User) => void

const known = new WeakMap<ChildProcessHandle, Connect>()

/** Tells what a platform has for transports; to be used once, in place of the streams. */
export const register = (handle: ChildProcessHandle, connect: Connect): ChildProcessHandle => {
  known.set(handle, connect)
  return handle
}

/** Uses the pipes of a process until they end, or the scope does. */
export const connect = (handle: ChildProcessHandle, user: User): Effect.Effect<void, never, Scope.Scope> => {
  const direct = known.get(handle)
  if (direct !== undefined) return Effect.sync(() => direct(user))

  const read = (output: "stdout" | "stderr", onChunk: (chunk: Uint8Array) => void) =>
    Stream.runForEachArray(handle[output], (chunks) => Effect.sync(() => chunks.forEach(onChunk))).pipe(
      Effect.catchCause((cause) => Effect.logWarning(`Reading the server's ${output} ended with a failure`, cause)),
      Effect.ensuring(Effect.sync(() => user.onEnd(output))),
      Effect.forkScoped
    )
  return Effect.all([
    read("stdout", user.onStdout),
    read("stderr", user.onStderr),
    Stream.run(user.stdin.stream, handle.stdin).pipe(
      Effect.onExit((exit) => Exit.isFailure(exit) ? Effect.sync(user.onStdinLost) : Effect.void),
      Effect.ignore,
      Effect.forkScoped
    )
  ], { discard: true })
}
