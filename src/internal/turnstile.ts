/** Lets so many in at once; the others wait in line until one of those leaves. */
export interface Visitor {
  /** Belongs to the turnstile; `outside` before and after. */
  place: "inside" | "line" | "outside"
}

export class Turnstile<V extends Visitor> {
  private readonly most: number
  private readonly begin: (visitor: V) => void
  private inside = 0
  /** Made when somebody has to wait. */
  private line: Set<V> | undefined

  /** @param begin called for each that is let in. */
  constructor(most: number, begin: (visitor: V) => void) {
    this.most = most
    this.begin = begin
  }

  enter(visitor: V): void {
    if (this.inside < this.most) return this.admit(visitor)
    visitor.place = "line"
    this.line ??= new Set()
    this.line.add(visitor)
  }

  /** Who was in is done, or who waits in line goes away. Nothing for one who did neither. */
  leave(visitor: V): void {
    const { place } = visitor
    visitor.place = "outside"
    if (place === "line") this.line?.delete(visitor)
    if (place !== "inside") return
    this.inside -= 1
    for (const next of this.line ?? []) {
      this.line?.delete(next)
      return this.admit(next)
    }
  }

  private admit(visitor: V): void {
    visitor.place = "inside"
    this.inside += 1
    this.begin(visitor)
  }
}
