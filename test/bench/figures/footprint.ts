/**
 * What it takes before anything happens: how long a program runs that only imports the package, as it is published, and how
 * many bytes are installed. Also what such a program has loaded: undici and `ws` wait until a server wants them.
 */
import { execFile } from "node:child_process"
import { cp, mkdtemp, readdir, readFile, realpath, rm, stat, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import type { Choice, Measurement, Mode, Result } from "../Figure.ts"
import { median } from "./measure.ts"

const repository = join(import.meta.dirname, "../../..")
const modules = join(repository, "node_modules")
const run = promisify(execFile)

interface Package {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>
}

const importing = "a program that imports it"
const installing = "installed"

/** What is imported, by who it belongs to; the limit is Node with nothing. */
const programs = (dist: string): Readonly<Record<string, ReadonlyArray<string>>> => ({
  raw: [],
  "mcp-connect": [join(dist, "index.js")],
  "mcp-connect/node": [join(dist, "index.js"), join(dist, "node.js")],
  "mcp-connect/network": [join(dist, "transport/network.js")],
  "mcp-connect/auth": [join(dist, "auth/index.js")],
  "mcp-connect/bridge": [join(dist, "bridge/Bridge.js")],
  "mcp-connect/effect-mcp": [join(dist, "integration/EffectMcp.js")],
  "mcp-connect/testing": [join(dist, "testing/index.js")],
  "sdk-v1": ["@modelcontextprotocol/sdk/client/index.js", "@modelcontextprotocol/sdk/client/stdio.js"],
  "sdk-v2": ["@modelcontextprotocol/client", "@modelcontextprotocol/client/stdio"],
  "effect-ai": ["effect/ai/McpClient", "effect/Effect", "@effect/platform-node/NodeServices"],
  "ai-sdk": ["@ai-sdk/mcp", "@ai-sdk/mcp/mcp-stdio"]
})

const rounds = (mode: Mode) => ({ full: 15, quick: 9, minimal: 1 })[mode]

/** Ends with the processor time it took. */
const ending = "const { system, user } = process.cpuUsage()\nconsole.log((system + user) / 1000)\n"

/** Ends with how many files it has loaded of the packages that are to wait; both are CommonJS. */
const waiting = `
import { createRequire } from "node:module"
const loaded = Object.keys(createRequire(import.meta.url).cache)
console.log(loaded.filter((file) => /node_modules.(undici|ws).(index|lib)/.test(file)).length)
`

const published = ["package.json", "README.md", "CHANGELOG.md", "LICENSE", "src"]

const building = ["rolldown.config.ts", "tsconfig.json", "tsconfig.build.json"]

const build = async (directory: string) => {
  for (const name of [...published, ...building]) await cp(join(repository, name), join(directory, name), { recursive: true })
  await symlink(modules, join(directory, "node_modules"), "junction")
  await run("npm", ["run", "build"], { cwd: directory, shell: process.platform === "win32" })
  return join(directory, "dist")
}

const importTimes = async (directory: string, dist: string, { mode, only, onStep }: Choice) => {
  const entries = Object.entries(programs(dist)).filter(([name]) => only === undefined || only.includes(name))
  const times = new Map<string, Array<{ readonly millis: number; readonly cpu: number }>>()
  const loaded = new Map<string, number>()
  for (const [index, [, specifiers]] of entries.entries()) {
    const imports = specifiers.map((specifier) => `import ${JSON.stringify(specifier)}\n`).join("")
    await writeFile(join(directory, `${index}.mjs`), imports + ending)
    await writeFile(join(directory, `${index}-loaded.mjs`), imports + waiting)
  }
  for (const [index, [name]] of entries.entries()) {
    const { stdout } = await run(process.execPath, [join(directory, `${index}-loaded.mjs`)])
    loaded.set(name, Number(stdout))
  }
  // The first round fills the caches of the operating system.
  for (let round = 0; round <= rounds(mode); round++) {
    for (const [index, [name]] of entries.entries()) {
      onStep(`footprint, round ${round} of ${rounds(mode)}: ${name}`)
      const start = performance.now()
      const { stdout } = await run(process.execPath, [join(directory, `${index}.mjs`)])
      const millis = performance.now() - start
      if (round > 0) times.set(name, [...times.get(name) ?? [], { millis, cpu: Number(stdout) }])
    }
  }
  return entries.map(([name]): Result => {
    const taken = times.get(name) ?? []
    return {
      case: importing,
      client: name,
      values: {
        millis: median(taken.map(({ millis }) => millis)),
        cpu: median(taken.map(({ cpu }) => cpu)),
        waiting: loaded.get(name) ?? Number.NaN
      }
    }
  })
}

/** The bytes of a directory, without the packages in it. */
const bytesIn = async (directory: string): Promise<number> => {
  let bytes = 0
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) bytes += entry.name === "node_modules" ? 0 : await bytesIn(path)
    else if (entry.isFile()) bytes += (await stat(path)).size
  }
  return bytes
}

const readPackage = async (directory: string): Promise<Package | undefined> => {
  try {
    return JSON.parse(await readFile(join(directory, "package.json"), "utf8"))
  } catch {
    return undefined
  }
}

/** Where a package finds another one. */
const find = async (name: string, from: string): Promise<string | undefined> => {
  for (const place of [join(from, "node_modules", name), join(modules, name)]) {
    if (await readPackage(place) !== undefined) return realpath(place)
  }
  return undefined
}

/** Everything that is installed with a package: what it needs, and what it wants to be there. */
const closure = async (directory: string, found: Set<string>): Promise<Set<string>> => {
  const { dependencies, peerDependencies, peerDependenciesMeta } = await readPackage(directory) ?? {}
  const peers = Object.keys(peerDependencies ?? {}).filter((name) => peerDependenciesMeta?.[name]?.optional !== true)
  for (const name of [...Object.keys(dependencies ?? {}), ...peers]) {
    const place = await find(name, directory)
    if (place === undefined || found.has(place)) continue
    found.add(place)
    await closure(place, found)
  }
  return found
}

const installed = async (client: string, alone: number, packages: ReadonlyArray<string>): Promise<Result> => {
  const found = new Set<string>()
  for (const each of packages) await closure(each, found)
  for (const each of packages) found.delete(each)
  let bytes = alone
  for (const place of found) bytes += await bytesIn(place)
  return { case: installing, client, values: { alone: alone / 2 ** 20, all: bytes / 2 ** 20, packages: found.size } }
}

const sizes = async (directory: string, { only }: Choice): Promise<ReadonlyArray<Result>> => {
  const { stdout } = await run("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: directory, shell: process.platform === "win32" })
  const [packed]: ReadonlyArray<{ readonly unpackedSize: number }> = JSON.parse(stdout)
  const of = async (client: string, ...names: ReadonlyArray<string>) => {
    const places = names.map((name) => join(modules, name))
    const bytes = await Promise.all(places.map(bytesIn))
    return installed(client, bytes.reduce((sum, each) => sum + each, 0), places)
  }
  const all = [
    await installed("mcp-connect", packed?.unpackedSize ?? Number.NaN, [directory]),
    await of("sdk-v1", "@modelcontextprotocol/sdk"),
    await of("sdk-v2", "@modelcontextprotocol/client"),
    await of("effect-ai", "effect", "@effect/platform-node"),
    await of("ai-sdk", "@ai-sdk/mcp")
  ]
  return all.filter(({ client }) => only === undefined || only.includes(client))
}

const mebibytes = (value: number) => `${value.toFixed(1)} MiB`

export const figure: Measurement = {
  name: "footprint",
  title: "Footprint",
  slow: true,
  results: async (choice) => {
    const directory = await mkdtemp(join(tmpdir(), "mcp-connect-footprint-"))
    try {
      choice.onStep("footprint: build")
      const dist = await build(directory)
      return [...await importTimes(directory, dist, choice), ...await sizes(directory, choice)]
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  },
  metrics: [
    { id: "millis", title: "ms", show: (value) => value.toFixed(0) },
    { id: "cpu", title: "CPU ms", show: (value) => value.toFixed(0) },
    { id: "waiting", title: "undici, ws", show: String, ratio: false },
    { id: "alone", title: "alone", show: mebibytes, ratio: false },
    { id: "all", title: "all it needs", show: mebibytes, ratio: false },
    { id: "packages", title: "packages", show: String, ratio: false }
  ],
  headlines: [
    { title: "a program that only imports it, ms", case: importing, metric: "millis" },
    { title: "installed with all it needs", case: installing, metric: "all" }
  ],
  targets: [
    { case: importing, metric: "millis", client: "mcp-connect", atMost: 100 },
    { case: importing, metric: "waiting", client: "mcp-connect", atMost: 0 },
    { case: importing, metric: "waiting", client: "mcp-connect/node", atMost: 0 }
  ]
}
