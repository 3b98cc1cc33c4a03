/** Who is who, and what each side can do: `server/discover` (D-02) and `initialize` (L-01). */
import * as Schema from "effect/Schema"
import { isJsonObject, type JsonObject as JsonObjectType } from "../JsonRpc.ts"
import { Icon } from "./Content.ts"
import { type Decoder, decoder } from "./Decoder.ts"

/** A program that speaks the protocol. For display and logs only, never for decisions (M-08). */
export const Implementation = Schema.Struct({
  name: Schema.String,
  version: Schema.String,
  title: Schema.optionalKey(Schema.String),
  description: Schema.optionalKey(Schema.String),
  websiteUrl: Schema.optionalKey(Schema.String),
  icons: Schema.optionalKey(Schema.Array(Icon))
})
export interface Implementation extends Schema.Schema.Type<typeof Implementation> {}

/** What this client can do for servers (C-01, L-04). Values are objects; a capability is there or absent (C-03). */
export interface ClientCapabilities {
  readonly roots?: { readonly listChanged?: boolean }
  readonly sampling?: { readonly context?: JsonObjectType; readonly tools?: JsonObjectType }
  /** `{}` means forms only (C-04). */
  readonly elicitation?: { readonly form?: JsonObjectType; readonly url?: JsonObjectType }
  readonly experimental?: { readonly [name: string]: JsonObjectType }
  readonly extensions?: { readonly [id: string]: JsonObjectType }
}

/** What a server can do (C-02). Servers also send capabilities that are not listed here; they are kept. */
export interface ServerCapabilities {
  readonly tools?: { readonly listChanged?: boolean }
  readonly resources?: { readonly subscribe?: boolean; readonly listChanged?: boolean }
  readonly prompts?: { readonly listChanged?: boolean }
  readonly completions?: JsonObjectType
  readonly logging?: JsonObjectType
  readonly experimental?: JsonObjectType
  readonly extensions?: JsonObjectType
  readonly [other: string]: JsonObjectType | undefined
}

/** What a server says of itself, in either era. */
export interface Server {
  readonly info: Implementation | undefined
  readonly capabilities: ServerCapabilities
  /** How to use the server, written for a model's system prompt (D-04). */
  readonly instructions: string | undefined
}

const isImplementation = Schema.is(Implementation)

/**
 * Reads what a server says of itself out of the result of `server/discover` or
 * `initialize`. Nothing in it decides whether one can talk to the server, so
 * what is missing or malformed is left out instead of failing (D-06).
 */
export const serverOf = (result: JsonObjectType): Server => {
  const meta = isJsonObject(result._meta) ? result._meta["io.modelcontextprotocol/serverInfo"] : undefined
  const info = [meta, result.serverInfo].find(isImplementation)
  const declared = isJsonObject(result.capabilities) ? Object.entries(result.capabilities) : []
  return {
    info,
    capabilities: Object.fromEntries(
      declared.flatMap(([name, capability]) => isJsonObject(capability) ? [[name, capability]] : [])
    ),
    instructions: typeof result.instructions === "string" ? result.instructions : undefined
  }
}

/** The part of the result of `server/discover` that decides about the era; `serverOf` reads the rest. */
export const DiscoverResult = Schema.Struct({ supportedVersions: Schema.Array(Schema.String) })
export interface DiscoverResult extends Schema.Schema.Type<typeof DiscoverResult> {}

/** The part of the result of `initialize` that decides about the revision; `serverOf` reads the rest. */
export const InitializeResult = Schema.Struct({ protocolVersion: Schema.String })
export interface InitializeResult extends Schema.Schema.Type<typeof InitializeResult> {}

export const decodeDiscoverResult: Decoder<DiscoverResult> = decoder(DiscoverResult)

export const decodeInitializeResult: Decoder<InitializeResult> = decoder(InitializeResult)
