import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as PlatformError from "effect/PlatformError"
import type * as ChildProcess from "effect/process/ChildProcess"
import { ChildProcessSpawner, make } from "effect/process/ChildProcessSpawner"
import * as Redacted from "effect/Redacted"
import * as Spawn from "../../src/internal/spawn.ts"
import * as McpError from "../../src/McpError.ts"

const refused = PlatformError.badArgument({ module: "ChildProcess", method: "spawn", description: "only a test" })

/** What is handed to the spawner on a Windows with these files. */
const onWindows = Effect.fnUntraced(function*(files: ReadonlyArray<string>, program: Spawn.Program) {
  const given: Array<ChildProcess.StandardCommand> = []
  const layer = Layer.mergeAll(
    NodePath.layerWin32,
    FileSystem.layerNoop({ exists: (file) => Effect.succeed(files.includes(file)) }),
    Layer.succeed(ChildProcessSpawner, make((command) => {
      assert(command._tag === "StandardCommand")
      given.push(command)
      return Effect.fail(refused)
    }))
  )
  const error = yield* Spawn.make.pipe(
    Effect.flatMap((spawn) => Effect.scoped(spawn(program))),
    Effect.provide(layer),
    Effect.flip
  )
  assert.instanceOf(error.reason, McpError.SpawnFailed)
  const [command] = given
  return { command: command?.command, args: command?.args, shell: command?.options.shell, reason: error.reason }
})

const env = { Path: "C:\\tools;C:\\Program Files\\nodejs", PathExt: ".EXE;.CMD" }

describe("spawn on Windows", () => {
  it.effect("an argument with a line break is refused for a batch file, which would be cut off there", () =>
    Effect.gen(function*() {
      const { command, reason } = yield* onWindows(["C:\\tools\\npx.CMD"], { command: "npx", args: ["a\nb"], env })
      assert.isUndefined(command)
      assert.include(reason.detail, "line break")
    }))

  it.effect("a command that is nowhere is handed over as it is", () =>
    Effect.gen(function*() {
      const { args, command, shell } = yield* onWindows([], { command: "npx", args: ["a"], env })
      assert.deepStrictEqual([command, args, shell], ["npx", ["a"], undefined])
    }))

  it.effect("a batch file is run by cmd.exe with its arguments quoted", () =>
    Effect.gen(function*() {
      const { args, command, shell } = yield* onWindows(["C:\\Program Files\\nodejs\\npx.CMD"], {
        command: "npx",
        args: ["-y", Redacted.make("a&b")],
        env
      })
      assert.isTrue(shell)
      assert.isEmpty(args)
      assert.strictEqual(command, "C:\\Program^ Files\\nodejs\\npx.CMD ^^^\"-y^^^\" ^^^\"a^^^&b^^^\"")
    }))

  it.effect("a program is run directly, found by the path, with its arguments untouched", () =>
    Effect.gen(function*() {
      const secret = Redacted.make("x")
      const { args, command, shell } = yield* onWindows(["C:\\tools\\uvx.EXE", "C:\\Program Files\\nodejs\\uvx.CMD"], {
        command: "uvx",
        args: ["a b", secret],
        env
      })
      assert.deepStrictEqual([command, args, shell], ["C:\\tools\\uvx.EXE", ["a b", secret], undefined])
    }))

  it.effect("a failure that is not of the system is told in the spawner's words", () =>
    Effect.gen(function*() {
      const { reason } = yield* onWindows([], { command: "npx", env })
      assert.strictEqual(reason.message, "Cannot start \"npx\": only a test")
    }))
})
