/** Text on its way to a terminal. What servers wrote is shown, never obeyed. */
import { displayWidth } from "effect/cli/CliOutput"
import { plain } from "../internal/plainText.ts"

/** Marks that change the order in which text around them is read; with them a URL can look like another one. */
const bidirectional = /[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/g

/** Text from outside without anything a terminal would act on; line feeds and tabs stay. */
export const safe = (text: string): string => plain(text).replace(bidirectional, "")

/** The most that is looked at of a text that is shown in one line. */
const longestLine = 1_000

/** The beginning of a text from outside as a single line. */
export const oneLine = (text: string): string => safe(text.slice(0, longestLine)).replace(/\s+/g, " ").trim()

/** JSON to be shown: what a terminal could act on is escaped, so that it still reads back as the same value. */
export const json = (value: unknown, indent: number = 2): string =>
  (JSON.stringify(value, undefined, indent) ?? "null").replace(
    /[\u007f-\u009f\u200e\u200f\u061c\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  )

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" })

const ascii = /^[\x20-\x7e]*$/

/** How many cells of a terminal a line takes. */
export const width = (line: string): number => ascii.test(line) ? line.length : displayWidth(line)

/** A line that takes at most so many cells; `…` stands for what does not fit. */
export const cut = (line: string, cells: number): string => {
  if (width(line) <= cells) return line
  if (cells < 1) return ""
  let kept = ""
  let used = 0
  for (const { segment } of graphemes.segment(line)) {
    used += width(segment)
    if (used > cells - 1) break
    kept += segment
  }
  return `${kept}…`
}

/** A line filled up with spaces to so many cells. */
export const pad = (line: string, cells: number): string => line + " ".repeat(Math.max(0, cells - width(line)))

/** Each line of a text moved in. */
export const indent = (text: string, by: string = "  "): string => text.replace(/^(?=.)/gm, by)

/** A number of bytes for a person. */
export const bytes = (count: number): string => {
  if (count < 1_000) return `${count} B`
  const [amount, unit] = count < 1e6 ? [count / 1e3, "kB"] : count < 1e9 ? [count / 1e6, "MB"] : [count / 1e9, "GB"]
  return `${amount.toFixed(1)} ${unit}`
}

/** A time for a person. */
export const millis = (duration: number): string =>
  duration < 1_000 ? `${Math.round(duration)} ms` : `${(duration / 1_000).toFixed(1)} s`

/** A time for a person who watches it pass. */
export const seconds = (duration: number): string => {
  const passed = Math.max(0, Math.floor(duration / 1_000))
  if (passed < 100) return `${passed} s`
  return passed < 6_000 ? `${Math.floor(passed / 60)} min` : `${Math.floor(passed / 3_600)} h`
}
