/**
 * What a text in a config must look like, once decoded and again once expanded.
 * Each rule gives the problem, or nothing. A problem never quotes the text: it
 * may be a secret.
 */
import * as SocketAddress from "./SocketAddress.ts"
import * as UnixSocket from "./UnixSocket.ts"

export type Rule = (text: string) => string | undefined

export type Protocol = "http:" | "https:" | "http+unix:" | "ws:" | "wss:" | "tcp:" | "unix:"

/** Applies rules in order; the first problem is the one to tell. */
export const all = (...rules: ReadonlyArray<Rule>): Rule => (text) => {
  for (const rule of rules) {
    const problem = rule(text)
    if (problem !== undefined) return problem
  }
  return undefined
}

export const noNul: Rule = (text) => text.includes("\0") ? "Must not contain a NUL character" : undefined

export const notBlank: Rule = (text) => text.trim() === "" ? "Must not be empty" : undefined

export const fileName: Rule = all(notBlank, noNul)

/** Names under which a JavaScript object hands out its own machinery. */
export const notDangerous: Rule = (name) =>
  name === "__proto__" || name === "constructor" || name === "prototype"
    ? `The name "${name}" is not allowed: it has a meaning of its own in JavaScript`
    : undefined

export const serverName: Rule = all(
  (name) => name === "" ? "A server's name must not be empty" : undefined,
  noNul,
  notDangerous
)

export const variableName: Rule = all(
  (name) =>
    name === ""
      ? "A variable's name must not be empty"
      : name.includes("=")
      ? "A variable's name must not contain \"=\""
      : undefined,
  noNul,
  notDangerous
)

/** RFC 9110, section 5.6.2. */
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

export const headerName: Rule = all(
  (name) => token.test(name) ? undefined : "A header's name must consist of letters, digits and !#$%&'*+-.^_`|~",
  notDangerous
)

/** RFC 9110, section 5.5: no control characters, and one byte each. */
export const headerValue: Rule = (value) =>
  /[\r\n]/.test(value)
    ? "A header's value must not contain a line break (CR or LF)"
    : /[^\t\x20-\x7e\x80-\xff]/.test(value)
    ? "A header's value must not contain control characters or characters beyond Latin-1"
    : undefined

export const httpProtocols: ReadonlyArray<Protocol> = ["http:", "https:", "http+unix:"]
export const proxyProtocols: ReadonlyArray<Protocol> = ["http:", "https:"]
export const webSocketProtocols: ReadonlyArray<Protocol> = ["ws:", "wss:"]
export const socketProtocols: ReadonlyArray<Protocol> = ["tcp:", "unix:"]

const or = (protocols: ReadonlyArray<Protocol>) =>
  protocols.map((protocol) => `${protocol}//`).join(", ").replace(/, (?=[^,]*$)/, " or ")

export const urlExpectation = (protocols: ReadonlyArray<Protocol>): string =>
  `Expected an absolute URL that begins with ${or(protocols)}`

const isOneOf = (protocol: string, protocols: ReadonlyArray<Protocol>): boolean =>
  protocols.some((known) => known === protocol)

const parseUrl = (text: string, protocols: ReadonlyArray<Protocol>): URL | undefined => {
  const parsed = /[\s\p{Cc}]/u.test(text) || !/^[a-z+]+:\/\//i.test(text) ? null : URL.parse(text)
  return parsed !== null && isOneOf(parsed.protocol, protocols) ? parsed : undefined
}

export const url = (protocols: ReadonlyArray<Protocol>): Rule => (text) => {
  const parsed = parseUrl(text, protocols)
  return parsed === undefined
    ? urlExpectation(protocols)
    : parsed.username !== "" || parsed.password !== ""
    ? "The URL must not contain a user name or a password; put credentials in headers"
    : parsed.protocol === "http+unix:" && UnixSocket.parse(text) === undefined
    ? "Expected the absolute path of a socket, percent-encoded, as the host: http+unix://%2Frun%2Fmcp.sock/mcp"
    : isOneOf(parsed.protocol, socketProtocols) && SocketAddress.parse(text) === undefined
    ? "Expected where the socket is and nothing else: tcp://host:port or unix:///absolute/path"
    : undefined
}

/** A proxy's credentials have no other place than its URL. */
export const proxy: Rule = (text) => parseUrl(text, proxyProtocols) === undefined ? urlExpectation(proxyProtocols) : undefined
