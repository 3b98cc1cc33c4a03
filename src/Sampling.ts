/**
 * How a program lets servers use its language model. Provide the service and
 * the client declares the capability. Deprecated by the protocol since
 * 2026-07-28 but functional (C-08).
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as McpSchema from "./protocol/McpSchema.ts"

/** The user, or a policy, does not want this sampled. */
export class SamplingRefused extends Schema.TaggedError<SamplingRefused>("mcp-connect/SamplingRefused")(
  "SamplingRefused",
  { detail: Schema.String }
) {
  override get message() {
    return this.detail
  }
}

/**
 * Answers `sampling/createMessage`. Keep a human in the loop, respect
 * `maxTokens`, limit the rate (SA-04, SA-05). Fails with `SamplingRefused` to
 * say no. Interrupted with the call the request belongs to.
 */
export class Sampling extends Context.Service<Sampling, {
  readonly createMessage: (
    request: McpSchema.CreateMessageRequest & { readonly server: string }
  ) => Effect.Effect<McpSchema.CreateMessageResult, SamplingRefused>
  /** Whether the model may be given tools; without it, a request with tools is refused (SA-07). */
  readonly tools?: boolean | undefined
}>()("mcp-connect/Sampling") {}

export const layer = (handler: Sampling["Service"]): Layer.Layer<Sampling> => Layer.succeed(Sampling, handler)
