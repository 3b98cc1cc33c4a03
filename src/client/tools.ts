/** Calling tools: which may be called, and what counts as success. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as McpError from "../McpError.ts"
import type { JsonObject } from "../protocol/JsonRpc.ts"
import * as McpSchema from "../protocol/McpSchema.ts"
import type { CallOptions } from "./exchange.ts"
import * as Lists from "./lists.ts"
import type { ToolResults } from "./toolResults.ts"

type Result<A, R> = Effect.Effect<A, McpError.McpError, R>

export interface Tools {
  readonly list: Lists.List<McpSchema.Tool>
  readonly call: <R = never>(
    tool: string,
    args?: JsonObject,
    options?: CallOptions<R>
  ) => Result<McpSchema.CallToolResult, R>
  readonly callOrFail: Tools["call"]
  readonly callAs: <A, R = never, RD = never>(
    tool: string,
    args: JsonObject,
    schema: Schema.Decoder<A, RD>,
    options?: CallOptions<R>
  ) => Result<A, R | RD>
}

export const make = (options: {
  readonly server: string
  readonly list: Lists.List<McpSchema.Tool>
  readonly results: ToolResults
  /** To be strict about a tool's schema, it has to be known before the call. */
  readonly listBeforeCall: boolean
  readonly allowed: ReadonlyArray<string> | undefined
  readonly blocked: ReadonlyArray<string> | undefined
  readonly call: <R>(
    tool: string,
    params: JsonObject,
    options: CallOptions<R> | undefined
  ) => Result<McpSchema.CallToolResult, R>
}): Tools => {
  const { results, server } = options
  const fail = (reason: McpError.McpErrorReason) => Effect.fail(McpError.make(reason, server))
  const allowed = options.allowed === undefined ? undefined : new Set(options.allowed)
  const blocked = new Set(options.blocked)
  const isAllowed = (tool: string) => !blocked.has(tool) && (allowed === undefined || allowed.has(tool))

  const call: Tools["call"] = (tool, args, callOptions) => {
    if (!isAllowed(tool)) return fail(new McpError.ToolNotAllowed({ tool }))
    const params = args === undefined ? { name: tool } : { name: tool, arguments: args }
    const checked = Effect.flatMap(options.call(tool, params, callOptions), (result) => results.check(tool, result))
    return options.listBeforeCall && !results.knows(tool) ? Effect.andThen(options.list.all(), checked) : checked
  }

  const callOrFail: Tools["call"] = (tool, args, callOptions) =>
    Effect.flatMap(call(tool, args, callOptions), (result) =>
      result.isError === true
        ? fail(new McpError.ToolFailed({ tool, text: McpSchema.textOf(result.content), result }))
        : Effect.succeed(result))

  const callAs: Tools["callAs"] = (tool, args, schema, callOptions) => {
    const decode = Schema.decodeUnknownEffect(schema)
    const decodeText = Schema.decodeUnknownEffect(Schema.fromJsonString(schema))
    return Effect.flatMap(callOrFail(tool, args, callOptions), ({ content, structuredContent }) =>
      Effect.catch(
        structuredContent === undefined ? decodeText(McpSchema.textOf(content)) : decode(structuredContent),
        (error) => fail(new McpError.InvalidToolResult({ tool, detail: error.message }))
      ))
  }

  return { list: Lists.filter(options.list, (tool) => isAllowed(tool.name)), call, callOrFail, callAs }
}
