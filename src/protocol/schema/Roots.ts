/** Roots: the folders a client shows to a server (RO-01). */
import type { JsonObject } from "../JsonRpc.ts"

export interface Root {
  /** Must begin with `file://`. */
  readonly uri: string
  readonly name?: string
  readonly _meta?: JsonObject
}
