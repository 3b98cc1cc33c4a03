/** Lets an example run from the sources, to be named after `--import`: it imports the package as its users do. */
import { registerHooks } from "node:module"

const sources: Readonly<Record<string, string>> = {
  "mcp-connect": new URL("../../src/index.ts", import.meta.url).href,
  "mcp-connect/node": new URL("../../src/node.ts", import.meta.url).href
}

registerHooks({ resolve: (specifier, context, next) => next(sources[specifier] ?? specifier, context) })
