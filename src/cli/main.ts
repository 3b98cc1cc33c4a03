#!/usr/bin/env node
/**
 * Starts the `mcp-connect` command. What Node compiles is kept in its own folder
 * among the temporary files, unless `NODE_DISABLE_COMPILE_CACHE` is set: the next
 * start takes a third less. Holds only for what is imported after this.
 */
import { enableCompileCache } from "node:module"

enableCompileCache()
const { run } = await import("./program.ts")
run()
