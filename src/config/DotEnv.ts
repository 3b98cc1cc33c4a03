/**
 * `.env` files: `NAME=value` lines. Values may be quoted with `"`, `'` or `` ` ``
 * and then span lines; in double quotes `\n`, `\r`, `\t`, `\"` and `\\` are
 * escapes. `export` before a name, blank lines and `#` comments are ignored.
 * Nothing is expanded in them.
 *
 * `ConfigProvider.fromDotEnvContents` reads the same files, but tells neither
 * which names there are nor which lines it could not read.
 */
import * as Rules from "./Rules.ts"

export interface DotEnv {
  readonly values: ReadonlyMap<string, string>
  /** One-based lines that are not understood. Never quotes them. */
  readonly problems: ReadonlyArray<string>
}

const assignment = /^\s*(?:export\s+)?([^\s=#]+)\s*=[ \t]*/

const escapes: ReadonlyMap<string, string> = new Map([["n", "\n"], ["r", "\r"], ["t", "\t"], ["\"", "\""], ["\\", "\\"]])

const unescape = (text: string): string =>
  text.replace(/\\([nrt"\\])/g, (escape, letter: string) => escapes.get(letter) ?? escape)

/** The index of the closing quote, or -1. */
const closing = (text: string, from: number, quote: string): number => {
  for (let at = from; at < text.length; at++) {
    if (text[at] === quote) return at
    if (text[at] === "\\" && quote === "\"") at++
  }
  return -1
}

const lineEnd = (text: string, from: number): number => {
  const end = text.indexOf("\n", from)
  return end < 0 ? text.length : end
}

/** Reads the contents of a file, in linear time and without failing. */
export const parse = (contents: string): DotEnv => {
  const values = new Map<string, string>()
  const problems: Array<string> = []
  const text = contents.replace(/^\uFEFF/, "").replace(/\r\n?/g, "\n")
  let number = 1
  const report = (problem: string) => problems.push(`Line ${number}: ${problem}`)

  for (let at = 0, end = 0; at < text.length; at = end + 1, number++) {
    end = lineEnd(text, at)
    const line = text.slice(at, end)
    if (/^\s*(?:#|$)/.test(line)) continue
    const [start = "", name = "="] = assignment.exec(line) ?? []
    const problem = start === "" ? "Expected NAME=value" : Rules.variableName(name)
    if (problem !== undefined) {
      report(problem)
      continue
    }
    const rest = line.slice(start.length)
    const quote = rest[0]
    if (quote !== "\"" && quote !== "'" && quote !== "`") {
      values.set(name, rest.replace(/(?:^|\s)#.*$/, "").trim())
      continue
    }
    const open = at + start.length + 1
    const close = closing(text, open, quote)
    if (close < 0) {
      // All that follows is inside the quote.
      report("The quote is not closed")
      break
    }
    const value = text.slice(open, close)
    values.set(name, quote === "\"" ? unescape(value) : value)
    end = lineEnd(text, close)
    number += value.split("\n").length - 1
    if (!/^\s*(?:#|$)/.test(text.slice(close + 1, end))) report("Expected the end of the line after the quote")
  }
  return { values, problems }
}
