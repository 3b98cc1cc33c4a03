import { assert } from "@effect/vitest"
import * as Exit from "effect/Exit"
import type * as McpError from "../../src/McpError.ts"

/** Why an operation failed; it must have failed with a typed error. */
export const reasonOf = <A>(exit: Exit.Exit<A, McpError.McpError>): McpError.McpErrorReason => {
  assert(Exit.isFailure(exit))
  const [reason] = exit.cause.reasons
  assert(reason?._tag === "Fail")
  return reason.error.reason
}
