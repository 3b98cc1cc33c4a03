/** Where requests go and which headers of the user go with them: known, and checked, before the first one. */
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Redacted from "effect/Redacted"
import * as McpError from "../../McpError.ts"
import type { Options } from "./options.ts"

export interface Endpoint {
  /** Without credentials and fragment; with its query. Not to be shown. */
  readonly url: URL
  /** What may be shown: origin and path. */
  readonly shown: string
  /** The user's headers, names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** Names of headers that were left out because the protocol owns them (H-26). */
  readonly dropped: ReadonlyArray<string>
}

const reveal = (value: string | Redacted.Redacted<string>): string =>
  Redacted.isRedacted(value) ? Redacted.value(value) : value

/** Headers the protocol or HTTP itself owns. */
const reserved: ReadonlySet<string> = new Set([
  "accept",
  "connection",
  "content-length",
  "content-type",
  "last-event-id",
  "mcp-method",
  "mcp-name",
  "mcp-protocol-version",
  "mcp-session-id",
  "transfer-encoding",
  "upgrade"
])

const isReserved = (name: string): boolean => reserved.has(name) || name.startsWith("mcp-param-")

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

/** What the platforms put on the wire as it is: bytes of Latin-1 without controls. */
const headerValue = /^[\t\u0020-\u007e\u0080-\u00ff]*$/

/** Origin and path of a URL: what errors may tell of it. */
export const shown = (url: URL): string => `${url.origin}${url.pathname}`

const parse = (text: string): URL | undefined => {
  const url = URL.parse(text)
  return url === null || (url.protocol !== "http:" && url.protocol !== "https:") ? undefined : url
}

/** What can be told without opening anything; the empty string for a URL that is none. */
export const describe = (url: Options["url"]): string => {
  const parsed = parse(reveal(url))
  return parsed === undefined ? "" : shown(parsed)
}

/** Fails with `InvalidConfig`, which names what is wrong and never tells a value. */
export const make = (options: Pick<Options, "headers" | "url">): Effect.Effect<Endpoint, McpError.McpError> =>
  Effect.suspend(() => {
    const issues: Array<typeof McpError.ConfigIssue.Type> = []
    const headers: Record<string, string> = {}
    const dropped: Array<string> = []
    const url = parse(reveal(options.url))
    if (url === undefined) issues.push({ path: ["url"], message: "expected an absolute http: or https: URL" })

    for (const [given, secret] of Object.entries(options.headers ?? {})) {
      const name = given.toLowerCase()
      const value = reveal(secret).trim()
      if (!token.test(given)) issues.push({ path: ["headers", given], message: "this is no name of a header" })
      else if (!headerValue.test(value)) issues.push({ path: ["headers", given], message: "its value has characters no header can carry" })
      else if (isReserved(name)) dropped.push(given)
      else headers[name] = value
    }
    if (url === undefined || issues.length > 0) {
      return Effect.fail(McpError.make(new McpError.InvalidConfig({ source: "HTTP transport", issues })))
    }

    if (url.username !== "" && headers.authorization === undefined) {
      const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
      headers.authorization = `Basic ${Base64.encode(credentials)}`
    }
    url.username = url.password = url.hash = ""
    return Effect.succeed({ url, shown: shown(url), headers, dropped })
  })
