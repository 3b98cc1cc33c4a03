import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Redaction from "../../src/recording/redaction.ts"

/** Texts that a secret may be, none of which is part of the mark or of the protocol. */
const secret = fc.string({ unit: "grapheme", minLength: 4, maxLength: 24 })
  .map((text) => `é${text}"q/Z+`)

const base64 = (text: string) => Buffer.from(text).toString("base64")

/** How a secret gets into a message. */
const forms: Readonly<Record<string, (value: string, around: string) => unknown>> = {
  "a whole text": (value) => ({ text: value }),
  "part of a text": (value, around) => ({ text: `${around}${value}${around}` }),
  "the name of a member": (value) => ({ structured: { [value]: 1 } }),
  "the name of a member of a secret": (value) => ({ token: { [value]: 1 } }),
  "JSON within a text": (value) => ({ text: JSON.stringify({ value }) }),
  "a part of a URL": (value, around) => ({ uri: `x:///${around}${encodeURIComponent(value)}?q` }),
  "a form": (value) => ({ text: new URLSearchParams({ value }).toString() }),
  "Base64": (value) => ({ data: base64(value) }),
  "Base64 of more than it": (value, around) => ({ data: base64(`${around}${value}${around}`) }),
  "Base64 of URLs": (value, around) => ({ data: Buffer.from(`${around}${value}${around}`).toString("base64url") })
}

/** Whether the secret can be read from a text, also by one who decodes what is in it. */
const holds = (text: string, value: string): boolean => {
  const inner = JSON.stringify(value).slice(1, -1)
  const forms = [
    value,
    inner,
    JSON.stringify(inner).slice(1, -1),
    encodeURIComponent(value),
    new URLSearchParams([["", value]]).toString().slice(1)
  ]
  const decoded = [...text.matchAll(/[\w+/-]{4,}/g)].map(([run]) => Buffer.from(run, "base64").toString())
  return forms.some((form) => text.includes(form)) || decoded.some((plain) => plain.includes(value))
}

describe("redaction", () => {
  for (const [form, message] of Object.entries(forms)) {
    it(`leaves nothing of a secret that is ${form}`, () => {
      fc.assert(
        fc.property(secret, fc.string({ maxLength: 8 }), (value, around) => {
          const { count, value: redacted } = Redaction.make({ values: [value] })
          assert.isFalse(holds(JSON.stringify(redacted({ jsonrpc: "2.0", params: message(value, around) })), value))
          assert.isAbove(count(), 0)
        }),
        { numRuns: 200 }
      )
    })
  }

  it("leaves alone what has no secret in it", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (short) => {
        const message = { data: "AAAA", text: "0123456789".repeat(3), list: [true, null, 1.5] }
        fc.pre(!JSON.stringify(message).includes(short))
        assert.deepStrictEqual(Redaction.make({ values: [short] }).value(message), message)
      })
    )
  })
})
