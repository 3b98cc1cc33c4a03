/** A program counts its requests anew in each run; what a server recorded says about them has to follow. */
import * as JsonRpc from "../../protocol/JsonRpc.ts"

const subscriptionId = "io.modelcontextprotocol/subscriptionId"

/** Ids and progress tokens of a recording, and what they are in this run. */
export interface Ids {
  readonly actual: Map<JsonRpc.RequestId, JsonRpc.RequestId>
  readonly tokens: Map<unknown, unknown>
}

export const make = (): Ids => ({ actual: new Map(), tokens: new Map() })

export const tokenOf = (message: JsonRpc.Message): unknown => {
  const meta = "method" in message ? message.params?._meta : undefined
  return JsonRpc.isJsonObject(meta) ? meta.progressToken : undefined
}

/** Takes note of a request that was recognised. */
export const learn = (ids: Ids, recorded: JsonRpc.Message, message: JsonRpc.Message): void => {
  if (!("method" in recorded) || !("id" in recorded) || !("method" in message) || !("id" in message)) return
  ids.actual.set(recorded.id, message.id)
  const token = tokenOf(message)
  if (token !== undefined) ids.tokens.set(tokenOf(recorded), token)
}

/** The progress token a notification is about. */
export const progressOf = (value: unknown): unknown =>
  JsonRpc.isMessage(value) && "method" in value && value.method === "notifications/progress"
    ? value.params?.progressToken
    : undefined

/** The recorded id of the request that a value answers. */
export const answeredBy = (value: unknown): JsonRpc.RequestId | undefined =>
  JsonRpc.isMessage(value) && !("method" in value) ? value.id ?? undefined : undefined

const withSubscription = (ids: Ids, params: JsonRpc.JsonObject): JsonRpc.JsonObject => {
  const { _meta } = params
  const id = JsonRpc.isJsonObject(_meta) ? _meta[subscriptionId] : undefined
  const actual = JsonRpc.isRequestId(id) ? ids.actual.get(id) : undefined
  return actual === undefined ? params : { ...params, _meta: { ...(_meta as JsonRpc.JsonObject), [subscriptionId]: actual } }
}

/**
 * A recorded value as this run has to see it; `undefined` for progress nobody
 * asked to be told. `isTheirs` tells the server's own requests by their ids.
 */
export const translate = (ids: Ids, value: unknown, isTheirs: (id: unknown) => boolean): unknown => {
  if (Array.isArray(value)) return value.map((item) => translate(ids, item, isTheirs)).filter((item) => item !== undefined)
  if (!JsonRpc.isMessage(value)) return value
  if (!("method" in value)) {
    const { id } = value
    const translated = id === undefined || id === null ? value : { ...value, id: ids.actual.get(id) ?? id }
    return "result" in translated && JsonRpc.isJsonObject(translated.result)
      ? { ...translated, result: withSubscription(ids, translated.result) }
      : translated
  }
  if (value.params === undefined) return value
  const { params } = value
  if (value.method === "notifications/progress") {
    const token = ids.tokens.get(params.progressToken)
    return token === undefined ? undefined : { ...value, params: { ...params, progressToken: token } }
  }
  const { requestId } = params
  if (value.method === "notifications/cancelled" && !isTheirs(requestId)) {
    const actual = JsonRpc.isRequestId(requestId) ? ids.actual.get(requestId) : undefined
    return actual === undefined ? value : { ...value, params: { ...params, requestId: actual } }
  }
  return { ...value, params: withSubscription(ids, params) }
}
