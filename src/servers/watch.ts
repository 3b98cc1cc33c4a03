/** Following the file a config is from. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as McpConfig from "../McpConfig.ts"
import type { Runtime } from "./runtime.ts"

/** A file is often written in several steps. */
const settled = "100 millis"

/**
 * Reloads the servers when the file has changed, for as long as the scope is
 * open. Its folder is watched: editors replace a file, and a watcher of the old
 * one would hear no more.
 */
export const file = Effect.fnUntraced(function*(
  file: string,
  runtime: Runtime
): Effect.fn.Return<void, never, FileSystem.FileSystem | Path.Path | Scope.Scope> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const target = path.resolve(file)
  const name = path.basename(target)

  const reload = runtime.reload(McpConfig.load(target)).pipe(
    Effect.catch((error) => Effect.logError(`The servers stay as they are. ${error.message}`))
  )
  yield* fs.watch(path.dirname(target)).pipe(
    Stream.filter((event) => path.basename(event.path) === name),
    // It may have changed before it was watched.
    Stream.merge(Stream.succeed(undefined)),
    Stream.debounce(settled),
    Stream.runForEach(() => reload),
    Effect.tapError((error) => Effect.logWarning(`${target} cannot be watched: ${error.message}`)),
    Effect.retry(Schedule.spaced("5 seconds")),
    Effect.ignore,
    Effect.forkScoped({ startImmediately: true })
  )
})
