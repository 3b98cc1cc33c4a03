/** What is inside a resource: read from it, or embedded in a block of content. */
import * as Schema from "effect/Schema"
import { JsonObject } from "./Decoder.ts"

const common = {
  /** May differ from the uri that was asked for (RS-01). */
  uri: Schema.String,
  mimeType: Schema.optionalKey(Schema.String),
  _meta: Schema.optionalKey(JsonObject)
}

export const TextResourceContents = Schema.Struct({ ...common, text: Schema.String })
export interface TextResourceContents extends Schema.Schema.Type<typeof TextResourceContents> {}

export const BlobResourceContents = Schema.Struct({
  ...common,
  /** Base64. */
  blob: Schema.String
})
export interface BlobResourceContents extends Schema.Schema.Type<typeof BlobResourceContents> {}

/** `"text" in contents` tells which. */
export const ResourceContents: Schema.Codec<ResourceContents> = Schema.Union([TextResourceContents, BlobResourceContents])
export type ResourceContents = TextResourceContents | BlobResourceContents
