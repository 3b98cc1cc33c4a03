/**
 * How results are checked. The schemas of this folder only describe, they
 * transform nothing: a value that matches is handed on as the very object that
 * arrived, so that what a newer server adds is never lost (R-06, M-12, T-02).
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaParser from "effect/SchemaParser"
import { isJsonObject, type JsonObject as JsonObjectType } from "../JsonRpc.ts"

/** Any object, kept as it is. */
export const JsonObject: Schema.declare<JsonObjectType> = Schema.declare(isJsonObject, { expected: "an object" })

/** Types what arrived, or says in one line what is wrong with it and where. Never throws. */
export type Decoder<A> = (input: unknown) => Result.Result<A, string>

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1()

/** A path as a person writes it: `content[0].text`. Bounded, because keys come from outside. */
export const renderPath = (path: ReadonlyArray<PropertyKey>): string => {
  const rendered = path
    .map((key) => typeof key === "number" ? `[${key}]` : `.${String(key)}`)
    .join("")
    .replace(/^\./, "")
  return rendered.length <= 120 ? rendered : `${rendered.slice(0, 120)}…`
}

const describe = (issue: SchemaIssue.Issue): string => {
  const first = issuesOf(issue).issues[0]
  if (first === undefined) return "it has an unexpected shape"
  const path = renderPath((first.path ?? []).map((key) => typeof key === "object" ? key.key : key))
  return path === "" ? first.message : `${path}: ${first.message}`
}

/** Some servers write `null` where they mean to leave a member out. */
const withoutNulls = (input: JsonObjectType): JsonObjectType =>
  Object.fromEntries(Object.entries(input).filter(([, value]) => value !== null))

/**
 * A decoder for a schema without transformations. It is compiled on first use.
 *
 * Returns the input itself when it matches. When it does not, members that are
 * `null` are taken for absent, and a copy without them gets a second chance.
 */
export const decoder = <S extends Schema.ConstraintDecoder<unknown>>(schema: S): Decoder<S["Type"]> => {
  const matches = Schema.is(schema)
  const explain = SchemaParser.decodeUnknownResult(schema)
  return (input) => {
    if (matches(input)) return Result.succeed(input)
    const cleaned = isJsonObject(input) ? withoutNulls(input) : input
    return matches(cleaned) ? Result.succeed(cleaned) : Result.mapError(explain(cleaned), describe)
  }
}
