/**
 * How a program lets servers ask its user something. Provide the service and
 * the client declares the capability, with exactly the modes that have a
 * handler; without it, servers are told that nobody can be asked.
 *
 * The same handler serves both eras: a legacy server's `elicitation/create`
 * request and a modern server's input request in the middle of a call.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { JsonObject } from "./protocol/JsonRpc.ts"
import type * as McpSchema from "./protocol/McpSchema.ts"

/** A form to fill in: a flat object of primitives (EL-01, EL-02). */
export interface FormRequest {
  /** The name of the asking server in the config. Show it (EL-05). */
  readonly server: string
  readonly message: string
  readonly schema: McpSchema.ElicitationSchema
  /** The schema's defaults, to fill the form with (EL-04). */
  readonly defaults: JsonObject
}

/**
 * A page to send the user to (EL-06). Show the whole URL and ask before opening
 * it, where neither this program nor a model can look at the page; never
 * fetch it. The scheme is http or https, that much is checked.
 */
export interface UrlRequest {
  readonly server: string
  readonly message: string
  readonly url: string
}

/** What the user did. Missing optional fields get the schema's defaults; content is validated before it is sent. */
export type FormAnswer =
  | { readonly action: "accept"; readonly content: JsonObject }
  | { readonly action: "decline" }
  | { readonly action: "cancel" }

/** `accept` means that the user agreed to open the page, not that they are done there (EL-03). */
export type UrlAnswer = { readonly action: "accept" | "decline" | "cancel" }

/**
 * Interrupted when the call that the question belongs to is interrupted, or
 * when the server takes the question back.
 *
 * ```ts
 * const handlers = Elicitation.layer({
 *   form: ({ defaults }) => Effect.succeed({ action: "accept", content: defaults })
 * })
 * ```
 */
export class Elicitation extends Context.Service<Elicitation, {
  readonly form?: ((request: FormRequest) => Effect.Effect<FormAnswer>) | undefined
  readonly url?: ((request: UrlRequest) => Effect.Effect<UrlAnswer>) | undefined
}>()("mcp-connect/Elicitation") {}

/** A layer from handlers; give those modes that the program can really do. */
export const layer = (handlers: Elicitation["Service"]): Layer.Layer<Elicitation> =>
  Layer.succeed(Elicitation, handlers)

/** Declines every question: for programs without a user whose servers insist on the capability. */
export const layerDecline: Layer.Layer<Elicitation> = layer({
  form: () => Effect.succeed({ action: "decline" }),
  url: () => Effect.succeed({ action: "decline" })
})
