/**
 * Bytes to lines. Splits on LF in the bytes, where no UTF-8 character can hide
 * one, and decodes only whole lines, so that a character may straddle chunks
 * (S-03). Only new bytes are searched and each byte is copied at most twice: a
 * large line costs linear time however it is cut.
 */

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

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

const nothing = new Uint8Array(0)

export class LineSplitter {
  private readonly options: Options
  /** The beginning of a line whose end has not come yet: `parts`, then what `block` has between `from` and `to`. */
  private parts: Array<Uint8Array> = []
  private block: Uint8Array<ArrayBuffer> = nothing
  private from = 0
  private to = 0
  private length = 0
  private first = true
  private stopped = false

  constructor(options: Options) {
    this.options = options
  }

  push(chunk: Uint8Array): void {
    if (this.stopped) return
    const lastEnd = chunk.lastIndexOf(LF)
    let start = 0
    if (this.length > 0 && lastEnd !== -1) {
      const end = chunk.indexOf(LF)
      if (!this.complete(chunk, start, end)) return
      start = end + 1
    }
    if (start <= lastEnd) {
      // All whole lines are decoded at once: one by one it would cost a third more.
      const text = decoder.decode(chunk.subarray(start, lastEnd))
      let textStart = 0
      while (start <= lastEnd) {
        const end = chunk.indexOf(LF, start)
        const textEnd = end === lastEnd ? text.length : text.indexOf("\n", textStart)
        if (end - start <= this.options.maxBytes) this.emit(text.slice(textStart, textEnd), end - start + 1)
        else if (!this.complete(chunk, start, end)) return
        start = end + 1
        textStart = textEnd + 1
      }
    }
    if (start < chunk.length) this.append(chunk.subarray(start))
  }

  /** The input ended: what is left without a line end is a line too. */
  end(): void {
    if (this.length > 0 && !this.stopped) this.emitPartial(0)
  }

  private emit(text: string, bytes: number): void {
    const from = this.first && text.charCodeAt(0) === BOM ? 1 : 0
    this.first = false
    this.options.onLine(text.slice(from, text.endsWith(CR) ? -1 : undefined), bytes)
  }

  private setAside(): void {
    if (this.to > this.from) this.parts.push(this.block.subarray(this.from, this.to))
    this.from = this.to
  }

  /** Nothing is kept for the next one: a single large line must not cost its size for good. */
  private forget(): void {
    this.parts = []
    this.block = nothing
    this.from = this.to = this.length = 0
  }

  private emitPartial(terminator: number): void {
    this.setAside()
    const bytes = this.length
    let [whole = this.block] = this.parts
    if (this.parts.length > 1) {
      whole = new Uint8Array(bytes)
      let at = 0
      for (const part of this.parts) {
        whole.set(part, at)
        at += part.length
      }
    }
    this.forget()
    this.emit(decoder.decode(whole), bytes + terminator)
  }

  private keep(segment: Uint8Array): void {
    // A small piece of a large buffer would keep all of it.
    if (segment.length >= blockBytes && segment.length * 2 >= segment.buffer.byteLength) {
      this.setAside()
      this.parts.push(segment)
      this.length += segment.length
      return
    }
    let rest = segment
    while (rest.length > 0) {
      if (this.to === this.block.length) {
        this.setAside()
        const room = this.options.maxBytes - this.length
        this.block = new Uint8Array(Math.min(blockBytes, Math.max(this.length, rest.length), room))
        this.from = this.to = 0
      }
      const fitting = rest.subarray(0, this.block.length - this.to)
      this.block.set(fitting, this.to)
      this.to += fitting.length
      this.length += fitting.length
      rest = rest.subarray(fitting.length)
    }
  }

  /** Whether to go on. */
  private append(segment: Uint8Array): boolean {
    const { maxBytes, onTooLong } = this.options
    let rest = segment
    while (this.length + rest.length > maxBytes) {
      if (onTooLong !== "split") {
        this.stopped = true
        this.forget()
        onTooLong()
        return false
      }
      const room = maxBytes - this.length
      this.keep(rest.subarray(0, room))
      this.emitPartial(0)
      rest = rest.subarray(room)
    }
    this.keep(rest)
    return true
  }

  /** Ends the partial line with the bytes of `chunk` up to the LF at `end`. */
  private complete(chunk: Uint8Array, start: number, end: number): boolean {
    if (!this.append(chunk.subarray(start, end))) return false
    this.emitPartial(1)
    return true
  }
}
