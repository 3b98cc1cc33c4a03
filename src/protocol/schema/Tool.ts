/** Tools: what a server can do (T-01 … T-10). */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { isJsonObject, type JsonObject as JsonObjectType } from "../JsonRpc.ts"
import { ContentBlock, Icon } from "./Content.ts"
import { type Decoder, decoder, JsonObject } from "./Decoder.ts"
import { type Page, pageDecoder } from "./Page.ts"

/** What a tool says of itself. Hints of the server, to be believed only if the server is (T-03). */
export const ToolAnnotations = Schema.Struct({
  title: Schema.optionalKey(Schema.String),
  /** It changes nothing. Default: false. */
  readOnlyHint: Schema.optionalKey(Schema.Boolean),
  /** It may destroy something. Default: true. */
  destructiveHint: Schema.optionalKey(Schema.Boolean),
  /** Calling it twice with the same arguments does no more than once. Default: false. */
  idempotentHint: Schema.optionalKey(Schema.Boolean),
  /** It reaches beyond the server, such as the web. Default: true. */
  openWorldHint: Schema.optionalKey(Schema.Boolean)
})
export interface ToolAnnotations extends Schema.Schema.Type<typeof ToolAnnotations> {}

export const Tool = Schema.Struct({
  /** Unique on its server, case-sensitive. */
  name: Schema.String,
  /** For people; see `displayName`. */
  title: Schema.optionalKey(Schema.String),
  /** For the model. */
  description: Schema.optionalKey(Schema.String),
  icons: Schema.optionalKey(Schema.Array(Icon)),
  /** JSON Schema of the arguments, exactly as the server wrote it (T-02). */
  inputSchema: JsonObject,
  /** JSON Schema of `structuredContent`, exactly as the server wrote it. */
  outputSchema: Schema.optionalKey(Schema.Union([JsonObject, Schema.Boolean])),
  annotations: Schema.optionalKey(ToolAnnotations),
  /** Legacy tasks (2025-11-25): whether it may, or must, be called as a task. */
  execution: Schema.optionalKey(JsonObject),
  _meta: Schema.optionalKey(JsonObject)
})
export interface Tool extends Schema.Schema.Type<typeof Tool> {}

/** What to show to a person. */
export const displayName = (tool: Tool): string => tool.title ?? tool.annotations?.title ?? tool.name

export const CallToolResult = Schema.Struct({
  content: Schema.Array(ContentBlock),
  /** Any JSON value, described by the tool's `outputSchema` (T-05). */
  structuredContent: Schema.optionalKey(Schema.Unknown),
  /** The tool failed; `content` says why, for the model to read (E-02). */
  isError: Schema.optionalKey(Schema.Boolean),
  _meta: Schema.optionalKey(JsonObject)
})
export interface CallToolResult extends Schema.Schema.Type<typeof CallToolResult> {}

/** `tools/list`. */
export const decodeToolPage: Decoder<Page<Tool>> = pageDecoder("tools", decoder(Tool))

const decodeResult: Decoder<CallToolResult> = decoder(CallToolResult)

const isPlainText = (block: unknown): boolean =>
  isJsonObject(block) && block.type === "text" && typeof block.text === "string" &&
  block.annotations === undefined && block._meta === undefined

/**
 * Plain text, by far the commonest result, is recognised by hand: the schema
 * takes twice as long as parsing the JSON, and more than half as long as all
 * the rest of a call.
 */
const isPlainResult = (result: JsonObjectType): result is JsonObjectType & CallToolResult =>
  Array.isArray(result.content) && result.content.every(isPlainText) &&
  (result.isError === undefined || typeof result.isError === "boolean") && result._meta === undefined

/** `tools/call`. Missing content, as some servers send with structured content, is no content. */
export const decodeCallToolResult: Decoder<CallToolResult> = (result) => {
  if (!isJsonObject(result)) return decodeResult(result)
  if (isPlainResult(result)) return Result.succeed(result)
  return decodeResult(result.content === undefined || result.content === null ? { ...result, content: [] } : result)
}
