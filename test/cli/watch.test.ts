import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "../../src/cli/exit.ts"
import { fixture, mcpConnect, project, reference } from "./support.ts"

describe("watch", () => {
  it.live("tells log messages, notifications and stderr of all servers until Ctrl-C", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ everything: reference("everything"), talks: fixture("fault.ts", "say=good morning", "flood=1") })
      const { code, stdout } = yield* mcpConnect(["watch"], {
        cwd,
        onOutput: ({ stdout }, command) => {
          if (["good morning", "list_changed", "log info"].every((text) => stdout.includes(text))) command.kill("SIGINT")
        }
      })
      assert.strictEqual(code, Exit.codes.interrupted.code)
      assert.match(stdout, /^\d\d:\d\d:\d\d talks stderr {2}good morning$/m)
      assert.match(stdout, /^\d\d:\d\d:\d\d talks log info {2}0$/m)
      assert.match(stdout, /^\d\d:\d\d:\d\d everything notifications\/tools\/list_changed/m)
    }))

  it.live("gives programs a line of JSON each, and ends when no server is left", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ leaves: fixture("fault.ts", "last-words=logging/setLevel:4") })
      const { code, stderr, stdout } = yield* mcpConnect(["watch", "leaves", "--json"], { cwd })
      assert.strictEqual(code, Exit.codes.failed.code, stderr)
      const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line))
      assert.deepInclude(lines.at(-1), { server: "leaves", kind: "closed", reason: "ProcessExited" })
      assert.match(lines.at(-1).time, /^\d{4}-\d\d-\d\dT/)
    }))

  it.live("names a server that cannot be watched, and watches the others", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ gone: { command: "no-such-program" }, leaves: fixture("fault.ts", "last-words=logging/setLevel:4") })
      const { code, stderr, stdout } = yield* mcpConnect(["watch"], { cwd })
      assert.strictEqual(code, Exit.codes.unreachable.code)
      assert.include(stderr, "error: Server \"gone\": Cannot start")
      assert.match(stdout, / leaves closed {2}The server's process exited with code 4/)
    }))

  it.live("follows resources that are asked for, as far as servers let it", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ modern: fixture("modern-sdk.ts"), fault: fixture("fault.ts") })
      const { code, stderr } = yield* mcpConnect(["watch", "--resource", "memo://1"], {
        cwd,
        onOutput: ({ stderr }, command) => {
          if (stderr.includes("watching modern") && stderr.includes("resources/subscribe")) command.kill("SIGINT")
        }
      })
      assert.strictEqual(code, Exit.codes.interrupted.code)
      assert.match(stderr, /warning: \[fault\] resources\/subscribe is not supported/)
    }))
})
