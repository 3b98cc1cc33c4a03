/**
 * Expansion of the templates of one entry through the ConfigProvider. What
 * cannot be expanded is noted, so that everything wrong with an entry is told
 * at once; no note quotes a value.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import { reveal } from "../internal/reveal.ts"
import type * as McpError from "../McpError.ts"
import * as Rules from "./Rules.ts"
import * as Template from "./Template.ts"

/** An expanded text: `Redacted` as soon as a variable of the environment is part of it. */
export type Text = string | Redacted.Redacted<string>

/** Everything that stands in the way of using an entry. */
export interface Problems {
  readonly missing: Array<McpError.UnsetVariables["missing"][number]>
  readonly issues: Array<McpError.ConfigIssue>
  readonly unreadable: Array<McpError.ConfigUnreadable>
}

export const noProblems = (): Problems => ({ missing: [], issues: [], unreadable: [] })

/** Path of a field inside the entry. */
export type Field = ReadonlyArray<string | number>

export interface Expander {
  readonly problems: Problems
  readonly windows: boolean
  readonly note: (field: Field, problem: string) => void
  /** A variable, if it is set. */
  readonly lookup: (field: Field, name: string) => Effect.Effect<string | undefined>
  /** The expanded text, held to a rule; empty if there was something to note. */
  readonly expand: (field: Field, template: string, rule: Rules.Rule) => Effect.Effect<Text>
  /** The same for a variable that is given by its name. */
  readonly variable: (field: Field, name: string, rule: Rules.Rule) => Effect.Effect<Text>
  /** The same for a file or a directory, made absolute. */
  readonly expandPath: (field: Field, template: string) => Effect.Effect<string | undefined>
  /** The same for every value of a record of secrets. */
  readonly expandAll: (
    field: string,
    templates: Readonly<Record<string, Redacted.Redacted<string>>>,
    rule: Rules.Rule
  ) => Effect.Effect<Record<string, Redacted.Redacted<string>>>
}

const fieldName = (field: Field): string =>
  field.map((key, index) => typeof key === "number" ? `[${key}]` : index === 0 ? key : `.${key}`).join("")

/** For one server, and the directory that its relative paths start from. */
export const make = Effect.fnUntraced(function*(
  server: string,
  from: string | undefined
): Effect.fn.Return<Expander, never, Path.Path> {
  const provider = yield* ConfigProvider.ConfigProvider
  const path = yield* Path.Path
  const problems = noProblems()
  const directory = path.resolve(from ?? ".")
  const windows = path.sep === "\\"

  const note: Expander["note"] = (field, message) => {
    problems.issues.push({ path: field, message })
  }

  const lookup: Expander["lookup"] = (field, name) =>
    Effect.matchEager(provider.load([name]), {
      onSuccess: (node) => node?.value,
      onFailure: ({ message }) => {
        note(field, `The variable ${name} cannot be read: ${message}`)
        return ""
      }
    })

  const required = (field: Field, name: string) =>
    Effect.map(lookup(field, name), (value) => {
      if (value === undefined) problems.missing.push({ server, field: fieldName(field), variable: name })
      return value
    })

  const place = (field: Field, name: Template.Place): Effect.Effect<string | undefined> => {
    switch (name) {
      case "workspaceFolder":
        return Effect.succeed(directory)
      case "workspaceFolderBasename":
        return Effect.succeed(path.basename(directory))
      case "userHome":
        return required(field, windows ? "USERPROFILE" : "HOME")
      case "pathSeparator":
      case "/":
        return Effect.succeed(path.sep)
    }
  }

  const value = Effect.fnUntraced(function*(field: Field, reference: Template.Reference) {
    switch (reference._tag) {
      case "Unusable":
        note(field, reference.problem)
        return undefined
      case "Place":
        return yield* place(field, reference.place)
      case "Variable":
        return reference.fallback === undefined
          ? yield* required(field, reference.name)
          : (yield* lookup(field, reference.name)) || reference.fallback
    }
  })

  const join = Effect.fnUntraced(function*(field: Field, template: Template.Template, rule: Rules.Rule) {
    const texts: Array<string | undefined> = []
    let secret = false
    for (const part of template) {
      secret ||= typeof part !== "string" && part._tag === "Variable"
      texts.push(typeof part === "string" ? part : yield* value(field, part))
    }
    if (texts.includes(undefined)) return ""
    const text = texts.join("")
    const problem = rule(text)
    if (problem !== undefined) {
      note(field, secret ? `${problem} (after its variables are expanded)` : problem)
      return ""
    }
    return secret ? Redacted.make(text) : text
  })

  const expand: Expander["expand"] = (field, template, rule) => join(field, Template.parse(template), rule)

  const variable: Expander["variable"] = (field, name, rule) =>
    join(field, [{ _tag: "Variable", name, fallback: undefined }], rule)

  const expandPath = Effect.fnUntraced(function*(field: Field, template: string) {
    const text = reveal(yield* expand(field, template, Rules.fileName))
    return text === "" ? undefined : path.resolve(directory, text)
  })

  const expandAll = Effect.fnUntraced(function*(
    field: string,
    templates: Readonly<Record<string, Redacted.Redacted<string>>>,
    rule: Rules.Rule
  ) {
    const entries: Array<readonly [string, Redacted.Redacted<string>]> = []
    for (const [name, template] of Object.entries(templates)) {
      const text = yield* expand([field, name], Redacted.value(template), rule)
      entries.push([name, Redacted.make(reveal(text))])
    }
    return Object.fromEntries(entries)
  })

  return { problems, windows, note, lookup, expand, variable, expandPath, expandAll }
})
