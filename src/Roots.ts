/**
 * Which folders a program shows to servers. Provide the service and the client
 * declares the capability. Deprecated by the protocol since 2026-07-28 but
 * functional (C-08).
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import type * as McpSchema from "./protocol/McpSchema.ts"

export class Roots extends Context.Service<Roots, {
  /** What `roots/list` is answered with; every uri must be `file://` (RO-01). */
  readonly list: (request: { readonly server: string }) => Effect.Effect<ReadonlyArray<McpSchema.Root>>
  /** Emits when the list has changed; legacy servers are then notified (RO-02). */
  readonly changes?: Stream.Stream<void> | undefined
}>()("mcp-connect/Roots") {}

/** A fixed list of roots. */
export const layer = (roots: ReadonlyArray<McpSchema.Root>): Layer.Layer<Roots> =>
  Layer.succeed(Roots, { list: () => Effect.succeed(roots) })
