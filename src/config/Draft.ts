/**
 * An entry as its author wrote it, brought to the canonical fields: which tag
 * it has, which key stands for which field, what contradicts what. Fields are
 * not decoded here; `origin` leads from a canonical path back to the author's,
 * so that an error names what is in the document.
 */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type { ConfigIssue } from "../McpError.ts"
import type { Alias, Dialect } from "./Dialects.ts"
import * as Kind from "./Kind.ts"
import * as Rules from "./Rules.ts"

export type Path = ReadonlyArray<string | number>

export interface Draft {
  readonly fields: Readonly<Record<string, unknown>>
  readonly origin: (path: Path) => Path
  readonly issues: ReadonlyArray<ConfigIssue>
  /** Keys that were kept in `extra`, and why they have no effect. */
  readonly unused: ReadonlyArray<ConfigIssue>
}

interface Home {
  readonly tags: ReadonlyArray<Kind.Tag>
  readonly name: string
}

const homes: ReadonlyArray<readonly [home: Home, fields: ReadonlyArray<string>]> = [
  [
    { tags: ["Stdio"], name: "a program that is started (stdio)" },
    ["command", "args", "env", "envFile", "passEnv", "cwd", "shutdown"]
  ],
  [{ tags: ["Http", "WebSocket", "Socket"], name: "a remote server" }, ["url"]],
  [{ tags: ["Http", "WebSocket"], name: "a server over HTTP or WebSocket" }, ["headers", "bearerTokenEnv", "auth", "tls"]],
  [
    { tags: ["Http"], name: "a server over HTTP" },
    ["proxy", "retry", "idleTimeout", "redirects"]
  ],
  [{ tags: ["WebSocket"], name: "a server over WebSocket" }, ["requireSubprotocol", "compression", "ping"]],
  [{ tags: ["WebSocket", "Socket"], name: "a server over WebSocket or a socket" }, ["closeTimeout"]]
]

/** Fields that must not be without effect in silence: who writes them relies on them. */
const refused: Readonly<Record<Kind.Tag, Readonly<Record<string, string>>>> = {
  Stdio: {},
  Http: {},
  WebSocket: { proxy: "A WebSocket server is reached directly: a proxy is only for servers over HTTP" },
  Socket: {
    proxy: "A socket is reached directly: a proxy is only for servers over HTTP",
    tls: "A socket is not encrypted: certificates are for https:// and wss://"
  }
}

/** What a field is for; fields that are for every server have no home. */
const homeOf: ReadonlyMap<string, Home> = new Map(
  homes.flatMap(([home, fields]) => fields.map((field) => [field, home] as const))
)

/** Fields whose strings are templates, so that a dialect's own references are translated in them. */
const templated: ReadonlySet<string> = new Set(["command", "args", "env", "envFile", "cwd", "url", "headers", "auth", "tls", "proxy"])

const translate = (value: unknown, [pattern, replacement]: readonly [RegExp, string]): unknown => {
  const walk = (value: unknown): unknown =>
    typeof value === "string"
      ? value.replace(pattern, replacement)
      : Array.isArray(value)
      ? value.map((item) => typeof item === "string" ? walk(item) : item)
      : Predicate.isReadonlyObject(value)
      ? Object.fromEntries(
        Object.entries(value).map(([key, item]) => [key, typeof item === "string" ? walk(item) : item])
      )
      : value
  return walk(value)
}

/** What is collected while an entry is read. */
class Notes {
  readonly issues: Array<ConfigIssue> = []
  readonly unused: Array<ConfigIssue> = []
  readonly extra: Record<string, unknown> = {}
  /** Where a canonical `field`, or `field/key`, is in the document. */
  readonly origins = new Map<string, Path>()

  report(path: Path, message: string): void {
    this.issues.push({ path, message })
  }

  keep(key: string, value: unknown, why: string): void {
    this.extra[key] = value
    this.unused.push({ path: [key], message: why })
  }

  draft(fields: Readonly<Record<string, unknown>>): Draft {
    const { issues, origins, unused } = this
    return {
      fields,
      issues,
      unused,
      origin: (path) => {
        const [field, key] = path
        const exact = origins.get(`${field}/${key}`)
        return exact !== undefined
          ? [...exact, ...path.slice(2)]
          : [...(origins.get(String(field)) ?? path.slice(0, 1)), ...path.slice(1)]
      }
    }
  }
}

type Claims = ReadonlyArray<Kind.Claim>

/** What a key stands for with this value; a value of `undefined` for nothing. */
const meaning = (alias: Alias | undefined, raw: unknown): { readonly alias?: Alias; readonly converted?: unknown } => {
  if (alias === undefined) return {}
  const converted = alias.convert === undefined ? raw : alias.convert(raw)
  return converted === undefined && alias.otherwise !== undefined ? meaning(alias.otherwise, raw) : { alias, converted }
}

const collect = (
  entry: Readonly<Record<PropertyKey, unknown>>,
  dialect: Dialect,
  notes: Notes
): ReadonlyMap<string, Claims> => {
  const claims = new Map<string, Claims>()
  for (const [key, raw] of Object.entries(entry)) {
    if (raw === undefined) continue
    const problem = Rules.notDangerous(key)
    const { alias, converted } = meaning(dialect.aliases.get(key), raw)
    if (problem !== undefined) {
      notes.report([key], problem)
    } else if (alias === undefined || converted === undefined) {
      notes.keep(key, raw, "Unknown key: it is kept, but has no effect")
    } else {
      const value = dialect.reference !== undefined && templated.has(alias.field)
        ? translate(converted, dialect.reference)
        : converted
      for (const name of alias.unknown?.(raw) ?? []) notes.unused.push({ path: [key, name], message: "Unknown key: it has no effect" })
      claims.set(alias.field, [...(claims.get(alias.field) ?? []), { key, alias, raw, value }])
    }
  }
  return claims
}

const contradicts = (other: string) => `Says something else than "${other}": expected only one of them`

/** No field that has several keys is deeper than a list. */
const sameValue = (a: unknown, b: unknown): boolean =>
  a === b || (Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, index) => item === b[index]))

/** The value of a field, if those who claim it agree. */
const agreed = (field: string, [first, ...others]: Claims, notes: Notes): unknown => {
  if (first === undefined) return undefined
  notes.origins.set(field, [first.key])
  for (const other of others) {
    if (!sameValue(first.value, other.value)) notes.report([other.key], contradicts(first.key))
  }
  return first.value
}

/** A record of secrets, put together from all that claim to be part of it. */
const merged = (
  field: string,
  claims: Claims,
  rule: Rules.Rule,
  identity: (name: string) => string,
  notes: Notes
): Record<string, unknown> => {
  const values: Record<string, unknown> = {}
  const seen = new Map<string, readonly [path: Path, value: unknown]>()
  for (const { key, raw, value } of claims) {
    // TOML has dates, which are objects without keys.
    if (!Predicate.isReadonlyObject(value) || Predicate.isDate(value)) {
      notes.report([key], "Expected object")
      continue
    }
    for (const [name, item] of Object.entries(value)) {
      // A token that has a key of its own has no name in the document.
      const path = Predicate.isReadonlyObject(raw) ? [key, name] : [key]
      const problem = rule(name)
      const before = seen.get(identity(name))
      if (problem !== undefined) {
        notes.report(path, problem)
      } else if (before === undefined) {
        seen.set(identity(name), [path, item])
        notes.origins.set(`${field}/${name}`, path)
        values[name] = item
      } else if (item !== before[1]) {
        notes.report(path, contradicts(before[0].join(".")))
      }
    }
  }
  return values
}

/** A command that is an array holds the first arguments as well. */
const spread = (fields: Readonly<Record<string, unknown>>, notes: Notes): Readonly<Record<string, unknown>> => {
  const { args = [], command } = fields
  if (!Array.isArray(command)) return fields
  const { origins } = notes
  const commandAt = origins.get("command") ?? []
  const argsAt = origins.get("args") ?? []
  const [program = "", ...leading] = command
  if (command.length > 0) origins.set("command", [...commandAt, 0])
  if (!Array.isArray(args)) return { ...fields, command: program }
  leading.forEach((_, index) => origins.set(`args/${index}`, [...commandAt, index + 1]))
  args.forEach((_, index) => origins.set(`args/${leading.length + index}`, [...argsAt, index]))
  return { ...fields, command: program, args: [...leading, ...args] }
}

/** Reads one entry. Linear in its size; never throws. */
export const make = (entry: unknown, dialect: Dialect): Draft => {
  const notes = new Notes()
  if (!Predicate.isReadonlyObject(entry)) {
    notes.report([], "Expected an object with \"command\" or \"url\"")
    return notes.draft({})
  }
  const claims = collect(entry, dialect, notes)
  const decided = Kind.decide(claims)
  if (Result.isFailure(decided)) {
    notes.issues.push(decided.failure)
    return notes.draft({})
  }
  const { tag, transport } = decided.success
  const fields: Record<string, unknown> = {
    _tag: tag,
    ...(tag === "Stdio" ? { args: [], env: {}, passEnv: [] } : tag === "Socket" ? {} : { headers: {} }),
    ...(transport === undefined ? {} : { transport })
  }
  for (const [field, claimed] of claims) {
    const home = homeOf.get(field)
    const refusal = refused[tag][field]
    if (refusal !== undefined && claimed.some(({ value }) => value !== false)) {
      for (const { key } of claimed) notes.report([key], refusal)
    } else if (home !== undefined && !home.tags.includes(tag)) {
      for (const { key, raw } of claimed) notes.keep(key, raw, `Is for ${home.name}: it is kept, but has no effect`)
    } else if (field === "env") {
      fields["env"] = merged(field, claimed, Rules.variableName, (name) => name, notes)
    } else if (field === "headers") {
      const headers = merged(field, claimed, Rules.headerName, (name) => name.toLowerCase(), notes)
      fields["headers"] = headers
      const [bearer] = claims.get("bearerTokenEnv") ?? []
      if (bearer !== undefined && Object.keys(headers).some((name) => name.toLowerCase() === "authorization")) {
        notes.report([bearer.key], "There is also a header \"Authorization\": expected only one of them")
      }
    } else if (field === "auth" && claimed.length > 1 && claimed.every(({ value }) => Predicate.isReadonlyObject(value))) {
      notes.origins.set(field, [claimed[0]?.key ?? field])
      fields["auth"] = merged(field, claimed, Rules.notDangerous, (name) => name, notes)
    } else if (field !== "transport") {
      fields[field] = agreed(field, claimed, notes)
    }
  }
  return notes.draft({ ...spread(fields, notes), extra: notes.extra })
}
