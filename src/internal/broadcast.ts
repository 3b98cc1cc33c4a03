/**
 * One synchronous writer, many readers, each with a bounded queue of its own:
 * who reads too slowly loses the oldest, and nobody holds up the read loop.
 * (`PubSub.publishUnsafe` drops the newest instead.)
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

export interface Options {
  /** Values a reader may be behind. */
  readonly capacity: number
  /** Recent values a new reader gets first. Default 0. */
  readonly replay?: number
}

/** Every connection has several, and most are never read: so a class, whose parts are made when they are asked for. */
export class Broadcast<A, E = never> {
  private readonly capacity: number
  private readonly replay: number
  private readonly recent: Array<A> = []
  private readers: Map<Queue.Queue<A, E | Cause.Done>, (value: A) => boolean> | undefined
  private ended: Cause.Cause<E | Cause.Done> | undefined

  constructor({ capacity, replay = 0 }: Options) {
    this.capacity = capacity
    this.replay = replay
  }

  publish(value: A): void {
    if (this.ended !== undefined) return
    if (this.replay > 0) {
      this.recent.push(value)
      if (this.recent.length > this.replay) this.recent.shift()
    }
    this.readers?.forEach((isWanted, queue) => {
      if (isWanted(value)) Queue.offerUnsafe(queue, value)
    })
  }

  /** Ends every reader, now and later: with `Done`, or with an error. */
  end(cause: Cause.Cause<E | Cause.Done>): void {
    const ended = this.ended ??= cause
    this.readers?.forEach((_, queue) => Queue.failCauseUnsafe(queue, ended))
    this.readers = undefined
  }

  /** A reader that misses nothing from here on. */
  get subscribe(): Effect.Effect<Queue.Dequeue<A, E | Cause.Done>, never, Scope.Scope> {
    return this.subscribeTo(() => true)
  }

  /** The same, of some values: what others are told takes no room of this reader's. */
  subscribeTo(isWanted: (value: A) => boolean): Effect.Effect<Queue.Dequeue<A, E | Cause.Done>, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.map(Queue.sliding<A, E | Cause.Done>(this.capacity), (queue) => {
        Queue.offerAllUnsafe(queue, this.recent.filter(isWanted))
        if (this.ended === undefined) (this.readers ??= new Map()).set(queue, isWanted)
        else Queue.failCauseUnsafe(queue, this.ended)
        return queue
      }),
      (queue) =>
        Effect.suspend(() => {
          this.readers?.delete(queue)
          return Queue.shutdown(queue)
        })
    )
  }

  /** The same as a stream; each run is a reader. */
  get stream(): Stream.Stream<A, E> {
    return Stream.unwrap(Effect.map(this.subscribe, Stream.fromQueue))
  }
}

export const make = <A, E = never>(options: Options): Broadcast<A, E> => new Broadcast(options)
