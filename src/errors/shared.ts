/** What the reasons of an `McpError` have in common. */
import * as Schema from "effect/Schema"

/** The name a reason is known by, also to another copy of the library. */
export const id = <const Name extends string>(name: Name): `mcp-connect/McpError/${Name}` => `mcp-connect/McpError/${name}`

/** Bounds text that came from outside before it becomes part of a message. */
export const excerpt = (text: string, max = 300): string => text.length <= max ? text : `${text.slice(0, max)}…`

/** What the server said before, on failures that it may explain. */
export const lastWords: { readonly stderr: Schema.optionalKey<Schema.String> } = {
  /** The end of what the server wrote to stderr, where it has one. */
  stderr: Schema.optionalKey(Schema.String)
}

/** The last words in a message. */
export const tail = (stderr = ""): string => stderr === "" ? "" : `; its last words on stderr: ${stderr.slice(-2_048)}`
