import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"
import type { Reporter } from "vitest/node"

/** Suites that start processes and watch the process table: one file at a time, so that none slows another down. */
const spawning = [
  "test/**/*.process.test.ts",
  "test/transport/StdioTransport*.test.ts",
  "test/{cli,conformance,examples,package,peers}/**/*.test.ts"
]

/** Ends a run with one plain line that people and CI read alike. */
const totals: Reporter = {
  onTestRunEnd(modules, unhandledErrors) {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0, pending: 0 }
    for (const module of modules) {
      for (const suite of [module, ...module.children.allSuites()]) count.failed += suite.errors().length
      for (const test of module.children.allTests()) count[test.result().state]++
    }
    const failed = count.failed + count.pending
    const skipped = count.skipped === 0 ? "" : `, ${count.skipped} skipped`
    console.log(`\n${count.passed} passed, ${failed} failed${skipped}`)
  }
}

export default defineConfig({
  // The examples import the package as its users do.
  resolve: {
    alias: {
      "mcp-connect/auth": fileURLToPath(new URL("src/auth/index.ts", import.meta.url)),
      "mcp-connect/bridge": fileURLToPath(new URL("src/bridge/Bridge.ts", import.meta.url)),
      "mcp-connect/effect-mcp": fileURLToPath(new URL("src/integration/EffectMcp.ts", import.meta.url)),
      "mcp-connect/network": fileURLToPath(new URL("src/transport/network.ts", import.meta.url)),
      "mcp-connect/node": fileURLToPath(new URL("src/node.ts", import.meta.url)),
      "mcp-connect/testing/suite": fileURLToPath(new URL("src/testing/TransportSuite.ts", import.meta.url)),
      "mcp-connect/testing": fileURLToPath(new URL("src/testing/index.ts", import.meta.url)),
      "mcp-connect": fileURLToPath(new URL("src/index.ts", import.meta.url))
    }
  },
  test: {
    pool: "forks",
    maxWorkers: 2,
    allowOnly: false,
    reporters: ["default", totals],
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: spawning,
          testTimeout: 10_000,
          sequence: { groupOrder: 0 }
        }
      },
      {
        extends: true,
        test: {
          name: "process",
          include: spawning,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
          sequence: { groupOrder: 1 }
        }
      }
    ]
  }
})
