/** What can be wrong with a config. */
import * as Schema from "effect/Schema"
import { id } from "./shared.ts"

/** One thing that is wrong with a document: where, and what was expected. */
export const ConfigIssue = Schema.Struct({
  /** Path from the root of the document, e.g. `["mcpServers", "files", "args", 0]`. */
  path: Schema.Array(Schema.Union([Schema.String, Schema.Number])),
  message: Schema.String
})
export type ConfigIssue = typeof ConfigIssue.Type

const renderPath = (path: ReadonlyArray<string | number>): string =>
  path.reduce<string>(
    (rendered, key) =>
      typeof key === "number"
        ? `${rendered}[${key}]`
        : /^[\w-]+$/.test(key)
        ? (rendered === "" ? key : `${rendered}.${key}`)
        : `${rendered}[${JSON.stringify(key)}]`,
    ""
  )


/** A config document or entry is not valid. Lists everything wrong at once. */
export class InvalidConfig extends Schema.Error<InvalidConfig>(id("InvalidConfig"))({
  _tag: Schema.tag("InvalidConfig"),
  /** Where the document came from: a file name, or a word such as `value`. */
  source: Schema.String,
  issues: Schema.Array(ConfigIssue)
}) {
  override get message() {
    const lines = this.issues.map(({ message, path }) => path.length === 0 ? message : `${renderPath(path)}: ${message}`)
    return lines.length === 1
      ? `Invalid config (${this.source}): ${lines[0]}`
      : `Invalid config (${this.source}), ${lines.length} problems:\n${lines.map((line) => `  - ${line}`).join("\n")}`
  }
}

/** A config file cannot be read. */
export class ConfigUnreadable extends Schema.Error<ConfigUnreadable>(id("ConfigUnreadable"))({
  _tag: Schema.tag("ConfigUnreadable"),
  file: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `Cannot read the config file ${this.file}: ${this.detail}`
  }
}

/** Variables that an entry refers to are not set and have no default. Lists all of them. */
export class UnsetVariables extends Schema.Error<UnsetVariables>(id("UnsetVariables"))({
  _tag: Schema.tag("UnsetVariables"),
  missing: Schema.Array(Schema.Struct({
    server: Schema.String,
    /** The field that refers to it, e.g. `env.TOKEN` or `args[0]`. */
    field: Schema.String,
    variable: Schema.String
  }))
}) {
  override get message() {
    const list = this.missing.map(({ field, server, variable }) => `${variable} (in ${field} of server "${server}")`)
    return `Environment variable${list.length === 1 ? "" : "s"} not set: ${list.join(", ")}. ` +
      "Set them, or give a default with ${NAME:-default}"
  }
}

/** No server of that name is configured. */
export class UnknownServer extends Schema.Error<UnknownServer>(id("UnknownServer"))({
  _tag: Schema.tag("UnknownServer"),
  name: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message() {
    return `No server "${this.name}" in the config; it has ${
      this.known.length === 0 ? "none" : this.known.map((name) => `"${name}"`).join(", ")
    }`
  }
}
