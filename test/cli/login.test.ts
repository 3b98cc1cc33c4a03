import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as FileTokenStore from "../../src/auth/FileTokenStore.ts"
import * as Advice from "../../src/cli/advice.ts"
import * as Exit from "../../src/cli/exit.ts"
import * as McpConfig from "../../src/McpConfig.ts"
import * as McpError from "../../src/McpError.ts"
import * as McpServers from "../../src/McpServers.ts"
import * as NodeMcp from "../../src/node.ts"
import { serve } from "../support/loopback.ts"
import * as Protected from "../support/protectedServer.ts"
import { fixture, folder, inShell, mcpConnect, type Options } from "./support.ts"

/** Opens a page as a user does who agrees to everything, and notes it. */
const browser = (file: string) =>
  `#!${process.execPath}
const { appendFileSync } = require("node:fs")
appendFileSync(${JSON.stringify(file)}, process.argv[2] + "\\n")
fetch(process.argv[2]).then((response) => response.text())
`

/** A home with a project in it, and a browser. */
const home = Effect.fnUntraced(function*(peer: Protected.Protected, servers: Record<string, unknown> = {}) {
  const cwd = yield* folder({ "mcp.json": { mcpServers: { docs: { url: `${peer.origin}/mcp` }, ...servers } } })
  const data = join(cwd, "data")
  const visits = join(cwd, "visits")
  writeFileSync(visits, "")
  writeFileSync(join(cwd, "xdg-open"), browser(visits))
  chmodSync(join(cwd, "xdg-open"), 0o755)
  const env = { HOME: cwd, XDG_DATA_HOME: data, PATH: `${cwd}:${process.env["PATH"]}` }
  const run = (args: ReadonlyArray<string>, options: Partial<Options> = {}) => mcpConnect(args, { cwd, env, ...options })
  const tokens = join(data, "mcp-connect", "tokens")
  return { cwd, env, run, tokens, visits: () => readFileSync(visits, "utf8").trim().split("\n").filter((line) => line !== "") }
})

const assertNoSecret = (peer: Protected.Protected, ...texts: ReadonlyArray<string>) => {
  for (const token of peer.tokens) for (const text of texts) assert.notInclude(text, token)
}

describe("a server that needs a login", () => {
  it.live("is a row of check that says what to do, and ends commands with a code of its own", () =>
    Effect.gen(function*() {
      const peer = yield* Protected.start()
      const { run, visits } = yield* home(peer)
      const checked = yield* run(["check"])
      assert.strictEqual(checked.code, Exit.codes.unreachable.code)
      assert.match(checked.stdout, /docs +http +needs a login: mcp-connect login docs/)
      assert.match(checked.stderr, /^error: 1 of 1 servers needs a login$/m)
      for (const args of [["tools", "docs"], ["call", "docs", "hello", "{}"], ["watch", "docs"]]) {
        const { code, stderr } = yield* run(args)
        assert.strictEqual(code, Exit.codes.unauthorized.code, stderr)
        assert.match(stderr, /needs a login.*log in with: mcp-connect login docs/)
      }
      assert.deepStrictEqual(visits(), [])
    }))

  it.live("is not what every server is: commands without tokens leave no trace", () =>
    Effect.gen(function*() {
      const { run, tokens } = yield* home(yield* Protected.start(), { docs: fixture("legacy-sdk.ts") })
      assert.strictEqual((yield* run(["check"])).code, 0)
      assert.strictEqual((yield* run(["whoami"])).code, 0)
      assert.isFalse(existsSync(tokens))
    }))

  it.live("leads the person at a terminal to the login by itself", () =>
    Effect.gen(function*() {
      const peer = yield* Protected.start()
      const { cwd, env, visits } = yield* home(peer)
      const { code, stdout } = yield* inShell("script -qefc \"mcp-connect call docs hello {}\" out", {
        cwd,
        env: { ...env, TERM: "xterm" }
      })
      assert.strictEqual(code, 0, stdout)
      assert.match(stdout, /Log in to http:\/\/127\.0\.0\.1:\d+\/mcp in your browser/)
      assert.match(stdout, /hello\r?\n/)
      assert.strictEqual(visits().length, 1)
    }))
})

describe("login", () => {
  it.live("in the browser is good for all commands after it, and shows no token", () =>
    Effect.gen(function*() {
      const peer = yield* Protected.start()
      const { run, tokens, visits } = yield* home(peer)
      const login = yield* run(["login", "docs"])
      assert.strictEqual(login.code, 0, login.stderr)
      assert.include(login.stderr, `logged in to docs at ${peer.origin}`)
      const called = yield* run(["call", "docs", "hello", "{}"])
      assert.deepStrictEqual([called.code, called.stdout], [0, "hello\n"], called.stderr)
      const checked = yield* run(["check"])
      assert.strictEqual(checked.code, 0, checked.stderr)
      peer.expire()
      assert.strictEqual((yield* run(["tools", "docs"])).code, 0)
      assert.deepStrictEqual(peer.grants, ["authorization_code", "refresh_token"])
      assert.strictEqual(visits().length, 1)
      assertNoSecret(peer, login.stdout, login.stderr, called.stderr, checked.stdout)
      assert.deepStrictEqual([statSync(tokens).mode & 0o777, ...new Set(readdirSync(tokens).map((name) => statSync(join(tokens, name)).mode & 0o777))], [0o700, 0o600])
    }))

  it.live("without a browser takes the address that one ends at elsewhere", () =>
    Effect.gen(function*() {
      const peer = yield* Protected.start()
      const { run, visits } = yield* home(peer)
      let pasted = false
      const login = yield* run(["login", "docs", "--paste"], {
        stdin: "open",
        onOutput: ({ stderr }, command) => {
          const page = /^ +(http\S+\/authorize\S+)$/m.exec(stderr)?.[1]
          if (page === undefined || pasted) return
          pasted = true
          void fetch(page, { redirect: "manual" }).then(({ headers }) => command.stdin?.end(`${headers.get("location")}\n`))
        }
      })
      assert.strictEqual(login.code, 0, login.stderr)
      assert.deepStrictEqual(visits(), [])
      assert.strictEqual((yield* run(["tools", "docs"])).code, 0)
    }))

  it.live("takes no address that is none of its own", () =>
    Effect.gen(function*() {
      const peer = yield* Protected.start()
      const { run } = yield* home(peer)
      for (const input of ["", "code\n", "http://127.0.0.1/callback?code=x&state=y\n"]) {
        const { code, stderr } = yield* run(["login", "docs", "--paste"], { input })
        assert.strictEqual(code, Exit.codes.unauthorized.code)
        assert.match(stderr, /it was not given: (expected the whole URL|the URL is not the answer to this login; start it again)/)
      }
      assert.deepStrictEqual(peer.grants, [])
    }))

  it.live("that is refused, or that nobody makes in time, is told with its own exit code", () =>
    Effect.gen(function*() {
      const refusing = yield* home(yield* Protected.start({ refuse: true }))
      const refused = yield* refusing.run(["login", "docs"])
      assert.strictEqual(refused.code, Exit.codes.unauthorized.code)
      assert.include(refused.stderr, "access_denied")
      const { cwd, run } = yield* home(yield* Protected.start())
      writeFileSync(join(cwd, "xdg-open"), "#!/bin/sh\n")
      const late = yield* run(["login", "docs", "--timeout", "200ms"])
      assert.strictEqual(late.code, Exit.codes.unauthorized.code)
      assert.include(late.stderr, "nobody has logged in in time")
    }))

  it.live("to what is not there, or has nobody to log in at, says which of them it is", () =>
    Effect.gen(function*() {
      const peer = yield* Protected.start()
      const alone = yield* serve((request, response) =>
        request.url?.startsWith("/.well-known/oauth-protected-resource") === true
          ? response.end(JSON.stringify({ resource: `${alone.origin}/mcp`, authorization_servers: ["http://127.0.0.1:9"] }))
          : response.writeHead(401, { "www-authenticate": "Bearer" }).end())
      const { run } = yield* home(peer, {
        down: { url: "http://127.0.0.1:9/mcp" },
        alone: { url: `${alone.origin}/mcp` },
        pinned: { url: `${peer.origin}/mcp`, auth: { redirectUri: `${alone.origin}/callback` } }
      })
      const down = yield* run(["login", "down"])
      assert.strictEqual(down.code, Exit.codes.unreachable.code)
      assert.include(down.stderr, "the connection was refused (ECONNREFUSED)")
      const nobody = yield* run(["login", "alone"])
      assert.strictEqual(nobody.code, Exit.codes.unauthorized.code)
      assert.match(nobody.stderr, /cannot be found out from whom: http:\/\/127\.0\.0\.1:9\/\S+ cannot be reached/)
      const pinned = yield* run(["login", "pinned"])
      assert.strictEqual(pinned.code, Exit.codes.unauthorized.code)
      assert.match(pinned.stderr, /port \d+ of this machine cannot be listened at: another program does/)
    }))

  it.live("asks for scopes that are wanted besides, which the advice names unless a shell could take them for more than a word", () =>
    Effect.gen(function*() {
      const peer = yield* Protected.start()
      const { run, visits } = yield* home(peer)
      yield* run(["login", "docs", "--scope", "files:read", "--scope", "files:write"])
      assert.deepStrictEqual(visits().map((visit) => new URL(visit).searchParams.get("scope")), ["files:read files:write"])
      const error = (scopes: ReadonlyArray<string>) =>
        McpError.make(new McpError.NeedsAuthorization({ url: "https://x", authorizationUrl: "https://y", scopes: [...scopes] }), "docs")
      assert.strictEqual(Advice.command("docs", error(["files:write", "a;reboot", "$(x)", "--paste"])), "mcp-connect login docs --scope files:write")
    }))

  it.live("is asked how with what the entry sends in any case", () =>
    Effect.gen(function*() {
      const peer = yield* Protected.start()
      const tenants = yield* serve((request, response) => {
        const metadata = `${peer.origin}/.well-known/oauth-protected-resource/mcp`
        if (request.headers["x-tenant"] !== "acme") return response.writeHead(404).end()
        return request.url === "/mcp"
          ? response.writeHead(401, { "www-authenticate": `Bearer resource_metadata="${metadata}"` }).end()
          : response.writeHead(404).end()
      })
      const { run } = yield* home(peer, { tenant: { url: `${tenants.origin}/mcp`, headers: { "X-Tenant": "acme" } } })
      const { stderr } = yield* run(["login", "tenant"])
      // It was told where to look, and sees that this is about another server.
      assert.match(stderr, /is about another resource/)
    }))

  it.live("that is ended by Ctrl-C leaves nothing, and its port is free at once", () =>
    Effect.gen(function*() {
      const peer = yield* Protected.start()
      const free = yield* Effect.scoped(serve((_request, response) => response.end()))
      const redirectUri = `${free.origin}/callback`
      const { cwd, run } = yield* home(peer, { pinned: { url: `${peer.origin}/mcp`, auth: { redirectUri } } })
      const opener = readFileSync(join(cwd, "xdg-open"), "utf8")
      writeFileSync(join(cwd, "xdg-open"), "#!/bin/sh\n")
      let sent = false
      const { code, stdout } = yield* run(["login", "pinned"], {
        onOutput: ({ stderr }, command) => {
          if (sent || !/^ +http\S+\/authorize/m.test(stderr)) return
          sent = true
          command.kill("SIGINT")
        }
      })
      assert.deepStrictEqual([code, stdout], [Exit.codes.interrupted.code, ""])
      assert.strictEqual((yield* run(["whoami", "pinned"])).code, Exit.codes.unauthorized.code)
      writeFileSync(join(cwd, "xdg-open"), opener)
      const again = yield* run(["login", "pinned"])
      assert.strictEqual(again.code, 0, again.stderr)
      assert.deepStrictEqual(peer.grants, ["authorization_code"])
    }))

  it.live("wakes programs that share the tokens, each for its own principal", () =>
    Effect.gen(function*() {
      const peer = yield* Protected.start()
      const url = `${peer.origin}/mcp`
      const { run, tokens } = yield* home(peer, { docs: { url, auth: { principal: "ann" } } })
      yield* Effect.gen(function*() {
        const servers = yield* McpServers.make(yield* McpConfig.fromValue({
          mcpServers: { ann: { url, auth: { principal: "ann" } }, bob: { url, auth: { principal: "bob" } } }
        }))
        const hello = (name: string) => servers.use(name, (client) => client.callToolOrFail("hello"))
        const ann = yield* servers.statusOf("ann")
        for (const name of ["ann", "bob"]) {
          assert.strictEqual((yield* Effect.flip(hello(name))).reason._tag, "NeedsAuthorization")
        }
        assert.strictEqual((yield* run(["login", "docs"])).code, 0)
        yield* SubscriptionRef.changes(ann).pipe(Stream.filter(({ _tag }) => _tag === "Ready"), Stream.runHead)
        assert.deepInclude((yield* hello("ann")).content[0], { text: "hello" })
        assert.strictEqual((yield* Effect.flip(hello("bob"))).reason._tag, "NeedsAuthorization")
      }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(FileTokenStore.layer(tokens), NodeMcp.layer)))
    }), 60_000)

  it.live("is only for servers that have one", () =>
    Effect.gen(function*() {
      const peer = yield* Protected.start()
      const { run } = yield* home(peer, {
        local: fixture("fault.ts"),
        keyed: { url: `${peer.origin}/mcp`, headers: { Authorization: "Bearer mine" } }
      })
      const wrong: ReadonlyArray<readonly [string, RegExp]> = [
        ["local", /only servers over HTTP and WebSocket/],
        ["keyed", /says by itself who you are/],
        ["nowhere", /nowhere/]
      ]
      for (const [name, message] of wrong) {
        for (const command of ["login", "logout", "whoami"]) {
          const { code, stderr } = yield* run([command, name])
          assert.strictEqual(code, Exit.codes.usage.code, stderr)
          assert.match(stderr, message)
        }
      }
    }))

  it.live("is also for WebSockets and HTTP+SSE", () =>
    Effect.gen(function*() {
      const peer = yield* Protected.start()
      const { run, visits } = yield* home(peer, {
        socket: { url: `${peer.origin.replace("http", "ws")}/ws` },
        events: { type: "sse", url: `${peer.origin}/sse` }
      })
      for (const name of ["socket", "events"]) {
        const login = yield* run(["login", name])
        assert.strictEqual(login.code, 0, login.stderr)
        const called = yield* run(["call", name, "hello", "{}"])
        assert.deepStrictEqual([called.code, called.stdout], [0, "hello\n"], called.stderr)
      }
      assert.strictEqual(visits().length, 2)
      // They have one authorization server, where each login was that of another client.
      peer.expire()
      for (const name of ["socket", "events"]) assert.strictEqual((yield* run(["tools", name])).code, 0)
      assert.deepStrictEqual(peer.grants.slice(2), ["refresh_token", "refresh_token"])
    }))
})

describe("whoami", () => {
  it.live("shows who is logged in where, and never a token", () =>
    Effect.gen(function*() {
      const peer = yield* Protected.start()
      const { run } = yield* home(peer, { unset: { url: "https://example.com/${NOT_SET_AT_ALL}" }, local: fixture("fault.ts") })
      const nobody = yield* run(["whoami"])
      assert.deepStrictEqual([nobody.code, nobody.stdout], [0, ""])
      assert.include(nobody.stderr, "nobody is logged in")
      assert.strictEqual((yield* run(["whoami", "docs"])).code, Exit.codes.unauthorized.code)
      yield* run(["login", "docs"])
      const shown = yield* run(["whoami"])
      assert.strictEqual(shown.code, 0, shown.stderr)
      assert.match(shown.stdout, /docs +http:\/\/127\.0\.0\.1:\d+ +tools +in 59 min|docs +http:\/\/127\.0\.0\.1:\d+ +tools +in 60 min/)
      const json = yield* run(["whoami", "docs", "--json"])
      const [found] = JSON.parse(json.stdout)
      assert.deepInclude(found, {
        server: "docs",
        issuer: peer.origin,
        resource: `${peer.origin}/mcp`,
        principal: "",
        clientId: "client-1",
        scopes: ["tools"],
        renewable: true
      })
      assert.strictEqual(new Date(found.expiresAt).toISOString(), found.expiresAt)
      assertNoSecret(peer, shown.stdout, shown.stderr, json.stdout, json.stderr)
    }))
})

describe("logout", () => {
  it.live("has the tokens taken back, and forgets them", () =>
    Effect.gen(function*() {
      const peer = yield* Protected.start()
      const { run } = yield* home(peer)
      yield* run(["login", "docs"])
      const { code, stderr } = yield* run(["logout", "docs"])
      assert.deepStrictEqual([code, stderr], [0, `config: ${stderr.split("\n")[0]?.slice(8)}\nlogged out of docs\n`])
      assert.deepStrictEqual(peer.revoked, ["refresh_token", "access_token"])
      assert.strictEqual((yield* run(["whoami", "docs"])).code, Exit.codes.unauthorized.code)
      assert.strictEqual((yield* run(["tools", "docs"])).code, Exit.codes.unauthorized.code)
      assert.include((yield* run(["logout", "docs"])).stderr, "nobody is logged in to docs")
    }))

  it.live("says when they could not be taken back, and forgets them all the same", () =>
    Effect.gen(function*() {
      const peer = yield* Protected.start({ revocation: false })
      const { run } = yield* home(peer)
      yield* run(["login", "docs"])
      const { code, stderr } = yield* run(["logout", "docs"])
      assert.strictEqual(code, 0)
      assert.include(stderr, "has not taken it back")
      assert.strictEqual((yield* run(["whoami", "docs"])).code, Exit.codes.unauthorized.code)
    }))
})
