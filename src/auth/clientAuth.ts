/** How a client shows who it is, at a token endpoint (A-55, A-86). */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Redacted from "effect/Redacted"
import type * as Jose from "jose"
import * as oauth from "oauth4webapi"
import { Problem, quoted } from "./Problem.ts"
import * as Random from "./random.ts"
import type { ServerMetadata } from "./serverMetadata.ts"

export type Method = "none" | "client_secret_basic" | "client_secret_post" | "private_key_jwt"

/** A key to sign assertions with. */
export interface PrivateKey {
  /** PKCS #8 in PEM, or a JWK. */
  readonly key: Redacted.Redacted<string>
  /** Default: what the JWK says, or `ES256`. */
  readonly algorithm?: string | undefined
  readonly keyId?: string | undefined
}

/** A client as one authorization server knows it. */
export interface Client {
  /** Empty for one that its assertion says everything of. */
  readonly id: string
  readonly secret?: Redacted.Redacted<string> | undefined
  readonly privateKey?: PrivateKey | undefined
  /** What was agreed at its registration. */
  readonly method?: string | undefined
}

const preferred: ReadonlyArray<Method> = ["private_key_jwt", "client_secret_basic", "client_secret_post", "none"]

const isAble = (method: Method, { privateKey, secret }: Client): boolean =>
  method === "private_key_jwt" ? privateKey !== undefined : method === "none" ? true : secret !== undefined

/**
 * The method to use: the one agreed at registration where the server still has
 * it, else the strongest that both sides can. A server that lists none takes
 * `client_secret_basic` (RFC 8414), or nothing from those who have no secret.
 */
export const choose = (client: Client, supported: ReadonlyArray<string> | undefined): Method | undefined => {
  const able = preferred.filter((method) => isAble(method, client))
  if (supported === undefined) return able.find((method) => method === client.method) ?? able[0]
  const common = able.filter((method) => supported.includes(method))
  return common.find((method) => method === client.method) ?? common[0]
}

const importKey = async (jose: typeof Jose, { algorithm, key }: PrivateKey) => {
  const text = Redacted.value(key).trim()
  if (text.startsWith("{")) {
    const jwk: Jose.JWK = JSON.parse(text)
    const alg = algorithm ?? jwk.alg ?? "ES256"
    return { alg, keyId: jwk.kid, key: await jose.importJWK(jwk, alg) }
  }
  const alg = algorithm ?? "ES256"
  return { alg, keyId: undefined, key: await jose.importPKCS8(text, alg) }
}

/** Signed each time, as it is good for one use and a minute. Its audience is the issuer (A-87). */
const assertion = Effect.fnUntraced(function*(id: string, privateKey: PrivateKey, { issuer }: ServerMetadata) {
  const now = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
  const jti = yield* Random.secret
  return yield* Effect.tryPromise({
    try: async () => {
      // Few programs need it, and all would wait for it at their start.
      const jose = await import("jose")
      const { alg, key, keyId } = await importKey(jose, privateKey)
      const kid = privateKey.keyId ?? keyId
      return await new jose.SignJWT({})
        .setProtectedHeader({ alg, ...(kid === undefined ? {} : { kid }) })
        .setIssuer(id).setSubject(id).setAudience(issuer).setJti(jti).setIssuedAt(now).setExpirationTime(now + 60)
        .sign(key)
    },
    // Its own words may quote the key.
    catch: () => new Problem({ stage: "token", detail: "the client's private key cannot be used; expected PKCS #8 in PEM, or a JWK" })
  })
})

const bearerAssertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

const formEncoded = (text: string): string => new URLSearchParams([["", text]]).toString().slice(1)

/** Not the library's: it encodes every `-` as well, which many servers, and the conformance suite, do not decode. */
const basic = (id: string, secret: string): oauth.ClientAuth => (_as, _client, _body, headers) => {
  headers.set("authorization", `Basic ${Base64.encode(`${formEncoded(id)}:${formEncoded(secret)}`)}`)
}

/** What puts the client's credentials on a request. */
export const make = Effect.fnUntraced(function*(
  client: Client,
  metadata: ServerMetadata
): Effect.fn.Return<oauth.ClientAuth, Problem> {
  const method = choose(client, metadata.token_endpoint_auth_methods_supported)
  if (method === "private_key_jwt" && client.privateKey !== undefined) {
    const signed = yield* assertion(client.id, client.privateKey, metadata)
    return (_as, _client, body) => {
      body.set("client_assertion_type", bearerAssertion)
      body.set("client_assertion", signed)
    }
  }
  if (method === "none") return client.id === "" ? () => undefined : oauth.None()
  if (method !== undefined && client.secret !== undefined) {
    const secret = Redacted.value(client.secret)
    return method === "client_secret_post" ? oauth.ClientSecretPost(secret) : basic(client.id, secret)
  }
  return yield* new Problem({
    stage: "token",
    detail: `the authorization server takes none of the client's credentials, only ${
      quoted(metadata.token_endpoint_auth_methods_supported?.join(", ") ?? "others")
    }`
  })
})
