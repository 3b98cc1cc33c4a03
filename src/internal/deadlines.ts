/**
 * Many deadlines, one sleeping fiber: a binary heap of entries that know their
 * place in it, so that removing one (every request that is answered) is cheap.
 * `Effect.timeout` per request would cost more than the request itself.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
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

class Heap<E extends Entry> {
  private readonly entries: Array<E> = []

  get top(): E | undefined {
    return this.entries[0]
  }

  add(entry: E): void {
    this.up(entry, this.entries.length)
  }

  move(entry: E, at: number): void {
    if (entry.slot < 0) return
    entry.at = at
    this.settle(entry, entry.slot)
  }

  remove(entry: E): void {
    const slot = entry.slot
    if (slot < 0) return
    entry.slot = -1
    const last = this.entries.pop()
    if (last !== undefined && last !== entry) this.settle(last, slot)
  }

  private place(entry: E, slot: number): void {
    this.entries[slot] = entry
    entry.slot = slot
  }

  private up(entry: E, from: number): void {
    let slot = from
    while (slot > 0) {
      const above = (slot - 1) >> 1
      const parent = this.entries[above]
      if (parent === undefined || parent.at <= entry.at) break
      this.place(parent, slot)
      slot = above
    }
    this.place(entry, slot)
  }

  private down(entry: E, from: number): void {
    let slot = from
    while (true) {
      let below = 2 * slot + 1
      let child = this.entries[below]
      if (child === undefined) break
      const right = this.entries[below + 1]
      if (right !== undefined && right.at < child.at) {
        child = right
        below += 1
      }
      if (child.at >= entry.at) break
      this.place(child, slot)
      slot = below
    }
    this.place(entry, slot)
  }

  private settle(entry: E, slot: number): void {
    this.up(entry, slot)
    if (entry.slot === slot) this.down(entry, slot)
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
  const heap = new Heap<E>()
  // There is none while there are no deadlines, and another one when it would sleep for too long.
  const sleep = yield* FiberHandle.makeRuntime<never>()
  let wakesAt = Infinity

  const sleepUntil = (at: number) => {
    wakesAt = at
    // Whole milliseconds, as clocks have them: the rest of one could be too little to move the time.
    const millis = Math.max(0, Math.ceil(at - clock.currentTimeMillisUnsafe()))
    sleep(Effect.andThen(Effect.sleep(Duration.millis(millis)), Effect.sync(wake)))
  }
  const wake = () => {
    const now = clock.currentTimeMillisUnsafe()
    let entry = heap.top
    while (entry !== undefined && entry.at <= now) {
      heap.remove(entry)
      onDue(entry, now)
      entry = heap.top
    }
    wakesAt = Infinity
    if (entry !== undefined) sleepUntil(entry.at)
  }
  return {
    add: (entry) => {
      heap.add(entry)
      if (entry.at < wakesAt) sleepUntil(entry.at)
    },
    move: (entry, at) => {
      heap.move(entry, at)
      if (entry.slot >= 0 && at < wakesAt) sleepUntil(at)
    },
    remove: (entry) => heap.remove(entry)
  }
})
