/**
 * The headers of a modern request, read off the message itself, so that they
 * cannot say anything else than the body (H-20 … H-26).
 */
import * as HeaderEncoding from "../../protocol/HeaderEncoding.ts"
import * as JsonRpc from "../../protocol/JsonRpc.ts"

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
export const revisionOf = (message: JsonRpc.Message): string | undefined => {
  const meta = "method" in message ? message.params?._meta : undefined
  const revision = JsonRpc.isJsonObject(meta) ? meta["io.modelcontextprotocol/protocolVersion"] : undefined
  return typeof revision === "string" ? revision : undefined
}

/** @param revision for a message that names none, such as a notification (G-13). */
export const make = (message: JsonRpc.Message, revision: string | undefined): Record<string, string> => {
  const headers: Record<string, string> = {}
  const version = revisionOf(message) ?? revision
  if (version !== undefined) headers["mcp-protocol-version"] = version
  if (!("method" in message)) return headers
  headers["mcp-method"] = message.method
  const key = nameOf.get(message.method)
  const name = key === undefined ? undefined : message.params?.[key]
  if (typeof name === "string") headers["mcp-name"] = HeaderEncoding.encode(name)
  return headers
}
