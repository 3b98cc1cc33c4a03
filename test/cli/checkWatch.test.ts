import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Board from "../../src/cli/board.ts"
import * as Exit from "../../src/cli/exit.ts"
import * as Style from "../../src/cli/style.ts"
import * as McpError from "../../src/McpError.ts"
import * as Status from "../../src/servers/status.ts"
import { fixture, inShell, mcpConnect, project, reference } from "./support.ts"

const error = McpError.make(new McpError.ConnectionClosed({ by: "server", detail: "it said so" }), "a")

const seen = (status: Status.Status): Board.Seen => ({ server: "a", transport: "stdio", status, since: 10_000 })

describe("a row of the board", () => {
  const cells = (status: Status.Status) => Board.row(seen(status), 12_000, Style.make(false)).cells

  it("counts down to the next attempt, and stops at zero", () => {
    assert.match(cells(Status.Reconnecting({ attempt: 3, next: 15_500, error }))[4] ?? "", /^attempt 3 in 4 s: .*it said so/)
    assert.match(cells(Status.Reconnecting({ attempt: 3, next: 11_000, error }))[4] ?? "", /^attempt 3: /)
    assert.match(cells(Status.Failed({ next: 132_000, error }))[4] ?? "", /^again in 2 min: /)
    assert.notInclude(cells(Status.Failed({ next: undefined, error }))[4] ?? "", "again")
  })

  it("tells how long it has been so", () => {
    assert.deepStrictEqual(cells(Status.Ready), ["a", "stdio", "Ready", "2 s", ""])
  })
})

describe("check --watch", () => {
  it.live("shows a server that dies, that is connected again, and one that cannot be, until Ctrl-C", () =>
    Effect.gen(function*() {
      const dies = fixture("fault.ts", "last-words=ping:4")
      const cwd = yield* project({
        dies: { ...dies, health: { interval: 100 }, reconnect: { baseDelay: 10 } },
        stays: reference("memory"),
        gone: { command: "no-such-program", required: true },
        off: { command: "x", disabled: true }
      })
      const { code, stdout } = yield* mcpConnect(["check", "--watch"], {
        cwd,
        onOutput: ({ stdout }, command) => {
          if (/dies Reconnecting[^]*dies Ready/.test(stdout) && stdout.includes("stays Ready")) command.kill("SIGINT")
        }
      })
      assert.strictEqual(code, Exit.codes.interrupted.code)
      assert.match(stdout, /^\d\d:\d\d:\d\d dies Reconnecting {2}attempt 1.*: The server's process exited with code 4/m)
      assert.match(stdout, /^\d\d:\d\d:\d\d gone Failed {2}.*Cannot start "no-such-program"/m)
      assert.notInclude(stdout, "off")
    }))

  it.live("gives programs a line of JSON for each transition", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ gone: { command: "no-such-program" } })
      const { code, stdout } = yield* mcpConnect(["check", "--watch", "--json"], {
        cwd,
        onOutput: ({ stdout }, command) => {
          if (stdout.includes("Failed")) command.kill("SIGTERM")
        }
      })
      assert.strictEqual(code, Exit.codes.interrupted.code)
      const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line))
      assert.deepInclude(lines[0], { server: "gone", transport: "stdio" })
      const failed = lines.find(({ status }) => status === "Failed")
      assert.deepInclude(failed.error, { reason: "SpawnFailed" })
      assert.strictEqual(new Date(failed.time).toISOString(), failed.time)
    }))

  it.live("draws one table over and over on a terminal", () =>
    Effect.gen(function*() {
      const cwd = yield* project({ memory: reference("memory") })
      const { stdout } = yield* inShell(
        "(sleep 0.1; while ! grep -q Ready out; do sleep 0.1; done; kill -INT $(cat pid)) & " +
          "script -qefc \"echo \\$\\$ > pid; stty cols 80; exec mcp-connect check --watch\" out",
        { cwd, env: { TERM: "xterm" } }
      )
      assert.include(stdout, "\u001b[2F\u001b[J")
      assert.match(stdout, /NAME.*TRANSPORT.*STATUS.*SINCE/)
      assert.match(stdout, /memory.*stdio.*Ready.* s/)
    }))
})
