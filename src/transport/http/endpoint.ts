/** Where requests go and which headers of the user go with them: known, and checked, before the first one. */
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import { reveal } from "../../internal/reveal.ts"
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

/** What sets one protocol's endpoints apart from another's. */
export interface Scheme {
  /** The two of its URLs, with their colon: plain and over TLS. */
  readonly protocols: readonly [plain: string, secure: string]
  /** What to call it in an error. */
  readonly source: string
  readonly isReserved: (name: string) => boolean
}

const http: Scheme = {
  protocols: ["http:", "https:"],
  source: "HTTP transport",
  isReserved: (name) => reserved.has(name) || name.startsWith("mcp-param-")
}

/** Credentials of a URL as a header; `undefined` for some that are not percent-encoded. */
const basic = ({ password, username }: URL): string | undefined => {
  try {
    return `Basic ${Base64.encode(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`)}`
  } catch {
    return undefined
  }
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

/** What the platforms put on the wire as it is: bytes of Latin-1 without controls. */
const headerValue = /^[\t\u0020-\u007e\u0080-\u00ff]*$/

/** Origin and path of a URL: what errors may tell of it. */
export const shown = (url: URL): string => `${url.origin}${url.pathname}`

const parse = (text: string, { protocols }: Scheme): URL | undefined => {
  const url = URL.parse(text)
  return url === null || !protocols.includes(url.protocol) ? undefined : url
}

/** What can be told without opening anything; the empty string for a URL that is none. */
export const describe = (url: Options["url"], scheme: Scheme = http): string => {
  const parsed = parse(reveal(url), scheme)
  return parsed === undefined ? "" : shown(parsed)
}

/** Fails with `InvalidConfig`, which names what is wrong and never tells a value. */
export const make = (
  options: Pick<Options, "headers" | "url">,
  scheme: Scheme = http
): Effect.Effect<Endpoint, McpError.McpError> =>
  Effect.suspend(() => {
    const issues: Array<typeof McpError.ConfigIssue.Type> = []
    const headers: Record<string, string> = {}
    const dropped: Array<string> = []
    const url = parse(reveal(options.url), scheme)
    if (url === undefined) issues.push({ path: ["url"], message: `expected an absolute ${scheme.protocols.join(" or ")} URL` })

    for (const [given, secret] of Object.entries(options.headers ?? {})) {
      const name = given.toLowerCase()
      const value = reveal(secret).trim()
      if (!token.test(given)) issues.push({ path: ["headers", given], message: "this is no name of a header" })
      else if (!headerValue.test(value)) issues.push({ path: ["headers", given], message: "its value has characters no header can carry" })
      else if (scheme.isReserved(name)) dropped.push(given)
      else headers[name] = value
    }
    if (url !== undefined && url.username !== "" && headers.authorization === undefined) {
      const authorization = basic(url)
      if (authorization === undefined) issues.push({ path: ["url"], message: "its credentials have to be percent-encoded" })
      else headers.authorization = authorization
    }
    if (url === undefined || issues.length > 0) {
      return Effect.fail(McpError.make(new McpError.InvalidConfig({ source: scheme.source, issues })))
    }

    url.username = url.password = url.hash = ""
    return Effect.succeed({ url, shown: shown(url), headers, dropped })
  })
