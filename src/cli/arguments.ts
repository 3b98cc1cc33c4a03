/**
 * What a person types as the arguments of a tool: one JSON object, or
 * `key=value` pairs, read with the tool's schema beside, or `key:=json`.
 */
import * as Result from "effect/Result"
import { isJsonObject, type JsonObject } from "../protocol/JsonRpc.ts"

/** Arguments that are well formed, before it is known what every value means. */
export interface Typed {
  /** Whether the tool's schema decides about any value. */
  readonly needSchema: boolean
  /** The arguments, given the tool's `inputSchema`; what it does not know is text. */
  readonly toArguments: (schema: unknown) => Result.Result<JsonObject, string>
}

const parseJson = (text: string): Result.Result<unknown, string> =>
  Result.try({ try: (): unknown => JSON.parse(text), catch: (error) => error instanceof Error ? error.message : "not JSON" })

/** Reads one JSON object. Fails with what is wrong, in one line, as all here do. */
export const fromJson = (text: string): Result.Result<Typed, string> =>
  Result.flatMap(
    Result.mapError(parseJson(text), (detail) => `The arguments are not valid JSON: ${detail}`),
    (value) =>
      isJsonObject(value)
        ? Result.succeed({ needSchema: false, toArguments: () => Result.succeed(value) })
        : Result.fail("The arguments must be a JSON object: {…}")
  )

interface Pair {
  readonly key: string
  readonly value: string
  readonly json: boolean
}

const split = (word: string): Pair | undefined => {
  const at = word.indexOf("=")
  if (at < 1) return undefined
  const json = word[at - 1] === ":"
  const key = word.slice(0, json ? at - 1 : at)
  return key === "" ? undefined : { key, value: word.slice(at + 1), json }
}

/** A repeated key makes a list, where the schema has one. */
const collect = (pairs: ReadonlyArray<Pair>, schema: unknown): Result.Result<JsonObject, string> => {
  const given = new Map<string, unknown>()
  for (const { json, key, value: text } of pairs) {
    const before = given.get(key)
    if (given.has(key) && (json || !Array.isArray(before))) return Result.fail(`"${key}" is given twice`)
    const value = json
      ? Result.mapError(parseJson(text), (detail) => `The value of "${key}" is not valid JSON: ${detail}`)
      : Result.mapError(coerce(text, propertyOf(schema, key), schema), (expected) => `"${key}" must be ${expected}, got "${text}"`)
    if (Result.isFailure(value)) return Result.fail(value.failure)
    given.set(key, Array.isArray(before) ? [...before, ...[value.success].flat()] : value.success)
  }
  return Result.succeed(Object.fromEntries(given))
}

/** Reads one JSON object, or any number of `key=value` and `key:=json`. */
export const fromWords = (words: ReadonlyArray<string>): Result.Result<Typed, string> => {
  const [first = ""] = words
  if (words.length === 1 && first.trimStart().startsWith("{")) return fromJson(first)
  const pairs: Array<Pair> = []
  for (const word of words) {
    const pair = split(word)
    if (pair === undefined) return Result.fail(`Expected key=value, key:=json or one JSON object, got "${word}"`)
    pairs.push(pair)
  }
  return Result.succeed({
    needSchema: pairs.some(({ json }) => !json),
    toArguments: (schema) => collect(pairs, schema)
  })
}

// =============================================================================
// Values by their schema
// =============================================================================

const propertyOf = (schema: unknown, key: string): unknown => {
  const properties = isJsonObject(schema) ? schema.properties : undefined
  return isJsonObject(properties) && Object.hasOwn(properties, key) ? properties[key] : undefined
}

type Type = "null" | "boolean" | "integer" | "number" | "array" | "object" | "string"

/** Tried in this order: the more exactly a text has to be written, the earlier. */
const types: ReadonlyArray<Type> = ["null", "boolean", "integer", "number", "array", "object", "string"]

const articles: Record<Type, string> = {
  null: "null",
  boolean: "true or false",
  integer: "a whole number",
  number: "a number",
  array: "a JSON array",
  object: "a JSON object",
  string: "text"
}

const typeOf = (value: unknown): Type =>
  value === null
    ? "null"
    : Array.isArray(value)
    ? "array"
    : typeof value === "boolean" || typeof value === "number" || typeof value === "string"
    ? typeof value as Type
    : "object"

/** The schema that a reference inside the document stands for, at the end of at most a few references. */
const resolve = (schema: unknown, root: unknown, references = 8): unknown => {
  if (!isJsonObject(schema) || typeof schema.$ref !== "string" || references === 0) return schema
  const path = schema.$ref.startsWith("#/") ? schema.$ref.slice(2).split("/") : []
  let target = path.length === 0 ? undefined : root
  for (const key of path) {
    const name = key.replaceAll("~1", "/").replaceAll("~0", "~")
    target = isJsonObject(target) && Object.hasOwn(target, name) ? target[name] : undefined
  }
  return resolve(target, root, references - 1)
}

/** Every type a schema lets through, as far as it says so at its top. Schemas may be circles: each is looked at once. */
const typesOf = (unresolved: unknown, root: unknown, seen = new Set<unknown>()): ReadonlySet<string> => {
  const schema = resolve(unresolved, root)
  if (!isJsonObject(schema) || seen.has(schema)) return new Set()
  seen.add(schema)
  if (schema.type !== undefined) return new Set([schema.type].flat().map(String))
  if (Array.isArray(schema.enum)) return new Set(schema.enum.map(typeOf))
  if ("const" in schema) return new Set([typeOf(schema.const)])
  const parts = [schema.anyOf, schema.oneOf, schema.allOf].flatMap((part) => Array.isArray(part) ? part : [])
  return new Set(parts.flatMap((part) => [...typesOf(part, root, seen)]))
}

const itemsOf = (unresolved: unknown, root: unknown): unknown => {
  const schema = resolve(unresolved, root)
  return isJsonObject(schema) ? schema.items : undefined
}

const number = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

const readers: Record<Exclude<Type, "array" | "object">, (text: string) => unknown> = {
  null: (text) => text === "null" ? null : undefined,
  boolean: (text) => text === "true" ? true : text === "false" ? false : undefined,
  integer: (text) => number.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined,
  number: (text) => number.test(text) && Number.isFinite(Number(text)) ? Number(text) : undefined,
  string: (text) => text
}

/** A text as the value its schema asks for; without a schema it is text. The failure says what was expected. */
const coerce = (text: string, schema: unknown, root: unknown): Result.Result<unknown, string> => {
  const value = coerceExactly(text, schema, root)
  // One item by itself is the beginning of a list.
  return Result.isFailure(value) && typesOf(schema, root).has("array") && !text.trimStart().startsWith("[")
    ? Result.map(coerceExactly(text, itemsOf(schema, root), root), (item) => [item])
    : value
}

const coerceExactly = (text: string, schema: unknown, root: unknown): Result.Result<unknown, string> => {
  const allowed = typesOf(schema, root)
  const candidates = types.filter((type) => allowed.has(type))
  if (candidates.length === 0) return Result.succeed(text)
  for (const type of candidates) {
    if (type === "array" || type === "object") {
      const parsed = parseJson(text)
      if (Result.isSuccess(parsed) && typeOf(parsed.success) === type) return parsed
    } else {
      const value = readers[type](text)
      if (value !== undefined) return Result.succeed(value)
    }
  }
  return Result.fail(candidates.map((type) => articles[type]).join(" or "))
}
