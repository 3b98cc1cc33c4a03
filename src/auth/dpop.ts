/** Proof that a token is in the hands of the one it was given to (RFC 9449; A-95). */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Redacted from "effect/Redacted"
import type * as Jose from "jose"
import type { Problem } from "./Problem.ts"
import * as Random from "./random.ts"
import * as Wire from "./wire.ts"

export const algorithm = "ES256"

/** The private key as JWK, as it is kept with the token that is bound to it. */
export type Key = Redacted.Redacted<string>

/** Few programs need it, and all would wait for it at their start. */
const library = () => import("jose")

export const generate: Effect.Effect<Key, Problem> = Wire.attempt("token", async () => {
  const jose = await library()
  const { privateKey } = await jose.generateKeyPair(algorithm, { extractable: true })
  return Redacted.make(JSON.stringify(await jose.exportJWK(privateKey)))
})

interface Pair {
  readonly privateKey: Jose.CryptoKey | Uint8Array
  readonly jwk: Jose.JWK
}

const imported = new WeakMap<Key, Promise<Pair>>()

const load = (key: Key): Promise<Pair> => {
  const known = imported.get(key)
  if (known !== undefined) return known
  const { crv, kty, x, y, ...secret }: Jose.JWK = JSON.parse(Redacted.value(key))
  const jwk = { kty, crv, x, y } as Jose.JWK
  const pair = library().then(async (jose) => ({ privateKey: await jose.importJWK({ ...jwk, ...secret }, algorithm), jwk }))
  imported.set(key, pair)
  return pair
}

export interface Claims {
  readonly method: string
  readonly url: string
  readonly nonce: string | undefined
  /** The token that goes with it. */
  readonly token?: Redacted.Redacted<string>
}

const hash = async (text: string): Promise<string> =>
  Base64Url.encode(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))))

/** A proof for one request; another attempt needs another one. */
export const proof = Effect.fnUntraced(function*(
  key: Key,
  { method, nonce, token, url }: Claims
): Effect.fn.Return<string, Problem> {
  const jti = yield* Random.secret
  const now = yield* Clock.currentTimeMillis
  const target = new URL(url)
  return yield* Wire.attempt("token", async () => {
    const jose = await library()
    const { jwk, privateKey } = await load(key)
    return await new jose.SignJWT({
      jti,
      htm: method,
      htu: `${target.origin}${target.pathname}`,
      ...(nonce === undefined ? {} : { nonce }),
      ...(token === undefined ? {} : { ath: await hash(Redacted.value(token)) })
    }).setProtectedHeader({ alg: algorithm, typ: "dpop+jwt", jwk }).setIssuedAt(Math.floor(now / 1_000)).sign(privateKey)
  })
})

/** The last nonce of each origin. */
export interface Nonces {
  readonly get: (url: string) => string | undefined
  readonly heed: (url: string, nonce: string | null | undefined) => void
}

export const nonces = (): Nonces => {
  const known = new Map<string, string>()
  return {
    get: (url) => known.get(new URL(url).origin),
    heed: (url, nonce) => {
      if (nonce !== undefined && nonce !== null && nonce.length <= 1_024) known.set(new URL(url).origin, nonce)
    }
  }
}
