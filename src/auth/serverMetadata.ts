/** What an authorization server says of itself (RFC 8414, OpenID Connect Discovery; A-20 … ). */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Problem, quoted } from "./Problem.ts"
import * as Wire from "./wire.ts"

const Texts = Schema.Array(Schema.String)

const ServerMetadata = Schema.Struct({
  issuer: Schema.String,
  authorization_endpoint: Schema.optionalKey(Schema.String),
  token_endpoint: Schema.optionalKey(Schema.String),
  registration_endpoint: Schema.optionalKey(Schema.String),
  revocation_endpoint: Schema.optionalKey(Schema.String),
  scopes_supported: Schema.optionalKey(Texts),
  token_endpoint_auth_methods_supported: Schema.optionalKey(Texts),
  code_challenge_methods_supported: Schema.optionalKey(Texts),
  authorization_response_iss_parameter_supported: Schema.optionalKey(Schema.Boolean),
  client_id_metadata_document_supported: Schema.optionalKey(Schema.Boolean),
  dpop_signing_alg_values_supported: Schema.optionalKey(Texts)
})

export type ServerMetadata = typeof ServerMetadata.Type & {
  /** Nothing was found: where servers of 2025-03-26 have their endpoints. */
  readonly assumed?: true
}

const decode = Schema.decodeUnknownOption(ServerMetadata)

/** Where the document of an issuer may be, in order. One with a path is never looked for at the root. */
export const candidates = (issuer: URL): ReadonlyArray<string> => {
  const { origin } = issuer
  const path = issuer.pathname.replace(/\/$/, "")
  return path === ""
    ? [`${origin}/.well-known/oauth-authorization-server`, `${origin}/.well-known/openid-configuration`]
    : [
      `${origin}/.well-known/oauth-authorization-server${path}`,
      `${origin}/.well-known/openid-configuration${path}`,
      `${origin}${path}/.well-known/openid-configuration`
    ]
}

const problem = (detail: string) => new Problem({ stage: "discovery", detail })

const find = Effect.fnUntraced(function*(
  wire: Wire.Wire,
  urls: ReadonlyArray<string>,
  isIssuer: (issuer: string) => boolean
): Effect.fn.Return<ServerMetadata | undefined, Problem> {
  for (const url of urls) {
    const document = yield* Wire.getJson(wire, url)
    if (document === undefined) continue
    const metadata = Option.getOrUndefined(decode(document))
    if (metadata === undefined) return yield* problem(`${quoted(url)} is not the metadata of an authorization server`)
    if (isIssuer(metadata.issuer)) return metadata
    // Whoever gives this out may be posing as the issuer: none of it is used.
    return yield* problem(`${quoted(url)} is about another issuer, ${quoted(metadata.issuer)}`)
  }
  return undefined
})

/**
 * The metadata of an issuer, which must call itself exactly so: issuers are
 * compared as texts everywhere, so that one with a slash at its end is another.
 */
export const discover = Effect.fnUntraced(function*(
  wire: Wire.Wire,
  issuer: string
): Effect.fn.Return<ServerMetadata, Problem> {
  const url = URL.parse(issuer)
  if (url === null) return yield* problem(`the issuer ${quoted(issuer)} is no URL`)
  if (url.search !== "" || url.hash !== "") return yield* problem(`the issuer ${quoted(issuer)} has a query or a fragment`)
  const metadata = yield* find(wire, candidates(url), (named) => named === issuer)
  return metadata ?? (yield* problem(`the authorization server ${quoted(issuer)} has no metadata`))
})

/** The authorization server of a server that names none, as in 2025-03-26: at its own origin. */
export const legacy = Effect.fnUntraced(function*(wire: Wire.Wire): Effect.fn.Return<ServerMetadata, Problem> {
  const { origin } = wire.policy.server
  // Nobody has written this issuer down, so its slash says nothing.
  const metadata = yield* find(
    wire,
    [`${origin}/.well-known/oauth-authorization-server`],
    (named) => named === origin || named === `${origin}/`
  )
  return metadata ?? {
    issuer: origin,
    authorization_endpoint: `${origin}/authorize`,
    token_endpoint: `${origin}/token`,
    registration_endpoint: `${origin}/register`,
    code_challenge_methods_supported: ["S256"],
    assumed: true
  }
})
