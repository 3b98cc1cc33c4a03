/** Sampling: a server asks to use the client's language model (SA-01 … SA-08). */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { JsonObject as JsonObjectType } from "../JsonRpc.ts"
import { AudioContent, ContentBlock, ImageContent, Role, TextContent } from "./Content.ts"
import { type Decoder, decoder, JsonObject } from "./Decoder.ts"
import { Tool } from "./Tool.ts"

/** The model called a tool. */
export const ToolUseContent = Schema.Struct({
  type: Schema.Literal("tool_use"),
  id: Schema.String,
  name: Schema.String,
  input: JsonObject,
  _meta: Schema.optionalKey(JsonObject)
})
export interface ToolUseContent extends Schema.Schema.Type<typeof ToolUseContent> {}

/** What the tool answered. */
export const ToolResultContent = Schema.Struct({
  type: Schema.Literal("tool_result"),
  toolUseId: Schema.String,
  content: Schema.Array(ContentBlock),
  structuredContent: Schema.optionalKey(Schema.Unknown),
  isError: Schema.optionalKey(Schema.Boolean),
  _meta: Schema.optionalKey(JsonObject)
})
export interface ToolResultContent extends Schema.Schema.Type<typeof ToolResultContent> {}

export const SamplingContent: Schema.Codec<SamplingContent> = Schema.Union([
  TextContent,
  ImageContent,
  AudioContent,
  ToolUseContent,
  ToolResultContent
]).annotate({ expected: "a block of content" })
export type SamplingContent = TextContent | ImageContent | AudioContent | ToolUseContent | ToolResultContent

export const SamplingMessage = Schema.Struct({
  role: Role,
  /** A single block before 2025-11-25, one or several since. */
  content: Schema.Union([SamplingContent, Schema.Array(SamplingContent)]).annotate({
    expected: "one or several blocks of content"
  }),
  _meta: Schema.optionalKey(JsonObject)
})
export interface SamplingMessage extends Schema.Schema.Type<typeof SamplingMessage> {}

/** What the server would like of the model; the client decides (SA-04). Priorities are between 0 and 1. */
export const ModelPreferences = Schema.Struct({
  /** Parts of model names, the best first. They count for more than the priorities. */
  hints: Schema.optionalKey(Schema.Array(Schema.Struct({ name: Schema.optionalKey(Schema.String) }))),
  costPriority: Schema.optionalKey(Schema.Finite),
  speedPriority: Schema.optionalKey(Schema.Finite),
  intelligencePriority: Schema.optionalKey(Schema.Finite)
})
export interface ModelPreferences extends Schema.Schema.Type<typeof ModelPreferences> {}

/** The params of `sampling/createMessage`. */
export const CreateMessageRequest = Schema.Struct({
  messages: Schema.Array(SamplingMessage),
  modelPreferences: Schema.optionalKey(ModelPreferences),
  systemPrompt: Schema.optionalKey(Schema.String),
  includeContext: Schema.optionalKey(Schema.Literals(["none", "thisServer", "allServers"])),
  temperature: Schema.optionalKey(Schema.Finite),
  /** The model must not be allowed to write more than this (SA-04). */
  maxTokens: Schema.Finite,
  stopSequences: Schema.optionalKey(Schema.Array(Schema.String)),
  metadata: Schema.optionalKey(JsonObject),
  tools: Schema.optionalKey(Schema.Array(Tool)),
  toolChoice: Schema.optionalKey(
    Schema.Struct({ mode: Schema.optionalKey(Schema.Literals(["auto", "required", "none"])) })
  ),
  _meta: Schema.optionalKey(JsonObject)
})
export interface CreateMessageRequest extends Schema.Schema.Type<typeof CreateMessageRequest> {}

/** The answer to `sampling/createMessage`. */
export interface CreateMessageResult {
  readonly role: Role
  readonly content: SamplingContent | ReadonlyArray<SamplingContent>
  /** The name of the model that wrote it. */
  readonly model: string
  /** `endTurn`, `stopSequence`, `maxTokens`, `toolUse`, or the model's own word. */
  readonly stopReason?: string
  readonly _meta?: JsonObjectType
}

/** The blocks of a message, also when it is a single one. */
export const blocksOf = (message: Pick<SamplingMessage, "content">): ReadonlyArray<SamplingContent> => {
  const { content } = message
  return "type" in content ? [content] : content
}

/**
 * What is wrong with the tool calls in a conversation, if anything: results
 * stand alone in a user's message, and answer exactly the calls of the
 * assistant's message before it (SA-06).
 */
const toolExchangeProblem = (messages: ReadonlyArray<SamplingMessage>): string | undefined => {
  let open = new Set<string>()
  for (const [index, message] of messages.entries()) {
    const blocks = blocksOf(message)
    const results = blocks.flatMap((block) => block.type === "tool_result" ? [block.toolUseId] : [])
    const uses = blocks.flatMap((block) => block.type === "tool_use" ? [block.id] : [])
    if (results.length > 0 && (message.role !== "user" || results.length !== blocks.length)) {
      return `messages[${index}]: tool results stand alone in a message of the user`
    }
    if (uses.length > 0 && message.role !== "assistant") {
      return `messages[${index}]: only the assistant calls tools`
    }
    if (new Set(results).size !== results.length || results.length !== open.size || !results.every((id) => open.has(id))) {
      return `messages[${index}]: its tool results are not those of the calls in the message before`
    }
    open = new Set(uses)
  }
  return open.size === 0 ? undefined : "the last message calls tools that nothing answers"
}

const decodeShape: Decoder<CreateMessageRequest> = decoder(CreateMessageRequest)

/** `sampling/createMessage`: its shape, and that tool calls and results belong together (SA-06). */
export const decodeCreateMessageRequest: Decoder<CreateMessageRequest> = (params) =>
  Result.flatMap(decodeShape(params), (request) => {
    const problem = toolExchangeProblem(request.messages)
    return problem === undefined ? Result.succeed(request) : Result.fail(problem)
  })
