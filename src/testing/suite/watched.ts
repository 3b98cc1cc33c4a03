/** A binding under observation: what its links deliver is held against the contract of a receiver. */
import * as Effect from "effect/Effect"
import type { Binding, Link, Receiver } from "../../Transport.ts"

export interface Watched {
  readonly binding: Binding
  /** What the binding did against its contract. */
  readonly violations: ReadonlyArray<string>
  /** Bytes its links said they took. */
  readonly sentBytes: () => number
  /** Links that were opened and have not told that they are gone. */
  readonly open: () => number
}

interface LinkState {
  closed: boolean
  /** Among the open ones. */
  counted: boolean
}

export const make = (watched: Binding): Watched => {
  const violations: Array<string> = []
  let sent = 0
  let open = 0

  const leave = (link: LinkState) => {
    if (link.counted) open -= 1
    link.counted = false
  }

  const receive = (receiver: Receiver, link: LinkState): Receiver => {
    const whileOpen = (what: string) => {
      if (link.closed) violations.push(`${what} after onClose`)
    }
    return {
      onMessage: (value, bytes) => {
        whileOpen("onMessage")
        // Of what came together, the first may have all the bytes.
        if (!(bytes >= 0)) violations.push(`a message of ${bytes} bytes`)
        receiver.onMessage(value, bytes)
      },
      onDiagnostic: receiver.onDiagnostic,
      onFailure: (id, reason) => {
        whileOpen("onFailure")
        receiver.onFailure(id, reason)
      },
      onClose: (reason) => {
        if (link.closed) violations.push("onClose twice")
        link.closed = true
        leave(link)
        receiver.onClose(reason)
      }
    }
  }

  const watch = (binding: Binding): Binding => ({
    ...binding,
    ...(binding.fallback === undefined ? undefined : { fallback: watch(binding.fallback) }),
    open: (receiver) =>
      Effect.suspend(() => {
        const state: LinkState = { closed: false, counted: true }
        open += 1
        return binding.open(receive(receiver, state)).pipe(
          Effect.map((link): Link => ({
            ...link,
            send: (message, options) => {
              const bytes = link.send(message, options)
              if (!Number.isInteger(bytes) || bytes < 0) violations.push(`send gave ${bytes} for the bytes it took`)
              sent += bytes
              return bytes
            }
          })),
          // A link that never was has nothing to tell, but may.
          Effect.onError(() => Effect.sync(() => leave(state)))
        )
      })
  })

  return { binding: watch(watched), violations, sentBytes: () => sent, open: () => open }
}
