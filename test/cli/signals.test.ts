import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { ChildProcess } from "node:child_process"
import * as Exit from "../../src/cli/exit.ts"
import { processesWith } from "../support/faultServer.ts"
import { type Ended, fixture, mcpConnect, project } from "./support.ts"

/** So that what ignores signals is soon killed. */
const shutdown = { stdin: 300, terminate: 300 }

/** Sends a signal once, as soon as the output has a text in it. */
const when = (text: string, signal: NodeJS.Signals, before: () => void = () => {}) => {
  let sent = false
  return ({ stderr, stdout }: Ended, command: ChildProcess) => {
    if (sent || !(stdout + stderr).includes(text)) return
    sent = true
    before()
    command.kill(signal)
  }
}

const mark = Effect.sync(() => `mark=${crypto.randomUUID()}`)

describe("a signal in the middle of a call", () => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    it.live(`${signal} cancels it, takes every process down and exits 130`, () =>
      Effect.gen(function*() {
        const name = yield* mark
        const cwd = yield* project({ slow: { ...fixture("fault.ts", "tell", "child", name), shutdown } })
        let running: ReadonlyArray<string> = []
        const { code, stderr, stdout } = yield* mcpConnect(
          ["call", "slow", "never", "{}", "--log-level", "debug"],
          { cwd, onOutput: when("\"tools/call\"", signal, () => running = processesWith(name)) }
        )
        assert.lengthOf(running, 2)
        assert.strictEqual(code, Exit.codes.interrupted.code)
        assert.strictEqual(stdout, "")
        assert.notMatch(stderr, /^\s+at /m)
        assert.deepStrictEqual(processesWith(name), [])
      }))
  }

  it.live("a second Ctrl-C does not leave anything behind either", () =>
    Effect.gen(function*() {
      const name = yield* mark
      const cwd = yield* project({
        stubborn: { ...fixture("fault.ts", "tell", "ignore-eof", "ignore-sigterm", name), shutdown }
      })
      const { code } = yield* mcpConnect(["call", "stubborn", "never", "{}", "--log-level", "debug"], {
        cwd,
        onOutput: (output, command) => {
          if (!output.stderr.includes("\"tools/call\"")) return
          command.kill("SIGINT")
          command.kill("SIGINT")
        }
      })
      assert.strictEqual(code, Exit.codes.interrupted.code)
      assert.deepStrictEqual(processesWith(name), [])
    }))
})

describe("a signal while servers start", () => {
  it.live("takes down those that are up and those that are not", () =>
    Effect.gen(function*() {
      const name = yield* mark
      const cwd = yield* project({
        up: fixture("fault.ts", "say=hello", name),
        mute: fixture("fault.ts", "hang-on=*", "tell", name)
      })
      const { code, stdout } = yield* mcpConnect(["watch", "--log-level", "debug"], {
        cwd,
        onOutput: when("watching up", "SIGINT")
      })
      assert.strictEqual(code, Exit.codes.interrupted.code)
      assert.notInclude(stdout, "closed")
      assert.deepStrictEqual(processesWith(name), [])
    }))
})
