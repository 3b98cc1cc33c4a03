/**
 * URLs of HTTP servers on a unix domain socket. There is no standard for them;
 * this is the form most clients share: the path of the socket, percent-encoded,
 * in the place of the host.
 *
 * ```ts
 * UnixSocket.parse("http+unix://%2Frun%2Fmcp.sock/mcp?a=b")
 * // { socketPath: "/run/mcp.sock", url: "http://localhost/mcp?a=b" }
 * ```
 */
export interface UnixSocket {
  readonly socketPath: string
  /** What is asked for over the socket. */
  readonly url: string
}

const decode = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return ""
  }
}

/** `undefined` for any other URL, and where the host is no absolute path. */
export const parse = (text: string): UnixSocket | undefined => {
  const url = URL.parse(text)
  if (url?.protocol !== "http+unix:") return undefined
  const socketPath = decode(url.host)
  // A named pipe of Windows begins with a backslash.
  return /^[/\\]./.test(socketPath) && !socketPath.includes("\0")
    ? { socketPath, url: `http://localhost${url.pathname || "/"}${url.search}` }
    : undefined
}
