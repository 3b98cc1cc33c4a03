/** What tools, prompts and messages are made of: blocks of content (T-07). */
import * as Schema from "effect/Schema"
import { isJsonObject } from "../JsonRpc.ts"
import { JsonObject } from "./Decoder.ts"
import { ResourceContents } from "./ResourceContents.ts"

export const Role = Schema.Literals(["user", "assistant"])
export type Role = typeof Role.Type

/** Hints about what something is for. From the server, so not to be trusted blindly (T-03). */
export const Annotations = Schema.Struct({
  /** Who should see it. */
  audience: Schema.optionalKey(Schema.Array(Role)),
  /** 1: needed, 0: entirely optional. */
  priority: Schema.optionalKey(Schema.Finite),
  /** ISO 8601. */
  lastModified: Schema.optionalKey(Schema.String)
})
export interface Annotations extends Schema.Schema.Type<typeof Annotations> {}

/** A picture that stands for something. `src` is http(s) or `data:`; anything else must not be loaded (IC-01). */
export const Icon = Schema.Struct({
  src: Schema.String,
  mimeType: Schema.optionalKey(Schema.String),
  /** `48x48`, or `any` for scalable formats. */
  sizes: Schema.optionalKey(Schema.Array(Schema.String)),
  theme: Schema.optionalKey(Schema.Literals(["light", "dark"]))
})
export interface Icon extends Schema.Schema.Type<typeof Icon> {}

const common = {
  annotations: Schema.optionalKey(Annotations),
  _meta: Schema.optionalKey(JsonObject)
}

export const TextContent = Schema.Struct({ ...common, type: Schema.Literal("text"), text: Schema.String })
export interface TextContent extends Schema.Schema.Type<typeof TextContent> {}

export const ImageContent = Schema.Struct({
  ...common,
  type: Schema.Literal("image"),
  /** Base64. */
  data: Schema.String,
  mimeType: Schema.String
})
export interface ImageContent extends Schema.Schema.Type<typeof ImageContent> {}

export const AudioContent = Schema.Struct({
  ...common,
  type: Schema.Literal("audio"),
  /** Base64. */
  data: Schema.String,
  mimeType: Schema.String
})
export interface AudioContent extends Schema.Schema.Type<typeof AudioContent> {}

/** Points at a resource, which may or may not be in the server's list. */
export const ResourceLink = Schema.Struct({
  ...common,
  type: Schema.Literal("resource_link"),
  uri: Schema.String,
  name: Schema.String,
  title: Schema.optionalKey(Schema.String),
  description: Schema.optionalKey(Schema.String),
  mimeType: Schema.optionalKey(Schema.String),
  /** Bytes, before any encoding. */
  size: Schema.optionalKey(Schema.Finite),
  icons: Schema.optionalKey(Schema.Array(Icon))
})
export interface ResourceLink extends Schema.Schema.Type<typeof ResourceLink> {}

/** The contents of a resource, inside the block. */
export const EmbeddedResource = Schema.Struct({
  ...common,
  type: Schema.Literal("resource"),
  resource: ResourceContents
})
export interface EmbeddedResource extends Schema.Schema.Type<typeof EmbeddedResource> {}

declare const opaque: unique symbol

/** Some string that is none of the known types; typed so that comparing `type` with a known one narrows. */
export type UnknownContentType = "unknown" & { readonly [opaque]: true }

/** A block of a type this library does not know, kept as it came. */
export interface UnknownContent {
  readonly type: UnknownContentType
  readonly [key: string]: unknown
}

const knownTypes: ReadonlySet<unknown> = new Set(["text", "image", "audio", "resource_link", "resource"])

export const isUnknownContent = (u: unknown): u is UnknownContent =>
  isJsonObject(u) && typeof u.type === "string" && !knownTypes.has(u.type)

export const UnknownContent: Schema.declare<UnknownContent> = Schema.declare(isUnknownContent, {
  expected: "a block of content"
})

export const ContentBlock: Schema.Codec<ContentBlock> = Schema.Union([
  TextContent,
  ImageContent,
  AudioContent,
  ResourceLink,
  EmbeddedResource,
  UnknownContent
])

/**
 * One block of content. `block.type` tells which:
 *
 * ```ts
 * const lines = result.content.flatMap((block) => block.type === "text" ? [block.text] : [])
 * ```
 */
export type ContentBlock = TextContent | ImageContent | AudioContent | ResourceLink | EmbeddedResource | UnknownContent

/** The text of all text blocks, one per line. */
export const textOf = (content: ReadonlyArray<ContentBlock>): string =>
  content.flatMap((block) => block.type === "text" ? [block.text] : []).join("\n")
