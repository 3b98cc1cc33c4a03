/**
 * What users get: the tarball of `npm pack`, checked and then installed into an
 * empty project, where nothing of this checkout can help it.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { execFile, fork } from "node:child_process"
import { once } from "node:events"
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { promisify } from "node:util"
import { publint } from "publint"
import { formatMessage } from "publint/utils"
import { build } from "rolldown"
import packageJson from "../../package.json" with { type: "json" }

const repository = join(import.meta.dirname, "../..")

/** Scripts and `#!/usr/bin/env node` use the Node that runs the tests. */
const env = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` }

const run = async (cwd: string, command: string, ...args: ReadonlyArray<string>) => {
  try {
    return await promisify(execFile)(command, args, { cwd, env, shell: process.platform === "win32" })
  } catch (cause) {
    const output = cause instanceof Error && "stdout" in cause && "stderr" in cause ? `${cause.stdout}${cause.stderr}` : ""
    throw new Error(`${command} ${args.join(" ")} failed\n${output}`, { cause })
  }
}

describe("the package", () => {
  let project: string
  let tarball: string
  let files: ReadonlyArray<string>

  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), "mcp-connect-package-"))
    await run(repository, "npm", "run", "build")
    const packed = await run(repository, "npm", "pack", "--ignore-scripts", "--json", "--pack-destination", project)
    const report: ReadonlyArray<{ filename: string; files: ReadonlyArray<{ path: string }> }> = JSON.parse(packed.stdout)
    const [description] = report
    assert(description !== undefined)
    files = description.files.map((file) => file.path)
    tarball = join(project, description.filename)

    await writeFile(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }))
    await run(project, "npm", "install", "--prefer-offline", "--no-audit", "--no-fund", tarball)
  }, 300_000)

  afterAll(() => rm(project, { recursive: true, force: true }))

  it("has nothing that publint would improve", async () => {
    const buffer = await readFile(tarball)
    const { messages } = await publint({ pack: { tarball: new Uint8Array(buffer).buffer }, strict: true })
    assert.deepStrictEqual(messages.map((message) => formatMessage(message, packageJson, { color: false })), [])
  })

  it("holds the build, the sources its maps point to, and the three documents", () => {
    const rest = files.filter((file) => !/^(dist|src)\//.test(file))
    assert.sameMembers(rest, ["CHANGELOG.md", "LICENSE", "README.md", "package.json"])
    assert.includeMembers([...files], ["dist/index.js", "dist/index.d.ts", "dist/node.js", "dist/cli/main.js", "src/index.ts"])
  })

  describe("installs a command that", () => {
    const command = (...args: ReadonlyArray<string>) => run(project, join(project, "node_modules/.bin/mcp-connect"), ...args)

    it("tells its help and its version", async () => {
      const help = await command("--help")
      assert.include(help.stdout, "mcp-connect <subcommand>")
      const version = await command("--version")
      assert.include(version.stdout, packageJson.version)
    })

    it("calls a tool of a server in a config file", async () => {
      const echo = { command: process.execPath, args: [join(repository, "test/bench/servers/stdio.ts")] }
      await writeFile(join(project, "mcp.json"), JSON.stringify({ mcpServers: { echo } }))
      const { stdout } = await command("call", "echo", "echo", "text=hello", "--config", "mcp.json")
      assert.strictEqual(stdout, "hello\n")
    })
  })

  it.each([
    ["mcp-connect", ["McpClient", "McpConfig", "McpError", "McpServers", "ServerConfig"]],
    ["mcp-connect/node", ["layer", "layerHttpServer"]],
    ["mcp-connect/auth", ["Account", "Auth", "AuthGrant", "Authorize", "FileTokenStore", "PublicNetwork", "TokenStore"]],
    ["mcp-connect/network", ["HttpClients", "SocketTransport", "StreamableHttpTransport", "WebSocketTransport", "WebSockets"]],
    ["mcp-connect/bridge", ["http", "socket"]],
    ["mcp-connect/effect-mcp", ["layerServer", "toEffect", "fromEffect"]],
    ["mcp-connect/testing", ["Cassette", "MockServer", "MockTransport"]]
  ])("is imported by a program as %s", async (specifier, names) => {
    await writeFile(
      join(project, "program.js"),
      `import * as module from "${specifier}"
       console.log(JSON.stringify(Object.keys(module)))`
    )
    const { stdout } = await run(project, process.execPath, "program.js")
    const exported: ReadonlyArray<string> = JSON.parse(stdout)
    assert.includeMembers([...exported], names)
  })

  it("is bundled with a program, which needs nothing else then and reaches servers over everything", async () => {
    const names = ["stdio", "json", "sse", "ws"]
    await writeFile(
      join(project, "program.js"),
      `import * as Effect from "effect/Effect"
       import { McpConfig, McpServers } from "mcp-connect"
       import * as NodeMcp from "mcp-connect/node"
       Effect.gen(function*() {
         const servers = yield* McpServers.make(yield* McpConfig.fromString(process.argv[2]))
         for (const name of ${JSON.stringify(names)}) {
           const { content } = yield* servers.use(name, (client) => client.callTool("echo", { text: name }))
           console.log(content[0].text)
         }
       }).pipe(Effect.scoped, Effect.provide(NodeMcp.layer), Effect.runPromise)`
    )
    const elsewhere = await mkdtemp(join(tmpdir(), "mcp-connect-bundle-"))
    const server = (file: string) => join(repository, "test/bench/servers", file)
    const [http, ws] = [fork(server("http.ts"), { execArgv: [] }), fork(server("ws.ts"), { execArgv: [] })]
    try {
      await build({ cwd: project, input: "program.js", platform: "node", output: { dir: elsewhere }, logLevel: "silent" })
      await writeFile(join(elsewhere, "package.json"), JSON.stringify({ type: "module" }))
      const [[[httpOrigin]], [[wsOrigin]]] = await Promise.all([once(http, "message"), once(ws, "message")])
      const config = `{
        // A comment, which is not for everyone to read.
        "mcpServers": {
          "stdio": { "command": ${JSON.stringify(process.execPath)}, "args": [${JSON.stringify(server("stdio.ts"))}] },
          "json": { "url": "${httpOrigin}/json" }, "sse": { "url": "${httpOrigin}/sse" }, "ws": { "url": "${wsOrigin}" },
        }
      }`
      const { stdout } = await run(elsewhere, process.execPath, "program.js", config)
      assert.deepStrictEqual(stdout.trim().split("\n"), names)
    } finally {
      for (const child of [http, ws]) child.kill()
      await rm(elsewhere, { recursive: true, force: true })
    }
  }, 60_000)

  it("proves a transport where @effect/vitest is installed", async () => {
    const { "@effect/vitest": effectVitest, vitest } = packageJson.devDependencies
    await run(project, "npm", "install", "--prefer-offline", "--no-audit", "--no-fund", `@effect/vitest@${effectVitest}`, `vitest@${vitest}`)
    await copyFile(join(repository, "test/examples/transport.test.ts"), join(project, "transport.test.ts"))
    const { stdout } = await run(project, process.execPath, join(project, "node_modules/vitest/vitest.mjs"), "run", "--root", project)
    assert.match(stdout, /Tests .*\d+ passed/)
  }, 120_000)

  it.each([
    "mcp-connect/internal/deadlines",
    "mcp-connect/McpClient",
    "mcp-connect/servers/runtime",
    "mcp-connect/dist/index.js",
    "mcp-connect/src/index.ts"
  ])("does not let a program reach %s", async (specifier) => {
    await writeFile(join(project, "program.js"), `await import("${specifier}").catch((error) => console.log(error.code))`)
    const { stdout } = await run(project, process.execPath, "program.js")
    assert.strictEqual(stdout, "ERR_PACKAGE_PATH_NOT_EXPORTED\n")
  })

  it("runs the README's programs with the README's config", async () => {
    await run(project, "npm", "install", "--prefer-offline", "--no-audit", "--no-fund", `@modelcontextprotocol/server-everything@${packageJson.devDependencies["@modelcontextprotocol/server-everything"]}`)
    const examples = join(repository, "test/examples")
    for (const file of ["mcp.json", "first-call.ts", "typed-call.ts", "elicitation.ts"]) {
      await copyFile(join(examples, file), join(project, file))
    }
    const output = async (file: string) => (await run(project, process.execPath, file)).stdout
    assert.match(await output("first-call.ts"), /\d+ tools, revision 2025-11-25[^]*Echo: hello/)
    assert.match(await output("typed-call.ts"), /It is -?\d+ degrees\nstep 1 of 4\n[^]*step 4 of 4\nrefused/)
    assert.match(await output("elicitation.ts"), /everything asks: [^]*Ann/)
  })

  it.each(["nodenext", "bundler"])("has types that a strict TypeScript program finds (%s)", async (moduleResolution) => {
    await writeFile(
      join(project, "program.ts"),
      `import { McpClient, McpConfig, McpError, ServerConfig } from "mcp-connect"
       import * as NodeMcp from "mcp-connect/node"
       type AreAny<T extends ReadonlyArray<unknown>> = { [K in keyof T]: 0 extends 1 & T[K] ? true : false }
       type Exports = [typeof McpClient, typeof McpConfig, typeof ServerConfig, typeof NodeMcp.layer, McpError.McpError]
       export const untyped: AreAny<Exports> = [false, false, false, false, false]
       export const server: string | undefined = McpError.make(new McpError.UnknownServer({ name: "a", known: [] })).server`
    )
    await writeFile(
      join(project, "tsconfig.json"),
      JSON.stringify({
        compilerOptions: {
          strict: true,
          exactOptionalPropertyTypes: true,
          module: moduleResolution === "bundler" ? "esnext" : "nodenext",
          moduleResolution,
          target: "ES2023",
          types: [],
          skipLibCheck: true,
          noEmit: true
        },
        files: ["program.ts"]
      })
    )
    const { stdout } = await run(project, process.execPath, join(repository, "node_modules/typescript/bin/tsc"))
    assert.strictEqual(stdout, "")
  })
})
