/** Prompts: templates a user can pick (PR-01), and completion of what they type (CP-01). */
import * as Schema from "effect/Schema"
import { ContentBlock, Icon, Role } from "./Content.ts"
import { type Decoder, decoder, JsonObject } from "./Decoder.ts"
import { type Page, pageDecoder } from "./Page.ts"

export const PromptArgument = Schema.Struct({
  name: Schema.String,
  title: Schema.optionalKey(Schema.String),
  description: Schema.optionalKey(Schema.String),
  /** Default: false. */
  required: Schema.optionalKey(Schema.Boolean)
})
export interface PromptArgument extends Schema.Schema.Type<typeof PromptArgument> {}

export const Prompt = Schema.Struct({
  name: Schema.String,
  title: Schema.optionalKey(Schema.String),
  description: Schema.optionalKey(Schema.String),
  /** Their values are always strings. */
  arguments: Schema.optionalKey(Schema.Array(PromptArgument)),
  icons: Schema.optionalKey(Schema.Array(Icon)),
  _meta: Schema.optionalKey(JsonObject)
})
export interface Prompt extends Schema.Schema.Type<typeof Prompt> {}

export const PromptMessage = Schema.Struct({ role: Role, content: ContentBlock })
export interface PromptMessage extends Schema.Schema.Type<typeof PromptMessage> {}

export const GetPromptResult = Schema.Struct({
  description: Schema.optionalKey(Schema.String),
  messages: Schema.Array(PromptMessage),
  _meta: Schema.optionalKey(JsonObject)
})
export interface GetPromptResult extends Schema.Schema.Type<typeof GetPromptResult> {}

export const CompleteResult = Schema.Struct({
  completion: Schema.Struct({
    /** At most 100. */
    values: Schema.Array(Schema.String),
    /** How many there are in all, if the server knows. */
    total: Schema.optionalKey(Schema.Finite),
    hasMore: Schema.optionalKey(Schema.Boolean)
  }),
  _meta: Schema.optionalKey(JsonObject)
})
export interface CompleteResult extends Schema.Schema.Type<typeof CompleteResult> {}

/** `prompts/list`. */
export const decodePromptPage: Decoder<Page<Prompt>> = pageDecoder("prompts", decoder(Prompt))

/** `prompts/get`. */
export const decodeGetPromptResult: Decoder<GetPromptResult> = decoder(GetPromptResult)

/** `completion/complete`. */
export const decodeCompleteResult: Decoder<CompleteResult> = decoder(CompleteResult)
