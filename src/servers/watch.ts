/** Following the file a config is from. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
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
 * one would hear no more. Where the path leads through symbolic links, the folder
 * it ends in is watched, too, until it leads elsewhere.
 */
export const file = Effect.fnUntraced(function*(
  file: string,
  runtime: Runtime
): Effect.fn.Return<void, never, FileSystem.FileSystem | Path.Path | Scope.Scope> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const target = path.resolve(file)
  const destination = Effect.orElseSucceed(fs.realPath(target), () => target)

  // The next change is not to wait until those of this one have been closed.
  const scope = yield* Effect.scope
  const reload = Effect.flatMap(Effect.exit(McpConfig.load(target)), (loaded) =>
    runtime.reload(loaded).pipe(
      Effect.catch((error) => Effect.logError(`The servers stay as they are. ${error.message}`)),
      Effect.forkIn(scope, { startImmediately: true })
    ))
  const follow = Effect.gen(function*() {
    const place = yield* destination
    const stays = Effect.map(destination, (now) => now === place)
    const names = new Set([target, place].map((file) => path.basename(file)))
    const folders = new Set([target, place].map((file) => path.dirname(file)))
    return yield* Stream.mergeAll(Array.from(folders, (folder) => fs.watch(folder)), { concurrency: "unbounded" }).pipe(
      Stream.filterEffect((event) => names.has(path.basename(event.path)) ? Effect.succeed(true) : Effect.map(stays, (is) => !is)),
      // It may have changed before it was watched.
      Stream.merge(Stream.succeed(undefined)),
      Stream.debounce(settled),
      Stream.mapEffect(() => Effect.andThen(reload, stays)),
      Stream.takeUntil((is) => !is),
      Stream.runLast
    )
  })
  yield* follow.pipe(
    Effect.tapError((error) => Effect.logWarning(`${target} cannot be watched: ${error.message}`)),
    Effect.retry(Schedule.spaced("5 seconds")),
    Effect.repeat({ while: (last) => Option.contains(last, false) }),
    Effect.ignore,
    Effect.forkScoped({ startImmediately: true })
  )
})
