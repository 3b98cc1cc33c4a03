/** Any binding taken for one with headers, which here are written down and go nowhere. */
import * as Effect from "effect/Effect"
import type * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import { Transport } from "../../src/Transport.ts"

export interface Sent {
  readonly message: JsonRpc.Message
  readonly headers: Readonly<Record<string, string>> | undefined
}

export const make = (
  binding: Transport["Service"],
  options?: Pick<Transport["Service"], "http">
): { readonly binding: Transport["Service"]; readonly sent: Array<Sent> } => {
  const sent: Array<Sent> = []
  return {
    sent,
    binding: Transport.of({
      ...binding,
      http: true,
      ...options,
      open: (receiver) =>
        Effect.map(binding.open(receiver), (link) => ({
          ...link,
          send: (message, options) => {
            sent.push({ message, headers: options?.headers })
            return link.send(message, options)
          }
        }))
    })
  }
}

/** What was sent of one method, in order. */
export const of = (sent: ReadonlyArray<Sent>, method: string): ReadonlyArray<Sent> =>
  sent.filter(({ message }) => "method" in message && message.method === method)
