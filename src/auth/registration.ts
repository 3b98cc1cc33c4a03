/** Who we are to an authorization server (A-30 … A-35). */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as oauth from "oauth4webapi"
import type * as ClientAuth from "./clientAuth.ts"
import type { Registration } from "./Credential.ts"
import { Problem, quoted } from "./Problem.ts"
import type { ServerMetadata } from "./serverMetadata.ts"
import * as Urls from "./urls.ts"
import * as Wire from "./wire.ts"

const Response = Schema.Struct({
  client_id: Schema.String,
  client_secret: Schema.optionalKey(Schema.NullOr(Schema.String)),
  client_secret_expires_at: Schema.optionalKey(Schema.NullOr(Schema.Number)),
  token_endpoint_auth_method: Schema.optionalKey(Schema.NullOr(Schema.String))
})

// Not the library's reader: it insists on fields that many servers leave out.
const decode = Schema.decodeUnknownOption(Response)

/** What to ask for: a program on somebody's machine keeps no secrets, unless the server wants one kept. */
const method = (supported: ReadonlyArray<string> | undefined): string =>
  ["none", "client_secret_basic", "client_secret_post"].find((method) => supported?.includes(method) ?? true) ?? "none"

export interface Options {
  readonly clientName: string
  readonly redirectUri: string
  readonly scope: string | undefined
}

/**
 * Registers a client dynamically (RFC 7591). Some servers let clients ask only
 * for the scopes they were registered with, others do not register scopes of
 * resources: these are asked once more, without.
 */
export const register = (wire: Wire.Wire, metadata: ServerMetadata, options: Options): Effect.Effect<Registration, Problem> =>
  Effect.catch(attempt(wire, metadata, options), (problem) =>
    problem.code === "invalid_client_metadata" && options.scope !== undefined
      ? attempt(wire, metadata, { ...options, scope: undefined })
      : Effect.fail(problem))

const attempt = Effect.fnUntraced(function*(
  wire: Wire.Wire,
  metadata: ServerMetadata,
  options: Options
): Effect.fn.Return<Registration, Problem> {
  const { clientName, redirectUri, scope } = options
  const endpoint = metadata.registration_endpoint
  if (endpoint === undefined) {
    return yield* new Problem({
      stage: "registration",
      detail: `${quoted(metadata.issuer)} does not register clients by itself: register one there`
    })
  }
  const redirect = new URL(redirectUri)
  const native = (redirect.protocol !== "https:" && redirect.protocol !== "http:") || Urls.reach(redirect) === "loopback"
  const response = yield* Wire.exchange(wire, "registration", (wireOptions) =>
    oauth.dynamicClientRegistrationRequest(
      { issuer: metadata.issuer, registration_endpoint: endpoint },
      {
        client_name: clientName,
        redirect_uris: [redirectUri],
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        token_endpoint_auth_method: method(metadata.token_endpoint_auth_methods_supported),
        application_type: native ? "native" : "web",
        ...(scope === undefined ? {} : { scope })
      },
      wireOptions
    ))
  if (response.status !== 200 && response.status !== 201) {
    yield* Wire.attempt("registration", () => oauth.processDynamicClientRegistrationResponse(response))
    return yield* new Problem({ stage: "registration", detail: `status ${response.status}` })
  }
  const body = yield* Effect.orElseSucceed(Wire.attempt("registration", () => response.json()), () => undefined)
  const registered = Option.getOrUndefined(decode(body))
  if (registered === undefined) {
    return yield* new Problem({ stage: "registration", detail: `${quoted(metadata.issuer)} did not answer with a client` })
  }
  const { client_id, client_secret, client_secret_expires_at, token_endpoint_auth_method } = registered
  return {
    clientId: client_id,
    redirectUris: [redirectUri],
    ...(client_secret === undefined || client_secret === null ? {} : { clientSecret: Redacted.make(client_secret) }),
    // Zero is for ever.
    ...(typeof client_secret_expires_at === "number" && client_secret_expires_at > 0
      ? { secretExpiresAt: client_secret_expires_at * 1_000 }
      : {}),
    ...(typeof token_endpoint_auth_method === "string" ? { method: token_endpoint_auth_method } : {})
  }
})

/** Whether a registration can still be used for this redirect. */
export const covers = Effect.fnUntraced(function*({ redirectUris, secretExpiresAt }: Registration, redirectUri: string) {
  const now = yield* Clock.currentTimeMillis
  return redirectUris.includes(redirectUri) && (secretExpiresAt === undefined || secretExpiresAt > now)
})

export const toClient = ({ clientId, clientSecret, method }: Registration): ClientAuth.Client => ({
  id: clientId,
  secret: clientSecret,
  method
})
