/**
 * Arguments that a tool wants mirrored into HTTP headers, so that proxies can
 * route by them without reading the body: properties of its input schema
 * annotated with `x-mcp-header` (H-30 … H-38).
 */
import * as Result from "effect/Result"
import * as HeaderEncoding from "./HeaderEncoding.ts"
import { isJsonObject, type JsonObject } from "./JsonRpc.ts"
import { renderPath } from "./schema/Decoder.ts"

export interface ParamHeaders {
  /** The headers that go with these arguments. What is absent, null or not of its type has none (H-31, H-35). */
  readonly headers: (args: JsonObject | undefined) => Readonly<Record<string, string>>
}

/** Real schemas stay far below. */
const limits = {
  /** Levels of nesting. */
  depth: 100,
  /** Objects and arrays. */
  size: 50_000,
  /** Problems told of one schema. */
  problems: 5
}

/**
 * Finds the annotations of a tool's input schema, or says what is wrong with
 * them, which makes the tool unusable over HTTP (H-33).
 *
 * An annotation must be a token that no other one equals but for case, on a
 * string, integer or boolean that is reached from the root through `properties`
 * only: anywhere else there may be no argument, or several, to mirror (H-32).
 *
 * ```ts
 * const region = { type: "string", "x-mcp-header": "Region" }
 * const compiled = Result.getOrThrow(ParamHeaders.compile({ properties: { region } }))
 * compiled.headers({ region: "us-west1" }) // { "Mcp-Param-Region": "us-west1" }
 * ```
 */
export const compile = (inputSchema: unknown): Result.Result<ParamHeaders, ReadonlyArray<string>> => {
  const found = annotationsIn(inputSchema)
  if (Result.isFailure(found)) return Result.fail([found.failure])
  const mirrored: Array<Mirrored> = []
  const names = new Set<string>()
  const problems: Array<string> = []
  for (const annotation of found.success) {
    const checked = check(annotation, names)
    if (Result.isSuccess(checked)) {
      names.add(checked.success.name.toLowerCase())
      mirrored.push(checked.success)
    } else if (problems.push(`${renderPath(annotation.location) || "the root"}: ${checked.failure}`) === limits.problems) {
      break
    }
  }
  return problems.length > 0 ? Result.fail(problems) : Result.succeed({
    headers: (args) =>
      Object.fromEntries(mirrored.flatMap(({ name, path, type }) => {
        const value = HeaderEncoding.encodeArgument(type, valueAt(args, path))
        return value === undefined ? [] : [[`Mcp-Param-${name}`, value] as const]
      }))
  })
}

// =============================================================================
// Finding annotations
// =============================================================================

/** The keyword, wherever it was found. */
interface Annotation {
  readonly schema: JsonObject
  /** Where its schema is, for people. */
  readonly location: ReadonlyArray<string>
  /** The names that lead to its argument, when there is exactly one such argument. */
  readonly path: ReadonlyArray<string> | undefined
}

/** A place in the schema still to be looked at. */
interface Place {
  readonly value: object
  readonly location: ReadonlyArray<string>
  readonly path: ReadonlyArray<string> | undefined
  /** Whether its keys are names that the server made up, and mean nothing. */
  readonly named: boolean
}

const keyword = "x-mcp-header"

/** Keywords that hold one schema under each name. */
const maps: ReadonlySet<string> = new Set([
  "properties",
  "patternProperties",
  "dependentSchemas",
  "dependencies",
  "$defs",
  "definitions"
])

/** Keywords that hold values, which may look like anything. */
const values: ReadonlySet<string> = new Set(["const", "default", "enum", "example", "examples"])

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null

/** Looks everywhere, unknown keywords included: a `$ref` can lead to any place. */
const annotationsIn = (schema: unknown): Result.Result<ReadonlyArray<Annotation>, string> => {
  const annotations: Array<Annotation> = []
  const places: Array<Place> = isObject(schema) ? [{ value: schema, location: [], path: [], named: false }] : []
  let size = 0
  for (let place = places.pop(); place !== undefined; place = places.pop()) {
    const { location, named, path, value } = place
    size += 1
    if (size > limits.size) return Result.fail(`the schema has more than ${limits.size} objects and arrays`)
    if (location.length > limits.depth) return Result.fail(`the schema is nested deeper than ${limits.depth} levels`)
    const isSchema = !named && isJsonObject(value)
    if (isSchema && Object.hasOwn(value, keyword)) annotations.push({ schema: value, location, path })
    // Last in, first out: the server's order is kept by going backwards.
    for (const [key, inner] of Object.entries(value).toReversed()) {
      if (!isObject(inner) || (isSchema && (key === keyword || values.has(key)))) continue
      places.push({
        value: inner,
        location: [...location, key],
        path: named ? path && [...path, key] : isSchema && key === "properties" ? path : undefined,
        named: isSchema && maps.has(key) && isJsonObject(inner)
      })
    }
  }
  return Result.succeed(annotations)
}

// =============================================================================
// Checking annotations
// =============================================================================

interface Mirrored {
  /** Exactly as the server wrote it (H-37). */
  readonly name: string
  readonly type: HeaderEncoding.ArgumentType
  readonly path: ReadonlyArray<string>
}

/** RFC 9110, section 5.6.2. */
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

const isArgumentType = (type: unknown): type is HeaderEncoding.ArgumentType =>
  type === "string" || type === "integer" || type === "boolean"

const check = ({ path, schema }: Annotation, names: ReadonlySet<string>): Result.Result<Mirrored, string> => {
  const { [keyword]: name, type } = schema
  if (path === undefined || path.length === 0) {
    return Result.fail(`${keyword} is only allowed on arguments reached through properties alone`)
  }
  if (typeof name !== "string" || !token.test(name)) {
    return Result.fail(`${keyword} is no name for a header: ${excerpt(name)}`)
  }
  if (!isArgumentType(type)) {
    return Result.fail(`${keyword} needs the type string, integer or boolean, not ${excerpt(type)}`)
  }
  if (names.has(name.toLowerCase())) return Result.fail(`${keyword} ${excerpt(name)} is used twice`)
  return Result.succeed({ name, type, path })
}

const excerpt = (value: unknown): string => {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 60))
  return isObject(value) ? (Array.isArray(value) ? "an array" : "an object") : String(value)
}

/** What the arguments have at a path, looking only at what goes into the body. */
const valueAt = (args: unknown, path: ReadonlyArray<string>): unknown =>
  path.reduce<unknown>((value, key) => isJsonObject(value) && Object.hasOwn(value, key) ? value[key] : undefined, args)
