/**
 * Bytes to lines. Splits on LF in the bytes, where no UTF-8 character can hide
 * one, and decodes only whole lines, so that a character may straddle chunks
 * (S-03). Only new bytes are searched and each byte is copied a bounded number
 * of times: a large line costs linear time however it is cut.
 */

export interface LineSplitter {
  readonly push: (chunk: Uint8Array) => void
  /** The input ended: what is left without a line end is a line too. */
  readonly end: () => void
}

export interface Options {
  /** Longest line, in bytes without its end. Never more than this is kept. */
  readonly maxBytes: number
  /** One line without its LF or CRLF, and its bytes with them. */
  readonly onLine: (line: string, bytes: number) => void
  /**
   * A line is longer than the limit: `split` delivers it in pieces; a function
   * is called once, and everything from there on is ignored.
   */
  readonly onTooLong: "split" | (() => void)
}

const LF = 0x0a
const CR = "\r"
const BOM = 0xfeff

export const make = ({ maxBytes, onLine, onTooLong }: Options): LineSplitter => {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
  /** The beginning of a line whose end has not come yet. */
  let partial = new Uint8Array(0)
  let length = 0
  let first = true
  let stopped = false

  const emit = (text: string, bytes: number) => {
    const from = first && text.charCodeAt(0) === BOM ? 1 : 0
    first = false
    onLine(text.slice(from, text.endsWith(CR) ? -1 : undefined), bytes)
  }

  const emitPartial = (terminator: number) => {
    const bytes = length
    const text = decoder.decode(partial.subarray(0, bytes))
    // Not kept for the next one: a single large line must not cost its size for good.
    partial = new Uint8Array(0)
    length = 0
    emit(text, bytes + terminator)
  }

  const copy = (segment: Uint8Array) => {
    const needed = length + segment.length
    if (needed > partial.length) {
      const grown = new Uint8Array(Math.min(maxBytes, Math.max(needed, partial.length * 2)))
      grown.set(partial.subarray(0, length))
      partial = grown
    }
    partial.set(segment, length)
    length = needed
  }

  /** Whether to go on. */
  const append = (segment: Uint8Array): boolean => {
    let rest = segment
    while (length + rest.length > maxBytes) {
      if (onTooLong !== "split") {
        stopped = true
        partial = new Uint8Array(0)
        onTooLong()
        return false
      }
      const room = maxBytes - length
      copy(rest.subarray(0, room))
      emitPartial(0)
      rest = rest.subarray(room)
    }
    copy(rest)
    return true
  }

  /** Ends the partial line with the bytes of `chunk` up to the LF at `end`. */
  const complete = (chunk: Uint8Array, start: number, end: number): boolean => {
    if (!append(chunk.subarray(start, end))) return false
    emitPartial(1)
    return true
  }

  return {
    push(chunk) {
      if (stopped) return
      const lastEnd = chunk.lastIndexOf(LF)
      let start = 0
      if (length > 0 && lastEnd !== -1) {
        const end = chunk.indexOf(LF)
        if (!complete(chunk, start, end)) return
        start = end + 1
      }
      if (start <= lastEnd) {
        // All whole lines are decoded at once: one by one it would cost a third more.
        const text = decoder.decode(chunk.subarray(start, lastEnd))
        let textStart = 0
        while (start <= lastEnd) {
          const end = chunk.indexOf(LF, start)
          const textEnd = end === lastEnd ? text.length : text.indexOf("\n", textStart)
          if (end - start <= maxBytes) emit(text.slice(textStart, textEnd), end - start + 1)
          else if (!complete(chunk, start, end)) return
          start = end + 1
          textStart = textEnd + 1
        }
      }
      if (start < chunk.length) append(chunk.subarray(start))
    },
    end() {
      if (length > 0 && !stopped) emitPartial(0)
    }
  }
}
