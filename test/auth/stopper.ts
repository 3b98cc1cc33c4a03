/**
 * A program that stops itself, as a machine that is closed does, in the midst of keeping a token: `node stopper.ts DIRECTORY
 * WHERE`, where it is just before it works, before it looks whether it still holds the lock, or before it moves the draft
 * into its place. Says when it is there, and when it has ended.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { writeSync } from "node:fs"
import * as FileTokenStore from "../../src/auth/FileTokenStore.ts"

const [directory = "", where = ""] = process.argv.slice(2)

let armed = false

const stop = (here: string) =>
  Effect.sync(() => {
    if (!armed || here !== where) return
    armed = false
    writeSync(1, `stopped\n`)
    process.kill(process.pid, "SIGSTOP")
  })

const Files = Layer.effect(
  FileSystem.FileSystem,
  Effect.map(FileSystem.FileSystem, (fs) => ({
    ...fs,
    readFileString: (path: string, encoding?: string) =>
      Effect.andThen(path.endsWith(".lock") ? stop("look") : Effect.void, fs.readFileString(path, encoding)),
    rename: (from: string, to: string) => Effect.andThen(stop("move"), fs.rename(from, to))
  }))
).pipe(Layer.provide(NodeFileSystem.layer))

Effect.gen(function*() {
  const store = yield* FileTokenStore.make(directory)
  const key = { issuer: "https://as.example.com", resource: "https://mcp.example.com/mcp", principal: "" }
  yield* store.modify(key, (current, save) =>
    Effect.gen(function*() {
      armed = true
      yield* stop("work")
      if (current === undefined) return
      yield* save({ ...current, accessToken: Redacted.make("ours"), refreshToken: Redacted.make("our refresh") })
    }))
  yield* Console.log("ended")
}).pipe(Effect.provide(Layer.merge(Files, NodePath.layer)), NodeRuntime.runMain)
