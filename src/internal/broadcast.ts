/**
 * One synchronous writer, many readers, each with a bounded queue of its own:
 * who reads too slowly loses the oldest, and nobody holds up the read loop.
 * (`PubSub.publishUnsafe` drops the newest instead.)
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

export interface Broadcast<A, E = never> {
  readonly publish: (value: A) => void
  /** Ends every reader, now and later: with `Done`, or with an error. */
  readonly end: (cause: Cause.Cause<E | Cause.Done>) => void
  /** A reader that misses nothing from here on. */
  readonly subscribe: Effect.Effect<Queue.Dequeue<A, E | Cause.Done>, never, Scope.Scope>
  /** The same as a stream; each run is a reader. */
  readonly stream: Stream.Stream<A, E>
}

export const make = <A, E = never>(options: {
  /** Values a reader may be behind. */
  readonly capacity: number
  /** Recent values a new reader gets first. Default 0. */
  readonly replay?: number
}): Broadcast<A, E> => {
  const replay = options.replay ?? 0
  const readers = new Set<Queue.Queue<A, E | Cause.Done>>()
  const recent: Array<A> = []
  let ended: Cause.Cause<E | Cause.Done> | undefined

  const subscribe = Effect.acquireRelease(
    Effect.map(Queue.sliding<A, E | Cause.Done>(options.capacity), (queue) => {
      Queue.offerAllUnsafe(queue, recent)
      if (ended === undefined) readers.add(queue)
      else Queue.failCauseUnsafe(queue, ended)
      return queue
    }),
    (queue) =>
      Effect.suspend(() => {
        readers.delete(queue)
        return Queue.shutdown(queue)
      })
  )
  return {
    publish: (value) => {
      if (ended !== undefined) return
      if (replay > 0) {
        recent.push(value)
        if (recent.length > replay) recent.shift()
      }
      for (const queue of readers) Queue.offerUnsafe(queue, value)
    },
    end: (cause) => {
      ended ??= cause
      for (const queue of readers) Queue.failCauseUnsafe(queue, ended)
      readers.clear()
    },
    subscribe,
    stream: Stream.unwrap(Effect.map(subscribe, Stream.fromQueue))
  }
}
