/** What can go wrong on the way to a token, before it is told as a reason of an `McpError`. */
import * as Data from "effect/Data"
import type { Unauthorized } from "../McpError.ts"

export class Problem extends Data.TaggedError("AuthProblem")<{
  readonly stage: Unauthorized["stage"]
  readonly detail: string
  /** The error code of the authorization server. */
  readonly code?: string
}> {}

const outages: ReadonlySet<string> = new Set(["server_error", "temporarily_unavailable", "slow_down"])

/** Whether an error code of an authorization server, or its absence, says no more than that it is in trouble. */
export const isOutage = (code: string | undefined): boolean => code === undefined || outages.has(code)

/** Text of a peer that becomes part of a message: bounded, on one line, without controls (RFC 6749 allows no others). */
export const quoted = (text: string): string => text.replace(/[^\x20-\x7e]+/g, " ").slice(0, 200)
