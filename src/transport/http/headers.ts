/**
 * The headers of the protocol. Those of a modern request are read off the
 * message itself, so that they cannot say anything else than the body
 * (H-20 … H-26).
 */
import * as HeaderEncoding from "../../protocol/HeaderEncoding.ts"
import * as JsonRpc from "../../protocol/JsonRpc.ts"
import type { Agreement, SendOptions } from "../../Transport.ts"

/** What a request is about, and under which parameter it says so (H-22). */
const nameOf: ReadonlyMap<string, string> = new Map([
  ["tools/call", "name"],
  ["prompts/get", "name"],
  ["resources/read", "uri"],
  ["tasks/get", "taskId"],
  ["tasks/update", "taskId"],
  ["tasks/cancel", "taskId"]
])

/** The revision a message itself names, as modern ones do. */
const revisionOf = (message: JsonRpc.Message): string | undefined => {
  const meta = "method" in message ? message.params?._meta : undefined
  const revision = JsonRpc.isJsonObject(meta) ? meta["io.modelcontextprotocol/protocolVersion"] : undefined
  return typeof revision === "string" ? revision : undefined
}

export const isModern = (message: JsonRpc.Message, agreement: Agreement | undefined): boolean =>
  agreement === undefined
    ? revisionOf(message) !== undefined || ("method" in message && message.method === "server/discover")
    : agreement.stateless

const accept = "application/json, text/event-stream"

/** Of a message to a modern server; one that names no revision, such as a notification, is of the agreed one (G-13). */
export const modern = (
  message: JsonRpc.Message,
  agreement: Agreement | undefined,
  extra: SendOptions["headers"]
): Record<string, string> => {
  const headers: Record<string, string> = { accept, ...extra }
  const version = revisionOf(message) ?? agreement?.revision
  if (version !== undefined) headers["mcp-protocol-version"] = version
  if (!("method" in message)) return headers
  headers["mcp-method"] = message.method
  const key = nameOf.get(message.method)
  const name = key === undefined ? undefined : message.params?.[key]
  if (typeof name === "string") headers["mcp-name"] = HeaderEncoding.encode(name)
  return headers
}

/** Of everything in a session but messages. */
export const session = (agreement: Agreement | undefined, session: { readonly id: string } | undefined): Record<string, string> => ({
  ...(agreement === undefined ? {} : { "mcp-protocol-version": agreement.revision }),
  ...(session === undefined ? {} : { "mcp-session-id": session.id })
})

/** Of a message in a session. */
export const post = (headers: Readonly<Record<string, string>>): Record<string, string> => ({ accept, ...headers })
