/** Asking a user, by way of their browser: RFC 6749 with PKCE, `resource` and `iss` (A-40 … A-55). */
import * as Effect from "effect/Effect"
import * as oauth from "oauth4webapi"
import type * as ClientAuth from "./clientAuth.ts"
import type { Credential } from "./Credential.ts"
import type * as Dpop from "./dpop.ts"
import { Problem, quoted } from "./Problem.ts"
import * as Random from "./random.ts"
import * as Scopes from "./scopes.ts"
import * as TokenEndpoint from "./tokenEndpoint.ts"
import * as Urls from "./urls.ts"
import * as Wire from "./wire.ts"

export interface Ask<E> {
  readonly client: ClientAuth.Client
  readonly redirectUri: string
  readonly scopes: Scopes.Scopes
  readonly resource: string
  readonly dpopKey: Dpop.Key | undefined
  /** Leads the user to the URL and gives what the browser was sent back to. */
  readonly visit: (url: URL, state: string) => Effect.Effect<URL, E>
  /** Keeps the token. */
  readonly keep: (credential: Credential) => Effect.Effect<void, Problem>
}

const problem = (detail: string) => new Problem({ stage: "authorization", detail })

/** Where the user goes. */
const location = Effect.fnUntraced(function*(
  { metadata, wire }: TokenEndpoint.Endpoint,
  { client, redirectUri, resource, scopes }: Omit<Ask<never>, "visit" | "keep">,
  { state, verifier }: { readonly state: string; readonly verifier: string }
): Effect.fn.Return<URL, Problem> {
  const { authorization_endpoint: endpoint, code_challenge_methods_supported: methods, issuer } = metadata
  if (endpoint === undefined) return yield* problem(`${quoted(issuer)} has no authorization endpoint`)
  // Without a word on PKCE it may be ignored, and codes be stolen (A-24).
  if (methods?.includes("S256") !== true) return yield* problem(`${quoted(issuer)} does not say that it supports PKCE with S256`)
  const url = Urls.check(endpoint, wire.policy)
  if (typeof url === "string") return yield* problem(`the authorization endpoint: ${url}`)
  const challenge = yield* Wire.attempt("authorization", () => oauth.calculatePKCECodeChallenge(verifier))
  const scope = Scopes.format(scopes)
  const parameters = {
    response_type: "code",
    client_id: client.id,
    redirect_uri: redirectUri,
    code_challenge: challenge,
    code_challenge_method: "S256",
    state,
    resource,
    ...(scope === undefined ? {} : { scope }),
    // OpenID Connect gives refresh tokens for offline access only to those who ask again.
    ...(scopes.has("offline_access") ? { prompt: "consent" } : {})
  }
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  return url
})

/** What the authorization server says, once it is known to be the one that says it (A-50 … A-52). */
const validate = (
  metadata: TokenEndpoint.Endpoint["metadata"],
  client: ClientAuth.Client,
  callback: URL,
  state: string
): Effect.Effect<URLSearchParams, Problem> =>
  Effect.try({
    try: () =>
      oauth.validateAuthResponse(
        {
          issuer: metadata.issuer,
          authorization_response_iss_parameter_supported: metadata.authorization_response_iss_parameter_supported ?? false
        },
        { client_id: client.id },
        callback,
        state
      ),
    catch: (error) =>
      error instanceof oauth.AuthorizationResponseError
        ? new Problem({
          stage: "authorization",
          code: quoted(error.error),
          detail: `${quoted(error.error)}${error.error_description === undefined ? "" : `: ${quoted(error.error_description)}`}`
        })
        // Whose words these are is not known.
        : problem(
          error instanceof oauth.OperationProcessingError
            ? `the answer is not from where the user was sent, or not to this question: ${quoted(error.message)}`
            : "the answer cannot be read"
        )
  })

/** A token, if the user agrees. Interrupted once they have, it ends when the token is kept. */
export const run = Effect.fnUntraced(function*<E>(
  endpoint: TokenEndpoint.Endpoint,
  ask: Ask<E>
): Effect.fn.Return<Credential, Problem | E> {
  const secrets = { state: yield* Random.secret, verifier: yield* Random.secret }
  const url = yield* location(endpoint, ask, secrets)
  return yield* Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const callback = yield* restore(ask.visit(url, secrets.state))
      const parameters = yield* validate(endpoint.metadata, ask.client, callback, secrets.state)
      const [code = "", ...others] = parameters.getAll("code")
      if (code === "") return yield* problem("the answer has no code")
      if (others.length > 0) return yield* problem("the answer has several codes")
      // A code is good once: from here on the token is there, or nobody has it. The wire sees to it that it ends.
      const credential = yield* TokenEndpoint.credential(endpoint, {
        type: "authorization_code",
        parameters: { code, redirect_uri: ask.redirectUri, code_verifier: secrets.verifier, resource: ask.resource },
        client: ask.client,
        dpopKey: ask.dpopKey
      }, ask.scopes)
      yield* ask.keep(credential)
      return credential
    })
  )
})
