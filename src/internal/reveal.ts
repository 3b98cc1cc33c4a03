import * as Redacted from "effect/Redacted"

/** A text that may be a secret, for whoever has to know it. */
export const reveal = (text: string | Redacted.Redacted<string>): string => Redacted.isRedacted(text) ? Redacted.value(text) : text
