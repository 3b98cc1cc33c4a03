/** What authorization servers are told, and what of theirs is believed: registration, redirects, hostile answers. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import * as Account from "../../src/auth/Account.ts"
import * as Auth from "../../src/auth/Auth.ts"
import * as ClientAuth from "../../src/auth/clientAuth.ts"
import { Grant } from "../../src/auth/Grant.ts"
import * as TokenStore from "../../src/auth/TokenStore.ts"
import * as McpError from "../../src/McpError.ts"
import * as Scripted from "../support/scriptedAuth.ts"

const { issuer, server } = Scripted

const open = Effect.fnUntraced(function*(script: Scripted.Script, options: Partial<Auth.Options> = {}) {
  const client = Scripted.client(script)
  const auth = yield* Effect.provideService(Auth.make({ url: server, ...options }), HttpClient.HttpClient, client)
  const decorated = auth.decorate(client)
  const get = Effect.flatMap(decorated.get(server), ({ status, text }) => Effect.map(text, (text) => `${status} ${text}`))
  return {
    get,
    refused: Effect.map(Effect.flip(get), (error) => {
      if (McpError.isMcpError(error.cause)) return error.cause.reason
      throw new Error(`no reason: ${String(error)}`)
    })
  }
})

const provide = (...layers: ReadonlyArray<Layer.Layer<never>>) => Effect.provide(Layer.mergeAll(TokenStore.layerMemory, ...layers))

const grantTypes = (script: Scripted.Script) => Scripted.to(script, "/token").map(({ form }) => form.get("grant_type"))

describe("a client", () => {
  const documentUrl = "https://app.example/client.json"
  const kinds: ReadonlyArray<readonly [what: string, grant: Parameters<typeof Grant.AuthorizationCode>[0], supported: boolean | undefined, id: string]> = [
    ["made by hand is preferred to a document and to a registration", { clientId: "mine", clientMetadataUrl: documentUrl }, true, "mine"],
    ["with a document is preferred to a registration", { clientMetadataUrl: documentUrl }, true, documentUrl],
    ["with a document that the server does not read is registered", { clientMetadataUrl: documentUrl }, undefined, "client-1"],
    ["with a document that the server says not to read is registered", { clientMetadataUrl: documentUrl }, false, "client-1"],
    ["without anything is registered", {}, true, "client-1"]
  ]
  for (const [what, grant, supported, id] of kinds) {
    it.effect(what, () => {
      const script = Scripted.make()
      script.metadata = { ...script.metadata, client_id_metadata_document_supported: supported }
      const user = Scripted.agreeing(script)
      return Effect.gen(function*() {
        const { get } = yield* open(script, { grant: Grant.AuthorizationCode(grant) })
        assert.strictEqual(yield* get, "200 hello")
        assert.strictEqual(user.asked[0]?.searchParams.get("client_id"), id)
        assert.strictEqual(Scripted.to(script, "/register").length, id === "client-1" ? 1 : 0)
      }).pipe(provide(user.layer))
    })
  }

  const unfit: ReadonlyArray<readonly [field: string, value: string]> = [
    ["clientMetadataUrl", "http://app.example/client.json"],
    ["clientMetadataUrl", "https://app.example"],
    ["clientMetadataUrl", "https://app.example/x#y"],
    ["clientMetadataUrl", "https://a:b@app.example/x"],
    ["clientMetadataUrl", "nothing"],
    ["redirectUri", "nothing"],
    ["redirectUri", "http://app.example/callback"],
    ["redirectUri", "javascript:alert(1)"],
    ["redirectUri", "http://localhost:1/callback#x"]
  ]
  for (const [field, value] of unfit) {
    it.effect(`is told at once that ${value} is no ${field}`, () =>
      Effect.gen(function*() {
        const script = Scripted.make()
        const { reason } = yield* Effect.flip(open(script, { grant: Grant.AuthorizationCode({ [field]: value }) }))
        assert.strictEqual(reason._tag, "InvalidConfig")
        assert.include(reason.message, field)
        assert.deepStrictEqual(script.calls, [])
      }).pipe(provide()))
  }

  for (const redirectUri of ["https://app.example/callback", "http://127.0.0.1:9/x", "http://localhost/x", "http://[::1]:9/x", "com.example.app:/callback"]) {
    it.effect(`says of what kind it is that is called back at ${redirectUri}`, () => {
      const script = Scripted.make()
      return Effect.gen(function*() {
        const { refused } = yield* open(script, { grant: Grant.AuthorizationCode({ redirectUri }) })
        assert.strictEqual((yield* refused)._tag, "NeedsAuthorization")
        const told = JSON.parse(Scripted.to(script, "/register")[0]?.body ?? "{}")
        assert.strictEqual(told.application_type, redirectUri.startsWith("https") ? "web" : "native")
        assert.deepStrictEqual(told.grant_types, ["authorization_code", "refresh_token"])
        assert.deepStrictEqual(told.redirect_uris, [redirectUri])
      }).pipe(provide())
    })
  }

  it.effect("that nobody logs in with is registered once, however often it is needed and for whomever", () => {
    const script = Scripted.make()
    return Effect.gen(function*() {
      for (const principal of ["a", "a", "b"]) {
        const { refused } = yield* open(script, { principal })
        const reason = yield* refused
        assert.strictEqual(reason._tag === "NeedsAuthorization" && new URL(reason.authorizationUrl).searchParams.get("client_id"), "client-1")
      }
      assert.strictEqual(Scripted.to(script, "/register").length, 1)
    }).pipe(provide())
  })

  it.effect("that many need at once is registered once for all of them", () => {
    const script = Scripted.make()
    return Effect.gen(function*() {
      const clients = yield* Effect.forEach(Array.from({ length: 50 }), (_, index) => open(script, { principal: String(index) }))
      const reasons = yield* Effect.forEach(clients, ({ refused }) => refused, { concurrency: "unbounded" })
      assert.deepStrictEqual(new Set(reasons.map(({ _tag }) => _tag)), new Set(["NeedsAuthorization"]))
      assert.strictEqual(Scripted.to(script, "/register").length, 1)
    }).pipe(provide())
  })

  it.effect("that the server does not know any more when it refreshes registers before the user is asked, who is asked once", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const { get } = yield* open(script)
      yield* get
      script.valid.clear()
      script.override = ({ form, url }) =>
        url.pathname === "/token" && form.get("client_id") === "client-1" ? Scripted.json({ error: "invalid_client" }, 401) : undefined
      assert.strictEqual(yield* get, "200 hello")
      assert.deepStrictEqual(user.asked.map((url) => url.searchParams.get("client_id")), ["client-1", "client-2"])
    }).pipe(provide(user.layer))
  })

  it.effect("of a workload does not show its assertion to another authorization server than before", () => {
    const script = Scripted.make()
    return Effect.gen(function*() {
      const { get, refused } = yield* open(script, { grant: Grant.WorkloadIdentity({ assertion: Redacted.make("the-assertion") }) })
      yield* get
      script.valid.clear()
      script.resource = { resource: server, authorization_servers: ["https://evil.example.com"] }
      script.override = ({ url }) =>
        url.origin === "https://evil.example.com" && url.pathname.startsWith("/.well-known/oauth")
          ? Scripted.json(JSON.parse(JSON.stringify(script.metadata).replaceAll(issuer, "https://evil.example.com")))
          : undefined
      assert.match((yield* refused).message, /registered at https:\/\/as.example.com, but the server now names https:\/\/evil.example.com/)
      const told = script.calls.filter(({ url }) => url.origin === "https://evil.example.com")
      assert.isAbove(told.length, 0)
      assert.isTrue(told.every(({ body }) => body === ""))
    }).pipe(provide())
  })
})

describe("metadata", () => {
  const wellKnown = (script: Scripted.Script) => script.calls.filter(({ url }) => url.origin === issuer && url.pathname.includes(".well-known"))

  for (const [what, answer] of [
    ["is a page", () => new Response("<html>", { headers: { "content-type": "text/html" } })],
    ["is a list", () => Scripted.json([])],
    ["is refused", () => new Response("", { status: 403 })]
  ] as const) {
    it.effect(`that ${what} is looked for at the next place`, () => {
      const script = Scripted.make()
      script.override = ({ url }) =>
        url.pathname === "/.well-known/oauth-authorization-server"
          ? answer()
          : url.pathname === "/.well-known/openid-configuration"
          ? Scripted.json(script.metadata)
          : undefined
      const user = Scripted.agreeing(script)
      return Effect.gen(function*() {
        const { get } = yield* open(script)
        assert.strictEqual(yield* get, "200 hello")
        assert.strictEqual(wellKnown(script).length, 2)
      }).pipe(provide(user.layer))
    })
  }

  it.effect("of an issuer with a path is never looked for at the root", () => {
    const script = Scripted.make()
    script.resource = { resource: server, authorization_servers: [`${issuer}/tenant`] }
    return Effect.gen(function*() {
      const { refused } = yield* open(script)
      assert.match((yield* refused).message, /has no metadata/)
      assert.deepStrictEqual(wellKnown(script).map(({ url }) => url.pathname), [
        "/.well-known/oauth-authorization-server/tenant",
        "/.well-known/openid-configuration/tenant",
        "/tenant/.well-known/openid-configuration"
      ])
    }).pipe(provide())
  })

  it.effect("that a challenge names is the only one asked for", () => {
    const script = Scripted.make()
    script.challenge = "Bearer resource_metadata=\"https://mcp.example.com/named\""
    script.override = ({ url }) =>
      url.pathname === "/named" ? new Response("", { status: 404 }) : undefined
    return Effect.gen(function*() {
      const { refused } = yield* open(script)
      assert.match((yield* refused).message, /the challenge names https:\/\/mcp.example.com\/named, where there is no metadata/)
      assert.deepStrictEqual(script.calls.map(({ url }) => url.pathname), ["/mcp", "/named"])
    }).pipe(provide())
  })

  for (const resource of ["https://mcp.example.com", "https://mcp.example.com/", server]) {
    it.effect(`gives the resource ${resource} as it is to every endpoint`, () => {
      const script = Scripted.make()
      script.resource = { resource, authorization_servers: [issuer] }
      const user = Scripted.agreeing(script)
      return Effect.gen(function*() {
        const { get } = yield* open(script)
        yield* get
        script.valid.clear()
        yield* get
        assert.deepStrictEqual(user.asked.map((url) => url.searchParams.get("resource")), [resource])
        assert.deepStrictEqual(Scripted.to(script, "/token").map(({ form }) => form.get("resource")), [resource, resource])
      }).pipe(provide(user.layer))
    })
  }
})

describe("the way a client shows who it is", () => {
  const [secret, key] = [Redacted.make("s"), { key: Redacted.make("k") }]
  const ways: ReadonlyArray<readonly [client: Partial<ClientAuth.Client>, supported: ReadonlyArray<string> | undefined, expected: string | undefined]> = [
    [{}, undefined, "none"],
    [{ secret }, undefined, "client_secret_basic"],
    [{ secret }, ["client_secret_post"], "client_secret_post"],
    [{ secret }, ["client_secret_post", "client_secret_basic"], "client_secret_basic"],
    [{ secret, method: "client_secret_post" }, ["client_secret_post", "client_secret_basic"], "client_secret_post"],
    [{ secret, method: "client_secret_post" }, undefined, "client_secret_post"],
    [{ secret, method: "client_secret_post" }, ["client_secret_basic"], "client_secret_basic"],
    [{ secret }, ["none"], "none"],
    [{ secret, privateKey: key }, ["client_secret_basic", "private_key_jwt"], "private_key_jwt"],
    [{ secret }, ["private_key_jwt"], undefined],
    [{}, ["client_secret_basic"], undefined],
    [{ secret }, ["tls_client_auth"], undefined]
  ]
  for (const [client, supported, expected] of ways) {
    it(`is ${expected ?? "not to be found"} with ${Object.keys(client).join(", ") || "nothing"} where ${supported?.join(" or ") ?? "anything"} is taken`, () =>
      assert.strictEqual(ClientAuth.choose({ id: "x", ...client }, supported), expected))
  }
})

describe("a redirect", () => {
  const elsewhere = "https://elsewhere.example"
  const secret = Redacted.make("s3cret")
  const byHand = Grant.AuthorizationCode({ clientId: "mine", clientSecret: secret })
  const requests: ReadonlyArray<readonly [what: string, is: (call: Scripted.Call) => boolean, grant: Grant]> = [
    ["for metadata", ({ url }) => url.pathname.includes("oauth-authorization-server"), byHand],
    ["of the metadata of the resource", ({ url }) => url.pathname.includes("oauth-protected-resource"), byHand],
    ["of a registration", ({ url }) => url.pathname === "/register", Grant.AuthorizationCode({})],
    ["of a code", ({ form }) => form.get("grant_type") === "authorization_code", byHand],
    ["of a refresh", ({ form }) => form.get("grant_type") === "refresh_token", byHand],
    ["of a client's secret", ({ form }) => form.get("grant_type") === "client_credentials", Grant.ClientCredentials({ clientId: "svc", clientSecret: secret })],
    ["of an assertion", ({ form }) => form.has("assertion"), Grant.WorkloadIdentity({ assertion: secret })],
    ["of a subject's token", ({ form }) => form.has("subject_token"), Grant.EnterpriseManaged({
      clientId: "app",
      clientSecret: secret,
      idp: { tokenEndpoint: "https://idp.example/token", clientId: "at-idp", clientSecret: secret, subjectToken: secret }
    })],
    ["of a revocation", ({ url }) => url.pathname === "/revoke", byHand]
  ]
  for (const status of [301, 302, 303, 307, 308]) {
    for (const [what, is, grant] of requests) {
      it.effect(`${status} ${what} is not followed`, () => {
        const script = Scripted.make()
        script.metadata = { ...script.metadata, revocation_endpoint: `${issuer}/revoke` }
        let redirected = 0
        script.override = (call) => {
          if (!is(call)) return undefined
          redirected += 1
          return new Response("", { status, headers: { location: `${elsewhere}/${call.url.pathname}` } })
        }
        const user = Scripted.agreeing(script)
        return Effect.gen(function*() {
          const { get } = yield* open(script, { grant })
          yield* Effect.exit(get)
          script.valid.clear()
          yield* Effect.exit(get)
          yield* Effect.exit(Effect.provideService(Account.logout({ url: server, grant }), HttpClient.HttpClient, Scripted.client(script)))
          assert.isAbove(redirected, 0)
          assert.deepStrictEqual(script.calls.filter(({ url }) => url.origin === elsewhere), [])
        }).pipe(provide(user.layer))
      })
    }
  }
})

describe("an authorization server that means no good", () => {
  const nasty = `\u001b]0;title\u0007\u001b[31mred\r\nInjected: yes\u0000\u009b2J${"x".repeat(5_000)}`
  const told: ReadonlyArray<readonly [what: string, change: (script: Scripted.Script) => void]> = [
    ["by its name", (script) => {
      script.metadata = { ...script.metadata, issuer: nasty }
    }],
    ["by the name of its resource", (script) => {
      script.resource = { resource: nasty, authorization_servers: [issuer] }
    }],
    ["by where it says it is", (script) => {
      script.resource = { resource: server, authorization_servers: [nasty] }
    }],
    ["by an endpoint", (script) => {
      script.metadata = { ...script.metadata, token_endpoint: nasty }
    }],
    ["by a page", (script) => {
      script.metadata = { ...script.metadata, authorization_endpoint: nasty }
    }],
    ["by a long page", (script) => {
      script.metadata = { ...script.metadata, authorization_endpoint: `${issuer}/${"x".repeat(5_000)}` }
    }],
    ["by the error of a token", (script) => {
      script.override = ({ url }) => url.pathname === "/token" ? Scripted.json({ error: nasty, error_description: nasty }, 400) : undefined
    }],
    ["by the error of a registration", (script) => {
      script.override = ({ url }) => url.pathname === "/register" ? Scripted.json({ error: nasty, error_description: nasty }, 400) : undefined
    }],
    ["by a type of tokens", (script) => {
      script.override = ({ url }) => url.pathname === "/token" ? Scripted.json({ access_token: "t", token_type: nasty }) : undefined
    }],
    ["by a token", (script) => {
      script.override = ({ url }) => url.pathname === "/token" ? Scripted.json({ access_token: nasty, token_type: "bearer" }) : undefined
    }],
    ["by its ways to know clients", (script) => {
      script.metadata = { ...script.metadata, token_endpoint_auth_methods_supported: [nasty] }
    }],
    ["by scopes", (script) => {
      script.challenge = `Bearer scope="\u009b2J ${"a ".repeat(1_000)}"`
      script.override = ({ headers, url }) =>
        url.href === server && headers["authorization"] !== undefined
          ? new Response("", { status: 403, headers: { "www-authenticate": `Bearer error="insufficient_scope", scope="\u009b2J a"` } })
          : undefined
    }],
    ["by the scopes of its resource", (script) => {
      script.resource = { ...script.resource, scopes_supported: [nasty, ..."x".repeat(3_000).split("").map((_, index) => `scope-${index}`)] }
      script.override = ({ url }) => url.pathname === "/token" ? Scripted.json({ error: "x" }, 400) : undefined
    }]
  ]
  for (const [what, change] of told) {
    it.effect(`cannot write on a terminal ${what}`, () => {
      const script = Scripted.make()
      change(script)
      const user = Scripted.agreeing(script)
      return Effect.gen(function*() {
        const { refused } = yield* open(script)
        const reason = yield* refused
        for (const text of [reason.message, ...Object.values(reason).filter((value) => typeof value === "string")]) {
          assert.match(text, /^[\x20-\x7e…]*$/)
          assert.isBelow(text.length, 1_500)
        }
        for (const url of user.asked) assert.isBelow(url.href.length, 8_192)
      }).pipe(provide(user.layer))
    })
  }

  it.effect("is heard where it only writes null for what it does not have", () => {
    const script = Scripted.make()
    script.resource = { ...script.resource, scopes_supported: null, dpop_bound_access_tokens_required: null }
    script.metadata = { ...script.metadata, scopes_supported: null, revocation_endpoint: null }
    script.override = ({ url }) => {
      if (url.pathname === "/register") return Scripted.json({ client_id: "c", client_secret: null, token_endpoint_auth_method: null }, 201)
      if (url.pathname !== "/token") return undefined
      script.valid.add("t")
      return Scripted.json({ access_token: "t", token_type: "Bearer", refresh_token: null, scope: null, expires_in: null, id_token: null })
    }
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const { get } = yield* open(script)
      assert.strictEqual(yield* get, "200 hello")
    }).pipe(provide(user.layer))
  })

  for (const expiresIn of [0, 1e300]) {
    it.effect(`whose tokens expire in ${expiresIn} seconds is not asked for one with every request`, () => {
      const script = Scripted.make()
      script.expiresIn = expiresIn
      const user = Scripted.agreeing(script)
      return Effect.gen(function*() {
        for (let round = 0; round < 3; round += 1) {
          const { get } = yield* open(script)
          assert.strictEqual(yield* get, "200 hello")
          yield* TestClock.adjust("1 days")
        }
        assert.deepStrictEqual(grantTypes(script), ["authorization_code"])
      }).pipe(provide(user.layer))
    })
  }

  const busy: ReadonlyArray<readonly [string, number]> = [["server_error", 400], ["temporarily_unavailable", 400], ["slow_down", 400], ["invalid_grant", 429]]
  for (const [error, status] of busy) {
    it.effect(`that refuses a refresh with ${error} and ${status} is no reason to ask the user`, () => {
      const script = Scripted.make()
      const user = Scripted.agreeing(script)
      return Effect.gen(function*() {
        const { get, refused } = yield* open(script)
        yield* get
        script.valid.clear()
        script.override = ({ url }) => url.pathname === "/token" ? Scripted.json({ error }, status) : undefined
        const reason = yield* refused
        assert.deepInclude(reason, { _tag: "Unauthorized", stage: "token" })
        script.override = () => undefined
        assert.strictEqual(yield* get, "200 hello")
        assert.deepStrictEqual(grantTypes(script), ["authorization_code", "refresh_token", "refresh_token"])
      }).pipe(provide(user.layer))
    })
  }
})

describe("the issuer of an answer", () => {
  const answers: ReadonlyArray<readonly [promised: boolean | undefined, iss: string | undefined, taken: boolean]> = [
    [true, issuer, true],
    [true, undefined, false],
    [true, "https://evil.example", false],
    [true, `${issuer}/`, false],
    [false, issuer, true],
    [false, undefined, true],
    [false, "https://evil.example", false],
    [undefined, issuer, true],
    [undefined, undefined, true],
    [undefined, "https://evil.example", false],
    [undefined, "HTTPS://AS.example.com", false],
    [undefined, `${issuer}:443`, false],
    // RFC 6749, 3.1: without a value is as if omitted.
    [undefined, "", true],
    [true, "", false]
  ]
  for (const [promised, iss, taken] of answers) {
    for (const error of [undefined, "access_denied"]) {
      it.effect(`${promised === true ? "promised" : promised === false ? "denied" : "not spoken of"} and ${iss === "" ? "empty" : iss ?? "absent"}${error === undefined ? "" : ", with an error,"} is ${taken ? "" : "not "}good enough`, () => {
        const script = Scripted.make()
        script.metadata = { ...script.metadata, authorization_response_iss_parameter_supported: promised }
        const user = Scripted.agreeing(script, {
          callback: (url) => {
            if (iss !== undefined) url.searchParams.set("iss", iss)
            if (error !== undefined) {
              url.searchParams.delete("code")
              url.searchParams.set("error", error)
              url.searchParams.set("error_description", "call 555-1234")
            }
            return url
          }
        })
        return Effect.gen(function*() {
          const { get, refused } = yield* open(script)
          if (taken && error === undefined) {
            assert.strictEqual(yield* get, "200 hello")
          } else {
            const { message } = yield* refused
            assert.strictEqual(message.includes("555"), taken)
            assert.deepStrictEqual(grantTypes(script), [])
          }
        }).pipe(provide(user.layer))
      })
    }
  }

  it.effect("or its code or state that come twice are not chosen from", () =>
    Effect.forEach(["iss", "code", "state"], (name) => {
      const script = Scripted.make()
      const user = Scripted.agreeing(script, {
        callback: (url) => {
          if (name === "iss") url.searchParams.append(name, issuer)
          url.searchParams.append(name, url.searchParams.get(name) ?? "")
          return url
        }
      })
      return Effect.gen(function*() {
        const { refused } = yield* open(script)
        assert.strictEqual((yield* refused)._tag, "Unauthorized")
        assert.deepStrictEqual(grantTypes(script), [])
      }).pipe(provide(user.layer))
    }, { discard: true }))

  it.effect("does not help where PKCE is absent, empty or only plain: nobody is asked", () =>
    Effect.forEach([undefined, [], ["plain"]], (methods) => {
      const script = Scripted.make()
      script.metadata = { ...script.metadata, code_challenge_methods_supported: methods }
      const user = Scripted.agreeing(script)
      return Effect.gen(function*() {
        const { refused } = yield* open(script)
        assert.match((yield* refused).message, /PKCE with S256/)
        assert.strictEqual(user.asked.length, 0)
      }).pipe(provide(user.layer))
    }, { discard: true }))
})
