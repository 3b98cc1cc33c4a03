/** Calling tools: which may be called, what goes with a call, and what counts as success. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Diagnostic } from "../Diagnostic.ts"
import * as McpError from "../McpError.ts"
import { ErrorCode, type JsonObject } from "../protocol/JsonRpc.ts"
import * as McpSchema from "../protocol/McpSchema.ts"
import type { CallOptions, InternalCallOptions } from "./exchange.ts"
import * as Lists from "./lists.ts"
import * as ToolHeaders from "./toolHeaders.ts"
import * as ToolResults from "./toolResults.ts"

type Result<A, R> = Effect.Effect<A, McpError.McpError, R>

/** Looks at a result as it arrives. */
type Check = (result: McpSchema.CallToolResult) => Result<McpSchema.CallToolResult, never>

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

const isHeaderMismatch = ({ reason }: McpError.McpError): boolean =>
  reason._tag === "RemoteError" && reason.code === ErrorCode.HeaderMismatch

export const make = (options: {
  readonly server: string
  /** All tools the server has. `admit` gets each page that arrives, and gives what of it is shown. */
  readonly list: (
    admit: (tools: ReadonlyArray<McpSchema.Tool>) => ReadonlyArray<McpSchema.Tool>
  ) => Lists.List<McpSchema.Tool>
  /** Makes the next list come from the server. */
  readonly forget: () => void
  /** Whether arguments are mirrored into headers. */
  readonly headers: boolean
  readonly outputSchema: ToolResults.OutputSchemaPolicy
  readonly allowed: ReadonlyArray<string> | undefined
  readonly blocked: ReadonlyArray<string> | undefined
  readonly call: <R>(
    tool: string,
    params: JsonObject,
    options: InternalCallOptions<R> | undefined,
    check: Check
  ) => Result<McpSchema.CallToolResult, R>
  readonly onDiagnostic: (diagnostic: Diagnostic) => void
}): Tools => {
  const { onDiagnostic, outputSchema, server } = options
  const fail = (reason: McpError.McpErrorReason) => Effect.fail(McpError.make(reason, server))
  const allowed = options.allowed === undefined ? undefined : new Set(options.allowed)
  const blocked = new Set(options.blocked)
  const isAllowed = (tool: string) => !blocked.has(tool) && (allowed === undefined || allowed.has(tool))

  const results = ToolResults.make({ server, policy: outputSchema, onDiagnostic })
  const headers = options.headers ? ToolHeaders.make(onDiagnostic) : undefined
  const list = options.list((page) => {
    const usable = headers === undefined ? page : headers.admit(page)
    results.learn(usable)
    return usable
  })

  /**
   * A server that misses a header knows the tool otherwise than it was listed,
   * and has done nothing yet: list again, and call once more (H-34).
   */
  const mirrored = <R>(
    headers: ToolHeaders.ToolHeaders,
    tool: string,
    params: { readonly name: string; readonly arguments?: JsonObject },
    callOptions: CallOptions<R> | undefined,
    check: Check
  ) => {
    const attempt = Effect.suspend(() =>
      options.call(tool, params, { ...callOptions, send: { headers: headers.of(tool, params.arguments) } }, check)
    )
    const { maxTotal, timeout } = callOptions ?? {}
    const refresh = Effect.suspend(() => {
      options.forget()
      return list.all({ maxTotal, timeout })
    })
    return Effect.catchIf(attempt, isHeaderMismatch, (mismatch) =>
      Effect.matchEffect(refresh, {
        onSuccess: () => attempt,
        onFailure: () => Effect.fail(mismatch)
      }))
  }

  const call: Tools["call"] = (tool, args, callOptions) => {
    if (!isAllowed(tool)) return fail(new McpError.ToolNotAllowed({ tool }))
    const params = args === undefined ? { name: tool } : { name: tool, arguments: args }
    const check = (result: McpSchema.CallToolResult) => results.check(tool, result)
    const called = headers === undefined
      ? options.call(tool, params, callOptions, check)
      : mirrored(headers, tool, params, callOptions, check)
    // To be strict about a tool's schema, it has to be known before the call.
    return outputSchema === "strict" && !results.knows(tool) ? Effect.andThen(list.all(), called) : called
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

  return { list: Lists.filter(list, (tool) => isAllowed(tool.name)), call, callOrFail, callAs }
}
