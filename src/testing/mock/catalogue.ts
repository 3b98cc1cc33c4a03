/** A declaration made ready to be asked: every handler has its services, its definition and one kind of failure. */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as JsonRpc from "../../protocol/JsonRpc.ts"
import type * as McpSchema from "../../protocol/McpSchema.ts"
import type { Call, Complete, Declaration, Failure, Prompt, ResourceReply, Template, Tool } from "./declaration.ts"
import { JsonRpcError } from "./declaration.ts"

type Handled<A> = Effect.Effect<A, JsonRpcError>
type Completions = Readonly<Record<string, (
  value: string,
  context: Readonly<Record<string, string>>
) => Handled<ReadonlyArray<string>>>>

export interface Catalogue {
  readonly tools: Map<string, {
    readonly definition: McpSchema.Tool
    readonly run: (args: JsonRpc.JsonObject, call: Call) => Handled<McpSchema.CallToolResult>
  }>
  readonly resources: Map<string, {
    readonly definition: McpSchema.Resource
    readonly read: (call: Call) => Handled<McpSchema.ReadResourceResult>
  }>
  readonly templates: Map<string, {
    readonly definition: McpSchema.ResourceTemplate
    /** The values of the variables, when the uri is one of these. */
    readonly match: (uri: string) => Readonly<Record<string, string>> | undefined
    readonly read: (
      uri: string,
      variables: Readonly<Record<string, string>>,
      call: Call
    ) => Handled<McpSchema.ReadResourceResult>
    readonly complete: Completions
  }>
  readonly prompts: Map<string, {
    readonly definition: McpSchema.Prompt
    readonly get: (args: Readonly<Record<string, string>>, call: Call) => Handled<McpSchema.GetPromptResult>
    readonly complete: Completions
  }>
}

export const make = (): Catalogue => ({
  tools: new Map(),
  resources: new Map(),
  templates: new Map(),
  prompts: new Map()
})

/** What an update did, for those who listen. */
export interface Changes {
  readonly lists: ReadonlyArray<"tools" | "resources" | "prompts">
  /** Resources that were there and are now others. */
  readonly resources: ReadonlyArray<string>
}

const textOf = (failure: Failure): string => typeof failure === "string" ? failure : failure.message

const asError = (failure: Failure): JsonRpcError =>
  failure instanceof JsonRpcError
    ? failure
    : new JsonRpcError({ code: JsonRpc.ErrorCode.InternalError, message: textOf(failure) })

/** Puts what is declared into the catalogue, takes out what is `undefined`. */
export const apply = <R>(
  catalogue: Catalogue,
  declaration: Declaration<R>,
  context: Context.Context<R>
): Changes => {
  const handled = <A>(effect: Effect.Effect<A, Failure, R>): Handled<A> =>
    Effect.mapError(Effect.provideContext(effect, context), asError)
  const completions = (complete: Readonly<Record<string, Complete<R>>> | undefined): Completions =>
    Object.fromEntries(
      Object.entries(complete ?? {}).map(([name, values]) => [
        name,
        (value: string, known: Readonly<Record<string, string>>) => handled(values(value, known))
      ])
    )
  const lists = new Set<"tools" | "resources" | "prompts">()
  const replaced: Array<string> = []

  /** Sets or removes each item of one kind. */
  const each = <A, B>(
    items: Readonly<Record<string, A | undefined>> | undefined,
    target: Map<string, B>,
    make: (key: string, item: A) => B
  ) => {
    for (const [key, item] of Object.entries(items ?? {})) {
      if (item === undefined) target.delete(key)
      else target.set(key, make(key, item))
    }
  }

  each(declaration.tools, catalogue.tools, (name, item) => {
    const tool: Tool<R> = typeof item === "function" ? { definition: { inputSchema: { type: "object" } }, run: item } : item
    return {
      definition: { name, ...tool.definition },
      run: (args, call) =>
        Effect.provideContext(tool.run(args, call), context).pipe(
          Effect.map((reply) => typeof reply === "string" ? { content: [{ type: "text" as const, text: reply }] } : reply),
          Effect.catch((failure) =>
            failure instanceof JsonRpcError
              ? Effect.fail(failure)
              : Effect.succeed({ content: [{ type: "text" as const, text: textOf(failure) }], isError: true }))
        )
    }
  })
  if (Object.keys(declaration.tools ?? {}).length > 0) lists.add("tools")

  for (const [uri, item] of Object.entries(declaration.resources ?? {})) {
    if (item !== undefined && catalogue.resources.has(uri)) replaced.push(uri)
    else lists.add("resources")
  }
  each(declaration.resources, catalogue.resources, (uri, item) => {
    const { read, ...described } = typeof item === "string"
      ? { read: () => Effect.succeed(item) }
      : typeof item === "function" ? { read: item } : item
    return {
      definition: { name: uri, ...described, uri },
      read: (call) => Effect.map(handled(read(call)), (reply) => contentsOf(uri, described.mimeType, reply))
    }
  })
  each(declaration.templates, catalogue.templates, (uriTemplate, { complete, read, ...described }: Template<R>) => ({
    definition: { name: uriTemplate, ...described, uriTemplate },
    match: matcherOf(uriTemplate),
    read: (uri, variables, call) =>
      Effect.map(handled(read(variables, call)), (reply) => contentsOf(uri, described.mimeType, reply)),
    complete: completions(complete)
  }))
  if (Object.keys(declaration.templates ?? {}).length > 0) lists.add("resources")

  each(declaration.prompts, catalogue.prompts, (name, item) => {
    const { complete, get, ...described }: Prompt<R> = typeof item === "function" ? { get: item } : item
    return {
      definition: { ...described, name },
      get: (args, call) =>
        Effect.map(handled(get(args, call)), (reply) =>
          typeof reply === "string"
            ? { messages: [{ role: "user" as const, content: { type: "text" as const, text: reply } }] }
            : reply),
      complete: completions(complete)
    }
  })
  if (Object.keys(declaration.prompts ?? {}).length > 0) lists.add("prompts")

  return { lists: [...lists], resources: replaced }
}

const contentsOf = (uri: string, mimeType: string | undefined, reply: ResourceReply): McpSchema.ReadResourceResult => ({
  contents: typeof reply === "string"
    ? [{ uri, text: reply, ...(mimeType === undefined ? undefined : { mimeType }) }]
    : reply
})

const variable = /\{(\+?)([A-Za-z_]\w*)\}/g

/** Recognises the uris of a template: `{name}` stands for anything without a slash, `{+name}` for anything. */
const matcherOf = (template: string): (uri: string) => Readonly<Record<string, string>> | undefined => {
  const names: Array<string> = []
  let pattern = ""
  let end = 0
  for (const match of template.matchAll(variable)) {
    const [whole, reserved, name = ""] = match
    names.push(name)
    pattern += escape(template.slice(end, match.index)) + (reserved === "+" ? "(.+)" : "([^/]+)")
    end = match.index + whole.length
  }
  if (/[{}]/.test(template.replace(variable, ""))) {
    throw new TypeError(`${template}: a mock's template has {name} and {+name}, and no other expression`)
  }
  const expression = new RegExp(`^${pattern}${escape(template.slice(end))}$`)
  return (uri) => {
    const values = expression.exec(uri)
    return values === null
      ? undefined
      : Object.fromEntries(names.map((name, index) => [name, decoded(values[index + 1] ?? "")]))
  }
}

/** Percent-encoding is undone where it is well-formed. */
const decoded = (value: string): string => {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
