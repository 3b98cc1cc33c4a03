import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Account from "../../src/auth/Account.ts"
import * as Auth from "../../src/auth/Auth.ts"
import * as Authorize from "../../src/auth/Authorize.ts"
import { Grant } from "../../src/auth/Grant.ts"
import * as Loopback from "../../src/auth/loopback.ts"
import * as TokenStore from "../../src/auth/TokenStore.ts"
import * as McpError from "../../src/McpError.ts"
import * as Scripted from "../support/scriptedAuth.ts"

const { issuer, server } = Scripted

const open = Effect.fnUntraced(function*(script: Scripted.Script, options: Partial<Auth.Options> = {}) {
  const client = Scripted.client(script)
  const auth = yield* Effect.provideService(Auth.make({ url: server, ...options }), HttpClient.HttpClient, client)
  const decorated = auth.decorate(client)
  const get = Effect.fnUntraced(function*(url: string = server) {
    const response = yield* decorated.get(url)
    return `${response.status} ${yield* response.text}`
  })
  return {
    get,
    /** The reason a request failed for. */
    refused: Effect.map(Effect.flip(get()), (error) => {
      assert.isTrue(McpError.isMcpError(error.cause), String(error))
      return McpError.isMcpError(error.cause) ? error.cause.reason : undefined
    })
  }
})

const provide = (...layers: ReadonlyArray<Layer.Layer<never>>) => Effect.provide(Layer.mergeAll(TokenStore.layerMemory, ...layers))

/** Everything an error can show. */
const shown = (reason: unknown): string => `${String(reason)} ${JSON.stringify(reason)}`

describe("authorization that cannot be had", () => {
  it.effect("is said to need a login, with the URL of it, where nobody asks the user", () =>
    Effect.gen(function*() {
      const { refused } = yield* open(Scripted.make())
      const reason = yield* refused
      assert.strictEqual(reason?._tag, "NeedsAuthorization")
      if (reason?._tag !== "NeedsAuthorization") return
      const url = new URL(reason.authorizationUrl)
      assert.strictEqual(url.origin, issuer)
      assert.strictEqual(url.searchParams.get("code_challenge_method"), "S256")
      assert.strictEqual(url.searchParams.get("resource"), server)
    }).pipe(provide()))

  it.effect("leaves a server that has nothing of OAuth its own answer", () =>
    Effect.gen(function*() {
      const script = Scripted.make()
      script.override = ({ url }) => /well-known|register/.test(url.pathname) ? new Response("", { status: 404 }) : undefined
      const { get } = yield* open(script)
      assert.strictEqual(yield* get(), "401 no")
    }).pipe(provide()))

  const broken: ReadonlyArray<readonly [what: string, change: (script: Scripted.Script) => void, stage: string, detail: RegExp]> = [
    ["metadata is about another resource", (script) => {
      script.resource = { resource: "https://evil.example/mcp", authorization_servers: [issuer] }
    }, "discovery", /another resource/],
    ["no authorization server is named", (script) => {
      script.resource = { resource: server, authorization_servers: [] }
    }, "discovery", /names no authorization server/],
    ["the issuer calls itself something else", (script) => {
      script.metadata = { ...script.metadata, issuer: `${issuer}/` }
    }, "discovery", /another issuer/],
    ["the authorization server has no metadata", (script) => {
      script.override = ({ url }) => url.origin === issuer ? new Response("", { status: 404 }) : undefined
    }, "discovery", /no metadata/],
    ["the authorization server is in trouble", (script) => {
      script.override = ({ url }) => url.origin === issuer ? new Response("", { status: 503 }) : undefined
    }, "discovery", /status 503/],
    ["the authorization server is in the private network", (script) => {
      script.resource = { resource: server, authorization_servers: ["https://169.254.169.254"] }
    }, "discovery", /private network/],
    ["the challenge leads to a private address", (script) => {
      script.challenge = "Bearer resource_metadata=\"https://10.0.0.1/x\""
    }, "discovery", /private network/],
    ["metadata is too large", (script) => {
      script.override = ({ url }) => url.origin === issuer ? new Response("x".repeat(1_100_000)) : undefined
    }, "discovery", /larger than/],
    ["metadata is a redirect", (script) => {
      script.override = ({ url }) =>
        url.origin === issuer ? new Response("", { status: 302, headers: { location: "https://elsewhere.example/" } }) : undefined
    }, "discovery", /no metadata/],
    ["PKCE is not supported", (script) => {
      script.metadata = { ...script.metadata, code_challenge_methods_supported: undefined }
    }, "authorization", /PKCE/],
    ["the authorization endpoint is a script", (script) => {
      script.metadata = { ...script.metadata, authorization_endpoint: "javascript:alert(1)" }
    }, "authorization", /neither https/],
    ["the token endpoint is not encrypted", (script) => {
      script.metadata = { ...script.metadata, token_endpoint: "http://as.example.com/token" }
    }, "token", /not https/],
    ["clients are not registered", (script) => {
      script.metadata = { ...script.metadata, registration_endpoint: undefined }
    }, "registration", /register one there/],
    ["the registration is refused", (script) => {
      script.override = ({ url }) =>
        url.pathname === "/register" ? Scripted.json({ error: "invalid_redirect_uri", error_description: "not this one" }, 400) : undefined
    }, "registration", /not this one/],
    ["the token endpoint answers with garbage", (script) => {
      script.override = ({ url }) => url.pathname === "/token" ? new Response("<html>", { status: 200 }) : undefined
    }, "token", /./],
    ["the token is of an unknown type", (script) => {
      script.override = ({ url }) =>
        url.pathname === "/token" ? Scripted.json({ access_token: "s3cret", token_type: "mac" }) : undefined
    }, "token", /token_type/],
    ["the new token is refused as well", (script) => {
      script.override = ({ url }) => url.href === server ? new Response("", { status: 401 }) : undefined
    }, "request", /just issued/]
  ]
  for (const [what, change, stage, detail] of broken) {
    it.effect(`says so when ${what}`, () => {
      const script = Scripted.make()
      change(script)
      const user = Scripted.agreeing(script)
      return Effect.gen(function*() {
        const { refused } = yield* open(script)
        const reason = yield* refused
        assert.strictEqual(reason?._tag, "Unauthorized")
        if (reason?._tag !== "Unauthorized") return
        assert.strictEqual(reason.stage, stage, reason.message)
        assert.match(reason.detail, detail)
        assert.notMatch(shown(reason), /s3cret|code-|token-1|verifier/)
      }).pipe(provide(user.layer))
    })
  }

  const callbacks: ReadonlyArray<readonly [what: string, change: (url: URL) => void, advertised: boolean, told: RegExp]> = [
    ["has another state", (url) => url.searchParams.set("state", "guessed"), false, /state/],
    ["has no state", (url) => url.searchParams.delete("state"), false, /state/],
    ["is of another issuer", (url) => url.searchParams.set("iss", "https://evil.example"), false, /iss/],
    ["is of an issuer with a slash", (url) => url.searchParams.set("iss", `${issuer}/`), true, /iss/],
    ["lacks the issuer that was promised", () => undefined, true, /iss/],
    ["has no code", (url) => url.searchParams.delete("code"), false, /no code/],
    ["is a refusal", (url) => {
      url.searchParams.delete("code")
      url.searchParams.set("error", "access_denied")
      url.searchParams.set("error_description", "the user said no")
    }, false, /access_denied: the user said no/]
  ]
  for (const [what, change, advertised, told] of callbacks) {
    it.effect(`sends no code anywhere when the answer ${what}`, () => {
      const script = Scripted.make()
      script.metadata = { ...script.metadata, authorization_response_iss_parameter_supported: advertised }
      const user = Scripted.agreeing(script, {
        callback: (url) => {
          change(url)
          return url
        }
      })
      return Effect.gen(function*() {
        const { refused } = yield* open(script)
        const reason = yield* refused
        assert.strictEqual(reason?._tag, "Unauthorized")
        assert.match(reason?.message ?? "", told)
        assert.strictEqual(Scripted.to(script, "/token").length, 0)
      }).pipe(provide(user.layer))
    })
  }

  it.effect("does not repeat the words of somebody who only claims to be the authorization server", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script, {
      callback: (url) => {
        url.searchParams.set("iss", "https://evil.example")
        url.searchParams.set("error", "server_error")
        url.searchParams.set("error_description", "call 555-1234")
        return url
      }
    })
    return Effect.gen(function*() {
      const { refused } = yield* open(script)
      assert.notInclude(shown(yield* refused), "555")
    }).pipe(provide(user.layer))
  })
})

describe("a token", () => {
  it.effect("is got by one login for a hundred requests, and goes with all that follow", () => {
    const script = Scripted.make()
    const gate = Deferred.makeUnsafe<void>()
    const user = Scripted.agreeing(script, { gate })
    return Effect.gen(function*() {
      const { get } = yield* open(script)
      const all = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 100 }), () => get(), { concurrency: "unbounded" }),
        { startImmediately: true }
      )
      yield* user.began
      yield* Deferred.succeed(gate, void 0)
      assert.deepStrictEqual(new Set(yield* Fiber.join(all)), new Set(["200 hello"]))
      assert.deepStrictEqual([user.asked.length, Scripted.to(script, "/token").length], [1, 1])
      yield* get()
      assert.strictEqual(user.asked.length, 1)
    }).pipe(provide(user.layer))
  })

  it.effect("that cannot be had is asked for once by a hundred requests", () => {
    const script = Scripted.make()
    const gate = Deferred.makeUnsafe<void>()
    const user = Scripted.agreeing(script, { gate, callback: () => new URL("http://127.0.0.1:4000/callback?error=x") })
    return Effect.gen(function*() {
      const { refused } = yield* open(script)
      const all = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 100 }), () => refused, { concurrency: "unbounded" }),
        { startImmediately: true }
      )
      yield* user.began
      yield* Deferred.succeed(gate, void 0)
      assert.strictEqual(new Set((yield* Fiber.join(all)).map((reason) => reason?.message)).size, 1)
      assert.strictEqual(user.asked.length, 1)
    }).pipe(provide(user.layer))
  })

  const fifty = <A, E>(effect: Effect.Effect<A, E>) => Effect.forEach(Array.from({ length: 50 }), () => effect, { concurrency: "unbounded" })

  it.effect("is got by one login, and refreshed once, for a hundred requests of two clients", () => {
    const script = Scripted.make()
    const gate = Deferred.makeUnsafe<void>()
    const user = Scripted.agreeing(script, { gate })
    return Effect.gen(function*() {
      const one = yield* open(script)
      const two = yield* open(script)
      const both = Effect.all([fifty(one.get()), fifty(two.get())], { concurrency: "unbounded" })
      const all = yield* Effect.forkChild(both, { startImmediately: true })
      yield* user.began
      yield* Deferred.succeed(gate, void 0)
      assert.deepStrictEqual(new Set((yield* Fiber.join(all)).flat()), new Set(["200 hello"]))
      script.valid.clear()
      assert.deepStrictEqual(new Set((yield* both).flat()), new Set(["200 hello"]))
      assert.deepStrictEqual([user.asked.length, Scripted.to(script, "/token").length], [1, 2])
    }).pipe(provide(user.layer))
  })

  it.effect("that cannot be had is asked for once by a hundred requests of two clients", () => {
    const script = Scripted.make()
    const gate = Deferred.makeUnsafe<void>()
    const user = Scripted.agreeing(script, { gate, callback: () => new URL("http://127.0.0.1:4000/callback?error=x") })
    return Effect.gen(function*() {
      const one = yield* open(script)
      const two = yield* open(script)
      const all = yield* Effect.forkChild(
        Effect.all([fifty(one.refused), fifty(two.refused)], { concurrency: "unbounded" }),
        { startImmediately: true }
      )
      yield* user.began
      yield* Deferred.succeed(gate, void 0)
      assert.strictEqual(new Set((yield* Fiber.join(all)).flat().map((reason) => reason?.message)).size, 1)
      assert.strictEqual(user.asked.length, 1)
    }).pipe(provide(user.layer))
  })

  it.effect("that one user does not agree to is asked for by whoever asks another user", () => {
    const script = Scripted.make()
    const unwilling = Scripted.agreeing(script, { callback: () => new URL("http://127.0.0.1:4000/callback?error=x") })
    const willing = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const one = yield* Effect.provide(open(script), unwilling.layer)
      const two = yield* Effect.provide(open(script), willing.layer)
      const [reason, text] = yield* Effect.all([one.refused, two.get()], { concurrency: "unbounded" })
      assert.deepStrictEqual([reason?._tag, text], ["Unauthorized", "200 hello"])
      assert.deepStrictEqual([unwilling.asked.length, willing.asked.length], [1, 1])
    }).pipe(provide())
  })

  it.effect("is got for the others when the client that asked for it is closed", () => {
    const script = Scripted.make()
    const gate = Deferred.makeUnsafe<void>()
    const user = Scripted.agreeing(script, { gate })
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const one = yield* Scope.provide(open(script), scope)
      const two = yield* open(script)
      const first = yield* Effect.forkChild(one.get(), { startImmediately: true })
      yield* user.began
      const second = yield* Effect.forkChild(two.get(), { startImmediately: true })
      yield* Effect.repeat(Effect.yieldNow, { times: 20 })
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(first)))
      yield* Deferred.succeed(gate, void 0)
      assert.strictEqual(yield* Fiber.join(second), "200 hello")
      assert.strictEqual(user.asked.length, 1)
    }).pipe(provide(user.layer))
  })

  it.effect("that its server refuses though it is new leads to no other login, until the server takes it or there is another", () => {
    const script = Scripted.make()
    let strict = true
    script.override = ({ url }) => url.href === server && strict ? new Response("", { status: 401 }) : undefined
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const { get, refused } = yield* open(script)
      for (let i = 0; i < 5; i += 1) assert.strictEqual((yield* refused)?._tag, "Unauthorized")
      assert.deepStrictEqual([user.asked.length, Scripted.to(script, "/token").length], [1, 1])
      strict = false
      assert.strictEqual(yield* get(), "200 hello")
      // Taken once, it is a token like any other: a refusal is worth a refresh.
      script.valid.clear()
      assert.strictEqual(yield* get(), "200 hello")
      assert.deepStrictEqual([user.asked.length, Scripted.to(script, "/token").length], [1, 2])
    }).pipe(provide(user.layer))
  })

  it.effect("that its server refuses though it is new is asked for again after a minute, by a refresh before a login", () => {
    const script = Scripted.make()
    let strict = true
    script.override = ({ url }) => url.href === server && strict ? new Response("", { status: 401 }) : undefined
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const { get, refused } = yield* open(script)
      yield* refused
      yield* TestClock.adjust("59 seconds")
      yield* refused
      assert.deepStrictEqual([user.asked.length, Scripted.to(script, "/token").length], [1, 1])
      yield* TestClock.adjust("1 seconds")
      strict = false
      script.valid.clear()
      assert.strictEqual(yield* get(), "200 hello")
      assert.deepStrictEqual([user.asked.length, Scripted.to(script, "/token").length], [1, 2])
    }).pipe(provide(user.layer))
  })

  it.effect("is not lost, wherever the one who refreshes it is interrupted", () =>
    Effect.forEach(Array.from({ length: 80 }, (_, steps) => steps), (steps) => {
      const script = Scripted.make()
      const user = Scripted.agreeing(script)
      return Effect.gen(function*() {
        const { get } = yield* open(script)
        yield* get()
        script.valid.clear()
        const request = yield* Effect.forkChild(get(), { startImmediately: true })
        yield* Effect.repeat(Effect.yieldNow, { times: steps })
        yield* Fiber.interrupt(request)
        assert.strictEqual(yield* get(), "200 hello", `after ${steps} steps`)
        // The rotated refresh token is there for the next time, and nobody was asked for a new one.
        script.valid.clear()
        assert.strictEqual(yield* get(), "200 hello", `after ${steps} steps`)
        assert.strictEqual(user.asked.length, 1, `after ${steps} steps`)
      }).pipe(provide(user.layer))
    }, { discard: true }))

  it.effect("that is being got by a login can be got by the next, wherever the first is interrupted", () =>
    Effect.forEach(Array.from({ length: 80 }, (_, steps) => steps), (steps) => {
      const script = Scripted.make()
      const user = Scripted.agreeing(script)
      return Effect.gen(function*() {
        const { get } = yield* open(script)
        const request = yield* Effect.forkChild(get(), { startImmediately: true })
        yield* Effect.repeat(Effect.yieldNow, { times: steps })
        yield* Fiber.interrupt(request)
        assert.strictEqual(yield* get(), "200 hello", `after ${steps} steps`)
        assert.isAtMost(user.asked.length, 2)
      }).pipe(provide(user.layer))
    }, { discard: true }))

  it.effect("whose code has come back is got and kept, though all who wanted it are interrupted meanwhile", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    const [exchanging, answer] = [Deferred.makeUnsafe<void>(), Deferred.makeUnsafe<void>()]
    script.override = ({ url }) =>
      url.pathname !== "/token" ? undefined : Effect.as(Effect.andThen(Deferred.succeed(exchanging, void 0), Deferred.await(answer)), undefined)
    return Effect.gen(function*() {
      const { get } = yield* open(script)
      const all = yield* Effect.forEach(Array.from({ length: 10 }), () => Effect.forkChild(get(), { startImmediately: true }))
      yield* Deferred.await(exchanging)
      const interrupting = yield* Effect.forkChild(Fiber.interruptAll(all), { startImmediately: true })
      yield* Deferred.succeed(answer, void 0)
      yield* Fiber.join(interrupting)
      script.override = () => undefined
      // When the last of them has ended, it is kept.
      const kept = yield* (yield* TokenStore.TokenStore).get({ issuer, resource: server, principal: "" })
      assert.strictEqual(kept === undefined ? undefined : Redacted.value(kept.accessToken), "token-1")
      assert.strictEqual(yield* get(), "200 hello")
      assert.deepStrictEqual([user.asked.length, Scripted.to(script, "/token").length], [1, 1])
      // And it is found again: by whoever looks who is logged in, or logs out.
      const account = yield* Effect.provideService(Account.find({ url: server }), HttpClient.HttpClient, Scripted.client(script))
      assert.strictEqual(account?.issuer, issuer)
    }).pipe(provide(user.layer))
  })

  /** The answer to a request that has arrived. */
  const answered = (asked: Deferred.Deferred<void>, reply: () => Response | Effect.Effect<Response>): Effect.Effect<Response> =>
    Effect.andThen(Deferred.succeed(asked, void 0), Effect.suspend(() => {
      const response = reply()
      return Effect.isEffect(response) ? response : Effect.succeed(response)
    }))

  const stuck: ReadonlyArray<readonly [what: string, answer: () => Response | Effect.Effect<Response>]> = [
    ["never answers", () => Effect.never],
    ["sends a byte now and then", () => new Response(Scripted.dripping())]
  ]
  for (const [what, reply] of stuck) {
    for (const path of ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-authorization-server", "/register", "/token"]) {
      it.effect(`that is waited for at ${path}, which ${what}, is given up in time`, () => {
        const script = Scripted.make()
        const user = Scripted.agreeing(script)
        const asked = Deferred.makeUnsafe<void>()
        script.override = ({ url }) => url.pathname === path ? answered(asked, reply) : undefined
        return Effect.gen(function*() {
          const { refused } = yield* open(script)
          const fiber = yield* Effect.forkChild(refused, { startImmediately: true })
          yield* Deferred.await(asked)
          yield* TestClock.adjust("29 seconds")
          assert.isUndefined(fiber.pollUnsafe())
          yield* TestClock.adjust("1 seconds")
          assert.match((yield* Fiber.join(fiber))?.message ?? "", /does not answer/)
        }).pipe(provide(user.layer))
      })
    }

    it.effect(`whose refresh ${what} is given up in time, also by who is interrupted, and is not asked of the user`, () => {
      const script = Scripted.make()
      const user = Scripted.agreeing(script)
      return Effect.gen(function*() {
        const { get, refused } = yield* open(script)
        yield* get()
        script.valid.clear()
        const begin = Effect.fnUntraced(function*<A, E>(request: Effect.Effect<A, E>) {
          const asked = Deferred.makeUnsafe<void>()
          script.override = ({ url }) => url.pathname === "/token" ? answered(asked, reply) : undefined
          const fiber = yield* Effect.forkChild(request, { startImmediately: true })
          yield* Deferred.await(asked)
          return fiber
        })
        const fiber = yield* begin(refused)
        yield* TestClock.adjust("30 seconds")
        assert.match((yield* Fiber.join(fiber))?.message ?? "", /does not answer/)
        const interrupting = yield* Effect.forkChild(Fiber.interrupt(yield* begin(get())), { startImmediately: true })
        yield* TestClock.adjust("4 seconds")
        assert.isUndefined(interrupting.pollUnsafe())
        yield* TestClock.adjust("1 seconds")
        yield* Fiber.join(interrupting)
        assert.strictEqual(user.asked.length, 1)
      }).pipe(provide(user.layer))
    })
  }

  for (const path of ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-authorization-server", "/register", "/token"]) {
    for (const status of [200, 400]) {
      it.effect(`is not got from an answer without end at ${path} (status ${status})`, () => {
        const script = Scripted.make()
        const user = Scripted.agreeing(script)
        const endless = Scripted.flooding()
        script.override = ({ url }) => url.pathname === path ? new Response(endless.body, { status }) : undefined
        return Effect.gen(function*() {
          const { refused } = yield* open(script)
          assert.match((yield* refused)?.message ?? "", /larger than/)
          assert.isBelow(endless.sent(), 2 * 1024 * 1024)
        }).pipe(provide(user.layer))
      })
    }

    it.effect(`is not looked for where ${path} redirects to`, () => {
      const script = Scripted.make()
      const user = Scripted.agreeing(script)
      script.override = ({ url }) =>
        url.pathname === path || url.pathname === "/elsewhere"
          ? new Response("", { status: 307, headers: { location: `${url.origin}/elsewhere` } })
          : undefined
      return Effect.gen(function*() {
        const { get } = yield* open(script)
        yield* Effect.exit(get())
        assert.strictEqual(Scripted.to(script, "/elsewhere").length, 0)
        assert.isAtMost(Scripted.to(script, path).length, 2)
      }).pipe(provide(user.layer))
    })
  }

  it.effect("shows none of the secrets that an authorization server repeats", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    const sent: Array<string> = []
    script.override = ({ body, form, headers, url }) => {
      if (url.pathname !== "/token") return undefined
      const basic = (headers["authorization"] ?? "").replace("Basic ", "")
      const secrets = [...["code", "code_verifier"].flatMap((name) => form.get(name) ?? []), basic, "c@nary/secret"]
      sent.push(...secrets, body)
      return Scripted.json({ error: "invalid_grant", error_description: secrets.join(" and ") }, 400)
    }
    return Effect.gen(function*() {
      const { refused } = yield* open(script, {
        grant: Grant.AuthorizationCode({ clientId: "by hand", clientSecret: Redacted.make("c@nary/secret") })
      })
      const told = shown(yield* refused)
      assert.include(told, "invalid_grant")
      assert.isAbove(sent.length, 3)
      for (const secret of sent) assert.notInclude(told, secret)
    }).pipe(provide(user.layer))
  })

  it.effect("is asked for, and failed to be had, without the query of its server", () => {
    const script = Scripted.make()
    const url = `${server}?key=c4nary`
    return Effect.gen(function*() {
      const ask = (change: typeof script.override) =>
        Effect.gen(function*() {
          script.override = change
          const client = Scripted.client(script)
          const auth = yield* Effect.provideService(Auth.make({ url }), HttpClient.HttpClient, client)
          const error = yield* Effect.flip(auth.decorate(client).get(url))
          return McpError.isMcpError(error.cause) ? shown(error.cause.reason) : ""
        })
      const trouble = yield* ask(({ url }) => url.pathname.includes("oauth-protected-resource") ? new Response("", { status: 500 }) : undefined)
      assert.include(trouble, "status 500")
      assert.notInclude(trouble, "c4nary")
      const none = yield* ask(({ url }) =>
        url.pathname.includes("oauth-protected-resource")
          ? new Response("", { status: 404 })
          : url.pathname === "/register"
          ? Scripted.json({ client_id: "client" }, 201)
          : undefined
      )
      assert.include(none, "authorizationUrl")
      assert.notInclude(none, "c4nary")
    }).pipe(provide())
  })

  it.effect("goes to the origin of its server, and to no other", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const { get } = yield* open(script)
      yield* get()
      yield* get("https://other.example/mcp")
      for (const { headers, url } of script.calls) {
        if (url.origin !== new URL(server).origin) assert.notInclude(headers["authorization"] ?? "", "token-")
      }
      assert.strictEqual(user.asked.length, 1)
    }).pipe(provide(user.layer))
  })

  it.effect("is refreshed once before it expires, with its resource, for a hundred requests", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const { get } = yield* open(script)
      yield* get()
      yield* TestClock.adjust("59 minutes")
      const all = yield* Effect.forEach(Array.from({ length: 100 }), () => get(), { concurrency: "unbounded" })
      assert.deepStrictEqual(new Set(all), new Set(["200 hello"]))
      const forms = Scripted.to(script, "/token").map(({ form }) => [form.get("grant_type"), form.get("resource")])
      assert.deepStrictEqual(forms, [["authorization_code", server], ["refresh_token", server]])
      assert.strictEqual(Scripted.to(script, "/mcp").filter(({ headers }) => headers["authorization"] === "Bearer token-1").length, 1)
    }).pipe(provide(user.layer))
  })

  it.effect("that cannot be renewed is used to its end, and the authorization server is not asked each time", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const { get } = yield* open(script)
      yield* get()
      yield* TestClock.adjust("59 minutes")
      script.override = ({ url }) => url.pathname === "/token" ? new Response("", { status: 500 }) : undefined
      for (let round = 0; round < 3; round += 1) assert.strictEqual(yield* get(), "200 hello")
      assert.strictEqual(Scripted.to(script, "/token").length, 2)
      script.override = () => undefined
      script.valid.clear()
      assert.strictEqual(yield* get(), "200 hello")
      assert.strictEqual(user.asked.length, 1)
    }).pipe(provide(user.layer))
  })

  it.effect("keeps its refresh token when the answer has no new one", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const { get } = yield* open(script)
      yield* get()
      script.override = ({ form, url }) => {
        if (url.pathname !== "/token" || form.get("refresh_token") !== "refresh-1") return undefined
        script.tokens += 1
        script.valid.add(`token-${script.tokens}`)
        return Scripted.json({ access_token: `token-${script.tokens}`, token_type: "bearer" })
      }
      for (let round = 0; round < 2; round += 1) {
        script.valid.clear()
        assert.strictEqual(yield* get(), "200 hello")
      }
      assert.strictEqual(user.asked.length, 1)
    }).pipe(provide(user.layer))
  })

  it.effect("that was revoked is refreshed by one of a hundred requests that are refused", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const { get } = yield* open(script)
      yield* get()
      script.valid.clear()
      const all = yield* Effect.forEach(Array.from({ length: 100 }), () => get(), { concurrency: "unbounded" })
      assert.deepStrictEqual(new Set(all), new Set(["200 hello"]))
      assert.deepStrictEqual([Scripted.to(script, "/token").length, user.asked.length], [2, 1])
    }).pipe(provide(user.layer))
  })

  it.effect("whose refresh token was revoked too is got by one login", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const { get } = yield* open(script)
      yield* get()
      script.valid.clear()
      script.refreshToken = undefined
      assert.strictEqual(yield* get(), "200 hello")
      assert.strictEqual(user.asked.length, 2)
    }).pipe(provide(user.layer))
  })

  it.effect("whose refresh fails for a hundred requests is got for all of them by one login", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const { get } = yield* open(script)
      yield* get()
      script.valid.clear()
      script.refreshToken = undefined
      const all = yield* Effect.forEach(Array.from({ length: 100 }), () => get(), { concurrency: "unbounded" })
      assert.deepStrictEqual(new Set(all), new Set(["200 hello"]))
      assert.deepStrictEqual(Scripted.to(script, "/token").map(({ form }) => form.get("grant_type")), [
        "authorization_code",
        "refresh_token",
        "authorization_code"
      ])
      assert.strictEqual(user.asked.length, 2)
    }).pipe(provide(user.layer))
  })

  it.effect("is got by the same login for the others when the one who began it is interrupted, each time anew", () => {
    const script = Scripted.make()
    const gate = Deferred.makeUnsafe<void>()
    const user = Scripted.agreeing(script, { gate })
    return Effect.gen(function*() {
      const { get } = yield* open(script)
      const [first, ...others] = yield* Effect.forEach(Array.from({ length: 100 }), () => Effect.forkChild(get(), { startImmediately: true }))
      yield* user.began
      if (first !== undefined) yield* Fiber.interrupt(first)
      const [some, rest] = [others.slice(0, 50), others.slice(50)]
      yield* Fiber.interruptAll(some)
      yield* Deferred.succeed(gate, void 0)
      assert.deepStrictEqual(new Set(yield* Fiber.joinAll(rest)), new Set(["200 hello"]))
      for (const fiber of some) assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.deepStrictEqual([user.asked.length, Scripted.to(script, "/token").length], [1, 1])
    }).pipe(provide(user.layer))
  })

  it.effect("that nobody logs in for in time is failed for all who wait, once each, and asked for again by who comes then", () => {
    const script = Scripted.make()
    const asked: Array<URL> = []
    let began = Deferred.makeUnsafe<void>()
    const absent = Layer.succeed(Authorize.Authorize, Loopback.make({
      open: (url) =>
        Effect.suspend(() => {
          asked.push(url)
          return Deferred.succeed(began, void 0)
        }),
      listen: () =>
        Effect.succeed(HttpServer.HttpServer.of({
          address: NetAddress.inetAddressUnsafe(NetAddress.ipv4Loopback, 4_000),
          serve: () => Effect.void
        })),
      timeout: "5 minutes"
    }))
    return Effect.gen(function*() {
      const { refused } = yield* open(script)
      for (let round = 1; round <= 2; round += 1) {
        began = Deferred.makeUnsafe()
        const all = yield* Effect.forkChild(Effect.forEach(Array.from({ length: 100 }), () => refused, { concurrency: "unbounded" }), {
          startImmediately: true
        })
        yield* Deferred.await(began)
        yield* TestClock.adjust("5 minutes")
        const reasons = yield* Fiber.join(all)
        assert.isTrue(reasons.every((reason) => /nobody has logged in in time/.test(reason?.message ?? "")))
        assert.deepStrictEqual([reasons.length, asked.length], [100, round])
      }
      assert.strictEqual(Scripted.to(script, "/token").length, 0)
    }).pipe(provide(absent))
  })

  it.effect("that is being redeemed for those who are gone is used by who comes meanwhile", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    const [exchanging, answer] = [Deferred.makeUnsafe<void>(), Deferred.makeUnsafe<void>()]
    script.override = ({ url }) =>
      url.pathname !== "/token" ? undefined : Effect.as(Effect.andThen(Deferred.succeed(exchanging, void 0), Deferred.await(answer)), undefined)
    return Effect.gen(function*() {
      const one = yield* open(script)
      const two = yield* open(script)
      const gone = yield* Effect.forkChild(one.get(), { startImmediately: true })
      yield* Deferred.await(exchanging)
      const going = yield* Effect.forkChild(Fiber.interrupt(gone), { startImmediately: true })
      const next = yield* Effect.forkChild(two.get(), { startImmediately: true })
      yield* Effect.repeat(Effect.yieldNow, { times: 50 })
      yield* Deferred.succeed(answer, void 0)
      assert.strictEqual(yield* Fiber.join(next), "200 hello")
      yield* Fiber.join(going)
      assert.deepStrictEqual([user.asked.length, Scripted.to(script, "/token").length], [1, 1])
    }).pipe(provide(user.layer))
  })

  it.effect("is kept, and nobody is asked to log in, while the authorization server is out of order", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const { get, refused } = yield* open(script)
      yield* get()
      script.valid.clear()
      script.override = ({ url }) => url.pathname === "/token" ? new Response("", { status: 502 }) : undefined
      assert.match((yield* refused)?.message ?? "", /status 502/)
      script.override = () => undefined
      assert.strictEqual(yield* get(), "200 hello")
      assert.strictEqual(user.asked.length, 1)
    }).pipe(provide(user.layer))
  })

  it.effect("that is renewed is used though it cannot be kept, and kept as soon as it can", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    const values = new Map<string, string>()
    let isFull = false
    const full = KeyValueStore.makeStringOnly({
      get: (key) => Effect.sync(() => values.get(key)),
      set: (key, value) =>
        isFull
          ? Effect.fail(new KeyValueStore.KeyValueStoreError({ method: "set", message: "the disk is full" }))
          : Effect.sync(() => void values.set(key, value)),
      remove: (key) => Effect.sync(() => void values.delete(key)),
      clear: Effect.void,
      size: Effect.succeed(0),
      keys: Effect.succeed([])
    })
    const store = TokenStore.make(full)
    return Effect.gen(function*() {
      const { get } = yield* open(script)
      yield* get()
      isFull = true
      for (const token of ["token-2", "token-3"]) {
        script.valid.clear()
        assert.strictEqual(yield* get(), "200 hello")
        assert.isTrue(script.valid.has(token))
      }
      assert.notInclude([...values.values()].join(), "token-3")
      isFull = false
      script.valid.clear()
      // Another program, which knows nothing of it, could not go on from what is kept.
      assert.strictEqual(yield* get(), "200 hello")
      assert.include([...values.values()].join(), "token-4")
      assert.strictEqual(user.asked.length, 1)
    }).pipe(Effect.provideService(TokenStore.TokenStore, store), Effect.provide(user.layer))
  })

  it.effect("of another client of the same store is used instead of asking again", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const one = yield* open(script)
      const two = yield* open(script)
      yield* one.get()
      yield* two.get()
      script.valid.clear()
      yield* one.get()
      yield* two.get()
      assert.deepStrictEqual([user.asked.length, Scripted.to(script, "/token").length], [1, 2])
      const stranger = yield* open(script, { principal: "somebody else" })
      yield* stranger.get()
      assert.strictEqual(user.asked.length, 2)
    }).pipe(provide(user.layer))
  })
})

describe("scopes", () => {
  const forbidding = (script: Scripted.Script, scope: string) => {
    script.override = ({ headers, url }) =>
      url.href === server && headers["authorization"] !== undefined && script.valid.has(headers["authorization"].slice(7))
        ? new Response("", { status: 403, headers: { "www-authenticate": `Bearer error="insufficient_scope", scope="${scope}"` } })
        : undefined
  }

  it.effect("are widened once, and then the request is forbidden", () => {
    const script = Scripted.make()
    script.challenge = "Bearer scope=\"read\""
    forbidding(script, "write")
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const { refused } = yield* open(script)
      const reason = yield* refused
      assert.strictEqual(reason?._tag, "Forbidden")
      assert.deepStrictEqual(user.asked.map((url) => url.searchParams.get("scope")), ["read", "read write"])
      assert.strictEqual((yield* refused)?._tag, "Forbidden")
      assert.strictEqual(user.asked.length, 2)
    }).pipe(provide(user.layer))
  })

  /** A server that wants the scopes of the query, and whose user is asked for them, and takes their time. */
  const demanding = (script: Scripted.Script) => {
    script.override = ({ headers, url }) => {
      const scope = url.searchParams.get("scope")
      return url.origin === new URL(server).origin && scope !== null && script.valid.has(headers["authorization"]?.slice(7) ?? "")
        ? new Response("", { status: 403, headers: { "www-authenticate": `Bearer error="insufficient_scope", scope="${scope}"` } })
        : undefined
    }
  }

  it.effect("that a user is being asked for hold up nobody who needs less, whose token is refused, expires or is removed", () => {
    const script = Scripted.make()
    const gate = Deferred.makeUnsafe<void>()
    const user = Scripted.agreeing(script)
    const declining = Scripted.agreeing(script, { gate, callback: () => new URL("http://127.0.0.1:4000/callback?error=no") })
    demanding(script)
    return Effect.gen(function*() {
      yield* Effect.provide(Effect.flatMap(open(script), ({ get }) => get()), user.layer)
      yield* Effect.gen(function*() {
        const { get } = yield* open(script)
        const wider = yield* Effect.forkChild(Effect.flip(get(`${server}?scope=write`)), { startImmediately: true })
        yield* declining.began
        script.valid.clear()
        assert.strictEqual(yield* get(), "200 hello")
        yield* TestClock.adjust("59 minutes")
        assert.strictEqual(yield* get(), "200 hello")
        assert.strictEqual(Scripted.to(script, "/token").length, 3)
        yield* Effect.provideService(Account.logout({ url: server }), HttpClient.HttpClient, Scripted.client(script))
        yield* Deferred.succeed(gate, void 0)
        yield* Fiber.join(wider)
      }).pipe(Effect.provide(declining.layer))
    }).pipe(provide())
  })

  it.effect("that two calls need are told to each as its own, where nobody asks the user", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    demanding(script)
    return Effect.gen(function*() {
      yield* Effect.provide(Effect.flatMap(open(script), ({ get }) => get()), user.layer)
      const { get } = yield* open(script)
      const reasons = yield* Effect.forEach(["alpha", "beta"], (scope) => Effect.flip(get(`${server}?scope=${scope}`)), { concurrency: "unbounded" })
      assert.deepStrictEqual(
        reasons.map(({ cause }) => McpError.isMcpError(cause) && cause.reason._tag === "NeedsAuthorization" && cause.reason.scopes),
        [["alpha"], ["beta"]]
      )
    }).pipe(provide())
  })

  it.effect("that grow without end are not followed for ever", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    script.override = ({ headers, url }) =>
      url.href === server && headers["authorization"] !== undefined
        ? new Response("", { status: 403, headers: { "www-authenticate": `Bearer error="insufficient_scope", scope="s${script.tokens}"` } })
        : undefined
    return Effect.gen(function*() {
      const { refused } = yield* open(script)
      assert.strictEqual((yield* refused)?._tag, "Forbidden")
      assert.isAtMost(user.asked.length, 3)
    }).pipe(provide(user.layer))
  })

  it.effect("that many calls need at once, another one each, are all asked for", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    const granted = new Map<string, Array<string>>()
    script.override = ({ headers, url }) => {
      if (url.pathname === "/token") {
        granted.set(`token-${script.tokens + 1}`, (user.asked.at(-1)?.searchParams.get("scope") ?? "").split(" "))
      }
      const token = headers["authorization"]?.slice("Bearer ".length) ?? ""
      if (url.origin !== new URL(server).origin || !script.valid.has(token)) return undefined
      const scope = url.searchParams.get("scope") ?? ""
      return granted.get(token)?.includes(scope)
        ? undefined
        : new Response("", { status: 403, headers: { "www-authenticate": `Bearer error="insufficient_scope", scope="${scope}"` } })
    }
    const scopes = Array.from({ length: 10 }, (_, index) => `s${index}`)
    return Effect.gen(function*() {
      const { get } = yield* open(script)
      const answers = yield* Effect.forEach(scopes, (scope) => get(`${server}?scope=${scope}`), { concurrency: "unbounded" })
      assert.deepStrictEqual(answers, scopes.map(() => "200 hello"))
      assert.isAtMost(user.asked.length, scopes.length + 1)
    }).pipe(provide(user.layer))
  })

  it.effect("are those of the config beside those of the server, and offline access where it is known", () => {
    const script = Scripted.make()
    script.challenge = "Bearer scope=\"read\""
    script.metadata = { ...script.metadata, scopes_supported: ["offline_access"] }
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const { get } = yield* open(script, { scopes: ["mine"] })
      yield* get()
      assert.deepStrictEqual(user.asked.map((url) => url.searchParams.get("scope")), ["mine read offline_access"])
    }).pipe(provide(user.layer))
  })
})

describe("a client", () => {
  it.effect("registers again when the place it is called back at has changed, and only then", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    return Effect.gen(function*() {
      const log = (redirectUri: string, principal: string) =>
        Effect.flatMap(open(script, { principal, grant: Grant.AuthorizationCode({ redirectUri }) }), ({ get }) => get())
      yield* log("http://127.0.0.1:1/callback", "a")
      yield* log("http://127.0.0.1:1/callback", "b")
      assert.strictEqual(Scripted.to(script, "/register").length, 1)
      yield* log("http://127.0.0.1:2/callback", "c")
      assert.strictEqual(Scripted.to(script, "/register").length, 2)
    }).pipe(provide(user.layer))
  })

  it.effect("that the server has forgotten registers again, once", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    script.override = ({ form, url }) =>
      url.pathname === "/token" && form.get("client_id") === "client-1" && script.tokens > 0
        ? Scripted.json({ error: "invalid_client" }, 401)
        : undefined
    return Effect.gen(function*() {
      const { get } = yield* open(script)
      yield* get()
      script.valid.clear()
      assert.strictEqual(yield* get(), "200 hello")
      assert.strictEqual(Scripted.to(script, "/register").length, 2)
    }).pipe(provide(user.layer))
  })

  it.effect("that was registered by hand is not shown to another authorization server", () => {
    const script = Scripted.make()
    const user = Scripted.agreeing(script)
    const grant = Grant.AuthorizationCode({ clientId: "mine", clientSecret: Redacted.make("s3cret") })
    return Effect.gen(function*() {
      const { get, refused } = yield* open(script, { grant })
      yield* get()
      script.valid.clear()
      script.resource = { resource: server, authorization_servers: ["https://evil.example.com"] }
      script.override = ({ url }) =>
        url.origin === "https://evil.example.com" && url.pathname.startsWith("/.well-known/oauth")
          ? Scripted.json(JSON.parse(JSON.stringify(script.metadata).replaceAll(issuer, "https://evil.example.com")))
          : undefined
      const reason = yield* refused
      assert.match(reason?.message ?? "", /registered at https:\/\/as.example.com/)
      assert.notInclude(shown(reason), "s3cret")
      const told = script.calls.filter(({ url }) => url.origin === "https://evil.example.com")
      assert.isTrue(told.every(({ body, headers }) => headers["authorization"] === undefined && body === ""))
    }).pipe(provide(user.layer))
  })

  it.effect("is only shown to the issuer its config names, also by a server that names none", () => {
    const script = Scripted.make()
    script.override = ({ url }) =>
      url.origin === "https://mcp.example.com" && url.pathname === "/.well-known/oauth-protected-resource/mcp"
        ? new Response("", { status: 404 })
        : undefined
    return Effect.gen(function*() {
      const grant = Grant.ClientCredentials({ clientId: "svc", clientSecret: Redacted.make("s3cret") })
      const { get } = yield* open(script, { grant, issuer })
      assert.strictEqual(yield* get(), "200 hello")
      const shown = script.calls.filter(({ headers }) => headers["authorization"]?.startsWith("Basic") === true)
      assert.deepStrictEqual(shown.map(({ url }) => url.origin), [issuer])
      const other = yield* open(Scripted.make(), { grant, issuer: "https://other.example" })
      assert.match((yield* other.refused)?.message ?? "", /does not name the issuer/)
    }).pipe(provide())
  })

  it.effect("takes an assertion of an identity provider in the private network that its config names", () => {
    const script = Scripted.make()
    script.override = ({ url }) =>
      url.hostname === "10.0.0.9"
        ? Scripted.json({ access_token: "the-jag", issued_token_type: "urn:ietf:params:oauth:token-type:id-jag", token_type: "N_A" })
        : undefined
    return Effect.gen(function*() {
      const { get } = yield* open(script, {
        grant: Grant.EnterpriseManaged({
          clientId: "app",
          clientSecret: Redacted.make("s3cret"),
          idp: { tokenEndpoint: "https://10.0.0.9/token", clientId: "at-idp", subjectToken: Redacted.make("id-token") }
        })
      })
      assert.strictEqual(yield* get(), "200 hello")
      assert.deepStrictEqual(Scripted.to(script, "/token").map(({ form }) => form.get("assertion")), [null, "the-jag"])
    }).pipe(provide())
  })

  it.effect("that speaks for itself gets its next token before the last one expires", () => {
    const script = Scripted.make()
    return Effect.gen(function*() {
      const grant = Grant.ClientCredentials({ clientId: "svc", clientSecret: Redacted.make("p w:d") })
      const { get } = yield* open(script, { grant })
      yield* get()
      yield* TestClock.adjust("2 hours")
      assert.strictEqual(yield* get(), "200 hello")
      const calls = Scripted.to(script, "/token")
      assert.deepStrictEqual(calls.map(({ form }) => form.get("grant_type")), ["client_credentials", "client_credentials"])
      assert.strictEqual(calls[0]?.headers["authorization"], `Basic ${btoa("svc:p+w%3Ad")}`)
      assert.strictEqual(Scripted.to(script, "/register").length, 0)
    }).pipe(provide())
  })

  it.effect("whose assertion is refused asks once, and in no other way", () => {
    const script = Scripted.make()
    script.override = ({ url }) => url.pathname === "/token" ? Scripted.json({ error: "invalid_grant" }, 400) : undefined
    return Effect.gen(function*() {
      const { refused } = yield* open(script, { grant: Grant.WorkloadIdentity({ assertion: Redacted.make("eyJ.s3cret") }) })
      const reason = yield* refused
      assert.strictEqual(reason?._tag === "Unauthorized" ? reason.code : "", "invalid_grant")
      assert.notInclude(shown(reason), "s3cret")
      assert.strictEqual(Scripted.to(script, "/token").length, 1)
    }).pipe(provide())
  })

  it.effect("with a key that cannot be read says so without showing it", () => {
    const script = Scripted.make()
    return Effect.gen(function*() {
      const grant = Grant.ClientCredentials({ clientId: "svc", privateKey: { key: Redacted.make("s3cret") } })
      const { refused } = yield* open(script, { grant })
      const reason = yield* refused
      assert.match(reason?.message ?? "", /private key cannot be used/)
      assert.notInclude(shown(reason), "s3cret")
    }).pipe(provide())
  })
})
