/** What a handler may do while it answers, on top of what each era has for it. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as JsonRpc from "../../protocol/JsonRpc.ts"
import * as McpSchema from "../../protocol/McpSchema.ts"
import * as Revision from "../../protocol/Revision.ts"
import { JsonObject } from "../../protocol/schema/Decoder.ts"
import { type Call, jsonSchemaOf, JsonRpcError } from "./declaration.ts"

/** How one request can speak back to its client. */
export interface Channel {
  readonly revision: Revision.Revision
  readonly meta: JsonRpc.JsonObject
  /** What the client declared. */
  readonly capabilities: McpSchema.ClientCapabilities
  readonly notify: (method: string, params: JsonRpc.JsonObject) => Effect.Effect<void>
  /** The token of the request that is open now. */
  readonly progressToken: () => unknown
  /** The least severe level that is wanted, if any is. */
  readonly logLevel: () => unknown
  /** Asks the client and waits for the answer. */
  readonly ask: (method: string, params: JsonRpc.JsonObject | undefined) => Effect.Effect<JsonRpc.JsonObject, JsonRpcError>
}

/** Whether a message of this level is wanted. */
export const wants = (wanted: unknown, level: McpSchema.LoggingLevel): boolean => {
  const least = McpSchema.loggingLevels.findIndex((known) => known === wanted)
  return least >= 0 && McpSchema.loggingLevels.indexOf(level) >= least
}

const strange = (method: string, what: string) =>
  new JsonRpcError({ code: JsonRpc.ErrorCode.InvalidParams, message: `The client's answer to ${method} ${what}` })

export const make = (channel: Channel): Call => {
  const { capabilities, revision } = channel

  /** A client must not be asked what it did not declare (MR-10). */
  const need = (declared: unknown, required: McpSchema.ClientCapabilities) =>
    declared === undefined
      ? Effect.fail(new JsonRpcError({
        code: JsonRpc.ErrorCode.MissingRequiredClientCapability,
        message: `The client does not declare the capability ${JSON.stringify(required)}`,
        data: { requiredCapabilities: required }
      }))
      : Effect.void

  const modes = Revision.features(revision).elicitation
  const elicitation = modes.length === 0 ? undefined : capabilities.elicitation
  const asksForms = elicitation?.url === undefined ? elicitation : elicitation.form
  const asksPages = modes.includes("url") ? elicitation?.url : undefined

  const elicit = Effect.fnUntraced(function*(declared: unknown, mode: "form" | "url", params: JsonRpc.JsonObject) {
    const method = "elicitation/create"
    yield* need(declared, { elicitation: { [mode]: {} } })
    const answer = yield* channel.ask(method, modes.length > 1 ? { mode, ...params } : params)
    const { action, content } = answer
    if (action !== "accept" && action !== "decline" && action !== "cancel") {
      return yield* Effect.fail(strange(method, "has no action"))
    }
    return { action, content } as const
  })

  return {
    revision,
    meta: channel.meta,
    progress: (progress) =>
      Effect.suspend(() => {
        const progressToken = channel.progressToken()
        return progressToken === undefined
          ? Effect.void
          : channel.notify("notifications/progress", { progressToken, ...progress })
      }),
    log: (level, data, logger) =>
      Effect.suspend(() =>
        wants(channel.logLevel(), level)
          ? channel.notify("notifications/message", { level, data, ...(logger === undefined ? undefined : { logger }) })
          : Effect.void
      ),
    elicit: Effect.fnUntraced(function*({ message, schema }) {
      const { properties, required } = jsonSchemaOf(schema)
      const requestedSchema = { type: "object", properties, ...(required === undefined ? undefined : { required }) }
      const { action, content } = yield* elicit(asksForms, "form", { message, requestedSchema })
      if (action !== "accept") return { action }
      const decoded = yield* Effect.mapError(
        Schema.decodeUnknownEffect(Schema.toCodecJson(schema))(content),
        (error) => strange("elicitation/create", `does not fit: ${error.message}`)
      )
      return { action, content: decoded }
    }),
    elicitUrl: (page) => Effect.map(elicit(asksPages, "url", page), ({ action }) => action),
    sample: Effect.fnUntraced(function*(request) {
      const method = "sampling/createMessage"
      yield* need(capabilities.sampling, { sampling: {} })
      const answer = yield* channel.ask(method, { ...request })
      return isMessage(answer) ? answer : yield* Effect.fail(strange(method, "is not a message"))
    }),
    roots: Effect.gen(function*() {
      const method = "roots/list"
      yield* need(capabilities.roots, { roots: {} })
      const { roots } = yield* channel.ask(method, undefined)
      return areRoots(roots) ? roots : yield* Effect.fail(strange(method, "has no list of roots"))
    })
  }
}

const isMessage = Schema.is(Schema.Struct({
  role: McpSchema.Role,
  content: McpSchema.SamplingMessage.fields.content,
  model: Schema.String,
  stopReason: Schema.optionalKey(Schema.String),
  _meta: Schema.optionalKey(JsonObject)
}))

const areRoots: (roots: unknown) => roots is ReadonlyArray<McpSchema.Root> = Schema.is(
  Schema.Array(Schema.Struct({ uri: Schema.String, name: Schema.optionalKey(Schema.String) }))
)
