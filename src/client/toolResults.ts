/**
 * Checks `structuredContent` against the `outputSchema` a tool declared (T-05,
 * T-06). Schemas are compiled when first needed, never fetched from a network,
 * and one bad schema never makes a tool unusable.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Diagnostic from "../Diagnostic.ts"
import * as McpError from "../McpError.ts"
import * as JsonSchema from "../protocol/JsonSchema.ts"
import type * as McpSchema from "../protocol/McpSchema.ts"

/**
 * What a mismatch leads to. `warn`: a diagnostic, the result is kept. `strict`:
 * the call fails with `InvalidToolResult`. `off`: nothing is checked.
 */
export type OutputSchemaPolicy = "warn" | "strict" | "off"

export interface ToolResults {
  /** Remembers the tools of a page. */
  readonly learn: (tools: ReadonlyArray<McpSchema.Tool>) => void
  readonly knows: (tool: string) => boolean
  readonly check: (
    tool: string,
    result: McpSchema.CallToolResult
  ) => Effect.Effect<McpSchema.CallToolResult, McpError.McpError>
}

/** Tools remembered; a server that lists more is checked for the latest of them. */
const capacity = 10_000

export const make = (options: {
  readonly server: string
  readonly policy: OutputSchemaPolicy
  readonly onDiagnostic: (diagnostic: Diagnostic.Diagnostic) => void
}): ToolResults => {
  const { onDiagnostic, policy, server } = options
  const tools = new Map<string, { readonly tool: McpSchema.Tool; validator: JsonSchema.Validator | undefined }>()

  const compiled = (name: string): JsonSchema.Validator | undefined => {
    const known = tools.get(name)
    if (known?.tool.outputSchema === undefined) return undefined
    if (known.validator === undefined) {
      const result = JsonSchema.compile(known.tool.outputSchema)
      if (Result.isFailure(result)) {
        onDiagnostic(Diagnostic.Warning({ detail: `the output schema of "${name}" cannot be used: ${result.failure}` }))
      }
      known.validator = Result.isSuccess(result) ? result.success : acceptsAnything
    }
    return known.validator
  }

  return {
    learn: (page) => {
      if (policy === "off") return
      for (const tool of page) {
        const known = tools.get(tool.name)
        if (known !== undefined && known.tool.outputSchema === tool.outputSchema) continue
        tools.delete(tool.name)
        tools.set(tool.name, { tool, validator: undefined })
      }
      for (const name of tools.keys()) {
        if (tools.size <= capacity) break
        tools.delete(name)
      }
    },
    knows: (tool) => tools.has(tool),
    check: (name, result) => {
      const validator = policy === "off" || result.isError === true ? undefined : compiled(name)
      if (validator === undefined) return Effect.succeed(result)
      const problems = result.structuredContent === undefined
        ? ["structuredContent is missing although an output schema is declared"]
        : validator.validate(result.structuredContent)
      if (problems.length === 0) return Effect.succeed(result)
      const detail = problems.join("; ")
      if (policy === "strict") {
        return Effect.fail(McpError.make(new McpError.InvalidToolResult({ tool: name, detail }), server))
      }
      onDiagnostic(Diagnostic.Warning({ detail: `the result of "${name}" does not fit its output schema: ${detail}` }))
      return Effect.succeed(result)
    }
  }
}

const acceptsAnything: JsonSchema.Validator = { dialect: "none", validate: () => [] }
