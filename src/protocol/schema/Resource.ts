/** Resources: what a server has to read (RS-01 … RS-07). */
import * as Schema from "effect/Schema"
import { Annotations, Icon } from "./Content.ts"
import { type Decoder, decoder, JsonObject } from "./Decoder.ts"
import { type Page, pageDecoder } from "./Page.ts"
import { ResourceContents } from "./ResourceContents.ts"

const common = {
  name: Schema.String,
  title: Schema.optionalKey(Schema.String),
  description: Schema.optionalKey(Schema.String),
  mimeType: Schema.optionalKey(Schema.String),
  icons: Schema.optionalKey(Schema.Array(Icon)),
  annotations: Schema.optionalKey(Annotations),
  _meta: Schema.optionalKey(JsonObject)
}

export const Resource = Schema.Struct({
  ...common,
  uri: Schema.String,
  /** Bytes, before any encoding. */
  size: Schema.optionalKey(Schema.Finite)
})
export interface Resource extends Schema.Schema.Type<typeof Resource> {}

/** Describes many resources by a template for their uris (RFC 6570). */
export const ResourceTemplate = Schema.Struct({ ...common, uriTemplate: Schema.String })
export interface ResourceTemplate extends Schema.Schema.Type<typeof ResourceTemplate> {}

export const ReadResourceResult = Schema.Struct({
  /** Usually one; several for a folder, for example. */
  contents: Schema.Array(ResourceContents),
  _meta: Schema.optionalKey(JsonObject)
})
export interface ReadResourceResult extends Schema.Schema.Type<typeof ReadResourceResult> {}

/** `resources/list`. */
export const decodeResourcePage: Decoder<Page<Resource>> = pageDecoder("resources", decoder(Resource))

/** `resources/templates/list`. */
export const decodeResourceTemplatePage: Decoder<Page<ResourceTemplate>> = pageDecoder(
  "resourceTemplates",
  decoder(ResourceTemplate)
)

/** `resources/read`. */
export const decodeReadResourceResult: Decoder<ReadResourceResult> = decoder(ReadResourceResult)
