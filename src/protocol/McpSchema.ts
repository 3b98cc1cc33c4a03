/**
 * The shapes of the protocol, for all revisions: types to program with, and
 * decoders that check what a server sent and return it unchanged.
 */
export * from "./schema/Content.ts"
export type { Decoder } from "./schema/Decoder.ts"
export * from "./schema/Discovery.ts"
export * from "./schema/Elicitation.ts"
export * from "./schema/Logging.ts"
export * from "./schema/Page.ts"
export * from "./schema/Prompt.ts"
export * from "./schema/Resource.ts"
export * from "./schema/ResourceContents.ts"
export * from "./schema/Roots.ts"
export * from "./schema/Sampling.ts"
export * from "./schema/Tool.ts"
