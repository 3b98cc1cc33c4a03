/** What the README and the doc comments say is held against the code. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { glob, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { basename, join } from "node:path"
import { promisify } from "node:util"
import * as McpConfig from "../src/McpConfig.ts"
import * as McpError from "../src/McpError.ts"

const root = join(import.meta.dirname, "..")
const readme = readFileSync(join(root, "README.md"), "utf8")

/** Fenced blocks of a language, without the fences. */
const blocks = (text: string, language: string): ReadonlyArray<string> =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, "gm"))].map(([, body = ""]) => body)

/** The code words in the first column of the table under a heading. */
const firstColumn = (heading: string): ReadonlyArray<string> => {
  const [, section = ""] = readme.split(`\n## ${heading}\n`)
  const rows = section.split("\n## ")[0]?.split("\n").filter((line) => line.startsWith("| `")) ?? []
  return rows.flatMap((row) => [...(row.split(" | ")[0] ?? "").matchAll(/`(\w+)[^`]*`/g)].map(([, word = ""]) => word))
}

describe("the README", () => {
  const examples = blocks(readme, "ts")

  it("shows at least three programs", () => {
    assert.isAtLeast(examples.length, 3)
  })

  it.each(examples)("shows a program as it is in its file: %s", async (example) => {
    const [, file = "", body] = /^\/\/ (test\/examples\/\S+)\n([\s\S]*)$/.exec(example) ?? []
    assert.strictEqual(await readFile(join(root, file), "utf8"), body)
  })

  it.effect("shows a config that decodes without a warning, and is the one its programs run with", () =>
    Effect.gen(function*() {
      const [document = ""] = blocks(readme, "json")
      const config = yield* McpConfig.fromString(document)
      assert.deepStrictEqual(config.warnings, [])
      assert.strictEqual(readFileSync(join(root, "test/examples/mcp.json"), "utf8"), document)
    }))

  it("lists every reason of an error, and no other", () => {
    const reasons = McpError.McpErrorReason.members.map((member) => member.fields._tag.schema.literal)
    assert.sameMembers([...firstColumn("Errors")], reasons)
  })
})

/** The examples of the doc comments of a file, each a module of its own. */
const examplesOf = async (file: string): Promise<ReadonlyArray<string>> => {
  const comments = (await readFile(join(root, file), "utf8")).match(/\/\*\*[\s\S]*?\*\//g) ?? []
  return comments.flatMap((comment) =>
    blocks(comment.replace(/^\s*\* ?/gm, ""), "ts").map((example) => module(file, example))
  )
}

describe("the examples in doc comments", () => {
  it("compile", async () => {
    const folder = await mkdtemp(join(root, "node_modules/.examples-"))
    try {
      const files: Array<string> = []
      for await (const file of glob("src/**/*.ts", { cwd: root })) files.push(file)
      const found = await Promise.all(files.map(examplesOf))
      const examples = found.flat()
      assert.isAtLeast(examples.length, 5)
      await Promise.all(examples.map((example, index) => writeFile(join(folder, `${index}.ts`), example)))
      await writeFile(
        join(folder, "tsconfig.json"),
        JSON.stringify({
          extends: join(root, "tsconfig.json"),
          compilerOptions: {
            rewriteRelativeImportExtensions: false,
            allowImportingTsExtensions: true,
            noUnusedLocals: false,
            noUnusedParameters: false,
            paths
          },
          include: ["*.ts"]
        })
      )
      const tsc = join(root, "node_modules/typescript/bin/tsc")
      const compiled = await promisify(execFile)(process.execPath, [tsc, "--project", folder]).catch((error) => error)
      assert.strictEqual(compiled.stdout, "")
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})

/** The entry points of the package, as its programs import them. */
const paths = {
  "mcp-connect": [join(root, "src/index.ts")],
  "mcp-connect/auth": [join(root, "src/auth/index.ts")],
  "mcp-connect/bridge": [join(root, "src/bridge/Bridge.ts")],
  "mcp-connect/effect-mcp": [join(root, "src/integration/EffectMcp.ts")],
  "mcp-connect/network": [join(root, "src/transport/network.ts")],
  "mcp-connect/node": [join(root, "src/node.ts")],
  "mcp-connect/testing": [join(root, "src/testing/index.ts")],
  "mcp-connect/testing/suite": [join(root, "src/testing/TransportSuite.ts")]
}

const effectModules = ["Console", "Duration", "Effect", "Fiber", "Layer", "Redacted", "Result", "Schedule", "Schema", "Stream"]
const library = ["Diagnostic", "Elicitation", "InMemoryTransport", "McpClient", "McpConfig", "McpError", "McpSchema", "McpServers", "Policy", "Race", "Roots", "Sampling", "ServerConfig", "Status", "StdioTransport", "Transport"]
const auth = ["Auth", "Authorize"]
const network = ["SocketTransport", "WebSocketTransport"]
const testing = ["Cassette", "MockServer", "MockTransport"]

/** An example, with what it takes for granted: Effect, the library, its own module, and a few values. */
const module = (file: string, example: string): string => {
  const own = basename(file, ".ts").replace(/^./, (letter) => letter.toUpperCase())
  const known = [...library, ...auth, ...network, ...testing, "Bridge", "EffectMcp", "TransportSuite"]
  return `
    import { NodeRuntime } from "@effect/platform-node"
    import { ${effectModules.join(", ")} } from "effect"
    import { McpProtocol, McpServer } from "effect/ai"
    import * as EffectClient from "effect/ai/McpClient"
    import { ${library.join(", ")} } from "mcp-connect"
    import { ${auth.join(", ")} } from "mcp-connect/auth"
    import { ${network.join(", ")} } from "mcp-connect/network"
    import { HttpClient } from "effect/http"
    import * as Bridge from "mcp-connect/bridge"
    import * as EffectMcp from "mcp-connect/effect-mcp"
    import * as NodeMcp from "mcp-connect/node"
    import { ${testing.join(", ")} } from "mcp-connect/testing"
    import { TransportSuite } from "mcp-connect/testing/suite"
    import * as JsonRpc from "${join(root, "src/protocol/JsonRpc.ts")}"
    ${known.includes(own) ? "" : `import * as ${own} from "${join(root, file)}"`}
    declare const program: Effect.Effect<void>
    declare const readLine: Effect.Effect<string>
    declare const binding: Transport.Binding
    declare const receiver: Transport.Receiver
    declare const result: McpSchema.CallToolResult
    declare const servers: McpServers.McpServers["Service"]
    export const example = Effect.gen(function*() {
      ${example}
    })
  `
}
