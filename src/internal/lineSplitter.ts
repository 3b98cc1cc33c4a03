/**
 * Bytes to lines. Splits on LF in the bytes, where no UTF-8 character can hide
 * one, and decodes only whole lines, so that a character may straddle chunks
 * (S-03). Only new bytes are searched and each byte is copied at most twice: a
 * large line costs linear time however it is cut.
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

/**
 * Chunks from this size on are kept as they are until their line ends; smaller
 * ones are copied into blocks of this size at most, because each chunk costs
 * more than its bytes.
 */
const blockBytes = 16 * 1024

const LF = 0x0a
const CR = "\r"
const BOM = 0xfeff

export const make = ({ maxBytes, onLine, onTooLong }: Options): LineSplitter => {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
  /** The beginning of a line whose end has not come yet: `parts`, then what `block` has between `start` and `end`. */
  let parts: Array<Uint8Array> = []
  let block = new Uint8Array(0)
  let start = 0
  let end = 0
  let length = 0
  let first = true
  let stopped = false

  const emit = (text: string, bytes: number) => {
    const from = first && text.charCodeAt(0) === BOM ? 1 : 0
    first = false
    onLine(text.slice(from, text.endsWith(CR) ? -1 : undefined), bytes)
  }

  const setAside = () => {
    if (end > start) parts.push(block.subarray(start, end))
    start = end
  }

  /** Nothing is kept for the next one: a single large line must not cost its size for good. */
  const forget = () => {
    parts = []
    block = new Uint8Array(0)
    start = end = length = 0
  }

  const emitPartial = (terminator: number) => {
    setAside()
    const bytes = length
    let [whole = block] = parts
    if (parts.length > 1) {
      whole = new Uint8Array(bytes)
      let at = 0
      for (const part of parts) {
        whole.set(part, at)
        at += part.length
      }
    }
    forget()
    emit(decoder.decode(whole), bytes + terminator)
  }

  const keep = (segment: Uint8Array) => {
    // A small piece of a large buffer would keep all of it.
    if (segment.length >= blockBytes && segment.length * 2 >= segment.buffer.byteLength) {
      setAside()
      parts.push(segment)
      length += segment.length
      return
    }
    let rest = segment
    while (rest.length > 0) {
      if (end === block.length) {
        setAside()
        block = new Uint8Array(Math.min(blockBytes, Math.max(length, rest.length), maxBytes - length))
        start = end = 0
      }
      const fitting = rest.subarray(0, block.length - end)
      block.set(fitting, end)
      end += fitting.length
      length += fitting.length
      rest = rest.subarray(fitting.length)
    }
  }

  /** Whether to go on. */
  const append = (segment: Uint8Array): boolean => {
    let rest = segment
    while (length + rest.length > maxBytes) {
      if (onTooLong !== "split") {
        stopped = true
        forget()
        onTooLong()
        return false
      }
      const room = maxBytes - length
      keep(rest.subarray(0, room))
      emitPartial(0)
      rest = rest.subarray(room)
    }
    keep(rest)
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
