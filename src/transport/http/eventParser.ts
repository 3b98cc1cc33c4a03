/**
 * Text to Server-Sent Events, as far as they mean something here. Each chunk is
 * searched once, and what comes in pieces is joined once: a large event costs
 * linear time however it is cut.
 */

/** `enough` when the handler wants no more, `too large` when an event passes the limit. */
export type Verdict = "more" | "enough" | "too large"

export interface EventParser {
  /** Takes what came, without the byte order mark; not to be called again after another verdict than `more`. */
  readonly push: (text: string) => Verdict
}

export interface Options {
  /**
   * Longest event: characters of its lines of data as they were sent. No other
   * line may be longer either, so that never more than this is kept.
   */
  readonly maxLength: number
  /** One whole event; `event` is `message` when it has no name, `id` the last that was given. `false` ends the parsing. */
  readonly onEvent: (event: string, data: string, id: string | undefined) => boolean
  /** Milliseconds to wait before coming back. */
  readonly onRetry?: ((millis: number, lastEventId: string | undefined) => void) | undefined
}

/** Pieces from this number on are joined in between, because each costs more than its characters. */
const maxPieces = 1024

/** Text that comes in pieces. */
class Pieces {
  private readonly separator: string
  private joined: Array<string> = []
  private pieces: Array<string> = []

  constructor(separator: string) {
    this.separator = separator
  }

  add(piece: string) {
    if (this.pieces.push(piece) < maxPieces) return
    this.joined.push(this.pieces.join(this.separator))
    this.pieces = []
  }

  take(): string {
    const { joined, pieces } = this
    this.joined = []
    this.pieces = []
    return joined.length === 0 && pieces.length === 1 ? pieces[0] ?? "" : [...joined, ...pieces].join(this.separator)
  }
}

const space = 0x20

export const make = ({ maxLength, onEvent, onRetry }: Options): EventParser => {
  /** The beginning of a line whose end has not come yet. */
  const begun = new Pieces("")
  let begunLength = 0
  /** An LF at the beginning of the next chunk belongs to the CR before. */
  let afterCR = false

  const data = new Pieces("\n")
  /** Characters of the lines of data: 0 as long as there is none. */
  let dataLength = 0
  let name = ""
  let id: string | undefined

  const dispatch = (): Verdict => {
    const event = name === "" ? "message" : name
    name = ""
    if (dataLength === 0) return "more"
    dataLength = 0
    return onEvent(event, data.take(), id) ? "more" : "enough"
  }

  const field = (line: string) => {
    const colon = line.indexOf(":")
    const key = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? "" : line.slice(line.charCodeAt(colon + 1) === space ? colon + 2 : colon + 1)
    switch (key) {
      case "data":
        data.add(value)
        dataLength += line.length
        return
      case "event":
        name = value
        return
      case "id":
        if (!value.includes("\0")) id = value
        return
      case "retry":
        if (/^\d+$/.test(value)) onRetry?.(Number(value), id)
    }
  }

  /** Takes the text of a line up to its end. */
  const endLine = (text: string): Verdict => {
    if (dataLength + begunLength + text.length > maxLength) return "too large"
    let line = text
    if (begunLength > 0) {
      begun.add(text)
      line = begun.take()
      begunLength = 0
    }
    if (line === "") return dispatch()
    field(line)
    return "more"
  }

  return {
    push(text) {
      if (text === "") return "more"
      let start = afterCR && text.startsWith("\n") ? 1 : 0
      afterCR = false
      let lf = text.indexOf("\n", start)
      let cr = text.indexOf("\r", start)
      while (lf !== -1 || cr !== -1) {
        const isCR = cr !== -1 && (lf === -1 || cr < lf)
        const end = isCR ? cr : lf
        const verdict = endLine(text.slice(start, end))
        if (verdict !== "more") return verdict
        start = isCR && lf === end + 1 ? end + 2 : end + 1
        afterCR = isCR && start === text.length && lf !== end + 1
        if (isCR) cr = text.indexOf("\r", start)
        if (lf !== -1 && lf < start) lf = text.indexOf("\n", start)
      }
      if (start === text.length) return "more"
      begun.add(start === 0 ? text : text.slice(start))
      begunLength += text.length - start
      return dataLength + begunLength > maxLength ? "too large" : "more"
    }
  }
}
