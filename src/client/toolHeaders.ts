/**
 * Tools whose arguments are mirrored into headers, kept beside the list they
 * come from: a tool has to be listed before a call can mirror anything (H-36).
 */
import * as Result from "effect/Result"
import * as Diagnostic from "../Diagnostic.ts"
import type { JsonObject } from "../protocol/JsonRpc.ts"
import type * as McpSchema from "../protocol/McpSchema.ts"
import * as ParamHeaders from "../protocol/ParamHeaders.ts"

export interface ToolHeaders {
  /** Remembers the tools of a page, and gives it without those whose annotations are invalid (H-33). */
  readonly admit: (tools: ReadonlyArray<McpSchema.Tool>) => ReadonlyArray<McpSchema.Tool>
  /** The headers of one call; none for a tool that was never listed. */
  readonly of: (tool: string, args: JsonObject | undefined) => Readonly<Record<string, string>>
}

/** Tools remembered, the latest of a server that lists more. */
const capacity = 10_000

export const make = (onDiagnostic: (diagnostic: Diagnostic.Diagnostic) => void): ToolHeaders => {
  const known = new Map<string, ParamHeaders.ParamHeaders>()
  return {
    admit: (tools) =>
      tools.filter(({ inputSchema, name }) => {
        const compiled = ParamHeaders.compile(inputSchema)
        known.delete(name)
        if (Result.isFailure(compiled)) {
          const detail = `left out the tool "${name}", its headers are invalid: ${compiled.failure.join("; ")}`
          onDiagnostic(Diagnostic.Warning({ detail }))
          return false
        }
        known.set(name, compiled.success)
        for (const oldest of known.keys()) {
          if (known.size <= capacity) break
          known.delete(oldest)
        }
        return true
      }),
    of: (tool, args) => known.get(tool)?.headers(args) ?? {}
  }
}
