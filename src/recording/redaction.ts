/**
 * Keeps secrets out of recordings. It rather hides too much: a replay takes
 * anything in place of what was hidden.
 */
import * as Base64 from "effect/encoding/Base64"
import * as Redacted from "effect/Redacted"
import * as JsonRpc from "../protocol/JsonRpc.ts"

/** What stands where something was hidden. */
export const mark = "[redacted]"

export interface Options {
  /**
   * Names of members whose values are hidden, beside {@link defaultKeys}. Case,
   * `-` and `_` make no difference, and a name that only ends with one counts
   * too: `token` also hides `GITHUB_TOKEN`.
   */
  readonly keys?: ReadonlyArray<string> | undefined
  /** Texts that are hidden wherever they occur, also within other texts, escaped for JSON or URLs, or in Base64. */
  readonly values?: ReadonlyArray<string | Redacted.Redacted<string>> | undefined
}

/** Names of members whose values are always hidden. */
export const defaultKeys: ReadonlyArray<string> = [
  "authorization",
  "token",
  "apikey",
  "password",
  "passwd",
  "passphrase",
  "secret",
  "cookie",
  "credential",
  "credentials",
  "privatekey",
  "accesskey"
]

/** Ends like a secret, but is the protocol's own. */
const harmless: ReadonlySet<string> = new Set(["progresstoken"])

/** A member `password` of these describes one, it holds none. */
const schemas: ReadonlySet<string> = new Set(["inputSchema", "outputSchema", "requestedSchema"])

const normalized = (key: string): string => key.toLowerCase().replace(/[-_\s]/g, "")

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")

/** Shorter texts leave too little of themselves in Base64 to be told from anything else. */
const shortestEncoded = 6

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/**
 * What Base64 makes of a text wherever it begins within what is encoded: the
 * characters that no neighbour has a part in.
 */
const inBase64 = (text: string): ReadonlyArray<string> => {
  const bytes = encoder.encode(text)
  if (bytes.length < shortestEncoded) return []
  return [0, 1, 2].map((before) => {
    const shifted = new Uint8Array(before + bytes.length)
    shifted.set(bytes, before)
    return Base64.encode(shifted).slice(Math.ceil(before * 8 / 6), Math.floor(shifted.length * 8 / 6))
  })
}

const inJson = (text: string): string => JSON.stringify(text).slice(1, -1)

/** A secret in all the ways it is written within other texts. */
const spellings = (text: string): ReadonlyArray<string> => {
  const encoded = inBase64(text)
  return [
    text,
    inJson(text),
    inJson(inJson(text)),
    // Half a character is none in UTF-8.
    encodeURIComponent(decoder.decode(encoder.encode(text))),
    new URLSearchParams([["", text]]).toString().slice(1),
    ...encoded,
    ...encoded.map((form) => form.replaceAll("+", "-").replaceAll("/", "_"))
  ]
}

export interface Redactor {
  readonly value: (value: unknown) => unknown
  /** How much was hidden so far. */
  readonly count: () => number
}

/** Something that hides secrets in JSON values. */
export const make = (options: Options = {}): Redactor => {
  const keys = [...defaultKeys, ...options.keys ?? []].map(normalized).filter((key) => key !== "")
  // The longest first: one may be the beginning of another.
  const literals = [
    ...new Set((options.values ?? []).flatMap((value) => spellings(typeof value === "string" ? value : Redacted.value(value))))
  ].filter((value) => value !== "").sort((a, b) => b.length - a.length)
  const names = keys.map((key) => [...key].map(escaped).join("[-_]?")).join("|")
  const patterns: ReadonlyArray<RegExp> = [
    ...literals.length === 0 ? [] : [new RegExp(`()${literals.map(escaped).join("|")}`, "g")],
    // `Authorization: Bearer …`
    /(\b(?:bearer|basic)\s+)[\w.~+/=-]{6,}/gi,
    // `https://user:password@host`
    /(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@"']+(?=@)/gi,
    // `apiKey=…`, `"apiKey": "…"`
    new RegExp(`((?:${names})\\\\?["']?\\s*[=:]\\s*\\\\?["']?)(?!\\[redacted\\]|(?:bearer|basic)\\s)[^\\s"'\\\\&,;{}]{3,}`, "gi"),
    // What is known to be a secret by its form.
    /()\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g,
    /()\b(?:sk|pk|gh[opsur]|github_pat|xox[abprs])[-_][\w-]{16,}/g
  ]
  let hidden = 0

  const hide = (prefix = ""): string => {
    hidden += 1
    return prefix + mark
  }
  const text = (value: string): string =>
    patterns.reduce((text, pattern) => text.replace(pattern, (_all, prefix: string) => hide(prefix)), value)

  const isSecret = (key: string): boolean => {
    const name = normalized(key)
    return !harmless.has(name) && keys.some((secret) => name.endsWith(secret))
  }

  /** Everything that is told within a secret: its shape stays, so that it can still be read as what it was. */
  const all = (value: unknown): unknown => {
    if (typeof value === "string") return value === "" ? value : hide()
    if (typeof value === "number") {
      hidden += 1
      return 0
    }
    return mapped(value, all, text)
  }

  const visit = (value: unknown, inSchema: boolean): unknown =>
    typeof value === "string"
      ? text(value)
      : mapped(value, (member, key) =>
        key !== undefined && !inSchema && isSecret(key)
          ? all(member)
          : visit(member, inSchema || (key !== undefined && schemas.has(key))), text)

  return { value: (value) => visit(value, false), count: () => hidden }
}

/** A list or an object with other members, and other names for them; anything else as it is. */
const mapped = (value: unknown, f: (member: unknown, key?: string) => unknown, rename: (key: string) => string): unknown =>
  Array.isArray(value)
    ? value.map((member) => f(member))
    : JsonRpc.isJsonObject(value)
    ? Object.fromEntries(Object.entries(value).map(([key, member]) => [rename(key), f(member, key)]))
    : value
