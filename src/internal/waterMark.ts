/**
 * What makes senders wait: a level that rises with what is handed over and
 * falls with what is taken. Above the mark senders wait until half of it is left.
 */
import * as Effect from "effect/Effect"

export interface WaterMark {
  readonly rise: (amount: number) => void
  readonly fall: (amount: number) => void
  /** Lets everyone pass from now on: there is nothing left to wait for. */
  readonly release: () => void
  /** `undefined` while there is room. */
  readonly wait: () => Effect.Effect<void> | undefined
}

export const make = (mark: number): WaterMark => {
  const waiters = new Set<() => void>()
  let level = 0
  let full = false
  let released = false
  let draining = false

  // One after the other: whoever is let pass writes at once, and may fill it up for those behind.
  const drain = () => {
    full = false
    if (draining) return
    draining = true
    for (const waiter of waiters) {
      if (full) break
      waiters.delete(waiter)
      waiter()
    }
    draining = false
  }

  const wait = Effect.callback<void>((resume) => {
    if (!full) return resume(Effect.void)
    const waiter = () => resume(Effect.void)
    waiters.add(waiter)
    return Effect.sync(() => waiters.delete(waiter))
  })

  return {
    rise(amount) {
      level += amount
      if (level > mark && !released) full = true
    },
    fall(amount) {
      level -= amount
      if (full && level <= mark / 2) drain()
    },
    release() {
      released = true
      drain()
    },
    wait: () => full ? wait : undefined
  }
}
