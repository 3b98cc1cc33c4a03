/** What is kept of an authorization: tokens, and who we are to an authorization server. Secrets are `Redacted`. */
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

const Secret = Schema.RedactedFromValue(Schema.String)

/** A token, and what it takes to get the next one. */
export const Credential = Schema.Struct({
  accessToken: Secret,
  type: Schema.Literals(["bearer", "dpop"]),
  /** Milliseconds since 1970. */
  issuedAt: Schema.Number,
  /** The same; absent when the server does not say. */
  expiresAt: Schema.optionalKey(Schema.Number),
  refreshToken: Schema.optionalKey(Secret),
  /** The client it was issued to. */
  clientId: Schema.String,
  /** What was asked for. */
  requested: Schema.String,
  /** What was given, where the server says that it is something else. */
  granted: Schema.optionalKey(Schema.String),
  /** The key the token is bound to, as JWK. */
  dpopKey: Schema.optionalKey(Secret)
})
export type Credential = typeof Credential.Type

/** A client that was registered dynamically. */
export const Registration = Schema.Struct({
  clientId: Schema.String,
  clientSecret: Schema.optionalKey(Secret),
  /** Milliseconds since 1970. */
  secretExpiresAt: Schema.optionalKey(Schema.Number),
  method: Schema.optionalKey(Schema.String),
  /** What it may be called back at: another one needs another registration. */
  redirectUris: Schema.Array(Schema.String)
})
export type Registration = typeof Registration.Type

/** Whose tokens a server takes, so that they are found without asking it. */
export const Binding = Schema.Struct({
  issuer: Schema.String,
  /** The identifier tokens are asked for. */
  resource: Schema.String
})
export type Binding = typeof Binding.Type

/** Whether two are the same token. */
export const isSame = (a: Credential | undefined, b: Credential | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && Redacted.value(a.accessToken) === Redacted.value(b.accessToken))

const textOf = (secret: Redacted.Redacted<string> | undefined): string | undefined =>
  secret === undefined ? undefined : Redacted.value(secret)

/** Whether nothing that could be lost has changed from one to the other. */
export const isUnchanged = (a: Credential | undefined, b: Credential | undefined): boolean =>
  isSame(a, b) && textOf(a?.refreshToken) === textOf(b?.refreshToken)

/** Whether one is what is left of the other when its refresh token was found spent. */
export const isSpent = (left: Credential | undefined, before: Credential | undefined): boolean =>
  left !== undefined && left.refreshToken === undefined && isSame(left, before)

/** How long before its end a token counts as expired: clocks differ, and requests take their time. */
const skew = (credential: Credential): number =>
  Math.min(60_000, ((credential.expiresAt ?? 0) - credential.issuedAt) / 10)

export const isExpiring = (credential: Credential, now: number): boolean =>
  credential.expiresAt !== undefined && now >= credential.expiresAt - skew(credential)

export const isExpired = (credential: Credential, now: number): boolean =>
  credential.expiresAt !== undefined && now >= credential.expiresAt
