/**
 * The pipes of a child process with no other stream between, and the same as a
 * stream and a sink. Both ends push back: a pipe nobody reads from fills up, and
 * whoever writes waits for the one who reads.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import type { Readable, Writable } from "node:stream"
import type { Batch, Outbox } from "../internal/outbox.ts"

/** The error is told when the pipe closes. Unheard, it would end the program. */
const heard = () => {}

/** All that comes out of a pipe, for one reader at a time: where one stops, the next one goes on. */
export class Output<E> {
  private readonly pipe: Readable
  private readonly toError: (cause: unknown) => E
  private onChunk: ((chunk: Uint8Array) => void) | undefined
  private onEnd: (() => void) | undefined
  private unread: Array<Uint8Array> = []

  constructor(pipe: Readable, toError: (cause: unknown) => E) {
    this.pipe = pipe
    this.toError = toError
    // Listened to from the beginning: when a process exits, Node lets its pipes
    // flow, paused or not, and into nothing if nobody listens.
    pipe.on("data", (chunk: Uint8Array) => {
      if (this.onChunk === undefined) this.unread.push(chunk)
      else this.onChunk(chunk)
      // Most often the reader waits for more by now.
      if (this.onChunk === undefined) pipe.pause()
    })
    pipe.on("error", heard)
    pipe.once("close", () => this.onEnd?.())
  }

  /** Tells what is there already at once; then what comes, until `stop`. */
  read(onChunk: (chunk: Uint8Array) => void, onEnd: () => void): void {
    const { pipe, unread } = this
    this.unread = []
    unread.forEach(onChunk)
    if (pipe.closed) return onEnd()
    this.onChunk = onChunk
    this.onEnd = onEnd
    if (pipe.isPaused()) pipe.resume()
  }

  stop(): void {
    this.onChunk = this.onEnd = undefined
  }

  get stream(): Stream.Stream<Uint8Array, E> {
    const { pipe, toError } = this
    return Stream.fromPull(Effect.succeed(Effect.callback<Batch, E | Cause.Done>((resume) => {
      const [head, ...tail] = this.unread
      if (head !== undefined) {
        this.unread = []
        return resume(Exit.succeed([head, ...tail]))
      }
      const onChunk = (chunk: Uint8Array) => {
        this.stop()
        resume(Exit.succeed([chunk]))
      }
      this.read(onChunk, () => resume(Exit.fail(pipe.errored === null ? Cause.Done() : toError(pipe.errored))))
      return Effect.sync(() => this.stop())
    })))
  }
}

const writeBatch = (pipe: Writable, chunks: Batch) => {
  if (chunks.length > 1) pipe.cork()
  for (const chunk of chunks) pipe.write(chunk)
  pipe.uncork()
}

/** Writes into a pipe, and closes it when there is no more. */
export class Input<E> {
  private readonly pipe: Writable
  private readonly toError: (cause: unknown) => E

  constructor(pipe: Writable, toError: (cause: unknown) => E) {
    this.pipe = pipe
    this.toError = toError
    pipe.on("error", heard)
  }

  /** Writes all of an outbox; `onLost` is called once when nobody reads any longer, also while there is nothing to write. */
  write(outbox: Outbox, onLost: () => void): void {
    const { pipe } = this
    const onClose = () => {
      if (this.isLost()) onLost()
    }
    if (pipe.closed) return onClose()
    pipe.once("close", onClose)
    let taking = false
    let again = false
    // One after the other, not one inside the other: many who wait with little each would use up the stack.
    const next = () => {
      again = true
      if (taking) return
      taking = true
      while (again) {
        again = false
        outbox.take(write)
      }
      taking = false
    }
    const write = (chunks: Batch | undefined) => {
      if (chunks === undefined) return void pipe.end()
      // What cannot be written is told when it closes.
      if (!pipe.writable) return
      writeBatch(pipe, chunks)
      if (pipe.writableNeedDrain) pipe.once("drain", next)
      else next()
    }
    next()
  }

  /** Fails as soon as it is known that nobody reads any longer, also while there is nothing to write. */
  get sink(): Sink.Sink<void, Uint8Array, never, E> {
    const { pipe } = this
    const failure = () => this.toError(pipe.errored ?? new Error("The pipe was closed"))
    const event = (name: "close" | "drain", isOver: () => boolean) =>
      Effect.callback<void>((resume) => {
        const listener = () => resume(Effect.void)
        if (isOver()) return listener()
        pipe.once(name, listener)
        return Effect.sync(() => pipe.off(name, listener))
      })
    const drained = event("drain", () => false)
    const closed = Effect.flatMap(event("close", () => pipe.closed), () =>
      this.isLost() ? Effect.fail(failure()) : Effect.void)

    const write = (chunks: Batch): Effect.Effect<void, E> => {
      if (!pipe.writable) return Effect.fail(failure())
      writeBatch(pipe, chunks)
      return pipe.writableNeedDrain ? drained : Effect.void
    }

    return Sink.fromTransform((upstream: Pull.Pull<Batch>) =>
      upstream.pipe(
        Effect.flatMap(write),
        Effect.forever({ disableYield: true }),
        Pull.catchDone(() => Effect.andThen(Effect.sync(() => pipe.end()), closed)),
        Effect.raceFirst(Effect.andThen(closed, Effect.never)),
        Effect.onError(() => Effect.sync(() => pipe.destroy())),
        Effect.map((): Sink.End<void> => [undefined])
      )
    )
  }

  private isLost(): boolean {
    return !this.pipe.writableFinished || this.pipe.errored !== null
  }
}
