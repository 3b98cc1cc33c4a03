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

const packagesOf = (loaded: ReadonlyArray<{ readonly url: string }>): ReadonlySet<string> =>
  new Set(loaded.flatMap(({ url }) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? []))

const assertWaiting = (loaded: ReadonlyArray<{ readonly url: string }>, waiting: ReadonlyArray<string>) => {
  const packages = packagesOf(loaded)
  assert.isTrue(packages.has("effect"), "the recorder has seen nothing")
  assert.deepStrictEqual(waiting.filter((name) => packages.has(name)), [])
}

describe("what is loaded", () => {
  it("is nothing of Node and of its platform with the core alone", async () => {
    const loaded = await loadedBy(`await import(${source("index.ts")})`)
    assertWaiting(loaded, ["undici", "ws", "jose", "@effect/platform-node"])
    const own = new URL("../../src/", import.meta.url).href
    assert.deepStrictEqual(loaded.filter(({ by, url }) => url.startsWith("node:") && by.startsWith(own)), [])
  })

  it("is no HTTP client, no WebSocket and no cryptography with the Node layer", async () => {
    const loaded = await loadedBy(`await import(${source("index.ts")})\nawait import(${source("node.ts")})`)
    assertWaiting(loaded, ["undici", "ws", "jose"])
  })

  it("is none of them either after a tool of a stdio server was called", async () => {
    const server = JSON.stringify({ mcpServers: { echo: { command: process.execPath, args: ["test/bench/servers/stdio.ts"] } } })
    const loaded = await loadedBy(`
      const Effect = await import("effect/Effect")
      const { McpConfig, McpServers } = await import(${source("index.ts")})
      const NodeMcp = await import(${source("node.ts")})
      await Effect.runPromise(Effect.gen(function*() {
        const servers = yield* McpServers.make(yield* McpConfig.fromValue(${server}))
        yield* servers.use("echo", (client) => client.callToolOrFail("echo", { text: "hello" }))
      }).pipe(Effect.scoped, Effect.provide(NodeMcp.layer)))
    `)
    assertWaiting(loaded, ["undici", "ws", "jose"])
  })
})
