/**
 * Many deadlines, one sleeping fiber: a binary heap of entries that know their
 * place in it, so that removing one (every request that is answered) is cheap.
 * `Effect.timeout` per request would cost more than the request itself.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"

/** Something with a deadline; `slot` belongs to the heap. */
export interface Entry {
  /** When it is due, in milliseconds of the clock. */
  at: number
  /** Its index in the heap, -1 when it is in none. */
  slot: number
}

export interface Deadlines<E extends Entry> {
  readonly add: (entry: E) => void
  readonly remove: (entry: E) => void
  /** Gives an entry that is in the heap another due time. */
  readonly move: (entry: E, at: number) => void
}

const makeHeap = <E extends Entry>() => {
  const heap: Array<E> = []
  const place = (entry: E, slot: number) => {
    heap[slot] = entry
    entry.slot = slot
  }
  const up = (entry: E, from: number) => {
    let slot = from
    while (slot > 0) {
      const above = (slot - 1) >> 1
      const parent = heap[above]
      if (parent === undefined || parent.at <= entry.at) break
      place(parent, slot)
      slot = above
    }
    place(entry, slot)
  }
  const down = (entry: E, from: number) => {
    let slot = from
    while (true) {
      let below = 2 * slot + 1
      let child = heap[below]
      if (child === undefined) break
      const right = heap[below + 1]
      if (right !== undefined && right.at < child.at) {
        child = right
        below += 1
      }
      if (child.at >= entry.at) break
      place(child, slot)
      slot = below
    }
    place(entry, slot)
  }
  const settle = (entry: E, slot: number) => {
    up(entry, slot)
    if (entry.slot === slot) down(entry, slot)
  }
  return {
    top: () => heap[0],
    add: (entry: E) => up(entry, heap.length),
    move: (entry: E, at: number) => {
      if (entry.slot < 0) return
      entry.at = at
      settle(entry, entry.slot)
    },
    remove: (entry: E) => {
      const slot = entry.slot
      if (slot < 0) return
      entry.slot = -1
      const last = heap.pop()
      if (last !== undefined && last !== entry) settle(last, slot)
    }
  }
}

/**
 * Watches deadlines for as long as the scope is open. `onDue` is called for an
 * entry that is due, after it was taken out; it may add it again.
 */
export const make = Effect.fnUntraced(function*<E extends Entry>(
  onDue: (entry: E, now: number) => void
): Effect.fn.Return<Deadlines<E>, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const heap = makeHeap<E>()
  // When the watching fiber will wake, and how to wake it sooner.
  let wakesAt = Infinity
  let wake: ((exit: Exit.Exit<void>) => void) | undefined

  const sooner = Effect.callback<void>((resume) => {
    // Added after this fiber looked, and before it came here.
    if ((heap.top()?.at ?? Infinity) < wakesAt) return resume(Exit.void)
    wake = resume
    return Effect.sync(() => {
      wake = undefined
    })
  })
  const watch = Effect.suspend(() => {
    const now = clock.currentTimeMillisUnsafe()
    let entry = heap.top()
    while (entry !== undefined && entry.at <= now) {
      heap.remove(entry)
      onDue(entry, now)
      entry = heap.top()
    }
    wakesAt = entry === undefined ? Infinity : entry.at
    return entry === undefined
      ? sooner
      // Whole milliseconds, as clocks have them: the rest of one could be too little to move the time.
      : Effect.raceFirst(Effect.sleep(Duration.millis(Math.ceil(entry.at - now))), sooner)
  })
  yield* Effect.forkScoped(Effect.forever(watch), { startImmediately: true })

  const wakeFor = (entry: E) => {
    if (entry.at >= wakesAt || wake === undefined) return
    const resume = wake
    wake = undefined
    wakesAt = entry.at
    resume(Exit.void)
  }
  return {
    add: (entry) => {
      heap.add(entry)
      wakeFor(entry)
    },
    move: (entry, at) => {
      heap.move(entry, at)
      wakeFor(entry)
    },
    remove: heap.remove
  }
})
