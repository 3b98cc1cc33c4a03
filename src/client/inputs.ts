/**
 * What servers ask of the program: elicitation, sampling, roots. One answer for
 * both eras; a legacy server asked with a request, a modern one in the middle
 * of a call.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Stream from "effect/Stream"
import { Elicitation } from "../Elicitation.ts"
import * as ElicitationForm from "../protocol/ElicitationForm.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import * as McpSchema from "../protocol/McpSchema.ts"
import { Roots } from "../Roots.ts"
import { Sampling } from "../Sampling.ts"

export interface Inputs {
  /** Declared to the server: a capability exactly when its handler is there (C-09). */
  readonly capabilities: McpSchema.ClientCapabilities
  /** The result for a request of the server, or the error to answer with (L-07). */
  readonly answer: (
    method: string,
    params: JsonRpc.JsonObject | undefined
  ) => Effect.Effect<JsonRpc.JsonObject, JsonRpc.ErrorObject>
  readonly rootsChanges: Stream.Stream<void> | undefined
}

const invalid = (message: string): JsonRpc.ErrorObject => ({ code: JsonRpc.ErrorCode.InvalidParams, message })
const broken = (message: string): JsonRpc.ErrorObject => ({ code: JsonRpc.ErrorCode.InternalError, message })
const unknown = (method: string): JsonRpc.ErrorObject => ({
  code: JsonRpc.ErrorCode.MethodNotFound,
  message: `${method} is not supported by this client`
})

const unsupportedMode = (mode: string): JsonRpc.ErrorObject =>
  invalid(`This client does not support elicitation in mode "${mode}"`)

const answerForm = Effect.fnUntraced(function*(
  server: string,
  form: NonNullable<Elicitation["Service"]["form"]>,
  { message, requestedSchema: schema }: McpSchema.FormElicitation
) {
  const answer = yield* form({ server, message, schema, defaults: ElicitationForm.defaults(schema) })
  if (answer.action !== "accept") return { action: answer.action }
  const content = ElicitationForm.withDefaults(schema, answer.content)
  const problems = ElicitationForm.validate(schema, content)
  return problems.length === 0
    ? { action: "accept", content }
    : yield* Effect.fail(broken(`The answer does not fit the form: ${problems.join("; ")}`))
})

const answerUrl = Effect.fnUntraced(function*(
  server: string,
  open: NonNullable<Elicitation["Service"]["url"]>,
  { message, url }: McpSchema.UrlElicitation
) {
  if (!/^https?:\/\//i.test(url) || !URL.canParse(url)) {
    return yield* Effect.fail(invalid("Expected an http or https url"))
  }
  const { action } = yield* open({ server, message, url })
  return { action }
})

const answerSampling = Effect.fnUntraced(function*(
  server: string,
  sampling: Sampling["Service"],
  params: JsonRpc.JsonObject | undefined
) {
  const request = McpSchema.decodeCreateMessageRequest(params)
  if (Result.isFailure(request)) return yield* Effect.fail(invalid(request.failure))
  const { toolChoice, tools } = request.success
  if (sampling.tools !== true && (tools !== undefined || toolChoice !== undefined)) {
    return yield* Effect.fail(invalid("This client does not sample with tools"))
  }
  const result = yield* sampling.createMessage({ ...request.success, server }).pipe(
    Effect.mapError(({ detail }) => ({ code: JsonRpc.ErrorCode.UserRejected, message: detail }))
  )
  return { ...result }
})

const answerRoots = Effect.fnUntraced(function*(server: string, handler: Roots["Service"]) {
  const roots = yield* handler.list({ server })
  const wrong = roots.find(({ uri }) => !uri.startsWith("file://"))
  return wrong === undefined
    ? { roots }
    : yield* Effect.fail(broken(`A root is not a file:// uri: ${wrong.uri}`))
})

/** Finds the handlers the program provides; they run with the context given here. */
export const make = Effect.fnUntraced(function*(server: string): Effect.fn.Return<Inputs> {
  const elicitation = Option.getOrUndefined(yield* Effect.serviceOption(Elicitation))
  const sampling = Option.getOrUndefined(yield* Effect.serviceOption(Sampling))
  const roots = Option.getOrUndefined(yield* Effect.serviceOption(Roots))
  const { form, url } = elicitation ?? {}

  const answerElicitation = (params: JsonRpc.JsonObject | undefined) => {
    const request = McpSchema.decodeElicitRequest(params)
    if (Result.isFailure(request)) return Effect.fail(invalid(request.failure))
    const elicitation = request.success
    if (elicitation.mode === "url") {
      return url === undefined ? Effect.fail(unsupportedMode("url")) : answerUrl(server, url, elicitation)
    }
    return form === undefined ? Effect.fail(unsupportedMode("form")) : answerForm(server, form, elicitation)
  }

  return {
    capabilities: {
      ...(form === undefined && url === undefined ? undefined : {
        elicitation: { ...(form === undefined ? undefined : { form: {} }), ...(url === undefined ? undefined : { url: {} }) }
      }),
      ...(sampling === undefined ? undefined : { sampling: sampling.tools === true ? { tools: {} } : {} }),
      ...(roots === undefined ? undefined : { roots: roots.changes === undefined ? {} : { listChanged: true } })
    },
    rootsChanges: roots?.changes,
    answer: (method, params): Effect.Effect<JsonRpc.JsonObject, JsonRpc.ErrorObject> => {
      if (method === "elicitation/create" && elicitation !== undefined) return answerElicitation(params)
      if (method === "sampling/createMessage" && sampling !== undefined) return answerSampling(server, sampling, params)
      if (method === "roots/list" && roots !== undefined) return answerRoots(server, roots)
      return Effect.fail(unknown(method))
    }
  }
})
