/** Bytes to JSON values, one a line; what is not JSON is skipped and reported. */
import * as Diagnostic from "../Diagnostic.ts"
import { LineSplitter } from "./lineSplitter.ts"
import { parseJson } from "./parseJson.ts"
import * as PlainText from "./plainText.ts"

/** Characters shown of what is not a message. */
export const excerptLength = 200

export interface Options {
  /** Longest line, in bytes. */
  readonly maxBytes: number
  /** Called once for a line that is longer; everything from there on is ignored. */
  readonly onTooLong: () => void
  /** One value, and its bytes on the wire. */
  readonly onMessage: (value: unknown, bytes: number) => void
  readonly onDiagnostic: (diagnostic: Diagnostic.Diagnostic) => void
  /** What to call a line: `a line on stdout`. */
  readonly line: string
}

export const make = ({ line: what, maxBytes, onDiagnostic, onMessage, onTooLong }: Options): LineSplitter =>
  new LineSplitter({
    maxBytes,
    onTooLong,
    onLine: (line, bytes) => {
      const value = parseJson(line)
      if (value !== undefined) return onMessage(value, bytes)
      if (line.trim() === "") return
      onDiagnostic(Diagnostic.Skipped({
        detail: `${what} that is not JSON`,
        excerpt: PlainText.excerpt(line, excerptLength)
      }))
    }
  })
