/** Lets so many in at once; the others wait in line until one of those leaves. */
export interface Turnstile<A> {
  readonly enter: (one: A) => void
  /** Who was in is done, or who waits in line goes away. Nothing for one who did neither. */
  readonly leave: (one: A) => void
}

/** @param begin called for each that is let in. */
export const make = <A>(most: number, begin: (one: A) => void): Turnstile<A> => {
  const inside = new Set<A>()
  const line = new Set<A>()
  const admit = (one: A) => {
    inside.add(one)
    begin(one)
  }
  return {
    enter: (one) => {
      if (inside.size < most) admit(one)
      else line.add(one)
    },
    leave: (one) => {
      if (!inside.delete(one)) {
        line.delete(one)
        return
      }
      for (const next of line) {
        line.delete(next)
        return admit(next)
      }
    }
  }
}
