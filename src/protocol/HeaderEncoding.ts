/**
 * Values of the protocol as HTTP headers: visible ASCII as it is, anything else
 * in an envelope of Base64 (H-40 … H-44).
 */
import * as Base64 from "effect/encoding/Base64"

const prefix = "=?base64?"
const suffix = "?="

/** Visible ASCII and spaces, with no space at either end: what survives every proxy as it is. */
const plain = /^(?! )[\x20-\x7e]+(?<! )$/

/**
 * A text as the value of a header. The empty text is put in an envelope too,
 * since proxies drop empty headers (H-43), and so is what looks like one.
 *
 * ```ts
 * HeaderEncoding.encode("us-west1") // "us-west1"
 * HeaderEncoding.encode("Hello, 世界") // "=?base64?SGVsbG8sIOS4lueVjA==?="
 * ```
 */
export const encode = (value: string): string =>
  plain.test(value) && !(value.startsWith(prefix) && value.endsWith(suffix))
    ? value
    : `${prefix}${Base64.encode(value)}${suffix}`

/** The types an argument can have to be mirrored in a header (H-32). */
export type ArgumentType = "string" | "integer" | "boolean"

/** An argument as the value of a header; `undefined` when it is not of its type, for the server to decide (H-35). */
export const encodeArgument = (type: ArgumentType, value: unknown): string | undefined => {
  switch (type) {
    case "string":
      return typeof value === "string" ? encode(value) : undefined
    case "integer":
      return Number.isSafeInteger(value) ? String(value) : undefined
    case "boolean":
      return typeof value === "boolean" ? String(value) : undefined
  }
}
