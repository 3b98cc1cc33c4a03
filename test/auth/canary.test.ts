import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as TestClock from "effect/testing/TestClock"
import * as Tracer from "effect/Tracer"
import { generateKeyPairSync } from "node:crypto"
import { inspect } from "node:util"
import * as Auth from "../../src/auth/Auth.ts"
import { Grant } from "../../src/auth/Grant.ts"
import * as TokenStore from "../../src/auth/TokenStore.ts"
import * as Wire from "../../src/auth/wire.ts"
import * as Scripted from "../support/scriptedAuth.ts"

const { issuer, server } = Scripted

const planted = [
  "c4nary-client-secret",
  "c4nary-access",
  "c4nary-refresh",
  "c4nary-code",
  "c4nary-key",
  "c4nary-assertion",
  "c4nary-subject",
  "c4nary-header",
  "c4nary-query"
] as const
const [clientSecret, access, refresh, code, key, assertion, subject, header, query] = planted
const secret = Redacted.make(clientSecret)

/** When the authorization server begins to refuse, and to repeat what it was sent; or how else things go wrong. */
const troubles = ["never", "at once", "later", "invalid_client", "garbage", "outage", "unreachable", "strict", "store"] as const
type Trouble = (typeof troubles)[number]

/** Answers, and keeps what it was told in confidence. */
const make = (trouble: Trouble) => {
  const script = Scripted.make()
  const told: Array<string> = []
  let issued = 0
  script.override = ({ body, form, headers, url }) => {
    if (url.pathname.includes("oauth-protected-resource")) return Scripted.json(script.resource)
    if (!url.pathname.endsWith("/token")) return undefined
    told.push(...["code_verifier", "client_assertion"].flatMap((name) => form.getAll(name)), headers["dpop"] ?? "")
    const repeated = `${body} ${headers["authorization"]} ${headers["dpop"]} ${decodeURIComponent(body)}`
    if (issued > 0 && trouble === "invalid_client") return Scripted.json({ error: "invalid_client", error_description: repeated }, 401)
    if (issued > 0 && trouble === "garbage") return new Response(repeated, { headers: { "content-type": "application/json" } })
    if (issued > 0 && trouble === "outage") return new Response(repeated, { status: 503 })
    if (trouble === "at once" || (trouble === "later" && issued > 0)) {
      return Scripted.json({ error: "invalid_grant", error_description: repeated, access_token: access }, 400)
    }
    issued += 1
    script.valid.add(`${access}-${issued}`)
    const jag = form.has("requested_token_type") ? { issued_token_type: "urn:ietf:params:oauth:token-type:id-jag" } : undefined
    const type = jag !== undefined ? "N_A" : headers["dpop"] === undefined ? "Bearer" : "DPoP"
    return Scripted.json({ ...jag, access_token: `${access}-${issued}`, token_type: type, refresh_token: `${refresh}-${issued}`, expires_in: 600 })
  }
  const user = Scripted.agreeing(script, {
    callback: (url) => {
      url.searchParams.set("code", code)
      return url
    }
  })
  return { script, user, told }
}

const pem = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" }).toString()
const keyText = pem.split("\n")[1] ?? pem

const idp = { tokenEndpoint: `${issuer}/token`, clientId: "at-idp", clientSecret: secret, subjectToken: Redacted.make(subject) }

const grants: ReadonlyArray<readonly [what: string, grant: Grant, dpop?: boolean]> = [
  ["a login", Grant.AuthorizationCode({ clientId: "mine", clientSecret: secret })],
  ["a login with a registration", Grant.AuthorizationCode({})],
  ["a login with proof of possession", Grant.AuthorizationCode({ clientId: "mine", clientSecret: secret }), true],
  ["a workload with proof of possession", Grant.WorkloadIdentity({ clientId: "wl", assertion: Redacted.make(assertion) }), true],
  ["a service with a secret", Grant.ClientCredentials({ clientId: "svc", clientSecret: secret })],
  ["a service with a key that cannot be read", Grant.ClientCredentials({ clientId: "svc", privateKey: { key: Redacted.make(key) } })],
  ["a service with a key", Grant.ClientCredentials({ clientId: "svc", privateKey: { key: Redacted.make(pem) } })],
  ["an enterprise", Grant.EnterpriseManaged({ clientId: "app", clientSecret: secret, idp })],
  ["a workload", Grant.WorkloadIdentity({ clientId: "wl", assertion: Redacted.make(assertion) })]
]

/** Everything somebody could see of it. */
const watch = Effect.fnUntraced(function*(grant: Grant, trouble: Trouble, dpop: boolean) {
  const { script, told, user } = make(trouble)
  const kept = new Map<string, string>()
  const store = TokenStore.make(KeyValueStore.makeStringOnly({
    get: (name) => Effect.sync(() => kept.get(name)),
    set: (name, value) =>
      Effect.suspend(() => {
        kept.set(name, value)
        return trouble === "store" ? Effect.fail(new KeyValueStore.KeyValueStoreError({ method: "set", message: "the disk is full", key: name, cause: value })) : Effect.void
      }),
    remove: (name) => Effect.sync(() => kept.delete(name)),
    clear: Effect.sync(() => kept.clear()),
    size: Effect.sync(() => kept.size),
    keys: Effect.sync(() => [...kept.keys()])
  }))
  const seen: Array<string> = []
  const spans: Array<Tracer.Span> = []
  const rejected = (error: unknown) => {
    seen.push(inspect(error, { depth: 10 }))
  }
  process.on("unhandledRejection", rejected)
  const work = Effect.gen(function*() {
    const answering = Scripted.client(script)
    let broken = false
    // As platforms do, it says of the request what it can.
    const client = HttpClient.makeWith<HttpClientError.HttpClientError, never, HttpClientError.HttpClientError, never>(
      Effect.flatMap((request) => {
        const cause = new Error(`${inspect(request.headers, { depth: 5 })} ${request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : ""}`)
        return broken && request.url.endsWith("/token")
          ? Effect.fail(new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause, description: cause.message }) }))
          : answering.execute(request)
      }),
      Effect.succeed
    )
    const url = `${server}?key=${query}`
    const auth = yield* Effect.provideService(Auth.make({ url, grant, dpop }), HttpClient.HttpClient, client)
    const decorated = auth.decorate(client)
    // As the transport sends it.
    const get = Wire.quietly(decorated.get(url, { headers: { "x-api-key": header } }))
    for (let round = 0; round < 3; round += 1) {
      const exit = yield* Effect.exit(get)
      if (exit._tag === "Failure") {
        for (const reason of exit.cause.reasons) {
          const error = Cause.isFailReason(reason) ? reason.error.cause : reason
          seen.push(String(error), JSON.stringify(error), inspect(error, { depth: 10 }))
          seen.push(Cause.pretty(Cause.fail(error)))
          // The platform's error around it tells of the request that the caller wrote, and of nothing that was added to it.
          seen.push(...[Cause.pretty(exit.cause), inspect(exit.cause, { depth: 10 })].map((text) => text.replaceAll(query, "").replaceAll(header, "")))
        }
      }
      if (round === 0) script.valid.clear()
      if (round === 0 && trouble === "unreachable") {
        broken = true
      }
      if (round === 0 && trouble === "strict") {
        const answer = script.override
        script.override = (call) => call.url.pathname === "/mcp" ? new Response(String(call.headers["authorization"]), { status: 401 }) : answer(call)
      }
      yield* TestClock.adjust("590 seconds")
    }
    seen.push(inspect(auth, { depth: 10 }), JSON.stringify(auth))
  }).pipe(
    Effect.withSpan("all"),
    Effect.provideService(References.MinimumLogLevel, "All"),
    Effect.provideService(
      Tracer.Tracer,
      Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
    ),
    Effect.provide(Layer.mergeAll(
      Layer.succeed(TokenStore.TokenStore, store),
      user.layer,
      Logger.layer([Logger.make(({ cause, message }) => {
        seen.push(inspect(message, { depth: 10 }), Cause.pretty(cause))
      })])
    )),
    Effect.ensuring(Effect.sync(() => process.off("unhandledRejection", rejected)))
  )
  yield* work
  for (const span of spans) seen.push(inspect([span.name, span.attributes, span.status], { depth: 10 }))
  // The private key that a token is bound to, as it is kept.
  const bound = [...kept.values()].flatMap((text) => /\\?"d\\?":\\?"([^"\\]+)/.exec(text)?.[1] ?? [])
  return { seen, bound, secrets: [...planted, keyText, ...bound, ...told.filter((text) => text !== "")], calls: script.calls.length, spans: spans.length }
})

describe("no secret is shown", () => {
  for (const [what, grant, dpop = false] of grants) {
    for (const trouble of troubles) {
      it.effect(`by ${what}, with trouble ${trouble}`, () =>
        Effect.gen(function*() {
          const { bound, calls, secrets, seen, spans } = yield* watch(grant, trouble, dpop)
          assert.isAbove(calls, 3)
          assert.isAbove(spans, 0)
          if (dpop && trouble !== "at once") assert.isAbove(bound.length, 0)
          if (trouble === "at once" || trouble === "later") assert.isAbove(seen.filter((text) => text.includes("invalid_grant") || text.includes("private key")).length, 0)
          for (const secret of secrets) for (const text of seen) assert.notInclude(text, secret)
        }))
    }
  }
})
