/** Texts as UTF-8, the short ones side by side: a buffer of its own for each costs more than the encoding. */
const encoder = new TextEncoder()

/** One is kept for as long as any text in it is. */
const slabBytes = 8 * 1024

/** UTF-8 takes no more for a unit of UTF-16. */
const bytesPerUnit = 3

let slab = new Uint8Array(0)

/** For texts that are gone soon. */
export const utf8 = (text: string): Uint8Array => {
  const most = text.length * bytesPerUnit
  if (most > slabBytes / 2) return encoder.encode(text)
  if (most > slab.length) slab = new Uint8Array(slabBytes)
  const { written } = encoder.encodeInto(text, slab)
  const encoded = slab.subarray(0, written)
  slab = slab.subarray(written)
  return encoded
}
