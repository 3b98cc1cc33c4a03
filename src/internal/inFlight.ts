/**
 * Requests waiting for their answers, by id. The next id is always one whose
 * place in the table is free, so that an id leads to its place without a search.
 *
 * A `Map` would do the same, and cost twice as much as the rest of a call: one
 * that sees many keys come and go is rebuilt all the time, V8 links each old
 * table to the next, and once one of them has become old (a pause is enough)
 * everything that the later ones held outlives the quick collections.
 */
type Id = string | number

interface Identified {
  readonly id: Id
}

const firstCapacity = 8

export class InFlight<E extends Identified> {
  /** As many as a power of two: the low bits of an id are its place. */
  private places: Array<E | undefined> = Array.from({ length: firstCapacity })
  /** The few whose ids are not ours to choose. */
  private named: Map<string, E> | undefined
  private next = 1
  size = 0

  /** An integer that was never given out before (B-03). */
  nextId(): number {
    while (this.places[this.next & (this.places.length - 1)] !== undefined) this.next += 1
    return this.next++
  }

  /** Whether it may have been given out. */
  knows(id: Id): boolean {
    return typeof id === "number" && id > 0 && id < this.next
  }

  get(id: Id): E | undefined {
    if (typeof id === "string") return this.named?.get(id)
    const entry = this.places[id & (this.places.length - 1)]
    return entry?.id === id ? entry : undefined
  }

  add(entry: E): void {
    this.size += 1
    if (typeof entry.id === "string") {
      this.named ??= new Map()
      this.named.set(entry.id, entry)
    } else {
      if (this.size * 2 > this.places.length) this.grow()
      this.places[entry.id & (this.places.length - 1)] = entry
    }
  }

  remove(entry: E): void {
    this.size -= 1
    if (typeof entry.id === "string") this.named?.delete(entry.id)
    else this.places[entry.id & (this.places.length - 1)] = undefined
  }

  /** Takes all of them out. */
  clear(): ReadonlyArray<E> {
    const entries = [...this.named?.values() ?? [], ...this.places.filter((entry) => entry !== undefined)]
    this.named = undefined
    this.places.fill(undefined)
    this.size = 0
    return entries
  }

  /** Ids that differ in their low bits still do when one more bit counts. */
  private grow(): void {
    const entries = this.places
    this.places = Array.from({ length: entries.length * 2 })
    for (const entry of entries) {
      if (typeof entry?.id === "number") this.places[entry.id & (this.places.length - 1)] = entry
    }
  }
}
