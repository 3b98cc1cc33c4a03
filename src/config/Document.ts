/**
 * The text of a config file, as a value: JSON with comments and trailing
 * commas, or TOML. Errors tell line and column, and never quote the text.
 */
import * as Toml from "effect/encoding/Toml"
import * as Result from "effect/Result"
import * as jsonc from "jsonc-parser"

export type Format = "json" | "toml"

/** Objects inside objects: far more than any config, far less than the stack. */
const maxDepth = 100

const at = (line: number, column: number, problem: string) => `Line ${line}, column ${column}: ${problem}`

const problems: ReadonlyMap<string, string> = new Map([
  ["InvalidSymbol", "not valid JSON here"],
  ["InvalidNumberFormat", "not a valid number"],
  ["PropertyNameExpected", "expected a key in double quotes"],
  ["ValueExpected", "expected a value"],
  ["ColonExpected", "expected \":\""],
  ["CommaExpected", "expected \",\""],
  ["CloseBraceExpected", "expected \"}\""],
  ["CloseBracketExpected", "expected \"]\""],
  ["EndOfFileExpected", "expected the end of the document"],
  ["UnexpectedEndOfComment", "the comment is not closed"],
  ["UnexpectedEndOfString", "the string is not closed"],
  ["UnexpectedEndOfNumber", "the number is not complete"],
  ["InvalidUnicode", "not a valid unicode escape"],
  ["InvalidEscapeCharacter", "not a valid escape in a string"],
  ["InvalidCharacter", "a character that JSON does not allow in a string"]
])

/** A nesting that the parser, which is recursive, could not bear. */
const tooDeep = (text: string): string | undefined => {
  const scanner = jsonc.createScanner(text, true)
  let depth = 0
  for (let token = scanner.scan(); token !== jsonc.SyntaxKind.EOF; token = scanner.scan()) {
    if (token === jsonc.SyntaxKind.OpenBraceToken || token === jsonc.SyntaxKind.OpenBracketToken) depth++
    if (token === jsonc.SyntaxKind.CloseBraceToken || token === jsonc.SyntaxKind.CloseBracketToken) depth--
    if (depth > maxDepth) {
      return at(
        scanner.getTokenStartLine() + 1,
        scanner.getTokenStartCharacter() + 1,
        `nested deeper than ${maxDepth} levels`
      )
    }
  }
  return undefined
}

interface Container {
  readonly add: (value: unknown) => void
  readonly key: (key: string) => boolean
  readonly value: () => unknown
}

const list = (): Container => {
  const items: Array<unknown> = []
  return { add: (value) => items.push(value), key: () => true, value: () => items }
}

/** Through a Map, for `object[key] = value` would let a key `__proto__` replace the prototype. */
const object = (): Container => {
  const entries = new Map<string, unknown>()
  let current = ""
  return {
    add: (value) => entries.set(current, value),
    key: (key) => {
      current = key
      return !entries.has(key)
    },
    value: () => Object.fromEntries(entries)
  }
}

const parseJson = (text: string): Result.Result<unknown, string> => {
  const deep = tooDeep(text)
  if (deep !== undefined) return Result.fail(deep)
  let problem: string | undefined
  const root = list()
  const open = [root]
  const top = () => open[open.length - 1] ?? root
  const close = () => {
    const closed = open.pop()
    top().add(closed?.value())
  }
  jsonc.visit(text, {
    onObjectBegin: () => {
      open.push(object())
    },
    onObjectProperty: (key, _offset, _length, line, column) => {
      if (!top().key(key)) problem ??= at(line + 1, column + 1, `the key ${JSON.stringify(key)} was given before`)
    },
    onObjectEnd: close,
    onArrayBegin: () => {
      open.push(list())
    },
    onArrayEnd: close,
    onLiteralValue: (value) => top().add(value),
    onError: (code, _offset, _length, line, column) => {
      problem ??= at(line + 1, column + 1, problems.get(jsonc.printParseErrorCode(code)) ?? "not valid JSON")
    }
  }, { allowTrailingComma: true })
  if (problem !== undefined) return Result.fail(problem)
  const [value] = root.value() as ReadonlyArray<unknown>
  return Result.succeed(value)
}

const parseToml = (text: string): Result.Result<unknown, string> =>
  Result.mapError(Toml.parse(text), ({ message }) => {
    // The parser's own words quote the offending text, which may be a secret.
    const [, words = "", line, column] =
      /^(Expected '.'|.*?)(?: '.*)? at line (\d+), column (\d+)$/s.exec(message) ?? []
    return line === undefined
      ? "Not valid TOML"
      : at(Number(line), Number(column), words.charAt(0).toLowerCase() + words.slice(1))
  })

export const parse = (text: string, format: Format): Result.Result<unknown, string> => {
  const content = text.replace(/^\uFEFF/, "")
  return format === "json" ? parseJson(content) : parseToml(content)
}
