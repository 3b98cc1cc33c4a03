/** The answer to a request in a JSON body. */
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import { parseJson } from "../../internal/parseJson.ts"
import * as PlainText from "../../internal/plainText.ts"
import * as McpError from "../../McpError.ts"
import * as JsonRpc from "../../protocol/JsonRpc.ts"
import * as Body from "./body.ts"

/** An error of a peer that could not read the id of what it answers (B-05). */
const isAnonymous = (message: JsonRpc.Message): boolean =>
  JsonRpc.isFailure(message) && (message.id === undefined || message.id === null)

const isTo = (id: JsonRpc.RequestId) => (message: unknown): message is JsonRpc.Success | JsonRpc.Failure =>
  JsonRpc.isMessage(message) && !("method" in message) && (message.id === id || isAnonymous(message))

/** What there is to deliver: a message with the id of the request, or what contains it where a body may hold several. */
export const read = (
  response: HttpClientResponse,
  text: string,
  { batches, id, method }: { readonly id: JsonRpc.RequestId; readonly method: string; readonly batches: boolean }
): { readonly value: unknown } | McpError.InvalidResponse => {
  const invalid = (detail: string) => new McpError.InvalidResponse({ method, detail })
  const type = Body.mediaType(response)
  const value = type === "application/json" ? parseJson(text) : undefined
  const isAnswer = isTo(id)
  if (isAnswer(value)) return { value: value.id === id ? value : { ...value, id } }
  if (batches && Array.isArray(value) && value.some(isAnswer)) return { value }
  const encoding = response.headers["content-encoding"]
  const came = `status ${response.status}, content type "${type}"${encoding === undefined ? "" : `, content encoding "${encoding}"`}`
  if (text.trim() === "") return invalid(`expected a result, but the body is empty (${came})`)
  if (type !== "application/json") return invalid(`expected JSON or an event stream, but got ${came}`)
  return value === undefined
    ? invalid(`the body is not JSON (${came}): ${PlainText.excerpt(text, 200)}`)
    : invalid(`the body has no answer to this request: ${PlainText.excerpt(text, 200)}`)
}
