/**
 * The pipes of a child process as a stream and a sink, with no other stream
 * between. Both ends push back: a pipe nobody reads from fills up, and whoever
 * writes waits for the one who reads.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import type { Readable, Writable } from "node:stream"

type Chunks = Arr.NonEmptyReadonlyArray<Uint8Array>

/** The error is told when the pipe closes. Unheard, it would end the program. */
const heard = () => {}

/**
 * All that comes out of a pipe, for one reader at a time: where one stops, the
 * next one goes on.
 */
export const reading = <E>(pipe: Readable, toError: (cause: unknown) => E): Stream.Stream<Uint8Array, E> => {
  let reader: ((exit: Exit.Exit<Chunks, E | Cause.Done>) => void) | undefined
  let unread: Array<Uint8Array> = []
  let end: Exit.Exit<never, E | Cause.Done> | undefined

  // Listened to from the beginning: when a process exits, Node lets its pipes
  // flow, paused or not, and into nothing if nobody listens.
  pipe.on("data", (chunk: Uint8Array) => {
    const resume = reader
    reader = undefined
    if (resume === undefined) unread.push(chunk)
    else resume(Exit.succeed([chunk]))
    // Most often the reader has taken it by now and waits for more.
    if (reader === undefined) pipe.pause()
  })
  pipe.on("error", heard)
  pipe.once("close", () => {
    end = Exit.fail(pipe.errored === null ? Cause.Done() : toError(pipe.errored))
    reader?.(end)
  })

  const stop = Effect.sync(() => {
    reader = undefined
  })
  return Stream.fromPull(Effect.succeed(Effect.callback<Chunks, E | Cause.Done>((resume) => {
    const [head, ...tail] = unread
    if (head !== undefined) {
      unread = []
      return resume(Exit.succeed([head, ...tail]))
    }
    if (end !== undefined) return resume(end)
    reader = resume
    if (pipe.isPaused()) pipe.resume()
    return stop
  })))
}

/**
 * Writes into a pipe, and closes it when there is no more. Fails as soon as it is
 * known that nobody reads any longer, also while there is nothing to write.
 */
export const writing = <E>(pipe: Writable, toError: (cause: unknown) => E): Sink.Sink<void, Uint8Array, never, E> => {
  const closed = Deferred.makeUnsafe<void, E>()
  const failure = () => toError(pipe.errored ?? new Error("The pipe was closed"))
  pipe.on("error", heard)
  pipe.once("close", () =>
    Deferred.doneUnsafe(closed, pipe.writableFinished && pipe.errored === null ? Exit.void : Exit.fail(failure())))

  const drained = Effect.callback<void>((resume) => {
    const onDrain = () => resume(Effect.void)
    pipe.once("drain", onDrain)
    return Effect.sync(() => pipe.off("drain", onDrain))
  })

  const write = (chunks: Chunks): Effect.Effect<void, E> => {
    if (!pipe.writable) return Effect.fail(failure())
    if (chunks.length > 1) pipe.cork()
    for (const chunk of chunks) pipe.write(chunk)
    pipe.uncork()
    return pipe.writableNeedDrain ? drained : Effect.void
  }

  return Sink.fromTransform((upstream: Pull.Pull<Chunks>) =>
    upstream.pipe(
      Effect.flatMap(write),
      Effect.forever({ disableYield: true }),
      Pull.catchDone(() => Effect.andThen(Effect.sync(() => pipe.end()), Deferred.await(closed))),
      Effect.raceFirst(Effect.andThen(Deferred.await(closed), Effect.never)),
      Effect.onError(() => Effect.sync(() => pipe.destroy())),
      Effect.map((): Sink.End<void> => [undefined])
    )
  )
}
