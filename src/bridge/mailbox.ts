/** What waits for one peer to read it: bounded in messages and in size. */
import type * as Arr from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"

export interface Mailbox<A> {
  /** `false` when the peer reads too slowly: there is no room for it, and it was not taken. */
  readonly offer: (item: A, size: number) => boolean
  /** Takes no more. What is in it can still be taken. */
  readonly end: () => void
  /** Everything that waits, at least one. Fails with `Done` when it has ended and is empty. */
  readonly takeAll: Effect.Effect<Arr.NonEmptyArray<A>, Cause.Done>
}

const capacity = 4_096

/** @param maxSize most that waits; a single item may be larger than that when nothing else waits. */
export const make = <A>(maxSize: number): Effect.Effect<Mailbox<A>> =>
  Effect.map(Queue.bounded<A, Cause.Done>(capacity), (queue) => {
    let waiting = 0
    return {
      offer(item, size) {
        if (waiting > 0 && waiting + size > maxSize) return false
        // An ended queue has nobody to be slow.
        if (queue.state._tag !== "Open") return true
        if (!Queue.offerUnsafe(queue, item)) return false
        waiting += size
        return true
      },
      end: () => {
        Queue.endUnsafe(queue)
      },
      takeAll: Effect.map(Queue.takeAll(queue), (items) => {
        waiting = 0
        return items
      })
    }
  })
