/** A protected server and its authorization server without a network: an `HttpClient` that answers for both. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Authorize from "../../src/auth/Authorize.ts"

export const server = "https://mcp.example.com/mcp"
export const issuer = "https://as.example.com"

export interface Call {
  readonly method: string
  readonly url: URL
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
  /** Of a form. */
  readonly form: URLSearchParams
}

type Handler = (call: Call) => Response | undefined | Effect.Effect<Response | undefined>

export interface Script {
  readonly calls: Array<Call>
  /** Tokens the server takes. */
  readonly valid: Set<string>
  /** Codes that can be redeemed. */
  readonly codes: Set<string>
  /** The refresh token that is good now; each is good once. */
  refreshToken: string | undefined
  tokens: number
  /** Looked at before everything else. */
  override: Handler
  metadata: Record<string, unknown>
  resource: Record<string, unknown>
  /** Seconds; `undefined` for tokens that do not say. */
  expiresIn: number | undefined
  challenge: string
}

export const json = (body: unknown, status = 200): Response =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json" } })

export const make = (): Script => ({
  calls: [],
  valid: new Set(),
  codes: new Set(),
  refreshToken: undefined,
  tokens: 0,
  override: () => undefined,
  metadata: {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    registration_endpoint: `${issuer}/register`,
    response_types_supported: ["code"],
    code_challenge_methods_supported: ["S256"],
    token_endpoint_auth_methods_supported: ["none", "client_secret_basic", "private_key_jwt"]
  },
  resource: { resource: server, authorization_servers: [issuer] },
  expiresIn: 3_600,
  challenge: "Bearer"
})

/** The body of one who keeps a connection busy: a byte, and then nothing. */
export const dripping = (): ReadableStream<Uint8Array> =>
  new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array([123])) })

/** A body that goes on for as long as somebody reads it. */
export const flooding = (): { readonly body: ReadableStream<Uint8Array>; readonly sent: () => number } => {
  let sent = 0
  const body = new ReadableStream({
    pull: (controller) => {
      sent += 65_536
      controller.enqueue(new Uint8Array(65_536).fill(32))
    }
  })
  return { body, sent: () => sent }
}

const issue = (script: Script): Response => {
  script.tokens += 1
  const token = `token-${script.tokens}`
  script.valid.clear()
  script.valid.add(token)
  script.refreshToken = `refresh-${script.tokens}`
  return json({
    access_token: token,
    token_type: "Bearer",
    refresh_token: script.refreshToken,
    ...(script.expiresIn === undefined ? {} : { expires_in: script.expiresIn })
  })
}

const grant = (script: Script, form: URLSearchParams): Response => {
  switch (form.get("grant_type")) {
    case "authorization_code":
      return script.codes.delete(form.get("code") ?? "") ? issue(script) : json({ error: "invalid_grant" }, 400)
    case "refresh_token":
      return form.get("refresh_token") === script.refreshToken ? issue(script) : json({ error: "invalid_grant" }, 400)
    default:
      return issue(script)
  }
}

const answer = (script: Script, call: Call): Response => {
  const { form, headers, url } = call
  switch (url.href) {
    case "https://mcp.example.com/.well-known/oauth-protected-resource/mcp":
      return json(script.resource)
    case `${issuer}/.well-known/oauth-authorization-server`:
      return json(script.metadata)
    case `${issuer}/register`:
      return json({ client_id: `client-${script.calls.filter((call) => call.url.pathname === "/register").length}` }, 201)
    case `${issuer}/token`:
      return grant(script, form)
  }
  if (url.origin !== new URL(server).origin || url.pathname.startsWith("/.well-known/")) return new Response("", { status: 404 })
  const token = /^(?:Bearer|DPoP) (.*)$/.exec(headers["authorization"] ?? "")?.[1]
  return token !== undefined && script.valid.has(token)
    ? new Response("hello")
    : new Response("no", { status: 401, headers: { "www-authenticate": script.challenge } })
}

export const client = (script: Script): HttpClient.HttpClient =>
  HttpClient.make((request, url) =>
    Effect.gen(function*() {
      const body = request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : ""
      const call: Call = { method: request.method, url, headers: request.headers, body, form: new URLSearchParams(body) }
      script.calls.push(call)
      // As over a network: others get their turn.
      yield* Effect.yieldNow
      const special = script.override(call)
      const response = Effect.isEffect(special) ? yield* special : special
      return HttpClientResponse.fromWeb(request, response ?? answer(script, call))
    })
  )

/** A user who agrees, when the gate opens. */
export const agreeing = (script: Script, options: { readonly gate?: Deferred.Deferred<void>; readonly callback?: (url: URL) => URL } = {}) => {
  const asked: Array<URL> = []
  const principals: Array<string | undefined> = []
  const began = Deferred.makeUnsafe<void>()
  const layer = Layer.succeed(Authorize.Authorize, {
    begin: ({ principal, redirectUri = "http://127.0.0.1:4000/callback" }) =>
      Effect.succeed({
        redirectUri,
        ask: (url: URL, state: string) =>
          Effect.gen(function*() {
            asked.push(url)
            principals.push(principal)
            yield* Deferred.succeed(began, void 0)
            if (options.gate !== undefined) yield* Deferred.await(options.gate)
            const code = `code-${asked.length}`
            script.codes.add(code)
            const callback = new URL(redirectUri)
            callback.search = String(new URLSearchParams({ code, state }))
            return options.callback?.(callback) ?? callback
          })
      })
  })
  return { asked, principals, began: Deferred.await(began), layer }
}

/** What was sent to a path, in order. */
export const to = (script: Script, path: string): ReadonlyArray<Call> => script.calls.filter(({ url }) => url.pathname === path)
