/** Authorization as entries of a config have it, on the transports. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as jose from "jose"
import * as Authorize from "../../src/auth/Authorize.ts"
import * as TokenStore from "../../src/auth/TokenStore.ts"
import * as McpClient from "../../src/McpClient.ts"
import * as McpConfig from "../../src/McpConfig.ts"
import * as McpError from "../../src/McpError.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import * as ServerConfig from "../../src/ServerConfig.ts"
import { fromConfig } from "../../src/transport/fromConfig.ts"
import * as WebSockets from "../../src/transport/websocket/WebSockets.ts"
import { makeReceiver } from "../support/receiver.ts"
import * as Scripted from "../support/scriptedAuth.ts"

const provide = (script: Scripted.Script, ...layers: ReadonlyArray<Layer.Layer<never>>) =>
  Effect.provide(Layer.mergeAll(
    NodeServices.layer,
    TokenStore.layerMemory,
    ConfigProvider.layer(ConfigProvider.fromEnvRecord({ SECRET: "s3cr3t", KEY: "k3y" })),
    Layer.succeed(HttpClient.HttpClient, Scripted.client(script)),
    ...layers
  ))

const connect = Effect.fnUntraced(function*(entry: object) {
  const config = yield* McpConfig.fromValue({ mcpServers: { remote: { url: Scripted.server, ...entry } } })
  return yield* McpClient.fromConfig(yield* McpConfig.get(config, "remote"))
})

const reasonOf = (entry: object) => Effect.map(Effect.flip(connect(entry)), ({ reason }) => reason)

const service = { type: "client_credentials", clientId: "svc", clientSecret: "${SECRET}" }

describe("an entry with authorization", () => {
  const fixed: ReadonlyArray<readonly [what: string, entry: object]> = [
    ["a header Authorization", { headers: { authorization: "Bearer mine" }, auth: service }],
    ["a variable with a bearer token", { bearerTokenEnv: "KEY", auth: service }],
    ["an API key", { headers: { "X-API-Key": "${KEY}" } }],
    ["auth switched off", { auth: false }]
  ]
  for (const [what, entry] of fixed) {
    it.effect(`gets no tokens with ${what}, and shows the server's own refusal`, () => {
      const script = Scripted.make()
      return Effect.gen(function*() {
        const reason = yield* reasonOf(entry)
        assert.strictEqual(reason._tag === "HttpStatus" ? reason.status : reason._tag, 401)
        assert.isTrue(script.calls.every(({ url }) => url.href === Scripted.server))
      }).pipe(Effect.scoped, provide(script))
    })
  }

  it.effect("fails the start with what the user has to do, and no era is concluded from it", () => {
    const script = Scripted.make()
    return Effect.gen(function*() {
      const reason = yield* reasonOf({})
      assert.strictEqual(reason._tag, "NeedsAuthorization")
      assert.strictEqual(Scripted.to(script, "/mcp").length, 1)
    }).pipe(Effect.scoped, provide(script))
  })

  it.effect("tells the authorization server's word for why there is no token, and no secret", () => {
    const script = Scripted.make()
    script.override = ({ url }) => url.pathname === "/token" ? Scripted.json({ error: "invalid_scope" }, 400) : undefined
    return Effect.gen(function*() {
      const error = yield* Effect.flip(connect({ auth: service }))
      assert.match(error.message, /no token was issued: invalid_scope/)
      assert.notInclude(error.message + JSON.stringify(error), "s3cr3t")
    }).pipe(Effect.scoped, provide(script))
  })

  it.effect("declares the extension it gets its tokens by", () => {
    const script = Scripted.make()
    return Effect.gen(function*() {
      yield* Effect.flip(connect({ auth: service }))
      const first = Scripted.to(script, "/mcp").find(({ headers }) => headers["authorization"] !== undefined)
      assert.include(first?.body ?? "", "\"extensions\":{\"io.modelcontextprotocol/oauth-client-credentials\":{}}")
    }).pipe(Effect.scoped, provide(script))
  })

  for (const status of [302, 307, 308]) {
    it.effect(`shows its token to no other origin when a message is answered with a redirect ${status}`, () => {
      const script = Scripted.make()
      script.override = ({ headers, url }) =>
        url.href === Scripted.server && script.valid.has(headers["authorization"]?.slice(7) ?? "")
          ? new Response("", { status, headers: { location: "https://elsewhere.example/mcp" } })
          : undefined
      return Effect.gen(function*() {
        const reason = yield* reasonOf({ auth: service })
        assert.strictEqual(reason._tag === "HttpStatus" ? reason.status : reason._tag, status)
        assert.match(reason.message, /leads to another origin, https:\/\/elsewhere.example/)
        assert.deepStrictEqual(script.calls.filter(({ url }) => url.hostname === "elsewhere.example"), [])
      }).pipe(Effect.scoped, provide(script))
    })
  }

  it.effect("over HTTP+SSE sends its token with the stream and with every message, and to no other path of discovery", () => {
    const script = Scripted.make()
    const open: Array<ReadableStreamDefaultController<Uint8Array>> = []
    script.override = ({ headers, method, url }) => {
      if (!script.valid.has(headers["authorization"]?.slice(7) ?? "")) return undefined
      if (method === "POST") return new Response("", { status: 202 })
      if (url.href !== Scripted.server) return undefined
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => {
          open.push(controller)
          controller.enqueue(new TextEncoder().encode("event: endpoint\ndata: /messages\n\n"))
        }
      })
      return new Response(body, { headers: { "content-type": "text/event-stream" } })
    }
    return Effect.gen(function*() {
      const config = yield* McpConfig.fromValue({ mcpServers: { remote: { type: "sse", url: Scripted.server, auth: service } } })
      const transport = yield* fromConfig("remote", yield* McpConfig.resolve(yield* McpConfig.get(config, "remote")))
      const { receiver } = yield* makeReceiver
      const link = yield* transport.open(receiver)
      link.send(JsonRpc.notification("notifications/initialized", undefined))
      while (Scripted.to(script, "/messages").length === 0) yield* Effect.yieldNow
      assert.deepStrictEqual(Scripted.to(script, "/messages").map(({ headers }) => headers["authorization"]), ["Bearer token-1"])
      assert.isTrue(script.calls.filter(({ url }) => url.pathname.startsWith("/.well-known")).every(({ headers }) => headers["authorization"] === undefined))
      for (const controller of open) controller.close()
    }).pipe(Effect.scoped, provide(script))
  })
})

describe("an entry for a WebSocket with authorization", () => {
  it.effect("proves with the upgrade that its token is in the right hands, as of the https: URL that it is sent to", () => {
    const script = Scripted.make()
    script.challenge = "DPoP"
    script.metadata = { ...script.metadata, dpop_signing_alg_values_supported: ["ES256"] }
    script.override = ({ url }) =>
      url.pathname === "/token" ? Scripted.json({ access_token: "bound", token_type: "DPoP", expires_in: 3_600 }) : undefined
    const upgrades: Array<WebSockets.Request> = []
    const sockets: WebSockets.Service = {
      open: (request, { onClose, onRefused }) =>
        Effect.suspend(() => {
          upgrades.push(request)
          if (request.headers["authorization"] !== undefined) {
            return Effect.succeed({ protocol: "mcp", send: () => 0, close: (code) => onClose(WebSockets.closed(code, "")), terminate: () => {} })
          }
          onRefused?.({ "www-authenticate": script.challenge })
          return Effect.fail(McpError.make(new McpError.HttpStatus({ verb: "GET", url: request.shown, status: 401, body: "" })))
        })
    }
    return Effect.gen(function*() {
      const config = yield* McpConfig.fromValue({ mcpServers: { remote: { url: "wss://mcp.example.com/mcp", auth: service } } })
      const transport = yield* fromConfig("remote", yield* McpConfig.resolve(yield* McpConfig.get(config, "remote")))
      yield* transport.open((yield* makeReceiver).receiver)
      const headers = upgrades.at(-1)?.headers ?? {}
      assert.deepStrictEqual([upgrades.length, upgrades.at(-1)?.url, headers["authorization"]], [2, "wss://mcp.example.com/mcp", "DPoP bound"])
      const proof = jose.decodeJwt(headers["dpop"] ?? "")
      assert.deepStrictEqual([proof["htm"], proof["htu"]], ["GET", Scripted.server])
    }).pipe(
      Effect.scoped,
      Effect.provideService(WebSockets.WebSockets, sockets),
      provide(script)
    )
  })
})

describe("the authorization of an entry, resolved", () => {
  const resolve = Effect.fnUntraced(function*(auth: object, directory?: string) {
    const config = yield* McpConfig.fromValue({ mcpServers: { remote: { url: Scripted.server, auth } } })
    const { config: entry } = yield* McpConfig.get(config, "remote")
    return yield* ServerConfig.resolve("remote", entry, { directory })
  })

  it.effect("has its templates expanded, and its secrets hidden", () =>
    Effect.gen(function*() {
      const resolved = yield* resolve({ ...service, scopes: ["a-${KEY}"] })
      assert.deepStrictEqual(resolved._tag === "Http" ? resolved.auth?.scopes : [], ["a-k3y"])
      assert.notInclude(JSON.stringify(resolved), "s3cr3t")
    }).pipe(Effect.scoped, provide(Scripted.make())))

  it.effect("names the variables that are not set, and files that cannot be read", () =>
    Effect.gen(function*() {
      const unset = yield* Effect.flip(resolve({ ...service, clientSecret: "${NOWHERE}" }))
      assert.match(unset.message, /NOWHERE/)
      const absent = yield* Effect.flip(resolve({ type: "client_credentials", clientId: "svc", privateKeyFile: "nowhere.pem" }))
      assert.strictEqual(absent.reason._tag, "ConfigUnreadable")
    }).pipe(Effect.scoped, provide(Scripted.make())))

  it.effect("reads an assertion from its file whenever one is needed", () => {
    const script = Scripted.make()
    return Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      const resolved = yield* resolve({ type: "workload_identity", assertionFile: "token" }, directory)
      assert.strictEqual(resolved._tag, "Http")
      const assertion = resolved._tag === "Http" ? resolved.auth?.assertion : undefined
      if (assertion === undefined) return assert.fail("there is no assertion")
      assert.strictEqual((yield* Effect.flip(assertion)).reason._tag, "ConfigUnreadable")
      for (const text of ["one", "two"]) {
        yield* fs.writeFileString(`${directory}/token`, `${text}\n`)
        assert.strictEqual(ServerConfig.reveal(yield* assertion), text)
      }
    }).pipe(Effect.scoped, provide(script))
  })
})

describe("a login by pasting", () => {
  const ask = (text: (state: string) => string) =>
    Effect.gen(function*() {
      const { begin } = yield* Authorize.Authorize
      const { ask } = yield* begin({ server: Scripted.server, redirectUri: undefined, principal: undefined })
      return yield* ask(new URL("https://as.example.com/authorize?state=right"), "right")
    }).pipe(
      Effect.scoped,
      Effect.provide(Authorize.layerPaste((url) => Effect.succeed(text(new URL(url).searchParams.get("state") ?? ""))))
    )

  it.effect("refuses what is no URL, and answers to other logins", () =>
    Effect.gen(function*() {
      for (const text of ["", "code", "http://127.0.0.1/callback?code=x&state=wrong", "http://127.0.0.1/callback?code=x"]) {
        assert.strictEqual((yield* Effect.flip(ask(() => text)))._tag, "NotAuthorized")
      }
    }))

  it.effect("takes the URL the browser ended at", () =>
    Effect.gen(function*() {
      const url = yield* ask((state) => ` http://127.0.0.1/callback?code=x&state=${state}\n`)
      assert.strictEqual(url.searchParams.get("code"), "x")
    }))
})
