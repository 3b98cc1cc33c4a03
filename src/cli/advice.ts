/** What a user can do about an error with another command. */
import type * as McpError from "../McpError.ts"
import { oneLine } from "./text.ts"

/** Whether a login is what is missing. */
export const wouldHelp = ({ reason }: McpError.McpError): boolean => reason._tag === "NeedsAuthorization"

/** Scopes come from servers: what a shell could take for more than a word is not put into a command to copy. */
const isWord = (scope: string): boolean => /^[\w.:/@+][\w.:/@+-]*$/.test(scope)

/** How to get it, with the scopes that are missing. */
export const command = (server: string, error?: McpError.McpError): string => {
  const scopes = error?.reason._tag === "NeedsAuthorization" ? error.reason.scopes ?? [] : []
  return [`mcp-connect login ${oneLine(server)}`, ...scopes.filter(isWord).map((scope) => `--scope ${scope}`)].join(" ")
}
