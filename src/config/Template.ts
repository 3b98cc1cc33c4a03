/**
 * The template language of config strings, as pure functions: what refers to a
 * variable, what is literal, how to escape. Nothing is looked up here.
 *
 * - `${NAME}` and `${env:NAME}`: a variable.
 * - `${NAME:-default}` and `${env:NAME:-default}`: with a default, taken when the
 *   variable is not set or empty. A default is literal text up to the first `}`.
 * - `${workspaceFolder}`, `${workspaceFolderBasename}`, `${userHome}`,
 *   `${pathSeparator}` and `${/}`: what editors offer.
 * - `$${` and `\${` are a literal `${`. A mark (`$` or `\`) only means something
 *   directly before `${`: an odd number of marks escapes it, and two marks there
 *   stand for one. Anywhere else `$` and `\` are themselves, so neither
 *   `pa$$word` nor `C:\tools` needs an escape.
 */

/** What the editor's variables are called. */
export const places = [
  "workspaceFolder",
  "workspaceFolderBasename",
  "userHome",
  "pathSeparator",
  "/"
] as const
export type Place = typeof places[number]

export type Reference =
  | { readonly _tag: "Variable"; readonly name: string; readonly fallback: string | undefined }
  | { readonly _tag: "Place"; readonly place: Place }
  /** Something in `${…}` that has no value here; `problem` never quotes it. */
  | { readonly _tag: "Unusable"; readonly problem: string }

/** A template taken apart, in order: literal text and references. */
export type Template = ReadonlyArray<string | Reference>

const variable = /^(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([\s\S]*))?$/

const isPlace = (body: string): body is Place => places.some((place) => place === body)

const unusable = (problem: string): Reference => ({ _tag: "Unusable", problem })

const malformed = unusable(
  "\"${\" begins a reference such as ${NAME} or ${NAME:-default}; write \"$${\" where it is meant literally"
)

const reference = (body: string): Reference => {
  if (isPlace(body)) return { _tag: "Place", place: body }
  if (body.startsWith("input:")) {
    return unusable("${input:…} asks a person for a value, which is not available here; use an environment variable")
  }
  const match = variable.exec(body)
  if (match === null || match[1] === undefined) return malformed
  const fallback = match[2]
  return fallback?.includes("${") === true
    ? unusable("a default is literal text; it cannot hold another ${…}")
    : { _tag: "Variable", name: match[1], fallback }
}

/**
 * Takes a template apart, in linear time and without failing.
 *
 * ```ts
 * Template.parse("Bearer ${TOKEN}")
 * // ["Bearer ", { _tag: "Variable", name: "TOKEN", fallback: undefined }]
 * ```
 */
export const parse = (template: string): Template => {
  const parts: Array<string | Reference> = []
  let literal = ""
  let from = 0
  for (let at = template.indexOf("${"); at >= 0; at = template.indexOf("${", from)) {
    const mark = template[at - 1] === "$" ? "$" : "\\"
    let marks = at
    while (marks > from && template[marks - 1] === mark) marks--
    literal += template.slice(from, marks) + mark.repeat((at - marks) >> 1)
    if ((at - marks) % 2 === 1) {
      literal += "${"
      from = at + 2
      continue
    }
    if (literal !== "") parts.push(literal)
    literal = ""
    const end = template.indexOf("}", at + 2)
    if (end < 0) {
      parts.push(malformed)
      return parts
    }
    parts.push(reference(template.slice(at + 2, end)))
    from = end + 1
  }
  literal += template.slice(from)
  if (literal !== "") parts.push(literal)
  return parts
}

/**
 * The template that stands for a literal text.
 *
 * ```ts
 * escape("${HOME}") // "$${HOME}"
 * ```
 */
export const escape = (literal: string): string => literal.replace(/(?<!\$)\$+(?=\{)/g, (run) => run + run)

const hidden = "<redacted>"

/** A scheme before a credential tells nothing about the credential. */
const schemePrefix = /^(?:bearer|basic|token) $/i

/** A template that may be shown although its literal text is secret: only the references remain. */
export const mask = (template: string): string =>
  parse(template).map((part) => {
    if (typeof part === "string") return schemePrefix.test(part) ? part : hidden
    switch (part._tag) {
      case "Variable":
        return part.fallback === undefined ? `\${${part.name}}` : `\${${part.name}:-${hidden}}`
      case "Place":
        return `\${${part.place}}`
      case "Unusable":
        return hidden
    }
  }).join("")
