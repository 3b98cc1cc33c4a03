/** What those who look after a client want to know of it beside its operations: whether there is life. */
import type { LastAsked } from "./patience.ts"

export interface Signs {
  readonly lastAsked: LastAsked | undefined
  /** Of all messages so far. */
  readonly receivedBytes: () => number
}

const known = new WeakMap<object, Signs>()

export const note = (client: object, signs: Signs): void => {
  known.set(client, signs)
}

/** `undefined` for a client that was not made here, such as a mock. */
export const of = (client: object): Signs | undefined => known.get(client)
