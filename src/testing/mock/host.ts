/** One mock server: its catalogue, the sessions it has, and its answers that are the same in every era. */
import * as Effect from "effect/Effect"
import * as JsonRpc from "../../protocol/JsonRpc.ts"
import type * as McpSchema from "../../protocol/McpSchema.ts"
import * as Revision from "../../protocol/Revision.ts"
import type { Catalogue } from "./catalogue.ts"
import { type Call, JsonRpcError } from "./declaration.ts"
import type { Recorder } from "./recorder.ts"

/** What a session is told besides what its client says. */
export interface Session {
  readonly listChanged: (kind: "tools" | "resources" | "prompts") => Effect.Effect<void>
  readonly resourceUpdated: (uri: string) => Effect.Effect<void>
  readonly log: (message: McpSchema.LogMessage) => Effect.Effect<void>
  readonly disconnect: (detail: string) => Effect.Effect<void>
}

export interface Host {
  readonly catalogue: Catalogue
  readonly recorder: Recorder
  readonly sessions: Set<Session>
  readonly info: McpSchema.Implementation
  readonly instructions: string | undefined
  readonly capabilities: McpSchema.ServerCapabilities
  readonly modern: ReadonlyArray<Revision.ModernRevision>
  readonly legacy: ReadonlyArray<Revision.LegacyRevision>
  /** Items on a page of a list; all when absent. */
  readonly pageSize: number | undefined
  /** How long clients may keep what is cacheable, in milliseconds. */
  readonly ttlMs: number
}

const fail = (code: number, message: string, data?: unknown) =>
  Effect.fail(new JsonRpcError({ code, message, ...(data === undefined ? undefined : { data }) }))
const invalid = (message: string) => fail(JsonRpc.ErrorCode.InvalidParams, message)

/** Refuses what the revision does not have and what the server does not declare (C-07). */
export const admit = (host: Host, revision: Revision.Revision, method: string): Effect.Effect<void, JsonRpcError> => {
  const lacks = Revision.lacks(revision, host.capabilities, method)
  return lacks === undefined ? Effect.void : fail(JsonRpc.ErrorCode.MethodNotFound, `Method not found: ${method} (${lacks})`)
}

/** Values a completion gives at once (CP-01). */
const maxCompletions = 100

const isStringRecord = (value: unknown): value is Readonly<Record<string, string>> =>
  JsonRpc.isJsonObject(value) && Object.values(value).every((member) => typeof member === "string")

/** Output schemas and structured results came with 2025-06-18; before 2026-07-28 both are objects (T-05). */
const isStructured = (revision: Revision.Revision, value: unknown): boolean =>
  Revision.isModern(revision) || (revision >= "2025-06-18" && JsonRpc.isJsonObject(value))

const describedFor = (revision: Revision.Revision, tool: McpSchema.Tool): McpSchema.Tool => {
  const { outputSchema, ...rest } = tool
  return outputSchema === undefined || Revision.isModern(revision) ||
      (revision >= "2025-06-18" && JsonRpc.isJsonObject(outputSchema) && outputSchema.type === "object")
    ? tool
    : rest
}

const resultFor = (revision: Revision.Revision, result: McpSchema.CallToolResult): JsonRpc.JsonObject => {
  const { structuredContent, ...rest } = result
  return structuredContent === undefined || isStructured(revision, structuredContent) ? { ...result } : rest
}

/** Answers what a handler or the catalogue answers. `call` is how a handler speaks back. */
export const answer = Effect.fnUntraced(function*(
  host: Host,
  method: string,
  params: JsonRpc.JsonObject,
  call: Call
): Effect.fn.Return<JsonRpc.JsonObject, JsonRpcError> {
  const { catalogue, recorder } = host
  switch (method) {
    case "tools/list":
      return yield* page(host, "tools", catalogue.tools, params, (tool) => describedFor(call.revision, tool))
    case "resources/list":
      return yield* page(host, "resources", catalogue.resources, params)
    case "resources/templates/list":
      return yield* page(host, "resourceTemplates", catalogue.templates, params)
    case "prompts/list":
      return yield* page(host, "prompts", catalogue.prompts, params)
    case "tools/call": {
      const { arguments: args = {}, name } = params
      if (typeof name !== "string") return yield* invalid("tools/call: name: Expected string")
      if (!JsonRpc.isJsonObject(args)) return yield* invalid("tools/call: arguments: Expected an object")
      const tool = catalogue.tools.get(name)
      if (tool === undefined) return yield* invalid(`Unknown tool: ${name}`)
      return resultFor(call.revision, yield* recorder.record(name, args, tool.run(args, call)))
    }
    case "resources/read": {
      const { uri } = params
      if (typeof uri !== "string") return yield* invalid("resources/read: uri: Expected string")
      const resource = catalogue.resources.get(uri)
      if (resource !== undefined) return { ...(yield* resource.read(call)) }
      for (const { match, read } of catalogue.templates.values()) {
        const variables = match(uri)
        if (variables !== undefined) return { ...(yield* read(uri, variables, call)) }
      }
      const { InvalidParams, ResourceNotFound } = JsonRpc.ErrorCode
      const code = Revision.isModern(call.revision) ? InvalidParams : ResourceNotFound
      return yield* fail(code, `Resource not found: ${uri}`, { uri })
    }
    case "prompts/get": {
      const { arguments: args = {}, name } = params
      if (typeof name !== "string") return yield* invalid("prompts/get: name: Expected string")
      const prompt = catalogue.prompts.get(name)
      if (prompt === undefined) return yield* invalid(`Unknown prompt: ${name}`)
      if (!isStringRecord(args)) return yield* invalid("prompts/get: arguments: Expected strings")
      for (const argument of prompt.definition.arguments ?? []) {
        if (argument.required === true && args[argument.name] === undefined) {
          return yield* invalid(`prompts/get: arguments.${argument.name}: Missing key`)
        }
      }
      return { ...(yield* prompt.get(args, call)) }
    }
    case "completion/complete":
      return yield* complete(catalogue, params)
    default:
      return yield* fail(JsonRpc.ErrorCode.MethodNotFound, `Method not found: ${method}`)
  }
})

const page = <A>(
  { pageSize = Infinity }: Host,
  key: string,
  items: ReadonlyMap<string, { readonly definition: A }>,
  { cursor }: JsonRpc.JsonObject,
  describe: (item: A) => A = (item) => item
): Effect.Effect<JsonRpc.JsonObject, JsonRpcError> => {
  const offset = cursor === undefined ? 0 : typeof cursor === "string" && /^from-\d+$/.test(cursor) ? Number(cursor.slice(5)) : -1
  if (offset < 0) return invalid("Invalid cursor")
  const all = [...items.values()]
  const end = offset + pageSize
  return Effect.succeed({
    [key]: all.slice(offset, end).map(({ definition }) => describe(definition)),
    ...(end < all.length ? { nextCursor: `from-${end}` } : undefined)
  })
}

const complete = Effect.fnUntraced(function*(catalogue: Catalogue, params: JsonRpc.JsonObject) {
  const ref = JsonRpc.isJsonObject(params.ref) ? params.ref : {}
  const { name, value } = JsonRpc.isJsonObject(params.argument) ? params.argument : {}
  if (typeof name !== "string" || typeof value !== "string") {
    return yield* invalid("completion/complete: argument: Expected a name and a value")
  }
  const target = ref.type === "ref/prompt" && typeof ref.name === "string" ? catalogue.prompts.get(ref.name)
    : ref.type === "ref/resource" && typeof ref.uri === "string" ? catalogue.templates.get(ref.uri)
    : undefined
  if (target === undefined) return yield* invalid("completion/complete: ref: Unknown prompt or resource template")
  const known = JsonRpc.isJsonObject(params.context) && isStringRecord(params.context.arguments)
    ? params.context.arguments
    : {}
  const values = (yield* target.complete[name]?.(value, known) ?? Effect.succeed([]))
  return {
    completion: {
      values: values.slice(0, maxCompletions),
      total: values.length,
      hasMore: values.length > maxCompletions
    }
  }
})
