import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { serverFile } from "../support/faultServer.ts"

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

const require = createRequire(import.meta.url)

/** The entry of a fixture of `test/servers`. */
export const fixture = (file: string, ...args: ReadonlyArray<string>) => ({
  command: process.execPath,
  args: [serverFile(file), ...args]
})

/** The entry of one of the reference servers from npm. */
export const reference = (name: "everything" | "filesystem" | "memory", ...args: ReadonlyArray<string>) => ({
  command: process.execPath,
  args: [join(dirname(require.resolve(`@modelcontextprotocol/server-${name}/package.json`)), "dist/index.js"), ...args]
})

/** A new folder, gone with the scope, and its files; what is not text becomes JSON. */
export const folder = (files: Record<string, unknown>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const path = realpathSync(mkdtempSync(join(tmpdir(), "mcp-connect-cli-")))
      for (const [name, content] of Object.entries(files)) {
        writeFileSync(join(path, name), typeof content === "string" ? content : JSON.stringify(content))
      }
      return path
    }),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )

/** A folder with an `mcp.json` of these servers. */
export const project = (mcpServers: Record<string, unknown>) => folder({ "mcp.json": { mcpServers } })

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Options {
  readonly cwd: string
  readonly env?: Record<string, string>
  /** What is on its stdin; nothing by default. */
  readonly input?: string
  /** `open`: whoever is told of its output writes and ends it. */
  readonly stdin?: "open"
  /** Called with everything it wrote so far, whenever there is more. */
  readonly onOutput?: (output: Ended, command: ChildProcess) => void
}

/** Runs a program to its end. It does not outlive the test. */
const run = (file: string, args: ReadonlyArray<string>, options: Options) =>
  Effect.callback<Ended>((resume) => {
    const { HOME, PATH } = process.env
    const command = spawn(file, args, {
      cwd: options.cwd,
      env: { HOME, PATH, ...options.env },
      stdio: ["pipe", "pipe", "pipe"]
    })
    const output = { code: null as number | null, stdout: "", stderr: "" }
    command.stdin.on("error", () => {})
    if (options.stdin !== "open") command.stdin.end(options.input)
    for (const stream of ["stdout", "stderr"] as const) {
      command[stream].setEncoding("utf8").on("data", (text: string) => {
        output[stream] += text
        options.onOutput?.(output, command)
      })
    }
    command.on("close", (code) => resume(Effect.succeed({ ...output, code })))
    return Effect.sync(() => command.kill("SIGKILL"))
  })

/** Runs `mcp-connect` as its users do: a process of its own. */
export const mcpConnect = (args: ReadonlyArray<string>, options: Options): Effect.Effect<Ended> =>
  run(process.execPath, [main, ...args], options)

/** Runs it in a pipeline of a shell; `mcp-connect` stands for the command. */
export const inShell = (line: string, options: Options): Effect.Effect<Ended> =>
  run("/bin/sh", ["-c", line.replaceAll("mcp-connect", `'${process.execPath}' '${main}'`)], options)
