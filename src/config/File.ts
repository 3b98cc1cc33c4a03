/** Reading the files that a config consists of. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type { PlatformError } from "effect/PlatformError"
import * as McpError from "../McpError.ts"

const describe = ({ reason }: PlatformError): string => {
  switch (reason._tag) {
    case "NotFound":
      return "it does not exist"
    case "PermissionDenied":
      return "permission denied"
    default:
      return reason.description ?? reason._tag
  }
}

export const read = (file: string): Effect.Effect<string, McpError.ConfigUnreadable, FileSystem.FileSystem> =>
  FileSystem.FileSystem.use((fs) => fs.readFileString(file)).pipe(
    Effect.mapError((error) => new McpError.ConfigUnreadable({ file, detail: describe(error) }))
  )
