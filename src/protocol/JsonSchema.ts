/**
 * JSON Schema as servers write it, to check what they send against it (T-06).
 *
 * A schema is as untrusted as the data, and the library that validates trusts
 * it. So it gets a bounded copy that was looked through first: nothing is ever
 * fetched, and references that lead out of the schema or in circles are
 * reported. `format` is an annotation, as 2020-12 has it by default. What cannot
 * be bounded is the time a `pattern` takes in JavaScript's regular expressions.
 */
import { dereference, type Schema as LibrarySchema, type SchemaDraft, validate } from "@cfworker/json-schema"
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import { isJsonObject } from "./JsonRpc.ts"
import { renderPath } from "./schema/Decoder.ts"

export interface Validator {
  /** What the schema is read as: `2020-12`, `2019-09`, `draft-07`, `draft-06` or `draft-04`. */
  readonly dialect: string
  /** What is wrong with a JSON value, in a few lines with paths. Empty when nothing is. Never throws. */
  readonly validate: (value: unknown) => ReadonlyArray<string>
}

/** Real schemas and values stay far below. */
const limits = {
  /** Levels of nesting, of schemas and of values. */
  depth: 100,
  /** Objects and arrays in a schema. */
  schemaSize: 50_000,
  /** Characters in a pattern. */
  pattern: 1_000,
  /** References followed for one value: schemas can make the work grow exponentially. */
  references: 100_000,
  /** Items in an array that are compared with each other, which takes quadratic time. */
  uniqueItems: 2_000,
  /** Problems told of one value. */
  problems: 5,
  /** Characters in the text of a problem. */
  text: 200
}

/**
 * Prepares a schema for validation, or says why it cannot be used. It takes a
 * moment, so do it when a schema is first needed and keep the result. What is
 * without `$schema` is read as 2020-12.
 *
 * ```ts
 * const validator = Result.getOrThrow(JsonSchema.compile({ properties: { id: { type: "number" } } }))
 * validator.validate({ id: "x" }) // ["id: Instance type \"string\" is invalid. Expected \"number\""]
 * ```
 */
export const compile = (schema: unknown): Result.Result<Validator, string> =>
  Result.try({ try: () => make(schema), catch: (error) => textOf(error, "the schema is malformed") })

const make = (schema: unknown): Validator => {
  const { draft, name } = dialectOf(schema)
  const copier = new Copier(draft)
  const copy = copier.document(schema)
  const lookup = dereference(copy)
  checkReferences(copy, lookup, copier)
  return {
    dialect: name,
    validate: (value) => {
      const { depth, longest } = measure(value)
      if (depth > limits.depth) return [`nested deeper than ${limits.depth} levels`]
      if (copier.comparesItems && longest > limits.uniqueItems) {
        return [`${longest} items are too many to be compared with each other`]
      }
      const result = Result.try({
        try: () => problemsOf(validate(value, copy, draft, counted(lookup)).errors),
        catch: (error) => [textOf(error, "the schema cannot be applied")]
      })
      return Result.merge(result)
    }
  }
}

/** Why a schema cannot be used, in words of ours. Never leaves this file. */
class Unusable extends Data.TaggedError("Unusable")<{ readonly message: string }> {}

const unusable = (message: string): Unusable => new Unusable({ message })

const textOf = (error: unknown, otherwise: string): string =>
  bounded(error instanceof Unusable ? error.message : `${otherwise}: ${error}`)

// =============================================================================
// Dialects
// =============================================================================

interface Dialect {
  readonly name: string
  readonly draft: SchemaDraft
}

const newest: Dialect = { name: "2020-12", draft: "2020-12" }

const dialects: ReadonlyMap<string, Dialect> = new Map<string, Dialect>([
  ["json-schema.org/draft/2020-12/schema", newest],
  ["json-schema.org/draft/2019-09/schema", { name: "2019-09", draft: "2019-09" }],
  ["json-schema.org/draft-07/schema", { name: "draft-07", draft: "7" }],
  // Draft 7 only adds to draft 6.
  ["json-schema.org/draft-06/schema", { name: "draft-06", draft: "7" }],
  ["json-schema.org/draft-04/schema", { name: "draft-04", draft: "4" }]
])

const dialectOf = (schema: unknown): Dialect => {
  const uri = isJsonObject(schema) ? schema.$schema : undefined
  if (uri === undefined) return newest
  const dialect = dialects.get(String(uri).replace(/^https?:\/\//, "").replace(/#$/, ""))
  if (dialect === undefined) throw unusable(`$schema: unknown dialect ${JSON.stringify(uri)}`)
  return dialect
}

// =============================================================================
// Schemas inside schemas
// =============================================================================

type Node = LibrarySchema | boolean

/** What a keyword with schemas in it holds: one, an array, either, or one under each name. */
type Holder = "one" | "array" | "oneOrArray" | "map" | "mapOrStrings"

const each = (holder: Holder, ...keywords: ReadonlyArray<string>) =>
  keywords.map((keyword): [string, Holder] => [keyword, holder])

const holders: ReadonlyMap<string, Holder> = new Map([
  ...each("one", "additionalProperties", "unevaluatedProperties", "propertyNames", "not", "if", "then", "else"),
  ...each("one", "additionalItems", "unevaluatedItems", "contains"),
  ...each("array", "allOf", "anyOf", "oneOf", "prefixItems"),
  ...each("oneOrArray", "items"),
  ...each("map", "$defs", "definitions", "properties", "patternProperties", "dependentSchemas"),
  ...each("mapOrStrings", "dependencies")
])

/** Keywords whose schemas look at the same value, not at a part of it. */
const inPlace: ReadonlySet<string> = new Set(
  ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"]
)

const isStrings = (u: unknown): boolean => Array.isArray(u) && u.every((item) => typeof item === "string")

function* subschemas(node: LibrarySchema): Generator<readonly [keyword: string, schema: unknown]> {
  for (const [keyword, value] of Object.entries(node)) {
    const holder = holders.get(keyword)
    if (holder === undefined) continue
    if (holder === "one" || (holder === "oneOrArray" && !Array.isArray(value))) {
      yield [keyword, value]
    } else if (holder === "array" || holder === "oneOrArray") {
      if (!Array.isArray(value)) throw unusable(`${keyword}: Expected an array`)
      for (const item of value) yield [keyword, item]
    } else {
      if (!isJsonObject(value)) throw unusable(`${keyword}: Expected an object`)
      for (const item of Object.values(value)) {
        if (holder === "map" || !isStrings(item)) yield [keyword, item]
      }
    }
  }
}

// =============================================================================
// The copy
// =============================================================================

const typeNames: ReadonlySet<unknown> = new Set(["null", "boolean", "object", "array", "number", "integer", "string"])

const isString = (u: unknown): boolean => typeof u === "string"

/** What the library takes for granted about the other keywords. */
const checks: ReadonlyArray<readonly [keyword: string, holds: (value: unknown) => boolean]> = [
  ["$id", isString],
  ["$ref", isString],
  ["$anchor", isString],
  ["pattern", isString],
  ["required", isStrings],
  ["enum", Array.isArray],
  ["type", (value) => (Array.isArray(value) ? value : [value]).every((name) => typeNames.has(name))]
]

/** Without schemas in them, but looking as if. */
const annotations = ["format", "default", "example", "examples"]

const isNode = (u: unknown): u is LibrarySchema => isJsonObject(u)

/** Makes the copy that the library may see and, because it writes into schemas, spoil. */
class Copier {
  /** Whether `uniqueItems` occurs. */
  comparesItems = false
  private size = 0
  private isDynamic = false
  private hasResources = false
  private readonly tidied = new Set<LibrarySchema>()
  private readonly draft: SchemaDraft

  constructor(draft: SchemaDraft) {
    this.draft = draft
  }

  document(schema: unknown): Node {
    const copy = this.clone(schema, 0)
    if (typeof copy === "boolean") return copy
    if (!isNode(copy)) throw unusable("Expected an object or a boolean")
    this.tidy(copy)
    for (const node of this.tidied) {
      if (node !== copy && (node.$id ?? node.id) !== undefined) this.hasResources = true
    }
    if (this.isDynamic && this.hasResources) {
      throw unusable("$dynamicRef together with an embedded $id is not supported")
    }
    return copy
  }

  /** Objects of the copy have no prototype, so that no name in a schema is special to JavaScript. */
  private clone(value: unknown, depth: number): unknown {
    if (typeof value !== "object" || value === null) return value
    if (depth > limits.depth) throw unusable(`the schema is nested deeper than ${limits.depth} levels`)
    if (++this.size > limits.schemaSize) throw unusable(`the schema has more than ${limits.schemaSize} parts`)
    if (Array.isArray(value)) return value.map((item) => this.clone(item, depth + 1))
    const copy: { [key: string]: unknown } = Object.create(null)
    for (const [key, member] of Object.entries(value)) copy[key] = this.clone(member, depth + 1)
    return copy
  }

  /** Checks a schema of the copy with all schemas inside it, and leaves in it only what the library does well. */
  tidy(node: unknown): void {
    if (typeof node === "boolean") return
    if (!isNode(node)) throw unusable("Expected a schema to be an object or a boolean")
    if (this.tidied.has(node)) return
    this.tidied.add(node)
    for (const [keyword, holds] of checks) {
      if (node[keyword] !== undefined && !holds(node[keyword])) {
        throw unusable(`${keyword}: Unexpected ${JSON.stringify(node[keyword])}`)
      }
    }
    if (node.$schema !== undefined && dialectOf(node).draft !== this.draft) {
      throw unusable("$schema: an embedded schema has another dialect")
    }
    for (const keyword of annotations) delete node[keyword]
    delete node[this.draft === "4" ? "$id" : "id"]
    if (node.pattern !== undefined) node.pattern = usablePattern(node.pattern)
    if (isJsonObject(node.patternProperties)) {
      node.patternProperties = Object.fromEntries(
        Object.entries(node.patternProperties).map(([pattern, schema]) => [usablePattern(pattern), schema])
      )
    }
    if (node.uniqueItems === true) this.comparesItems = true
    this.tidyDynamic(node)
    for (const [, schema] of subschemas(node)) this.tidy(schema)
  }

  /** In a document that is one resource, dynamic references are plain ones; the library has only those. */
  private tidyDynamic(node: LibrarySchema): void {
    const { $dynamicAnchor: anchor, $dynamicRef, $recursiveRef } = node
    const target = $dynamicRef ?? $recursiveRef
    delete node.$dynamicAnchor
    delete node.$dynamicRef
    delete node.$recursiveAnchor
    delete node.$recursiveRef
    if (this.draft === "4" || this.draft === "7") return
    if (typeof anchor === "string") node.$anchor = anchor
    if (typeof target === "string") {
      this.isDynamic = true
      node.allOf = [...(Array.isArray(node.allOf) ? node.allOf : []), { $ref: target }]
    }
  }
}

/** A pattern in the syntax of Unicode mode, in which escapes that change nothing are errors: `\@` is written `\x40`. */
const usablePattern = (pattern: string): string => {
  const compiled = regularExpression(pattern)
  if (Result.isFailure(compiled)) throw unusable(compiled.failure)
  return compiled.success.source
}

/** The regular expression of a `pattern`, or why there is none. */
export const regularExpression = (pattern: string): Result.Result<RegExp, string> => {
  if (pattern.length > limits.pattern) return Result.fail(`a pattern is longer than ${limits.pattern} characters`)
  const strict = pattern.replace(/\\([\s\S])/g, (escape, character: string) =>
    /[ !"#%&',:;<=>@_`~-]/.test(character) ? `\\x${character.charCodeAt(0).toString(16)}` : escape)
  return Result.try({
    try: () => new RegExp(strict, "u"),
    catch: () => `a pattern is not a regular expression: ${pattern}`
  })
}

// =============================================================================
// References
// =============================================================================

/** Every reference must lead somewhere in the schema, and none back to itself without going into the value. */
const checkReferences = (document: Node, lookup: Record<string, Node>, copier: Copier): void => {
  const followed = new Set<unknown>()
  const open = new Set<unknown>()
  const later: Array<unknown> = [document]
  const follow = (node: unknown): void => {
    if (!isNode(node) || followed.has(node)) return
    if (open.has(node)) throw unusable("a $ref leads back to itself")
    if (open.size === limits.depth) throw unusable(`a $ref leads through more than ${limits.depth} schemas`)
    open.add(node)
    // A reference may lead to where no schema was expected.
    copier.tidy(node)
    if (node.$ref !== undefined) {
      const target = lookup[node.__absolute_ref__ ?? node.$ref]
      if (target === undefined) throw unusable(`$ref leads out of the schema, and nothing is fetched: ${node.$ref}`)
      follow(target)
    }
    for (const [keyword, schema] of subschemas(node)) {
      if (inPlace.has(keyword)) follow(schema)
      else later.push(schema)
    }
    open.delete(node)
    followed.add(node)
  }
  for (const node of later) follow(node)
}

/** Bounds how many references are followed. */
const counted = (lookup: Record<string, Node>): Record<string, Node> => {
  let followed = 0
  return new Proxy(lookup, {
    get: (target, uri) => {
      if (++followed > limits.references) throw unusable("validation takes too long and was given up")
      return Reflect.get(target, uri)
    }
  })
}

// =============================================================================
// Values and problems
// =============================================================================

/** How deep a value is nested, and how long its longest array is. */
const measure = (value: unknown): { readonly depth: number; readonly longest: number } => {
  let depth = 0
  let longest = 0
  const open: Array<readonly [value: unknown, depth: number]> = [[value, 1]]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [inner, level] = next
    if (typeof inner !== "object" || inner === null) continue
    depth = Math.max(depth, level)
    if (depth > limits.depth) break
    if (Array.isArray(inner)) longest = Math.max(longest, inner.length)
    for (const member of Object.values(inner)) {
      if (typeof member === "object") open.push([member, level + 1])
    }
  }
  return { depth, longest }
}

/** Say only that something inside is wrong, which usually has a problem of its own. */
const summaries: ReadonlySet<string> = new Set([
  "$ref",
  "allOf",
  "anyOf",
  "if",
  "dependentSchemas",
  "properties",
  "patternProperties",
  "additionalProperties",
  "unevaluatedProperties",
  "propertyNames",
  "items",
  "prefixItems",
  "additionalItems",
  "unevaluatedItems"
])

const problemsOf = (errors: ReturnType<typeof validate>["errors"]): ReadonlyArray<string> => {
  const causes = errors.filter(({ keyword }) => !summaries.has(keyword))
  const problems = new Set<string>()
  for (const { error, instanceLocation, keyword } of causes.length === 0 ? errors : causes) {
    const path = renderPath(instanceLocation.split("/").slice(1).map(pathKey))
    const text = keyword === "false" ? "is not allowed" : error.replace(/\.$/, "")
    problems.add(bounded(path === "" ? text : `${path}: ${text}`))
  }
  const told = [...problems].slice(0, limits.problems)
  return problems.size <= limits.problems ? told : [...told, `and ${problems.size - limits.problems} more`]
}

const pathKey = (segment: string): string | number => {
  const key = decodeURIComponent(segment).replace(/~1/g, "/").replace(/~0/g, "~")
  return /^\d+$/.test(key) ? Number(key) : key
}

const bounded = (text: string): string => text.length <= limits.text ? text : `${text.slice(0, limits.text)}…`
