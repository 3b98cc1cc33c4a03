/**
 * Where configs usually are. Files of the user come before those of the
 * project, so that the project's win where both know a server.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import type { DialectName } from "./Dialects.ts"

export interface Place {
  readonly file: string
  /** Where the place tells how the file is written. */
  readonly dialect?: DialectName
}

/** Relative to the directory of the project; the last wins. */
const project: ReadonlyArray<Place> = [
  { file: ".vscode/mcp.json", dialect: "vscode" },
  { file: ".cursor/mcp.json" },
  { file: ".mcp.json" },
  { file: "mcp.json" }
]

/** Relative to the user's home. */
const home: ReadonlyArray<Place> = [
  { file: ".codex/config.toml", dialect: "codex" },
  { file: ".gemini/settings.json", dialect: "gemini" },
  { file: ".codeium/windsurf/mcp_config.json" },
  { file: ".claude.json" },
  { file: ".cursor/mcp.json" }
]

/** Relative to where programs keep the settings of the user: several such directories, by platform. */
const settings: ReadonlyArray<Place> = [
  { file: "opencode/opencode.json", dialect: "opencode" },
  { file: "Code/User/mcp.json", dialect: "vscode" },
  { file: "Claude/claude_desktop_config.json" },
  { file: "mcp/mcp.json" }
]

const lookup = Effect.fnUntraced(function*(name: string) {
  const provider = yield* ConfigProvider.ConfigProvider
  const node = yield* Effect.orElseSucceed(provider.load([name]), () => undefined)
  return node?.value
})

/** The places of the user, as far as the environment tells where the home is. */
export const userPlaces: Effect.Effect<ReadonlyArray<Place>, never, Path.Path> = Effect.gen(function*() {
  const path = yield* Path.Path
  const under = (directory: string | undefined, places: ReadonlyArray<Place>) =>
    directory === undefined ? [] : places.map((place) => ({ ...place, file: path.join(directory, place.file) }))
  if (path.sep === "\\") {
    return [
      ...under(yield* lookup("USERPROFILE"), home),
      ...under(yield* lookup("APPDATA"), settings)
    ]
  }
  const directory = yield* lookup("HOME")
  if (directory === undefined) return []
  return [
    ...under(directory, home),
    // macOS
    ...under(path.join(directory, "Library/Application Support"), settings),
    ...under((yield* lookup("XDG_CONFIG_HOME")) ?? path.join(directory, ".config"), settings)
  ]
})

export const projectPlaces = (directory: string): Effect.Effect<ReadonlyArray<Place>, never, Path.Path> =>
  Path.Path.use((path) =>
    Effect.succeed(project.map((place) => ({ ...place, file: path.resolve(directory, place.file) })))
  )
