import { defineConfig } from "rolldown"
import packageJson from "./package.json" with { type: "json" }

/** The files that can be imported or run; what they share goes into chunks. */
const files = [
  ...Object.values(packageJson.bin),
  ...Object.values(packageJson.exports).flatMap((entry) => typeof entry === "string" ? [] : [entry.default])
]

/** The published modules, in few files: to find, read and link one takes Node longer than to run what is in it. */
export default defineConfig({
  input: Object.fromEntries(files.map((file) => {
    const name = file.slice("./dist/".length, -".js".length)
    return [name, `src/${name}.ts`]
  })),
  platform: "node",
  external: /^(?!\.|\/|jsonc-parser$)/,
  // It names its ES modules there only, which bundlers of programs would overlook, and what they find instead ends the program.
  resolve: { mainFields: ["module"] },
  output: { dir: "dist", chunkFileNames: "chunks/[name].js", sourcemap: true, sourcemapExcludeSources: true }
})
