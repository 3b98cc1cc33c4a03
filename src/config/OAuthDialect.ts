/** OAuth as other clients are asked for it, as the `auth` of this library. */
import * as Predicate from "effect/Predicate"

const words = (value: unknown): unknown => typeof value === "string" ? value.split(" ").filter((word) => word !== "") : value

const callback = (port: unknown): unknown => typeof port === "number" ? `http://localhost:${port}/callback` : port

/** What others call the fields of `auth`. */
const fields: ReadonlyMap<string, readonly [field: string, convert?: (value: unknown) => unknown]> = new Map([
  ["clientId", ["clientId"]],
  ["client_id", ["clientId"]],
  ["CLIENT_ID", ["clientId"]],
  ["clientSecret", ["clientSecret"]],
  ["client_secret", ["clientSecret"]],
  ["CLIENT_SECRET", ["clientSecret"]],
  ["scope", ["scopes", words]],
  ["scopes", ["scopes", words]],
  ["redirectUri", ["redirectUri"]],
  ["redirect_uri", ["redirectUri"]],
  ["callbackPort", ["redirectUri", callback]],
  ["issuer", ["issuer"]]
])

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  Predicate.isReadonlyObject(value) && !Array.isArray(value) && !Predicate.isDate(value)

/** A switch, or an object of which what we know is taken; `undefined` for anything else. */
export const convert = (value: unknown): unknown => {
  if (value === true) return {}
  if (value === false) return false
  if (!isObject(value)) return undefined
  if (value["enabled"] === false) return false
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) => {
      const [field, convert] = fields.get(key) ?? []
      return field === undefined ? [] : [[field, convert === undefined ? item : convert(item)]]
    })
  )
}

/** Keys of such an object that have no counterpart: endpoints, for one, which are found out from the server. */
export const unknown = (value: unknown): ReadonlyArray<string> =>
  isObject(value) ? Object.keys(value).filter((key) => key !== "enabled" && !fields.has(key)) : []

/** Scopes that have a key of their own beside such an object. */
export const scopes = (value: unknown): unknown => ({ scopes: words(value) })

/** Whether an object under our own key is another client's. */
export const isForeign = (value: unknown): boolean => isObject(value) && ("CLIENT_ID" in value || "CLIENT_SECRET" in value)
