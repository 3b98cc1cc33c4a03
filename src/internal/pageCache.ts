/**
 * Results a server allowed to keep for a while (CACHE-01 … CACHE-09), bounded:
 * the least recently stored goes first.
 */
export interface PageCache {
  readonly get: (method: string, key: string, now: number) => unknown
  /**
   * Keeps a result for `ttlMs`, unless its method was invalidated since
   * `generation`: an answer that was on its way is as old as what it replaces.
   */
  readonly set: (method: string, key: string, value: unknown, now: number, ttlMs: number, generation: number) => void
  /** Forgets everything of a method, or one key of it (CACHE-07). */
  readonly invalidate: (method: string, key?: string) => void
  readonly invalidateAll: () => void
  readonly generation: (method: string) => number
}

interface Entry {
  readonly value: unknown
  readonly expiresAt: number
}

export const make = (capacity: number): PageCache => {
  const methods = new Map<string, { generation: number; readonly entries: Map<string, Entry> }>()
  const of = (method: string) => {
    let found = methods.get(method)
    if (found === undefined) methods.set(method, found = { generation: 0, entries: new Map() })
    return found
  }
  const invalidate = (method: string, key?: string) => {
    const cached = of(method)
    cached.generation += 1
    if (key === undefined) cached.entries.clear()
    else cached.entries.delete(key)
  }
  return {
    get: (method, key, now) => {
      const { entries } = of(method)
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      if (now < entry.expiresAt) return entry.value
      entries.delete(key)
      return undefined
    },
    set: (method, key, value, now, ttlMs, generation) => {
      const cached = of(method)
      if (ttlMs <= 0 || cached.generation !== generation) return
      cached.entries.delete(key)
      cached.entries.set(key, { value, expiresAt: now + ttlMs })
      if (cached.entries.size > capacity) {
        const oldest = cached.entries.keys().next()
        if (oldest.done !== true) cached.entries.delete(oldest.value)
      }
    },
    invalidate,
    invalidateAll: () => {
      for (const method of methods.keys()) invalidate(method)
    },
    generation: (method) => of(method).generation
  }
}
