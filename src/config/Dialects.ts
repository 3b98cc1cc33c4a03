/**
 * How other MCP clients write the same facts. A dialect is data: under which
 * key it keeps its servers, by which keys of an entry it is recognised, and
 * what its keys mean. All dialects decode to the same entries.
 *
 * | dialect | servers under | recognised by | its own meaning |
 * |---|---|---|---|
 * | `mcp-connect` | `mcpServers`, or a bare map | (everything else) | numbers of time are milliseconds; also Claude, Cursor, Windsurf, FastMCP, the Inspector |
 * | `vscode` | `servers` | its root key | |
 * | `codex` | `mcp_servers` | its root key | |
 * | `opencode` | `mcp` | its root key | `{env:NAME}` |
 * | `cline` | `mcpServers` | `autoApprove`, `alwaysAllow`, `transportType` | `timeout` is in **seconds**; also Roo |
 * | `gemini` | `mcpServers` | `httpUrl`, `trust` | `$NAME`; `url` means SSE |
 * | `mcp-use` | `mcpServers` | `auth_token`, `sse_read_timeout`, `sandbox_options` | `timeout` is in **seconds** and for connecting |
 * | `mcporter` | `mcpServers` | `lifecycle`, `httpFetch`, `refresh` | `$env:NAME` |
 *
 * The unit of a bare `timeout` cannot be told from the document alone: without
 * one of the keys above it is milliseconds. A document can say what it is with
 * a root key `dialect`, and a caller with the option of that name.
 */
import * as Predicate from "effect/Predicate"
import * as OAuthDialect from "./OAuthDialect.ts"
import * as Supervision from "./Supervision.ts"

/** The canonical field that a key stands for, and how its value is translated to it. */
export interface Alias {
  readonly field: string
  /** `undefined`: with this value the key means something else. */
  readonly convert?: (value: unknown) => unknown
  /** What the key means then. */
  readonly otherwise?: Alias
  /** Keys of an object that are lost with the translation. */
  readonly unknown?: (value: unknown) => ReadonlyArray<string>
  /** The transport that the key implies where no type tag is given. */
  readonly implies?: string
}

export type DialectName =
  | "mcp-connect"
  | "vscode"
  | "codex"
  | "opencode"
  | "cline"
  | "gemini"
  | "mcp-use"
  | "mcporter"

export interface Dialect {
  readonly name: DialectName
  readonly root: string
  readonly tellTales: ReadonlyArray<string>
  /** Keys that mean something else than in the common table. */
  readonly aliases: ReadonlyMap<string, Alias>
  /** Its own way to refer to a variable, and the template it becomes. */
  readonly reference?: readonly [pattern: RegExp, replacement: string]
}

// A value of the wrong type passes a conversion unchanged: the schema of the
// field then says what was expected, at the key the author wrote.

const seconds = (value: unknown): unknown => typeof value === "number" ? value * 1_000 : value

const not = (value: unknown): unknown => typeof value === "boolean" ? !value : value

const bearer = (value: unknown): unknown => ({
  Authorization: typeof value === "string" ? `Bearer ${value}` : value
})

/** FastMCP: a token, or a word or an object that asks for OAuth. */
const bearerUnlessOAuth = (value: unknown): unknown =>
  typeof value === "string" && value !== "oauth" ? bearer(value) : undefined

/** Ours, FastMCP's word for it, and Cursor's object. */
const auth = (value: unknown): unknown =>
  value === "oauth" ? {} : OAuthDialect.isForeign(value) ? OAuthDialect.convert(value) : value

const foreignKeys = (value: unknown): ReadonlyArray<string> => OAuthDialect.isForeign(value) ? OAuthDialect.unknown(value) : []

const references = (value: unknown): unknown =>
  Predicate.isReadonlyObject(value)
    ? Object.fromEntries(
      Object.entries(value).map(([header, name]) => [header, typeof name === "string" ? `\${${name}}` : name])
    )
    : value

const same = (...fields: ReadonlyArray<string>): ReadonlyArray<readonly [string, Alias]> =>
  fields.map((field) => [field, { field }])

/** Keys of an entry, in every dialect that does not say otherwise. */
const common: ReadonlyMap<string, Alias> = new Map<string, Alias>([
  ...same(
    "command",
    "args",
    "env",
    "envFile",
    "passEnv",
    "cwd",
    "shutdown",
    "maxMessageBytes",
    "url",
    "headers",
    "bearerTokenEnv",
    "tls",
    "proxy",
    "retry",
    "idleTimeout",
    "redirects",
    "requireSubprotocol",
    "compression",
    "ping",
    "closeTimeout",
    "disabled",
    "required",
    "description",
    "timeout",
    "maxTotal",
    "startupTimeout",
    "allowedTools",
    "blockedTools",
    "protocolVersion",
    "protocolEra",
    ...Supervision.names
  ),
  ["type", { field: "transport" }],
  ["transport", { field: "transport" }],
  ["transportType", { field: "transport" }],
  ["environment", { field: "env" }],
  ["env_vars", { field: "passEnv" }],
  ["serverUrl", { field: "url" }],
  ["baseUrl", { field: "url" }],
  ["httpUrl", { field: "url", implies: "streamable-http" }],
  ["ws_url", { field: "url", implies: "ws" }],
  ["wsUrl", { field: "url", implies: "ws" }],
  ["http_headers", { field: "headers" }],
  ["env_http_headers", { field: "headers", convert: references }],
  ["auth_token", { field: "headers", convert: bearer }],
  ["authToken", { field: "headers", convert: bearer }],
  ["auth", { field: "headers", convert: bearerUnlessOAuth, otherwise: { field: "auth", convert: auth, unknown: foreignKeys } }],
  ["oauth", { field: "auth", convert: OAuthDialect.convert, unknown: OAuthDialect.unknown }],
  ["bearer_token_env_var", { field: "bearerTokenEnv" }],
  ["enabled", { field: "disabled", convert: not }],
  ["enabled_tools", { field: "allowedTools" }],
  ["includeTools", { field: "allowedTools" }],
  ["disabled_tools", { field: "blockedTools" }],
  ["excludeTools", { field: "blockedTools" }],
  ["startup_timeout_sec", { field: "startupTimeout", convert: seconds }],
  ["startup_timeout_ms", { field: "startupTimeout" }],
  ["connectionTimeout", { field: "startupTimeout" }],
  ["tool_timeout_sec", { field: "timeout", convert: seconds }],
  ["requestTimeout", { field: "timeout" }],
  ["sse_read_timeout", { field: "timeout", convert: seconds }]
])

const dialect = (
  name: DialectName,
  root: string,
  options?: {
    readonly tellTales?: ReadonlyArray<string>
    readonly aliases?: ReadonlyArray<readonly [string, Alias]>
    readonly reference?: Dialect["reference"] & {}
  }
): Dialect => ({
  name,
  root,
  tellTales: options?.tellTales ?? [],
  aliases: new Map([...common, ...(options?.aliases ?? [])]),
  ...(options?.reference === undefined ? {} : { reference: options.reference })
})

/** How this library writes a config itself, and what it assumes of others. */
export const canonical: Dialect = dialect("mcp-connect", "mcpServers")

const dialects: ReadonlyArray<Dialect> = [
  canonical,
  dialect("vscode", "servers"),
  dialect("codex", "mcp_servers", { aliases: [["scopes", { field: "auth", convert: OAuthDialect.scopes }]] }),
  dialect("opencode", "mcp", { reference: [/\{env:([A-Za-z_]\w*)\}/g, "${$1}"] }),
  dialect("cline", "mcpServers", {
    tellTales: ["autoApprove", "alwaysAllow", "transportType"],
    aliases: [["timeout", { field: "timeout", convert: seconds }]]
  }),
  dialect("gemini", "mcpServers", {
    tellTales: ["httpUrl", "trust", "includeTools", "excludeTools"],
    aliases: [["url", { field: "url", implies: "sse" }]],
    reference: [/(?<![$\\])\$([A-Za-z_]\w*)/g, "${$1}"]
  }),
  dialect("mcp-use", "mcpServers", {
    tellTales: ["auth_token", "sse_read_timeout", "sandbox_options"],
    aliases: [["timeout", { field: "startupTimeout", convert: seconds }]]
  }),
  dialect("mcporter", "mcpServers", {
    tellTales: ["lifecycle", "httpFetch", "refresh"],
    reference: [/\$env:([A-Za-z_]\w*)/g, "${$1}"]
  })
]

const names = dialects.map(({ name }) => name)

const isName = (name: unknown): name is DialectName => names.some((known) => known === name)

export const byName = (name: DialectName): Dialect => dialects.find((dialect) => dialect.name === name) ?? canonical

/** Whether a value can only be meant as the entry of one server. */
const looksLikeEntry = (value: unknown): boolean =>
  Predicate.isReadonlyObject(value) && Object.entries(value).some(([key, field]) => {
    const alias = common.get(key)?.field
    return (alias === "command" || alias === "url") && (typeof field === "string" || Array.isArray(field))
  })

/** Texts that may stand beside the servers of a bare map. */
const beside: ReadonlySet<string> = new Set(["dialect", "$schema"])

const isBareMap = (document: Readonly<Record<PropertyKey, unknown>>): boolean => {
  const entries = Object.values(document)
  return entries.every(Predicate.isReadonlyObject) && entries.some(looksLikeEntry)
}

const recognise = (servers: unknown): Dialect => {
  const keys = new Set(
    Predicate.isReadonlyObject(servers)
      ? Object.values(servers).flatMap((entry) => Predicate.isReadonlyObject(entry) ? Object.keys(entry) : [])
      : []
  )
  return dialects.find(({ tellTales }) => tellTales.some((key) => keys.has(key))) ?? canonical
}

/** Where the servers are in a document, and how to read them. */
export interface Located {
  readonly _tag: "Located"
  readonly dialect: Dialect
  /** Path of the map of servers; empty for a bare map. */
  readonly path: ReadonlyArray<string>
  /** Not yet checked to be a map. */
  readonly servers: unknown
}

export type Location =
  | Located
  /** An object that has no servers where any dialect would have them. */
  | { readonly _tag: "NotFound" }
  | { readonly _tag: "Invalid"; readonly problem: string }

const invalid = (problem: string): Location => ({ _tag: "Invalid", problem })

export const locate = (document: unknown, choice: DialectName | undefined): Location => {
  if (!Predicate.isReadonlyObject(document)) return invalid("Expected an object with a key \"mcpServers\"")
  const present = [...new Set(dialects.map(({ root }) => root))]
    .filter((root) => Object.hasOwn(document, root) && !looksLikeEntry(document[root]))
  // Gemini keeps settings under "mcp", with the servers beside them under "mcpServers".
  const roots = present.length > 1 || choice === "gemini" ? present.filter((root) => root !== "mcp") : present
  const [root] = roots
  // A server may have that name in a bare map.
  const declared = Predicate.isReadonlyObject(document["dialect"]) ? undefined : document["dialect"]
  if (declared !== undefined && !isName(declared)) return invalid(`Expected "dialect" to be one of ${names.join(", ")}`)
  const name = choice ?? declared
  if (root === undefined) {
    const bare = Object.fromEntries(Object.entries(document).filter(([key, value]) => typeof value !== "string" || !beside.has(key)))
    return isBareMap(bare)
      ? { _tag: "Located", dialect: name === undefined ? recognise(bare) : byName(name), path: [], servers: bare }
      : looksLikeEntry(document)
      ? invalid("Expected a map of servers, but this is a single one: put it under { \"mcpServers\": { \"its-name\": … } }")
      : { _tag: "NotFound" }
  }
  if (roots.length > 1) return invalid(`Expected one map of servers, but there are "${roots.join("\" and \"")}"`)
  return {
    _tag: "Located",
    dialect: name !== undefined
      ? byName(name)
      : root === canonical.root
      ? recognise(document[root])
      : dialects.find((dialect) => dialect.root === root) ?? canonical,
    path: [root],
    servers: document[root]
  }
}
