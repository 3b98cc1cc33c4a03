/**
 * One view over all servers: their tools, resources and prompts under names of
 * one namespace (see `naming.ts`), what each server failed with beside what the
 * others have, and calls by those names.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { CallOptions, McpClient } from "../McpClient.ts"
import * as McpError from "../McpError.ts"
import type { JsonObject } from "../protocol/JsonRpc.ts"
import type * as McpSchema from "../protocol/McpSchema.ts"
import * as Naming from "./naming.ts"

type Client = McpClient["Service"]

/** Something happened to a server: it is there, it may have changed what it has, or it is in trouble. */
export interface Change {
  readonly server: string
  readonly now: "there" | "changed" | McpError.McpError
}

/** Where a view comes from. */
export interface Source {
  readonly names: () => ReadonlyArray<string>
  readonly has: (server: string) => boolean
  readonly use: <A, R>(
    server: string,
    f: (client: Client) => Effect.Effect<A, McpError.McpError, R>
  ) => Effect.Effect<A, McpError.McpError, R>
  readonly changes: Stream.Stream<Change>
}

export interface Options {
  /** Patterns of `server__tool`, where `*` stands for anything. When given, no other tools are shown or called. */
  readonly allow?: ReadonlyArray<string> | undefined
  /** Patterns of tools that are not, even when they are allowed. */
  readonly deny?: ReadonlyArray<string> | undefined
  /** Servers that are asked at the same time. Default 16. */
  readonly concurrency?: number | undefined
  /** How long one server may take to connect and to list what it has. Default 30 seconds. */
  readonly timeout?: Duration.Input | undefined
  /** Of what one server has of a kind, how many are taken. Default 2,000. */
  readonly maxItems?: number | undefined
}

const kinds = ["tools", "resources", "prompts"] as const
export type Kind = (typeof kinds)[number]

export interface Tool {
  readonly name: string
  readonly server: string
  readonly tool: McpSchema.Tool
}

export interface Resource {
  readonly name: string
  readonly server: string
  readonly resource: McpSchema.Resource
}

export interface Prompt {
  readonly name: string
  readonly server: string
  readonly prompt: McpSchema.Prompt
}

export interface View {
  readonly tools: ReadonlyArray<Tool>
  /** Their names are made of the server's name and the URI. */
  readonly resources: ReadonlyArray<Resource>
  readonly prompts: ReadonlyArray<Prompt>
  /** What could not be listed, and why. */
  readonly problems: ReadonlyArray<{ readonly server: string; readonly kind: Kind; readonly error: McpError.McpError }>
  /** Lists that were longer than `maxItems`. */
  readonly truncated: ReadonlyArray<{ readonly server: string; readonly kind: Kind; readonly total: number }>
}

export interface Catalog {
  /** What all servers have now, those in trouble left out and told. Never fails. */
  readonly view: Effect.Effect<View>
  /**
   * The view, now and after each change. Only servers that may have changed are
   * asked again: what the others have is kept while the stream is read. A slow
   * reader gets the latest.
   */
  readonly changes: Stream.Stream<View>
  /** Tools whose name, title or description has words of the text, best first. Default limit 20. */
  readonly search: (text: string, limit?: number) => Effect.Effect<ReadonlyArray<Tool>>
  /** Whose name that is. Fails with `UnknownTool`. */
  readonly resolve: (name: string) => Effect.Effect<Naming.Origin, McpError.McpError>
  /** As `McpClient.callTool`. Fails with `UnknownTool` and `ToolNotAllowed` besides. */
  readonly callTool: <R = never>(
    name: string,
    args?: JsonObject,
    options?: CallOptions<R>
  ) => Effect.Effect<McpSchema.CallToolResult, McpError.McpError, R>
  /** As `McpClient.readResource`, by the name of the view. */
  readonly readResource: <R = never>(
    name: string,
    options?: CallOptions<R>
  ) => Effect.Effect<McpSchema.ReadResourceResult, McpError.McpError, R>
  /** As `McpClient.getPrompt`. */
  readonly getPrompt: <R = never>(
    name: string,
    args?: Readonly<Record<string, string>>,
    options?: CallOptions<R>
  ) => Effect.Effect<McpSchema.GetPromptResult, McpError.McpError, R>
}

/** What one server has of one kind, in the order it gave. */
interface Listing<A> {
  readonly items: ReadonlyArray<{ readonly item: A } & Naming.Origin>
  readonly total: number
}

type Listed<A> = Result.Result<Listing<A>, McpError.McpError>

/** What one server has. */
interface Survey {
  readonly tools: Listed<McpSchema.Tool>
  readonly resources: Listed<McpSchema.Resource>
  readonly prompts: Listed<McpSchema.Prompt>
}

const failed = (error: McpError.McpError): Survey => {
  const failure = Result.fail(error)
  return { tools: failure, resources: failure, prompts: failure }
}

/** Surveys that hold until something happens to their server. */
interface Kept {
  readonly surveys: Map<string, Survey>
  /** Servers that are being asked; one that changes meanwhile is taken out. */
  readonly asking: Map<string, object>
}

/**
 * A catalog over servers. It holds nothing but the names it has given out, and
 * connects to a server when it needs it.
 */
export const make = (source: Source, options: Options = {}): Catalog => {
  const { concurrency = 16, maxItems = 2_000, timeout = "30 seconds" } = options
  /** Names that do not say by themselves whose they are; from the last listing of each server and kind. */
  const given: Readonly<Record<Kind, Map<string, ReadonlyMap<string, Naming.Origin>>>> = {
    tools: new Map(),
    resources: new Map(),
    prompts: new Map()
  }

  const isAllowed = (origin: Naming.Origin): boolean => {
    if (options.allow === undefined && options.deny === undefined) return true
    const texts = [Naming.mangle(origin), `${origin.server}__${origin.name}`]
    const has = (patterns: ReadonlyArray<string>) =>
      patterns.some((pattern) => texts.some((text) => Naming.matches(pattern, text)))
    return (options.allow === undefined || has(options.allow)) && !has(options.deny ?? [])
  }

  /** The first of each name. */
  const listing = <A>(server: string, kind: Kind, all: ReadonlyArray<A>, nameOf: (item: A) => string): Listing<A> => {
    const origins = new Map<string, { readonly item: A } & Naming.Origin>()
    const hashed = new Map<string, Naming.Origin>()
    for (const item of all) {
      if (origins.size === maxItems) break
      const origin = { server, name: nameOf(item) }
      const name = Naming.mangle(origin)
      if (origins.has(name)) continue
      origins.set(name, { item, ...origin })
      if (Naming.parse(name) === undefined) hashed.set(name, origin)
    }
    given[kind].set(server, hashed)
    return { items: [...origins.values()], total: all.length }
  }

  const list = <A>(
    kind: Kind,
    ask: (client: Client) => Effect.Effect<ReadonlyArray<A>, McpError.McpError>,
    nameOf: (item: A) => string
  ) =>
  (server: string, client: Client): Effect.Effect<Listed<A>> =>
    Effect.map(Effect.result(ask(client)), (result) =>
      Result.map(result, (all) => listing(server, kind, all, nameOf)))

  const listTools = list("tools", (client) => client.listTools(), ({ name }) => name)
  const listResources = list("resources", (client) => client.listResources(), ({ uri }) => uri)
  const listPrompts = list("prompts", (client) => client.listPrompts(), ({ name }) => name)

  /** What one server has. Never longer than the timeout, never an error. */
  const survey = (server: string, kept: Kept | undefined): Effect.Effect<Survey> => {
    const asked = {}
    const there: Partial<Survey> = {}
    const keep = (part: Partial<Survey>) => Effect.sync(() => Object.assign(there, part))
    const begin = () => kept?.asking.set(server, asked)
    begin()
    return source.use(server, (client) => {
      // That it was connected is no news.
      begin()
      return Effect.all({
        tools: Effect.tap(listTools(server, client), (tools) => keep({ tools })),
        resources: Effect.tap(listResources(server, client), (resources) => keep({ resources })),
        prompts: Effect.tap(listPrompts(server, client), (prompts) => keep({ prompts }))
      }, { concurrency: "unbounded" })
    }).pipe(
      Effect.timeoutOrElse({
        duration: timeout,
        orElse: () =>
          Effect.fail(McpError.make(
            new McpError.RequestTimeout({ method: "list", limit: "total", millis: Duration.toMillis(timeout) }),
            server
          ))
      }),
      Effect.catch((error) => Effect.succeed({ ...failed(error), ...there })),
      Effect.tap((survey) =>
        Effect.sync(() => {
          if (kept?.asking.get(server) === asked) kept.surveys.set(server, survey)
        })
      )
    )
  }

  const look = (kept?: Kept): Effect.Effect<View> =>
    Effect.suspend(() => {
      const names = [...source.names()].sort()
      const current = new Set(names)
      for (const known of [...Object.values(given), ...(kept === undefined ? [] : [kept.surveys, kept.asking])]) {
        for (const server of known.keys()) {
          if (!current.has(server)) known.delete(server)
        }
      }
      const surveys = Effect.forEach(names, (server) => {
        const before = kept?.surveys.get(server)
        const lists = before === undefined ? survey(server, kept) : Effect.succeed(before)
        return Effect.map(lists, (lists) => ({ server, lists }))
      }, { concurrency })
      return Effect.map(surveys, toView)
    })

  const toView = (surveys: ReadonlyArray<{ readonly server: string; readonly lists: Survey }>): View => {
    const problems: Array<View["problems"][number]> = []
    const truncated: Array<View["truncated"][number]> = []
    const items = <A>(server: string, kind: Kind, result: Listed<A>) => {
      if (Result.isFailure(result)) {
        problems.push({ server, kind, error: result.failure })
        return []
      }
      const { items, total } = result.success
      if (total > maxItems) truncated.push({ server, kind, total })
      return items
    }
    return {
      tools: surveys.flatMap(({ lists, server }) =>
        items(server, "tools", lists.tools).filter(isAllowed)
          .map((found) => ({ name: Naming.mangle(found), server, tool: found.item }))
      ),
      resources: surveys.flatMap(({ lists, server }) =>
        items(server, "resources", lists.resources)
          .map((found) => ({ name: Naming.mangle(found), server, resource: found.item }))
      ),
      prompts: surveys.flatMap(({ lists, server }) =>
        items(server, "prompts", lists.prompts)
          .map((found) => ({ name: Naming.mangle(found), server, prompt: found.item }))
      ),
      problems,
      truncated
    }
  }
  const view = look()

  /** Two servers would have to meet in a hash, and then neither is meant. */
  const known = (kind: Kind, name: string): Naming.Origin | undefined => {
    let found: Naming.Origin | undefined
    for (const [server, names] of given[kind]) {
      const origin = source.has(server) ? names.get(name) : undefined
      if (origin === undefined) continue
      if (found !== undefined) return undefined
      found = origin
    }
    return found
  }

  const resolve = (kind: Kind) => (name: string): Effect.Effect<Naming.Origin, McpError.McpError> =>
    Effect.suspend(() => {
      const unknown = Effect.suspend(() => Effect.fail(McpError.make(new McpError.UnknownTool({ kind, name }))))
      const origin = Naming.parse(name)
      if (origin !== undefined) return source.has(origin.server) ? Effect.succeed(origin) : unknown
      const found = known(kind, name)
      return found !== undefined ? Effect.succeed(found) : Effect.flatMap(view, () => {
        const found = known(kind, name)
        return found === undefined ? unknown : Effect.succeed(found)
      })
    })

  const use = <A, R>(
    kind: Kind,
    name: string,
    call: (client: Client, origin: Naming.Origin) => Effect.Effect<A, McpError.McpError, R>
  ): Effect.Effect<A, McpError.McpError, R> =>
    Effect.flatMap(resolve(kind)(name), (origin) =>
      kind === "tools" && !isAllowed(origin)
        ? Effect.fail(McpError.make(new McpError.ToolNotAllowed({ tool: name }), origin.server))
        : source.use(origin.server, (client) => call(client, origin)))

  return {
    view,
    changes: Stream.suspend(() => {
      const kept: Kept = { surveys: new Map(), asking: new Map() }
      const note = ({ now, server }: Change) => {
        kept.asking.delete(server)
        const before = kept.surveys.get(server)
        if (McpError.isMcpError(now)) kept.surveys.set(server, failed(now))
        else if (now === "changed" || (before !== undefined && Result.isFailure(before.tools))) kept.surveys.delete(server)
      }
      return Stream.concat(Stream.succeed(undefined), Stream.map(source.changes, note)).pipe(
        Stream.buffer({ capacity: 1, strategy: "sliding" }),
        Stream.mapEffect(() => look(kept))
      )
    }),
    search: (text, limit = 20) =>
      Effect.map(view, ({ tools }) =>
        Naming.search(tools, text, ({ name, tool: { description, title } }) => ({ name, title, description }))
          .slice(0, limit)),
    resolve: resolve("tools"),
    callTool: (name, args, callOptions) =>
      use("tools", name, (client, origin) => client.callTool(origin.name, args, callOptions)),
    readResource: (name, callOptions) =>
      use("resources", name, (client, origin) => client.readResource(origin.name, callOptions)),
    getPrompt: (name, args, callOptions) =>
      use("prompts", name, (client, origin) => client.getPrompt(origin.name, args, callOptions))
  }
}
