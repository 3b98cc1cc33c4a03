/** What there is to know of servers at a glance: `check` and `demo`. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { McpClient } from "../McpClient.ts"
import type * as McpConfig from "../McpConfig.ts"
import * as McpError from "../McpError.ts"
import * as Login from "./advice.ts"
import type { Style } from "./style.ts"
import type { Column, Row } from "./table.ts"
import { millis } from "./text.ts"

/** What a connected server said. A count is `undefined` where the server has no such thing. */
export interface Facts {
  readonly transport: string
  readonly era: string
  readonly revision: string
  readonly server: McpClient["Service"]["server"]
  readonly tools: number | undefined
  readonly resources: number | undefined
  readonly prompts: number | undefined
  /** From the start of its process until a revision was agreed. */
  readonly connectMillis: number
}

export type Outcome =
  & { readonly entry: McpConfig.Entry }
  & (
    | { readonly _tag: "Up"; readonly facts: Facts }
    | { readonly _tag: "Down"; readonly error: McpError.McpError }
    | { readonly _tag: "Disabled" }
  )

/** Connects and counts, for as long as the scope is open. */
export const facts = Effect.fnUntraced(function*<R>(connect: Effect.Effect<McpClient["Service"], McpError.McpError, R>) {
  const before = yield* Clock.currentTimeMillis
  const client = yield* connect
  const connectMillis = (yield* Clock.currentTimeMillis) - before
  const { capabilities } = client.server
  const count = (capability: "tools" | "resources" | "prompts", list: McpClient["Service"]["listTools" | "listResources" | "listPrompts"]) =>
    capabilities[capability] === undefined
      ? Effect.undefined
      : Effect.map(list(), ({ length }: ReadonlyArray<unknown>) => length)
  const counts = yield* Effect.all({
    tools: count("tools", client.listTools),
    resources: count("resources", client.listResources),
    prompts: count("prompts", client.listPrompts)
  }, { concurrency: "unbounded" })
  const found: Facts = { transport: client.transport, era: client.era, revision: client.revision, server: client.server, ...counts, connectMillis }
  return { client, facts: found }
})

/** Whether the command fails without it. */
export const isRequired = ({ entry }: Outcome): boolean => entry.config.required !== false

// =============================================================================
// Display
// =============================================================================

export const columns: ReadonlyArray<Column> = [
  { title: "NAME", keep: true },
  { title: "TRANSPORT" },
  { title: "REVISION", keep: true },
  { title: "SERVER" },
  { title: "TOOLS", align: "right" },
  { title: "RESOURCES", align: "right" },
  { title: "PROMPTS", align: "right" },
  { title: "TIME", align: "right" }
]

/** How the server is really spoken to, or was to be. */
const transport = (outcome: Outcome): string =>
  outcome._tag === "Up" ? outcome.facts.transport : outcome.entry.config._tag.toLowerCase()

export const row = (outcome: Outcome, style: Style): Row => {
  const beginning = [outcome.entry.name, transport(outcome)]
  switch (outcome._tag) {
    case "Up": {
      const { connectMillis, prompts, resources, revision, server: { info }, tools } = outcome.facts
      const counts = [tools, resources, prompts].map((count) => count === undefined ? "–" : String(count))
      return {
        cells: [...beginning, revision, info === undefined ? "–" : `${info.name} ${info.version}`, ...counts, millis(connectMillis)]
      }
    }
    case "Down":
      return {
        cells: [
          ...beginning,
          Login.wouldHelp(outcome.error) ? `needs a login: ${Login.command(outcome.entry.name, outcome.error)}` : outcome.error.reason.message
        ],
        style: isRequired(outcome) ? style.red : style.yellow
      }
    case "Disabled":
      return { cells: [...beginning, "disabled"], style: style.dim }
  }
}

const encodeReason = Schema.encodeSync(McpError.McpErrorReason)

/** The same for a program. */
export const toJson = (outcome: Outcome): unknown => {
  const { name, source } = outcome.entry
  const beginning = { name, transport: transport(outcome), source, required: isRequired(outcome) }
  switch (outcome._tag) {
    case "Up": {
      const { connectMillis, era, prompts = null, resources = null, revision, server, tools = null } = outcome.facts
      const { capabilities, info = null, instructions = null } = server
      return { ...beginning, status: "up", era, revision, connectMillis, tools, resources, prompts, server: info, capabilities, instructions }
    }
    case "Down":
      return {
        ...beginning,
        status: "down",
        error: { ...encodeReason(outcome.error.reason), message: outcome.error.reason.message }
      }
    case "Disabled":
      return { ...beginning, status: "disabled" }
  }
}
