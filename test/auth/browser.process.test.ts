/** Logins as users have them: a real browser, a real authorization server, a real MCP server. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as ChildProcess from "effect/process/ChildProcess"
import * as Stream from "effect/Stream"
import { join } from "node:path"
import { chromium, type Page } from "playwright-core"
import { NotAuthorized } from "../../src/auth/Authorize.ts"
import * as FileTokenStore from "../../src/auth/FileTokenStore.ts"
import * as TokenStore from "../../src/auth/TokenStore.ts"
import * as McpClient from "../../src/McpClient.ts"
import * as McpConfig from "../../src/McpConfig.ts"
import * as NodeMcp from "../../src/node.ts"
import * as Oidc from "../support/oidc.ts"
import { freePort } from "../support/httpServer.ts"

const browser = Effect.acquireRelease(
  Effect.promise(() =>
    chromium.launch({ executablePath: "/usr/bin/chromium", args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] })
  ),
  (browser) => Effect.promise(() => browser.close())
)

/** Logs in and consents, on the pages of `oidc-provider`. */
const agree = async (page: Page) => {
  await page.fill("input[name=login]", "ada")
  await page.fill("input[name=password]", "anything")
  await page.click("button[type=submit]")
  await page.click("form:has(input[name=prompt][value=consent]) button[type=submit]")
  await page.waitForURL((url) => url.searchParams.has("code"))
}

/** A user at a browser. What they see at the end is noted. */
const user = Effect.fnUntraced(function*(behave: (page: Page) => Promise<void> = agree) {
  const chrome = yield* browser
  const seen: Array<string> = []
  const fork = yield* Effect.map(Effect.scope, () => (url: URL) =>
    Effect.tryPromise({
      try: async () => {
        // Each login is a visit of its own, without the cookies of the one before.
        const context = await chrome.newContext()
        const page = await context.newPage()
        await page.goto(url.href)
        await behave(page)
        seen.push(await page.innerText("body"))
        await context.close()
      },
      catch: (error) => new NotAuthorized({ detail: String(error) })
    }))
  const layer = NodeMcp.layerBrowser({ open: fork, timeout: "30 seconds" })
  return { seen, layer }
})

const connect = Effect.fnUntraced(function*(url: string, auth: object = {}) {
  const config = yield* McpConfig.fromValue({ mcpServers: { peer: { url, auth, startupTimeout: "50 seconds" } } })
  return yield* McpClient.fromConfig(yield* McpConfig.get(config, "peer"))
})

const whoami = (client: McpClient.McpClient["Service"]) =>
  Effect.map(client.callToolOrFail("whoami"), ({ content }) => content.map((part) => part.type === "text" ? part.text : ""))

const run = <A, E>(effect: Effect.Effect<A, E, Layer.Success<typeof NodeMcp.layer> | import("effect/Scope").Scope>) =>
  effect.pipe(Effect.scoped, Effect.provide(Layer.merge(TokenStore.layerMemory, NodeMcp.layer)))

describe("a login with a real browser", () => {
  it.live("leads to a token that the server takes, and ends on a page that says so", () =>
    run(Effect.gen(function*() {
      const peers = yield* Oidc.start()
      const ada = yield* user()
      const client = yield* Effect.provide(connect(peers.url), ada.layer)
      assert.deepStrictEqual(yield* whoami(client), ["ada"])
      assert.deepStrictEqual(peers.tokens, ["authorization_code ok"])
      assert.match(ada.seen.join(), /You are logged in/)
    })))

  it.live("comes back to the port it is pinned to", () =>
    run(Effect.gen(function*() {
      const port = yield* freePort
      const redirectUri = `http://127.0.0.1:${port}/back`
      const peers = yield* Oidc.start({
        clients: [{ client_id: "pinned", redirect_uris: [redirectUri], token_endpoint_auth_method: "none", application_type: "native", grant_types: ["authorization_code", "refresh_token"] }]
      })
      const ada = yield* user()
      const client = yield* Effect.provide(connect(peers.url, { clientId: "pinned", redirectUri }), ada.layer)
      assert.deepStrictEqual(yield* whoami(client), ["ada"])
    })))

  it.live("that the user refuses is told with the server's word for it", () =>
    run(Effect.gen(function*() {
      const peers = yield* Oidc.start()
      const ada = yield* user(async (page) => {
        await page.click("a[href*=abort]")
        await page.waitForSelector("h1")
      })
      const error = yield* Effect.flip(Effect.provide(connect(peers.url), ada.layer))
      assert.strictEqual(error.reason._tag, "Unauthorized")
      assert.match(error.message, /access_denied/)
      assert.match(ada.seen.join(), /You are not logged in/)
    })))

  it.live("takes no answer from a page that does not know its state", () =>
    run(Effect.gen(function*() {
      const peers = yield* Oidc.start()
      const statuses: Array<number> = []
      const ada = yield* user(async (page) => {
        const back = new URL(new URL(page.url()).searchParams.get("redirect_uri") ?? new URL(await redirectOf(page)).href)
        for (const path of [`${back.origin}/callback?code=x&state=guessed`, `${back.origin}/callback`, `${back.origin}/other`]) {
          statuses.push((await fetch(path)).status)
        }
        await agree(page)
      })
      const client = yield* Effect.provide(connect(peers.url), ada.layer)
      assert.deepStrictEqual(yield* whoami(client), ["ada"])
      assert.deepStrictEqual(statuses, [400, 400, 404])
    })))
})

/** Where the page will send the browser back to, as the server shows it to developers. */
const redirectOf = async (page: Page): Promise<string> => /http:\/\/127\.0\.0\.1:\d+\/callback/.exec(await page.content())?.[0] ?? ""

describe("what a login gave", () => {
  const logged = Effect.fnUntraced(function*(options: Oidc.Options = {}, auth: object = {}) {
    const peers = yield* Oidc.start(options)
    const ada = yield* user()
    const client = yield* Effect.provide(connect(peers.url, auth), ada.layer)
    return { peers, ada, client }
  })

  it.live("is refreshed with a new refresh token each time", () =>
    run(Effect.gen(function*() {
      const { ada, client, peers } = yield* logged({ accessTokenTtl: 1, tolerance: 60 })
      for (let round = 0; round < 3; round += 1) {
        yield* Effect.sleep("1100 millis")
        assert.deepStrictEqual(yield* whoami(client), ["ada"])
      }
      assert.deepStrictEqual(new Set(peers.tokens), new Set(["authorization_code ok", "refresh_token ok"]))
      assert.strictEqual(ada.seen.length, 1)
    })))

  it.live("survives that the keys of the authorization server change", () =>
    run(Effect.gen(function*() {
      const { ada, client, peers } = yield* logged()
      yield* Effect.promise(peers.rotateKeys)
      assert.deepStrictEqual(yield* whoami(client), ["ada"])
      assert.deepStrictEqual(new Set(peers.tokens), new Set(["authorization_code ok", "refresh_token ok"]))
      assert.strictEqual(ada.seen.length, 1)
    })))

  it.live("is asked for again when everything was revoked", () =>
    run(Effect.gen(function*() {
      const { ada, client, peers } = yield* logged()
      yield* Effect.promise(peers.revoke)
      assert.deepStrictEqual(yield* whoami(client), ["ada"])
      assert.strictEqual(peers.tokens.at(-1), "authorization_code ok")
      assert.strictEqual(ada.seen.length, 2)
    })))

  it.live("is renewed for a server whose clock is ahead of the token's", () =>
    run(Effect.gen(function*() {
      // By our own clock it would be good for 15 seconds more.
      const { ada, client, peers } = yield* logged({ accessTokenTtl: 20, ahead: 15 })
      yield* Effect.sleep("6 seconds")
      assert.deepStrictEqual(yield* whoami(client), ["ada"])
      assert.include(peers.tokens, "refresh_token ok")
      assert.strictEqual(ada.seen.length, 1)
    })))

  it.live("is renewed by our own clock for a server whose clock is behind", () =>
    run(Effect.gen(function*() {
      const { ada, client, peers } = yield* logged({ accessTokenTtl: 1, ahead: -3_600 })
      yield* Effect.sleep("1100 millis")
      assert.deepStrictEqual(yield* whoami(client), ["ada"])
      assert.include(peers.tokens, "refresh_token ok")
      assert.strictEqual(ada.seen.length, 1)
    })))

  it.live("is bound to a key where the server wants that", () =>
    run(Effect.gen(function*() {
      const { client } = yield* logged({ dpop: true })
      assert.deepStrictEqual(yield* whoami(client), ["ada"])
    })))

  it.live("is there for the next program, from files that only their user can read", () =>
    run(Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      const peers = yield* Oidc.start()
      const ada = yield* user()
      for (let program = 1; program <= 2; program += 1) {
        const store = yield* FileTokenStore.make(`${directory}/tokens`)
        const client = yield* connect(peers.url).pipe(
          Effect.provide(ada.layer),
          Effect.provideService(TokenStore.TokenStore, store)
        )
        assert.deepStrictEqual(yield* whoami(client), ["ada"])
      }
      assert.strictEqual(ada.seen.length, 1)
      const modes = yield* Effect.forEach(yield* fs.readDirectory(`${directory}/tokens`), (name) =>
        Effect.map(fs.stat(`${directory}/tokens/${name}`), ({ mode }) => mode & 0o777))
      assert.deepStrictEqual(new Set(modes), new Set([0o600]))
    })))
})

describe("programs that share their tokens", () => {
  it.live("refresh a rotating token one after the other, and none of them loses it", () =>
    run(Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      const peers = yield* Oidc.start({ accessTokenTtl: 1, tolerance: 60 })
      const ada = yield* user()
      const store = yield* FileTokenStore.make(directory)
      const client = yield* connect(peers.url).pipe(
        Effect.provide(ada.layer),
        Effect.provideService(TokenStore.TokenStore, store)
      )
      assert.deepStrictEqual(yield* whoami(client), ["ada"])
      const program = join(import.meta.dirname, "sharer.ts")
      const outputs = yield* Effect.forEach(
        ["one", "other"],
        () =>
          Effect.gen(function*() {
            const child = yield* ChildProcess.make(process.execPath, [program, peers.url, directory, "12"], { extendEnv: true })
            const [output, code] = yield* Effect.all(
              [Stream.mkString(Stream.decodeText(child.all)), child.exitCode],
              { concurrency: "unbounded" }
            )
            return { code: Number(code), lines: output.trim().split("\n") }
          }),
        { concurrency: "unbounded" }
      )
      for (const { code, lines } of outputs) {
        assert.deepStrictEqual([code, lines.length, [...new Set(lines)]], [0, 120, ["ada"]])
      }
      assert.deepStrictEqual(peers.tokens.filter((grant) => !grant.endsWith(" ok")), [])
      assert.isAbove(peers.tokens.length, 3)
      assert.deepStrictEqual((yield* fs.readDirectory(directory)).filter((name) => !name.endsWith(".json")), [])
    })))
})

describe("a service without a user", () => {
  it.live("gets a token for itself from a real authorization server", () =>
    run(Effect.gen(function*() {
      const clients = [{ client_id: "svc", client_secret: "s-e:c r&t", redirect_uris: [], response_types: [], grant_types: ["client_credentials"] }]
      const peers = yield* Oidc.start({ clients })
      const auth = { type: "client_credentials", clientId: "svc", clientSecret: "s-e:c r&t", scopes: ["mcp:tools"] }
      const client = yield* connect(peers.url, auth)
      assert.deepStrictEqual(yield* whoami(client), ["svc"])
      assert.deepStrictEqual(peers.tokens, ["client_credentials ok"])
    })))
})

