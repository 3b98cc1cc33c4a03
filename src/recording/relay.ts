/** What a binding has to be told that a peer only says in its messages. */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import * as Revision from "../protocol/Revision.ts"
import type { Agreement, Binding } from "../Transport.ts"

export interface Relay {
  readonly binding: Binding
  /** To be called with what the client has got, as texts. */
  readonly delivered: (texts: ReadonlyArray<string>) => void
  /** Ends when the client has the answer to every request it sent. */
  readonly idle: Effect.Effect<void>
}

const versionOf = (message: JsonRpc.Request): unknown => {
  const meta = message.params?._meta
  return JsonRpc.isJsonObject(meta) ? meta["io.modelcontextprotocol/protocolVersion"] : undefined
}

/** The request that a value answers. */
const answerTo = (value: unknown): JsonRpc.RequestId | undefined =>
  JsonRpc.isMessage(value) && !("method" in value) ? value.id ?? undefined : undefined

/**
 * A binding for messages that come from another client as they are: it hears
 * of the revision the two agree on, and a cancellation gives the request up as
 * the binding does it.
 */
export const make = (binding: Binding): Relay => {
  const pending = new Set<JsonRpc.RequestId>()
  const idle = Latch.makeUnsafe(true)
  const done = (id: JsonRpc.RequestId) => {
    pending.delete(id)
    if (pending.size === 0) idle.openUnsafe()
  }
  return {
    idle: idle.await,
    delivered: (texts) => {
      for (const text of texts) {
        const value: unknown = JSON.parse(text)
        const id = answerTo(value)
        if (id !== undefined) done(id)
      }
    },
    binding: {
      ...binding,
      open: (receiver) => {
        let shaking: JsonRpc.RequestId | undefined
        let agreement: Agreement | undefined
        let agreed: (agreement: Agreement) => void = () => {}
        const agree = (revision: string, stateless: boolean) => {
          if (agreement?.revision === revision) return
          agreement = { revision, stateless, batches: revision === "2025-03-26" }
          agreed(agreement)
        }
        return Effect.map(
          binding.open({
            ...receiver,
            onMessage: (value, bytes) => {
              if (shaking !== undefined && answerTo(value) === shaking && JsonRpc.isJsonObject(value)) {
                const { result } = value
                if (JsonRpc.isJsonObject(result) && typeof result.protocolVersion === "string") agree(result.protocolVersion, false)
              }
              receiver.onMessage(value, bytes)
            }
          }),
          (link) => {
            agreed = (agreement) => link.agreed?.(agreement)
            return {
              ...link,
              send: (message, options) => {
                if (!("method" in message)) return link.send(message, options)
                if ("id" in message) {
                  const version = versionOf(message)
                  if (message.method === "initialize") shaking = message.id
                  else if (message.method !== "server/discover" && typeof version === "string" && Revision.isModern(version)) {
                    agree(version, true)
                  }
                  pending.add(message.id)
                  idle.closeUnsafe()
                  return link.send(message, options)
                }
                const id = message.params?.requestId
                if (message.method !== "notifications/cancelled" || (typeof id !== "string" && typeof id !== "number")) {
                  return link.send(message, options)
                }
                const reason = message.params?.reason
                link.abandon(id, typeof reason === "string" ? reason : "cancelled")
                done(id)
                return 0
              }
            }
          }
        )
      }
    }
  }
}
