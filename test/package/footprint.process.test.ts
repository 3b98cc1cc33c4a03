import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"

const repository = join(import.meta.dirname, "../..")
const source = (file: string) => JSON.stringify(new URL(`../../src/${file}`, import.meta.url).href)

/** Runs a program, and tells every module it loads and who wanted it. */
const loadedBy = async (program: string): Promise<ReadonlyArray<{ readonly url: string; readonly by: string }>> => {
  const recorded = `
    import { registerHooks } from "node:module"
    const loaded = []
    registerHooks({
      resolve(specifier, context, next) {
        const result = next(specifier, context)
        loaded.push({ url: result.url, by: context.parentURL ?? "" })
        return result
      }
    })
    ${program}
    console.log(JSON.stringify(loaded))
  `
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", recorded], {
    cwd: repository,
    maxBuffer: 2 ** 26
  })
  return JSON.parse(stdout)
}

/** A program that calls a tool of a server. */
const calling = (name: string, document: string, handled = ""): string => `
  const Effect = await import("effect/Effect")
  const { McpConfig, McpServers } = await import(${source("index.ts")})
  const NodeMcp = await import(${source("node.ts")})
  await Effect.runPromise(Effect.gen(function*() {
    const servers = yield* McpServers.make(yield* McpConfig.fromValue(${document}))
    yield* servers.use(${JSON.stringify(name)}, (client) => client.callToolOrFail("echo", { text: "hello" }))
  }).pipe(${handled}Effect.scoped, Effect.provide(NodeMcp.layer)))
`

/** The name of a package, or of a module of Effect: what is large is there for all, and should be asked for by few. */
const nameOf = (url: string): string =>
  /\/node_modules\/effect\/(?:dist|src)\/(.*)\.[jt]s$/.exec(url)?.[1]?.replace(/^/, "effect/") ??
    /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ??
    /\/src\/(.*)\.ts$/.exec(url)?.[1] ?? url

const assertWaiting = (loaded: ReadonlyArray<{ readonly url: string }>, waiting: ReadonlyArray<RegExp>) => {
  const names = new Set(loaded.map(({ url }) => nameOf(url)))
  assert.includeMembers([...names], ["effect/Effect", "effect/Schema", "McpClient"], "the recorder has seen nothing")
  assert.deepStrictEqual([...names].filter((name) => waiting.some((pattern) => pattern.test(name))), [])
}

/** What only servers over a network need. */
const network = [
  /^(undici|ws|jose|oauth4webapi)$/,
  /^auth\/(Account|Auth|Authorize|FileTokenStore|TokenStore|source|wire)$/,
  /^transport\/(overHttp|LegacySseTransport|SocketTransport|StreamableHttpTransport|WebSocketTransport|http\/requests)$/,
  /^effect\/(encoding\/Sse|persistence\/|reactivity\/|sql\/)/
]

/** And what the Node layer is made of; Schema itself loads headers and cookies. */
const platform = [/^@effect\/platform-node/, /^effect\/http\/(Fetch|Http)/, /^effect\/socket\//]

describe("what is loaded", () => {
  it("is nothing of Node, of its platform and of networks with the core alone", async () => {
    const loaded = await loadedBy(`await import(${source("index.ts")})`)
    assertWaiting(loaded, [...network, ...platform])
    const own = new URL("../../src/", import.meta.url).href
    assert.deepStrictEqual(loaded.filter(({ by, url }) => url.startsWith("node:") && by.startsWith(own)), [])
  })

  it("is no transport over HTTP or WebSocket and no authorization with the Node layer", async () => {
    const loaded = await loadedBy(`await import(${source("index.ts")})\nawait import(${source("node.ts")})`)
    assertWaiting(loaded, network)
  })

  it("is none of them either after a tool of a stdio server was called", async () => {
    const server = JSON.stringify({ mcpServers: { echo: { command: process.execPath, args: ["test/bench/servers/stdio.ts"] } } })
    const loaded = await loadedBy(calling("echo", server))
    assertWaiting(loaded, network)
  })

  it("is the rest when a server needs it, but no client of WebSockets for HTTP", async () => {
    const nobody = JSON.stringify({ mcpServers: { nobody: { url: "http://127.0.0.1:9/mcp" } } })
    const loaded = await loadedBy(calling("nobody", nobody, "Effect.catchReason('McpError', 'Unreachable', () => Effect.void), "))
    const names = loaded.map(({ url }) => nameOf(url))
    assert.includeMembers(names, ["transport/StreamableHttpTransport", "auth/Auth", "undici"])
    assertWaiting(loaded, [/^(ws|jose)$/])
  })
})
