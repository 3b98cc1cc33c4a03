import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Credential } from "../../src/auth/Credential.ts"
import * as FileTokenStore from "../../src/auth/FileTokenStore.ts"

const key = { issuer: "https://as.example.com", resource: "https://mcp.example.com/mcp", principal: "" }

const credential = (token: string): Credential => ({
  accessToken: Redacted.make(token),
  type: "bearer",
  issuedAt: 0,
  clientId: "client",
  requested: ""
})

const tokenOf = (credential: Credential | undefined) => credential === undefined ? undefined : Redacted.value(credential.accessToken)

const run = <A, E>(test: (directory: string, fs: FileSystem.FileSystem) => Effect.Effect<A, E, FileSystem.FileSystem | import("effect/Path").Path | import("effect/Scope").Scope>) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    return yield* test(`${yield* fs.makeTempDirectoryScoped()}/tokens`, fs)
  }).pipe(Effect.scoped, Effect.provide(Layer.merge(NodeFileSystem.layer, NodePath.layer)))

describe("tokens in files", () => {
  it.live("are in a directory and in files that only their user can read, also where it was open before", () =>
    run((directory, fs) =>
      Effect.gen(function*() {
        yield* fs.makeDirectory(directory, { mode: 0o755 })
        const store = yield* FileTokenStore.make(directory)
        yield* store.modify(key, (_, save) => save(credential("secret")))
        const mode = (path: string) => Effect.map(fs.stat(path), ({ mode }) => mode & 0o777)
        assert.strictEqual(yield* mode(directory), 0o700)
        const names = yield* fs.readDirectory(directory)
        assert.strictEqual(names.length, 1)
        assert.strictEqual(yield* mode(`${directory}/${names[0]}`), 0o600)
      })))

  it.live("that were cut off or belong to something else count as absent", () =>
    run((directory, fs) =>
      Effect.gen(function*() {
        const store = yield* FileTokenStore.make(directory)
        yield* store.modify(key, (_, save) => save(credential("secret")))
        const [name = ""] = yield* fs.readDirectory(directory)
        for (const text of ["", "{\"key\":", "{\"key\":\"other\",\"value\":\"{}\"}", "{\"key\":1}"]) {
          yield* fs.writeFileString(`${directory}/${name}`, text)
          assert.isUndefined(yield* store.get(key))
        }
      })))

  it.live("are worked on by one at a time, who sees what the one before has left", () =>
    run((directory) =>
      Effect.gen(function*() {
        // As two processes would: stores that share nothing but the directory.
        const stores = [yield* FileTokenStore.make(directory), yield* FileTokenStore.make(directory)]
        let inside = 0
        const count = (store: (typeof stores)[number]) =>
          store.modify(key, (current, save) =>
            Effect.gen(function*() {
              inside += 1
              assert.strictEqual(inside, 1)
              yield* Effect.sleep("1 millis")
              yield* save(credential(String(Number(tokenOf(current) ?? "0") + 1)))
              inside -= 1
            }))
        yield* Effect.forEach(Array.from({ length: 20 }).flatMap(() => stores), count, { concurrency: "unbounded" })
        assert.strictEqual(tokenOf(yield* (stores[0] ?? assert.fail("no store")).get(key)), "40")
      })))

  it.live("are free again when the work on them fails or is interrupted", () =>
    run((directory, fs) =>
      Effect.gen(function*() {
        const store = yield* FileTokenStore.make(directory)
        const other = yield* FileTokenStore.make(directory)
        assert.strictEqual(yield* Effect.flip(store.modify(key, () => Effect.fail("no"))), "no")
        const started = yield* Deferred.make<void>()
        const fiber = yield* Effect.forkChild(store.modify(key, () => Effect.andThen(Deferred.succeed(started, void 0), Effect.never)))
        yield* Deferred.await(started)
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(yield* other.modify(key, () => Effect.succeed("free")), "free")
        assert.deepStrictEqual(yield* fs.readDirectory(directory), [])
      })))

  it.live("that somebody has changed out of turn are not overwritten", () =>
    run((directory) =>
      Effect.gen(function*() {
        const store = yield* FileTokenStore.make(directory)
        yield* store.modify(key, (_, save) => save(credential("first")))
        const [other, file] = [yield* FileTokenStore.make(`${directory}-other`), yield* FileSystem.FileSystem]
        yield* other.modify(key, (_, save) => save(credential("theirs")))
        const [name = ""] = (yield* file.readDirectory(directory)).filter((name) => name.endsWith(".json"))
        for (const next of [credential("ours"), undefined]) {
          yield* store.modify(key, (_, save) => Effect.andThen(file.copyFile(`${directory}-other/${name}`, `${directory}/${name}`), save(next)))
          assert.strictEqual(tokenOf(yield* store.get(key)), "theirs")
          yield* store.modify(key, (_, save) => save(credential("first")))
        }
      })))

  it.live("are not waited for by one who was interrupted", () =>
    run((directory, fs) =>
      Effect.gen(function*() {
        const store = yield* FileTokenStore.make(directory)
        const other = yield* FileTokenStore.make(directory)
        yield* store.modify(key, () =>
          Effect.gen(function*() {
            const waiting = yield* Effect.forkChild(other.modify(key, () => Effect.void), { startImmediately: true })
            yield* Effect.sleep("60 millis")
            yield* Fiber.interrupt(waiting)
          }))
        assert.deepStrictEqual(yield* fs.readDirectory(directory), [])
      })))

  it.live("are taken over from a program that has died, by one of those who wait", () =>
    run((directory, fs) =>
      Effect.gen(function*() {
        const stores = [yield* FileTokenStore.make(directory), yield* FileTokenStore.make(directory)]
        // The name of the lock is found out by taking it.
        const [lock = ""] = yield* (stores[0] ?? assert.fail("no store")).modify(key, () => fs.readDirectory(directory))
        yield* fs.writeFileString(`${directory}/${lock}`, "the dead")
        const longAgo = new Date(Date.now() - 60_000)
        yield* fs.utimes(`${directory}/${lock}`, longAgo, longAgo)
        let inside = 0
        yield* Effect.forEach(stores, (store) =>
          store.modify(key, () =>
            Effect.gen(function*() {
              inside += 1
              assert.strictEqual(inside, 1)
              yield* Effect.sleep("20 millis")
              inside -= 1
            })), { concurrency: "unbounded" })
        assert.deepStrictEqual(yield* fs.readDirectory(directory), [])
      })))
})
