/** What a user can do about an error with another command. */
import type * as McpError from "../McpError.ts"
import { oneLine } from "./text.ts"

/** Whether a login is what is missing. */
export const wouldHelp = ({ reason }: McpError.McpError): boolean => reason._tag === "NeedsAuthorization"

/** How to get it. */
export const command = (server: string): string => `mcp-connect login ${oneLine(server)}`
