/**
 * What makes senders wait: a level that rises with what is handed over and
 * falls with what is taken. Above the mark senders wait until half of it is left.
 */
import * as Effect from "effect/Effect"

export class WaterMark {
  private readonly mark: number
  /** Made when somebody waits. */
  private waiters: Set<() => void> | undefined
  private level = 0
  private full = false
  private released = false
  private draining = false

  constructor(mark: number) {
    this.mark = mark
  }

  get isEmpty(): boolean {
    return this.level === 0
  }

  rise(amount: number): void {
    this.level += amount
    if (this.level > this.mark && !this.released) this.full = true
  }

  fall(amount: number): void {
    this.level -= amount
    if (this.full && this.level <= this.mark / 2) this.drain()
  }

  /** Lets everyone pass from now on: there is nothing left to wait for. */
  release(): void {
    this.released = true
    this.drain()
  }

  /** `undefined` while there is room. */
  wait(): Effect.Effect<void> | undefined {
    if (!this.full) return undefined
    return Effect.callback<void>((resume) => {
      if (!this.full) return resume(Effect.void)
      const waiters = this.waiters ??= new Set()
      const waiter = () => resume(Effect.void)
      waiters.add(waiter)
      return Effect.sync(() => waiters.delete(waiter))
    })
  }

  // One after the other: whoever is let pass writes at once, and may fill it up for those behind.
  private drain(): void {
    this.full = false
    if (this.draining || this.waiters === undefined) return
    this.draining = true
    for (const waiter of this.waiters) {
      if (this.full) break
      this.waiters.delete(waiter)
      waiter()
    }
    this.draining = false
  }
}
