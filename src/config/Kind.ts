/**
 * Which kind of server an entry is for: what its type tag says, what its shape
 * says (a command, or the scheme of a URL), and whether the two agree.
 */
import * as Result from "effect/Result"
import type { ConfigIssue } from "../McpError.ts"
import type { Alias } from "./Dialects.ts"
import * as Rules from "./Rules.ts"
import * as Template from "./Template.ts"

export type Tag = "Stdio" | "Http" | "WebSocket" | "Socket"

export interface Kind {
  readonly tag: Tag
  readonly transport?: "streamable-http" | "sse"
}

/** Values of a type tag seen in the field. */
const kinds: ReadonlyMap<unknown, Kind> = new Map<unknown, Kind>([
  ["stdio", { tag: "Stdio" }],
  ["local", { tag: "Stdio" }],
  ["http", { tag: "Http" }],
  ["remote", { tag: "Http" }],
  ["streamable-http", { tag: "Http", transport: "streamable-http" }],
  ["streamableHttp", { tag: "Http", transport: "streamable-http" }],
  ["sse", { tag: "Http", transport: "sse" }],
  ["ws", { tag: "WebSocket" }],
  ["websocket", { tag: "WebSocket" }],
  ["socket", { tag: "Socket" }],
  ["tcp", { tag: "Socket" }],
  ["unix", { tag: "Socket" }]
])

/** A key of the entry that stands for a field. */
export interface Claim {
  readonly key: string
  readonly alias: Alias
  readonly raw: unknown
  /** In terms of the field. */
  readonly value: unknown
}

const quote = (key: string) => `"${key}"`

const issue = (path: ReadonlyArray<string>, message: string): ConfigIssue => ({ path, message })

type Scheme = "http" | "ws" | "socket" | "unknown" | "none"

const schemes: ReadonlyMap<string, Scheme> = new Map<string, Scheme>([
  ["http", "http"],
  ["https", "http"],
  ["http+unix", "http"],
  ["ws", "ws"],
  ["wss", "ws"],
  ["tcp", "socket"],
  ["unix", "socket"]
])

const scheme = (url: string): Scheme => {
  const [first, second] = Template.parse(url)
  const head = typeof first === "string"
    ? first
    : first?._tag === "Variable" && first.fallback !== undefined
    ? first.fallback + (typeof second === "string" ? second : "")
    : undefined
  if (head === undefined) return first === undefined ? "none" : "unknown"
  const name = /^([a-z][a-z0-9+.-]*):\/\//i.exec(head)?.[1]?.toLowerCase()
  if (name === undefined) return head === url || head.includes("/") ? "none" : "unknown"
  return schemes.get(name) ?? "none"
}

/** What a key of the entry says its kind is. */
interface Declared {
  readonly by: string
  readonly says: unknown
  readonly kind: Kind
}

type Decision = Result.Result<Kind, ConfigIssue>

const disagree = ({ by, says }: Declared, other: string) =>
  Result.fail(issue([by], `${quote(by)} says ${says}, but ${other}: expected them to agree`))

const declaration = (claims: ReadonlyArray<Claim>): Result.Result<Declared | undefined, ConfigIssue> => {
  let declared: Declared | undefined
  for (const { key, value } of claims) {
    const kind = kinds.get(value)
    if (kind === undefined) {
      return Result.fail(issue([key], `Expected one of ${[...kinds.keys()].map((name) => quote(String(name))).join(", ")}`))
    }
    const next = { by: key, says: value, kind }
    if (declared === undefined) {
      declared = next
    } else if (
      declared.kind.tag !== kind.tag ||
      (declared.kind.transport ?? kind.transport) !== (kind.transport ?? declared.kind.transport)
    ) {
      return disagree(next, `${quote(declared.by)} says ${declared.says}`)
    } else if (kind.transport !== undefined) {
      declared = next
    }
  }
  return Result.succeed(declared)
}

const program = (command: Claim, declared: Declared | undefined): Decision =>
  declared !== undefined && declared.kind.tag !== "Stdio"
    ? disagree(declared, `${quote(command.key)} means stdio`)
    : Result.succeed({ tag: "Stdio" })

/** The kind that the scheme shows, or what was declared of the same kind. */
const agreeing = (url: Claim, declared: Declared | undefined, kind: Kind, begins: string): Decision =>
  declared === undefined
    ? Result.succeed(kind)
    : declared.kind.tag === kind.tag
    ? Result.succeed(declared.kind)
    : disagree(declared, `${quote(url.key)} begins with ${begins}`)

const remote = (url: Claim, explicit: Declared | undefined): Decision => {
  if (explicit?.kind.tag === "Stdio") return disagree(explicit, `${quote(url.key)} means a remote server`)
  // What is not a string is for the schema of the field to refuse.
  if (typeof url.value !== "string") return Result.succeed(explicit?.kind ?? { tag: "Http" })
  const found = scheme(url.value)
  const implied = kinds.get(url.alias.implies)
  // A key as general as "url" has nothing to say against the scheme behind it.
  const declared = explicit !== undefined || implied === undefined || (url.key === "url" && (found === "ws" || found === "socket"))
    ? explicit
    : { by: url.key, says: url.alias.implies, kind: implied }
  switch (found) {
    case "none": {
      const protocols = { Http: Rules.httpProtocols, WebSocket: Rules.webSocketProtocols, Socket: Rules.socketProtocols, Stdio: [] }
      return Result.fail(issue(
        [url.key],
        Rules.urlExpectation(
          declared === undefined ? [...protocols.Http, ...protocols.WebSocket, ...protocols.Socket] : protocols[declared.kind.tag]
        )
      ))
    }
    case "unknown":
      return declared !== undefined ? Result.succeed(declared.kind) : Result.fail(issue(
        [url.key],
        "The scheme is only known once ${…} is expanded: expected a \"type\" (\"http\", \"sse\", \"ws\" or \"socket\"), " +
          "or a default that shows it, such as ${NAME:-https://host}"
      ))
    case "http":
      return agreeing(url, declared, { tag: "Http" }, "http")
    case "ws":
      return agreeing(url, declared, { tag: "WebSocket" }, "ws")
    case "socket":
      return agreeing(url, declared, { tag: "Socket" }, "tcp or unix")
  }
}

const needs = { Stdio: "\"command\" (the program to start)", Http: "\"url\"", WebSocket: "\"url\"", Socket: "\"url\"" }

/**
 * The kind of an entry, from its claims to `transport`, `command` and `url`.
 * The first contradiction found is the one thing to tell.
 */
export const decide = (claims: ReadonlyMap<string, ReadonlyArray<Claim>>): Decision =>
  Result.flatMap(declaration(claims.get("transport") ?? []), (declared): Decision => {
    const command = claims.get("command")?.[0]
    const url = claims.get("url")?.[0]
    if (command !== undefined && url !== undefined) {
      return Result.fail(issue(
        [],
        `Has both ${quote(command.key)} (a program to start: stdio) and ${quote(url.key)} (a remote server): ` +
          "expected one of them"
      ))
    }
    if (command !== undefined) return program(command, declared)
    if (url !== undefined) return remote(url, declared)
    return Result.fail(issue(
      [],
      declared === undefined
        ? "Expected \"command\" (a program to start: stdio) or \"url\" (http://, https://, ws://, wss://, tcp:// or unix://)"
        : `${quote(declared.by)} says ${declared.says}: expected ${needs[declared.kind.tag]}`
    ))
  })
