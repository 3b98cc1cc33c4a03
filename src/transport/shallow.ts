/**
 * A binding for those who write down what they hear: `JSON.parse` takes values
 * that are nested too deeply for `JSON.stringify`, and a server may send one.
 */
import * as Diagnostic from "../Diagnostic.ts"
import * as McpError from "../McpError.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import type { Binding } from "../Transport.ts"

/** Far more than any message, far less than the stack. */
const maxLevels = 500

const fits = (value: unknown, levels: number): boolean =>
  typeof value !== "object" || value === null ||
  (levels > 0 && Object.values(value).every((member) => fits(member, levels - 1)))

const detail = `nested deeper than ${maxLevels} levels`

/** The same binding. An answer that is nested too deeply fails its request, any other message is skipped. */
export const shallow = (binding: Binding): Binding => ({
  ...binding,
  ...(binding.fallback === undefined ? undefined : { fallback: shallow(binding.fallback) }),
  open: (receiver) =>
    binding.open({
      ...receiver,
      onMessage: (value, bytes) => {
        if (fits(value, maxLevels)) return receiver.onMessage(value, bytes)
        if (JsonRpc.isMessage(value) && !("method" in value) && value.id !== undefined && value.id !== null) {
          return receiver.onFailure(value.id, new McpError.InvalidResponse({ method: "a request", detail }))
        }
        receiver.onDiagnostic(Diagnostic.Skipped({ detail: `a message ${detail}`, excerpt: "" }))
      }
    })
})
