/**
 * Results a server allowed to keep for a while (CACHE-01 … CACHE-09), bounded:
 * the least recently stored goes first.
 */
interface Entry {
  readonly value: unknown
  readonly expiresAt: number
}

interface Cached {
  /** How often it was invalidated. */
  generation: number
  readonly entries: Map<string, Entry>
}

export class PageCache {
  private readonly capacity: number
  private methods: Map<string, Cached> | undefined
  /** How often everything was invalidated. */
  private epoch = 0

  /** @param capacity results kept of each method. */
  constructor(capacity: number) {
    this.capacity = capacity
  }

  get(method: string, key: string, now: number): unknown {
    const entries = this.methods?.get(method)?.entries
    const entry = entries?.get(key)
    if (entry === undefined) return undefined
    if (now < entry.expiresAt) return entry.value
    entries?.delete(key)
    return undefined
  }

  /**
   * Keeps a result for `ttlMs`, unless its method was invalidated since
   * `generation`: an answer that was on its way is as old as what it replaces.
   */
  set(method: string, key: string, value: unknown, now: number, ttlMs: number, generation: number): void {
    if (ttlMs <= 0 || this.generation(method) !== generation) return
    const { entries } = this.of(method)
    entries.delete(key)
    entries.set(key, { value, expiresAt: now + ttlMs })
    if (entries.size > this.capacity) {
      const oldest = entries.keys().next()
      if (oldest.done !== true) entries.delete(oldest.value)
    }
  }

  /** Forgets everything of a method, or one key of it (CACHE-07). */
  invalidate(method: string, key?: string): void {
    const cached = this.of(method)
    cached.generation += 1
    if (key === undefined) cached.entries.clear()
    else cached.entries.delete(key)
  }

  invalidateAll(): void {
    this.epoch += 1
    this.methods?.forEach(({ entries }) => entries.clear())
  }

  generation(method: string): number {
    return this.epoch + (this.methods?.get(method)?.generation ?? 0)
  }

  private of(method: string): Cached {
    const methods = this.methods ??= new Map()
    let found = methods.get(method)
    if (found === undefined) methods.set(method, found = { generation: 0, entries: new Map() })
    return found
  }
}
