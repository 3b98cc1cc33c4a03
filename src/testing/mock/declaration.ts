/** What a mock server is declared with: plain data, and an effect for each thing it can be asked. */
import * as Effect from "effect/Effect"
import * as JsonSchema from "effect/JsonSchema"
import * as Schema from "effect/Schema"
import type { Progress } from "../../Connection.ts"
import * as JsonRpc from "../../protocol/JsonRpc.ts"
import * as McpSchema from "../../protocol/McpSchema.ts"
import type { Revision } from "../../protocol/Revision.ts"

/** Fail with this and the client gets the error as it is, not a result with `isError`. */
export class JsonRpcError extends Schema.TaggedError<JsonRpcError>("mcp-connect/testing/JsonRpcError")("JsonRpcError", {
  code: Schema.Int,
  message: Schema.String,
  data: Schema.optionalKey(Schema.Unknown)
}) {}

/** How a handler may fail: a text, or any error with a message. In a tool it becomes a result with `isError`. */
export type Failure = string | { readonly message: string }

/** What the user answered to a form. */
export type FormAnswer<A> =
  | { readonly action: "accept"; readonly content: A }
  | { readonly action: "decline" | "cancel" }

/**
 * The request a handler answers, and how it speaks with the client meanwhile.
 * Questions suspend the handler until they are answered, in both eras: a
 * legacy client gets a request, a modern one an `input_required` result. They
 * fail with `JsonRpcError` when the client cannot be asked or refuses.
 */
export interface Call {
  /** The revision the client speaks. */
  readonly revision: Revision
  /** The `_meta` of the request; in later rounds still that of the first. */
  readonly meta: JsonRpc.JsonObject
  /** Tells how far it is; nothing when the client did not ask to be told. */
  readonly progress: (progress: Progress) => Effect.Effect<void>
  /** Writes into the client's log, when it wants this level (LG-01, LG-02). */
  readonly log: (level: McpSchema.LoggingLevel, data: unknown, logger?: string) => Effect.Effect<void>
  /** Asks the user to fill in a form; `schema` is a struct of strings, numbers, booleans and choices (EL-02). */
  readonly elicit: <A, RD = never>(form: {
    readonly message: string
    readonly schema: Schema.ConstraintDecoder<A, RD>
  }) => Effect.Effect<FormAnswer<A>, JsonRpcError, RD>
  /** Sends the user to a page (EL-06). */
  readonly elicitUrl: (page: {
    readonly message: string
    readonly url: string
    /** Needed by clients of 2025-11-25. */
    readonly elicitationId?: string
  }) => Effect.Effect<"accept" | "decline" | "cancel", JsonRpcError>
  /** Uses the client's language model. */
  readonly sample: (
    request: McpSchema.CreateMessageRequest
  ) => Effect.Effect<McpSchema.CreateMessageResult, JsonRpcError>
  /** The folders the client shows. */
  readonly roots: Effect.Effect<ReadonlyArray<McpSchema.Root>, JsonRpcError>
}

// =============================================================================
// Tools
// =============================================================================

/** A text, or the whole result. */
export type ToolReply = string | McpSchema.CallToolResult

/** The concise form of a tool: takes any arguments, gives text. */
export type ToolFunction<R = never> = (args: JsonRpc.JsonObject, call: Call) => Effect.Effect<ToolReply, Failure, R>

/** A tool as {@link tool} makes it. */
export interface Tool<R = never> {
  readonly definition: Omit<McpSchema.Tool, "name">
  readonly run: ToolFunction<R>
}

/**
 * A typed tool. Arguments are decoded to `input` (a struct) and refused with
 * -32602 when they do not fit; what `run` gives is encoded with `output` into
 * `structuredContent`, with the same JSON as text. The JSON Schemas clients see
 * are derived from both. Without `output`, `run` gives a {@link ToolReply}.
 */
export const tool: {
  <I, O, E extends Failure, R, RD = never, RE = never>(
    options: ToolOptions & {
      readonly input: Schema.ConstraintCodec<I, unknown, RD, unknown>
      readonly output: Schema.ConstraintCodec<O, unknown, unknown, RE>
      readonly run: (input: I, call: Call) => Effect.Effect<O, E, R>
    }
  ): Tool<R | RD | RE>
  <I, E extends Failure, R, RD = never>(
    options: ToolOptions & {
      readonly input: Schema.ConstraintCodec<I, unknown, RD, unknown>
      readonly run: (input: I, call: Call) => Effect.Effect<ToolReply, E, R>
    }
  ): Tool<R | RD>
} = <I, O, E extends Failure, R, RD, RE>(
  { input, output, run, ...described }: ToolOptions & {
    readonly input: Schema.ConstraintCodec<I, unknown, RD, unknown>
    readonly output?: Schema.ConstraintCodec<O, unknown, unknown, RE>
    readonly run: (input: I, call: Call) => Effect.Effect<O, E, R>
  }
): Tool<R | RD | RE> => {
  const decode = Schema.decodeUnknownEffect(Schema.toCodecJson(input))
  const encode = output === undefined ? undefined : Schema.encodeUnknownEffect(Schema.toCodecJson(output))
  const reply = Effect.fnUntraced(function*(args: JsonRpc.JsonObject, call: Call) {
    const decoded = yield* Effect.mapError(decode(args, { errors: "all" }), ({ message }) =>
      new JsonRpcError({ code: JsonRpc.ErrorCode.InvalidParams, message: `Invalid arguments: ${oneLine(message)}` }))
    const result = yield* run(decoded, call)
    if (encode === undefined) return result as ToolReply
    // The declaration contradicts itself: that is for its author to see, not for the program under test.
    const structuredContent = yield* Effect.orDie(encode(result))
    return { content: [{ type: "text" as const, text: JSON.stringify(structuredContent) }], structuredContent }
  })
  return {
    definition: {
      ...described,
      inputSchema: objectSchemaOf(input),
      ...(output === undefined ? undefined : { outputSchema: jsonSchemaOf(output) })
    },
    run: reply
  }
}

/** What a tool says of itself besides its schemas. */
export interface ToolOptions extends Omit<McpSchema.Tool, "name" | "inputSchema" | "outputSchema"> {}

/** Schema -> JSON Schema 2020-12. */
export const jsonSchemaOf = (schema: Schema.Constraint): JsonRpc.JsonObject => {
  const { definitions, schema: root } = Schema.toJsonSchemaDocument(schema)
  return {
    $schema: JsonSchema.META_SCHEMA_URI_DRAFT_2020_12,
    ...root,
    ...(Object.keys(definitions).length === 0 ? undefined : { $defs: definitions })
  }
}

/** Arguments are always an object, also where a Schema (such as an empty struct) would take more. */
const objectSchemaOf = (schema: Schema.Constraint): JsonRpc.JsonObject => {
  const root = jsonSchemaOf(schema)
  if (root.type === "object" || root.$ref !== undefined) return { ...root, type: "object" }
  const { not: _, ...rest } = root
  return { ...rest, type: "object" }
}

const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, " ")

// =============================================================================
// Resources, prompts, completion
// =============================================================================

/** A text, or the contents in full. */
export type ResourceReply = string | ReadonlyArray<McpSchema.ResourceContents>

type Read<R> = (call: Call) => Effect.Effect<ResourceReply, Failure, R>

/** A resource; its key in the declaration is its uri. */
export interface Resource<R = never> extends Partial<Omit<McpSchema.Resource, "uri">> {
  readonly read: Read<R>
}

/** Gives the values that fit what was typed; `context` has the other arguments. */
export type Complete<R = never> = (
  value: string,
  context: Readonly<Record<string, string>>
) => Effect.Effect<ReadonlyArray<string>, Failure, R>

/** Resources by a pattern; its key is the uri template, with `{name}` (no slash) and `{+name}` (anything). */
export interface Template<R = never> extends Partial<Omit<McpSchema.ResourceTemplate, "uriTemplate">> {
  readonly read: (
    variables: Readonly<Record<string, string>>,
    call: Call
  ) => Effect.Effect<ResourceReply, Failure, R>
  readonly complete?: Readonly<Record<string, Complete<R>>>
}

/** A text is one message of the user. */
export type PromptReply = string | McpSchema.GetPromptResult

export type PromptFunction<R = never> = (
  args: Readonly<Record<string, string>>,
  call: Call
) => Effect.Effect<PromptReply, Failure, R>

export interface Prompt<R = never> extends Partial<Omit<McpSchema.Prompt, "name">> {
  readonly get: PromptFunction<R>
  readonly complete?: Readonly<Record<string, Complete<R>>>
}

// =============================================================================
// The declaration
// =============================================================================

/** `undefined` takes something away, in an update. */
type Named<A> = Readonly<Record<string, A | undefined>>

/**
 * A server. Its capabilities follow from what is here: `tools: {}` is a server
 * with tools that has none yet, no `tools` is one that knows no tools.
 */
export interface Declaration<R = never> {
  readonly tools?: Named<Tool<R> | ToolFunction<R>>
  /** By uri. A string is the text of the resource. */
  readonly resources?: Named<Resource<R> | Read<R> | string>
  /** By uri template. */
  readonly templates?: Named<Template<R>>
  readonly prompts?: Named<Prompt<R> | PromptFunction<R>>
  /** Default `mock` 1.0.0. */
  readonly info?: McpSchema.Implementation
  readonly instructions?: string
  /** Added to, or in place of, those that follow from the declaration. */
  readonly capabilities?: McpSchema.ServerCapabilities
}

type Members<T> = T extends object ? T[keyof T] : never

type NeededBy<T> = T extends (...args: never) => Effect.Effect<unknown, unknown, infer R> ? R
  : T extends { readonly definition: unknown; readonly run: infer F } ? NeededBy<F>
  : T extends { readonly read: infer F } ? NeededBy<F> | (T extends { readonly complete: infer C } ? NeededBy<Members<C>> : never)
  : T extends { readonly get: infer F } ? NeededBy<F> | (T extends { readonly complete: infer C } ? NeededBy<Members<C>> : never)
  : never

/** The services the handlers of a declaration need. */
export type Services<D> =
  | (D extends { readonly tools: infer T } ? NeededBy<Members<T>> : never)
  | (D extends { readonly resources: infer T } ? NeededBy<Members<T>> : never)
  | (D extends { readonly templates: infer T } ? NeededBy<Members<T>> : never)
  | (D extends { readonly prompts: infer T } ? NeededBy<Members<T>> : never)
