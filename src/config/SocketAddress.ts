/**
 * URLs of servers on a plain socket, where the host is all there is to say:
 * `tcp://127.0.0.1:7000`, `unix:///run/mcp.sock`.
 *
 * ```ts
 * SocketAddress.parse("tcp://[::1]:7000") // { host: "::1", port: 7000 }
 * SocketAddress.parse("unix:///run/mcp.sock") // { path: "/run/mcp.sock" }
 * ```
 */
export type SocketAddress = { readonly host: string; readonly port: number } | { readonly path: string }

const decode = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return ""
  }
}

/** `undefined` for any other URL, and for one that says more or less than where the socket is. */
export const parse = (text: string): SocketAddress | undefined => {
  const url = URL.parse(text)
  if (url === null || url.search !== "" || url.hash !== "" || url.username !== "" || url.password !== "") return undefined
  if (url.protocol === "unix:") {
    const path = decode(url.pathname)
    return url.host === "" && path.length > 1 && !path.includes("\0") ? { path } : undefined
  }
  const port = Number(url.port)
  return url.protocol === "tcp:" && url.hostname !== "" && port > 0 && /^\/?$/.test(url.pathname)
    ? { host: url.hostname.replace(/^\[|\]$/g, ""), port }
    : undefined
}
