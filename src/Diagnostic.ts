/**
 * What a person debugging a server wants to see although no call failed: lines
 * on stderr, noise on stdout, answers nobody waits for. Published as a bounded
 * stream by `McpClient.diagnostics`; a reader who is too slow loses the oldest.
 */
import * as Data from "effect/Data"

export type Diagnostic = Data.TaggedEnum<{
  /** A line the server wrote to stderr. */
  Stderr: { readonly line: string }
  /** Something that is not a message of the protocol was skipped. */
  Skipped: { readonly detail: string; readonly excerpt: string }
  /** A reply to a request that was already answered, cancelled or given up, or that was never sent. */
  StrayReply: { readonly id: string | number | null; readonly kind: "late" | "unknown" }
  /** Something is not as it should be, but the connection goes on. */
  Warning: { readonly detail: string }
}>

const constructors = Data.taggedEnum<Diagnostic>()

export const Stderr: typeof constructors.Stderr = constructors.Stderr
export const Skipped: typeof constructors.Skipped = constructors.Skipped
export const StrayReply: typeof constructors.StrayReply = constructors.StrayReply
export const Warning: typeof constructors.Warning = constructors.Warning
export const match: typeof constructors.$match = constructors.$match
export const is: typeof constructors.$is = constructors.$is
