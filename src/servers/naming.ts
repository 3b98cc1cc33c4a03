/**
 * One name for a tool of a server, that any model provider accepts:
 * `[a-zA-Z0-9_-]{1,64}`. It depends on the two names and on nothing else, so
 * that another server or tool never renames it.
 *
 * - `server__tool`, where both names are fit for it. It reads back by itself.
 * - `server__tool__HASH` otherwise, with what does not fit replaced or cut.
 *   A name of the first form has only one `__`, so the two never meet.
 */

/** Whose it is, and what it is called there. */
export interface Origin {
  readonly server: string
  readonly name: string
}

const maxLength = 64
const hashLength = 11
/** What of a long name is left of the server, at least, when the other part is long as well. */
const serverLength = 20

/** Fit to be one side of `__`: the place where a name is split must be the only one. */
const isFit = (part: string): boolean => /^[a-zA-Z0-9-]+(?:_[a-zA-Z0-9-]+)*$/.test(part)

/** 53 bits over UTF-16 units (cyrb53), in base 36. */
const hash = (text: string): string => {
  let high = 0xdeadbeef
  let low = 0x41c6ce57
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index)
    high = Math.imul(high ^ unit, 2654435761)
    low = Math.imul(low ^ unit, 1597334677)
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909)
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909)
  return (4294967296 * (2097151 & low) + (high >>> 0)).toString(36).padStart(hashLength, "0")
}

/** What of a name can be shown. */
const fitted = (part: string, length: number): string => {
  const fit = part.slice(0, 4 * maxLength).replace(/[^a-zA-Z0-9-]+/g, "_").replace(/^_|_$/g, "").slice(0, length).replace(/_$/, "")
  return fit === "" ? "x" : fit
}

/** The name of `name` of `server`. */
export const mangle = ({ name, server }: Origin): string => {
  const plain = `${server}__${name}`
  if (plain.length <= maxLength && isFit(server) && isFit(name)) return plain
  const room = maxLength - hashLength - 4
  const right = fitted(name, room - Math.min(serverLength, fitted(server, room).length))
  const left = fitted(server, room - right.length)
  return `${left}__${right}__${hash(`${server.length}:${server}${name}`)}`
}

/** Whose name that is, where the name alone says it. */
export const parse = (mangled: string): Origin | undefined => {
  const [server, name, ...others] = mangled.split("__")
  return server !== undefined && name !== undefined && others.length === 0 && mangled.length <= maxLength &&
      isFit(server) && isFit(name)
    ? { server, name }
    : undefined
}

/** Whether a text matches a pattern in which `*` stands for any characters. Linear in each `*`. */
export const matches = (pattern: string, text: string): boolean => {
  const [first = "", ...others] = pattern.split("*")
  const last = others.pop()
  if (last === undefined) return pattern === text
  if (!text.startsWith(first)) return false
  let from = first.length
  for (const piece of others) {
    const found = text.indexOf(piece, from)
    if (found === -1) return false
    from = found + piece.length
  }
  return text.length - last.length >= from && text.endsWith(last)
}

/** What can be searched. */
export interface Searchable {
  readonly name: string
  readonly title?: string | undefined
  readonly description?: string | undefined
}

/** Of a text from a server, what is searched. */
const searched = 4_096

/** How well a text has a word: as a whole word, or only inside one. */
const hit = (text: string | undefined, word: string, weight: number): number => {
  const within = (text ?? "").slice(0, searched).toLowerCase()
  return within.split(/[^\p{L}\p{N}]+/u).includes(word) ? 2 * weight : within.includes(word) ? weight : 0
}

/**
 * Those that have any word of the text, best first: more words, then a name
 * over a title over a description; then by name.
 */
export const search = <A>(items: ReadonlyArray<A>, text: string, of: (item: A) => Searchable): ReadonlyArray<A> => {
  const words = [...new Set(text.toLowerCase().split(/[^\p{L}\p{N}]+/u).filter((word) => word !== ""))]
  return items.flatMap((item) => {
    const { description, name, title } = of(item)
    const hits = words
      .map((word) => hit(name, word, 16) + hit(title, word, 4) + hit(description, word, 1))
      .filter((score) => score > 0)
    const score = hits.reduce((sum, hit) => sum + hit, 0)
    return hits.length === 0 ? [] : [{ item, name, words: hits.length, score }]
  })
    .sort((a, b) => b.words - a.words || b.score - a.score || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
    .map(({ item }) => item)
}
