/**
 * The forms that servers ask users to fill in: what to show, what is filled in
 * already, and whether an answer fits (EL-02 … EL-04).
 */
import { format } from "@cfworker/json-schema"
import * as Result from "effect/Result"
import type { JsonObject } from "./JsonRpc.ts"
import { regularExpression } from "./JsonSchema.ts"
import type { ElicitationSchema, FieldSchema, FieldValue } from "./McpSchema.ts"

/** One value to choose, and how to call it. */
export interface Choice {
  readonly value: string
  readonly title: string
}

/** What kind of value a field takes, whichever way the server wrote it down. */
export type FieldKind =
  | {
    readonly _tag: "Text"
    /** In characters. */
    readonly minLength: number | undefined
    readonly maxLength: number | undefined
    readonly format: string | undefined
    readonly pattern: string | undefined
  }
  | {
    readonly _tag: "Number"
    readonly integer: boolean
    readonly minimum: number | undefined
    readonly maximum: number | undefined
  }
  | { readonly _tag: "Boolean" }
  | { readonly _tag: "One"; readonly choices: ReadonlyArray<Choice> }
  | {
    readonly _tag: "Many"
    readonly choices: ReadonlyArray<Choice>
    readonly minItems: number | undefined
    readonly maxItems: number | undefined
  }

/** A field to show. */
export interface Field {
  readonly name: string
  readonly title: string
  readonly description: string | undefined
  readonly required: boolean
  readonly default: FieldValue | undefined
  readonly kind: FieldKind
}

/** The fields of a form, in the server's order. */
export const fields = (schema: ElicitationSchema): ReadonlyArray<Field> =>
  Object.entries(schema.properties).map(([name, field]) => ({
    name,
    title: field.title ?? name,
    description: field.description,
    required: schema.required?.includes(name) === true,
    default: field.default,
    kind: kindOf(field)
  }))

/** What a form is filled in with at the beginning. */
export const defaults = (schema: ElicitationSchema): JsonObject => withDefaults(schema, {})

/** An answer, completed with the defaults of what it leaves out. */
export const withDefaults = (schema: ElicitationSchema, content: JsonObject): JsonObject =>
  Object.fromEntries([
    ...fields(schema).flatMap((field) => field.default === undefined ? [] : [[field.name, field.default] as const]),
    ...Object.entries(content).filter(([, value]) => value !== undefined)
  ])

/**
 * What is wrong with an answer, one line per field; empty when it fits.
 *
 * A field the server did not ask for is a problem too: what was not asked is
 * not sent.
 */
export const validate = (schema: ElicitationSchema, content: JsonObject): ReadonlyArray<string> => {
  const asked = fields(schema)
  const given = new Map(Object.entries(content))
  const names = new Set(asked.map(({ name }) => name))
  return [
    ...asked.flatMap((field) => {
      const value = given.get(field.name)
      const problem = value === undefined ? (field.required ? "is required" : undefined) : problemOf(field.kind, value)
      return problem === undefined ? [] : [`${field.name}: ${problem}`]
    }),
    ...[...given.keys()].filter((name) => !names.has(name)).map((name) => `${name}: was not asked for`)
  ]
}

// =============================================================================
// Internal
// =============================================================================

const untitled = (values: ReadonlyArray<string>, titles: ReadonlyArray<string> = []): ReadonlyArray<Choice> =>
  values.map((value, index) => ({ value, title: titles[index] ?? value }))

const titled = (options: ReadonlyArray<{ readonly const: string; readonly title?: string }>): ReadonlyArray<Choice> =>
  options.map((option) => ({ value: option.const, title: option.title ?? option.const }))

const kindOf = (field: FieldSchema): FieldKind => {
  switch (field.type) {
    case "string": {
      const { enum: values, enumNames, format, maxLength, minLength, oneOf, pattern } = field
      if (oneOf !== undefined) return { _tag: "One", choices: titled(oneOf) }
      if (values !== undefined) return { _tag: "One", choices: untitled(values, enumNames) }
      return { _tag: "Text", minLength, maxLength, format, pattern }
    }
    case "number":
    case "integer":
      return { _tag: "Number", integer: field.type === "integer", minimum: field.minimum, maximum: field.maximum }
    case "boolean":
      return { _tag: "Boolean" }
    case "array": {
      const { items, maxItems, minItems } = field
      const choices = "enum" in items ? untitled(items.enum) : titled("anyOf" in items ? items.anyOf : items.oneOf)
      return { _tag: "Many", choices, minItems, maxItems }
    }
  }
}

/** The formats that the protocol knows. */
const formats: ReadonlyMap<string, string> = new Map([
  ["email", "an email address"],
  ["uri", "a URI"],
  ["date", "a date such as 2026-07-28"],
  ["date-time", "a date and time such as 2026-07-28T12:00:00Z"]
])

const oneOf = (choices: ReadonlyArray<Choice>): string => {
  const values = choices.slice(0, 20).map(({ value }) => value).join(", ")
  return choices.length <= 20 ? values : `${values}, …`
}

const problemOf = (kind: FieldKind, value: unknown): string | undefined => {
  switch (kind._tag) {
    case "Text":
      return typeof value === "string" ? textProblem(kind, value) : "must be text"
    case "Number":
      if (typeof value !== "number" || !Number.isFinite(value)) return "must be a number"
      if (kind.integer && !Number.isInteger(value)) return "must be a whole number"
      if (kind.minimum !== undefined && value < kind.minimum) return `must be at least ${kind.minimum}`
      return kind.maximum !== undefined && value > kind.maximum ? `must be at most ${kind.maximum}` : undefined
    case "Boolean":
      return typeof value === "boolean" ? undefined : "must be true or false"
    case "One":
      return kind.choices.some((choice) => choice.value === value) ? undefined : `must be one of ${oneOf(kind.choices)}`
    case "Many": {
      const chosen: ReadonlyArray<unknown> | undefined = Array.isArray(value) ? value : undefined
      const allowed = new Set<unknown>(kind.choices.map((choice) => choice.value))
      if (chosen === undefined || !chosen.every((item) => allowed.has(item))) {
        return `must be a list of ${oneOf(kind.choices)}`
      }
      if (kind.minItems !== undefined && chosen.length < kind.minItems) return `needs a choice of at least ${kind.minItems}`
      return kind.maxItems !== undefined && chosen.length > kind.maxItems
        ? `takes a choice of at most ${kind.maxItems}`
        : undefined
    }
  }
}

const textProblem = (kind: Extract<FieldKind, { readonly _tag: "Text" }>, value: string): string | undefined => {
  const length = Array.from(value).length
  if (kind.minLength !== undefined && length < kind.minLength) return `must have a length of at least ${kind.minLength}`
  if (kind.maxLength !== undefined && length > kind.maxLength) return `must have a length of at most ${kind.maxLength}`
  const expected = kind.format === undefined ? undefined : formats.get(kind.format)
  if (expected !== undefined && kind.format !== undefined && format[kind.format]?.(value) === false) {
    return `must be ${expected}`
  }
  if (kind.pattern === undefined) return undefined
  // A pattern that cannot be read is left to the server to check.
  const pattern = regularExpression(kind.pattern)
  return Result.isSuccess(pattern) && !pattern.success.test(value) ? `must match ${kind.pattern}` : undefined
}
