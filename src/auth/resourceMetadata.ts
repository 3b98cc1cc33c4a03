/** What a server says of itself as a protected resource (RFC 9728; A-10 … A-12). */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Problem, quoted } from "./Problem.ts"
import * as Urls from "./urls.ts"
import * as Wire from "./wire.ts"

const ResourceMetadata = Schema.Struct({
  resource: Schema.String,
  authorization_servers: Schema.Array(Schema.String),
  scopes_supported: Schema.optionalKey(Schema.Array(Schema.String)),
  dpop_bound_access_tokens_required: Schema.optionalKey(Schema.Boolean)
})
export type ResourceMetadata = typeof ResourceMetadata.Type

const decode = Schema.decodeUnknownOption(ResourceMetadata)

/** Where the document may be, in order: with the path of the server inserted, then at the root. */
export const candidates = (server: URL): ReadonlyArray<string> => {
  const wellKnown = `${server.origin}/.well-known/oauth-protected-resource`
  const path = server.pathname.replace(/\/$/, "")
  return path === "" ? [wellKnown] : [`${wellKnown}${path}${server.search}`, wellKnown]
}

/**
 * Whether what calls itself this resource is the server: of the same origin,
 * and the server's path is the resource's or under it.
 */
export const identifies = (resource: string, server: URL): boolean => {
  const url = URL.parse(resource)
  if (url === null || url.protocol !== server.protocol || url.origin !== server.origin) return false
  if (url.hash !== "" || url.username !== "" || url.password !== "") return false
  if (url.search !== "" && url.search !== server.search) return false
  const [path, here] = [url, server].map(({ pathname }) => pathname.replace(/\/$/, ""))
  return here === path || here?.startsWith(`${path}/`) === true
}

const accept = (document: Record<string, unknown>, from: string, server: URL): Effect.Effect<ResourceMetadata, Problem> => {
  const metadata = Option.getOrUndefined(decode(document))
  const detail = metadata === undefined
    ? `${quoted(Urls.shown(from))} is not the metadata of a protected resource`
    : !identifies(metadata.resource, server)
    ? `${quoted(Urls.shown(from))} is about another resource, ${quoted(Urls.shown(metadata.resource))}`
    : metadata.authorization_servers.length === 0
    ? `${quoted(Urls.shown(from))} names no authorization server`
    : undefined
  return metadata === undefined || detail !== undefined
    ? Effect.fail(new Problem({ stage: "discovery", detail: detail ?? "" }))
    : Effect.succeed(metadata)
}

/** The document; `undefined` where the server has none. One that a challenge names is the only one asked for. */
export const discover = Effect.fnUntraced(function*(
  wire: Wire.Wire,
  named: string | undefined
): Effect.fn.Return<ResourceMetadata | undefined, Problem> {
  const { server } = wire.policy
  if (named !== undefined) {
    const document = yield* Wire.getJson(wire, named)
    if (document === undefined) {
      return yield* new Problem({ stage: "discovery", detail: `the challenge names ${quoted(Urls.shown(named))}, where there is no metadata` })
    }
    return yield* accept(document, named, server)
  }
  for (const url of candidates(server)) {
    const document = yield* Wire.getJson(wire, url)
    if (document !== undefined) return yield* accept(document, url, server)
  }
  return undefined
})

/**
 * The identifier of a server that does not tell its own: its URL without
 * fragment, without a slash that means nothing, and without its query, which may
 * hold keys that are no business of the authorization server (A-42, RFC 8707).
 */
export const canonical = (server: URL): string => server.pathname === "/" ? server.origin : `${server.origin}${server.pathname}`

/**
 * Credentials only ever go where the resource is: to its origin, whatever the
 * path, as the messages of HTTP+SSE have another one than their stream.
 */
export const covers = (server: URL, url: string): boolean => {
  const to = URL.parse(url)
  return to?.protocol === server.protocol && to.origin === server.origin
}

