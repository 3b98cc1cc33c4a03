import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import type * as Layer from "effect/Layer"
import * as PlatformError from "effect/PlatformError"
import * as ChildProcess from "effect/process/ChildProcess"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { join } from "node:path"
import type { Credential } from "../../src/auth/Credential.ts"
import * as FileTokenStore from "../../src/auth/FileTokenStore.ts"

const key = { issuer: "https://as.example.com", resource: "https://mcp.example.com/mcp", principal: "" }

const other = { ...key, resource: "https://other.example.com/mcp" }

const credential = (token: string): Credential => ({
  accessToken: Redacted.make(token),
  type: "bearer",
  issuedAt: 0,
  clientId: "client",
  requested: ""
})

const tokenOf = (credential: Credential | undefined) => credential === undefined ? undefined : Redacted.value(credential.accessToken)

const run = <A, E>(test: (directory: string, fs: FileSystem.FileSystem) => Effect.Effect<A, E, Layer.Success<typeof NodeServices.layer> | import("effect/Scope").Scope>) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    return yield* test(`${yield* fs.makeTempDirectoryScoped()}/tokens`, fs)
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

const withClock = <A, E, R>(change: (clock: Clock.Clock) => Partial<Clock.Clock>, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Clock.Clock, (clock) => Effect.provideService(effect, Clock.Clock, Object.assign(Object.create(clock), change(clock))))

/** For one to whom seconds are as long as minutes, whoever is silent has died soon. */
const hasty = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  withClock((clock) => ({ monotonicTimeNanos: Effect.map(clock.monotonicTimeNanos, (nanos) => nanos * 60n) }), effect)

/** A program that holds the lock and was stopped. */
const stopped = Effect.fnUntraced(function*(directory: string, where: string) {
  const fs = yield* FileSystem.FileSystem
  const child = yield* ChildProcess.make(process.execPath, [join(import.meta.dirname, "stopper.ts"), directory, where], { extendEnv: true })
  const lines = yield* Stream.toPull(Stream.splitLines(Stream.decodeText(child.all)))
  assert.deepStrictEqual(yield* lines, ["stopped"])
  const state = Effect.map(fs.readFileString(`/proc/${child.pid}/stat`), (text) => /\) (\w)/.exec(text)?.[1])
  yield* Effect.repeat(state, { until: (state) => state === "T", schedule: Schedule.spaced("5 millis") })
  return { child, lines }
})

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

  it.live("that others could read can be read by their user only from the first look at them", () =>
    run((directory, fs) =>
      Effect.gen(function*() {
        const store = yield* FileTokenStore.make(directory)
        yield* store.modify(key, (_, save) => save(credential("secret")))
        const [name = ""] = yield* fs.readDirectory(directory)
        const mode = Effect.map(fs.stat(`${directory}/${name}`), ({ mode }) => mode & 0o777)
        yield* fs.chmod(`${directory}/${name}`, 0o644)
        assert.strictEqual(tokenOf(yield* store.get(key)), "secret")
        assert.strictEqual(yield* mode, 0o600)
        yield* fs.chmod(`${directory}/${name}`, 0o644)
        yield* store.modify(key, (_, save) => save(credential("next")))
        assert.strictEqual(yield* mode, 0o600)
      })))

  it.live("that were cut off or belong to something else are told with their path, and nothing is done to them or to others", () =>
    run((directory, fs) =>
      Effect.gen(function*() {
        const store = yield* FileTokenStore.make(directory)
        yield* store.modify(key, (_, save) => save(credential("secret")))
        const [name = ""] = yield* fs.readDirectory(directory)
        yield* store.modify(other, (_, save) => save(credential("of another server")))
        yield* fs.writeFileString(`${directory}/notes.json`, "{}")
        for (const text of ["", "{\"key\":", "{\"key\":\"other\",\"value\":\"{}\"}", "{\"key\":1}", "null"]) {
          yield* fs.writeFileString(`${directory}/${name}`, text)
          const errors = [yield* Effect.flip(store.get(key)), yield* Effect.flip(store.modify(key, (_, save) => save(credential("new"))))]
          for (const { message } of errors) {
            assert.include(message, `${directory}/${name}`)
            assert.match(message, /move it away, and log in again/)
          }
          assert.strictEqual(yield* fs.readFileString(`${directory}/${name}`), text)
        }
        assert.strictEqual(tokenOf(yield* store.get(other)), "of another server")
        assert.strictEqual(yield* fs.readFileString(`${directory}/notes.json`), "{}")
        yield* fs.remove(`${directory}/${name}`)
        yield* store.modify(key, (_, save) => save(credential("new")))
        assert.strictEqual(tokenOf(yield* store.get(key)), "new")
      })))

  const failing = (code: string, tag: "Unknown" | "PermissionDenied") =>
    PlatformError.systemError({ _tag: tag, module: "FileSystem", method: "open", cause: Object.assign(new Error(code), { code }) })

  const troubles = [
    ["a full disk", "ENOSPC", "Unknown", /disk is full: make room/],
    ["a used up quota", "EDQUOT", "Unknown", /disk is full: make room/],
    ["a read-only file system", "EROFS", "Unknown", /read-only: choose another folder/],
    ["a folder that may not be written to", "EACCES", "PermissionDenied", /permission denied: .* belong to this user/]
  ] as const
  for (const [what, code, tag, told] of troubles) {
    for (const where of ["open", "write"] as const) {
      it.live(`stay as they are on ${what} (${where}), which is told with the folder and what to do`, () =>
        run((directory, fs) =>
          Effect.gen(function*() {
            let broken: "lock" | "draft" | "none" = "none"
            const isBroken = (path: string) => broken === "lock" ? path.endsWith(".lock") : broken === "draft" && path.includes(".json.")
            const error = Effect.fail(failing(code, tag))
            const files: FileSystem.FileSystem = {
              ...fs,
              open: (path, options) =>
                !isBroken(path)
                  ? fs.open(path, options)
                  : where === "open"
                  ? error
                  // A file of the system has its methods from its class.
                  : Effect.map(fs.open(path, options), (open) => Object.assign(Object.create(open), { writeAll: () => error }))
            }
            const store = yield* Effect.provideService(FileTokenStore.make(directory), FileSystem.FileSystem, files)
            yield* store.modify(key, (_, save) => save(credential("kept")))
            yield* store.modify(other, (_, save) => save(credential("of another server")))
            const before = yield* fs.readDirectory(directory)
            for (broken of ["lock", "draft"] as const) {
              const { message } = yield* Effect.flip(store.modify(key, (_, save) => save(credential("new"))))
              assert.include(message, directory)
              assert.match(message, told)
              assert.notMatch(message, /kept|new\b/)
              assert.deepStrictEqual(yield* fs.readDirectory(directory), before)
            }
            assert.deepStrictEqual([tokenOf(yield* store.get(key)), tokenOf(yield* store.get(other))], ["kept", "of another server"])
            broken = "none"
            yield* store.modify(key, (_, save) => save(credential("new")))
            assert.strictEqual(tokenOf(yield* store.get(key)), "new")
          })))
    }
  }

  it.live("leave no draft behind that a program did not finish", () =>
    run((directory, fs) =>
      Effect.gen(function*() {
        const store = yield* FileTokenStore.make(directory)
        yield* store.modify(key, (_, save) => save(credential("secret")))
        const names = yield* fs.readDirectory(directory)
        yield* fs.writeFileString(`${directory}/${names[0]}.of-the-dead`, "half")
        yield* store.modify(key, () => Effect.void)
        assert.deepStrictEqual(yield* fs.readDirectory(directory), names)
      })))

  for (const where of ["work", "look", "move"]) {
    it.live(`that others have got while their holder was stopped are not overwritten by it (before "${where}")`, () =>
      run((directory, fs) =>
        Effect.gen(function*() {
          const store = yield* FileTokenStore.make(directory)
          yield* store.modify(key, (_, save) => save(credential("old")))
          const { child, lines } = yield* stopped(directory, where)
          yield* hasty(store.modify(key, (_, save) => save({ ...credential("newer"), refreshToken: Redacted.make("newer refresh") })))
          process.kill(Number(child.pid), "SIGCONT")
          assert.deepStrictEqual(yield* lines, ["ended"])
          assert.strictEqual(Number(yield* child.exitCode), 0)
          const kept = yield* store.get(key)
          assert.strictEqual(tokenOf(kept), "newer")
          assert.strictEqual(kept?.refreshToken === undefined ? undefined : Redacted.value(kept.refreshToken), "newer refresh")
          assert.deepStrictEqual((yield* fs.readDirectory(directory)).filter((name) => !name.endsWith(".json")), [])
        })))

    it.live(`are kept by a holder that was stopped while nobody got others (before "${where}")`, () =>
      run((directory) =>
        Effect.gen(function*() {
          const store = yield* FileTokenStore.make(directory)
          yield* store.modify(key, (_, save) => save(credential("old")))
          const { child, lines } = yield* stopped(directory, where)
          yield* hasty(store.modify(key, () => Effect.void))
          process.kill(Number(child.pid), "SIGCONT")
          assert.deepStrictEqual(yield* lines, ["ended"])
          assert.strictEqual(tokenOf(yield* store.get(key)), "ours")
        })))
  }

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

  for (const [what, ahead] of [["was behind", -3_600_000], ["was ahead", 3_600_000]] as const) {
    it.live(`are taken over from a program that has died, by one of those who wait, though its clock ${what}`, () =>
      run((directory, fs) =>
        Effect.gen(function*() {
          const stores = [yield* FileTokenStore.make(directory), yield* FileTokenStore.make(directory)]
          // The name of the lock is found out by taking it.
          const [lock = ""] = yield* (stores[0] ?? assert.fail("no store")).modify(key, () => fs.readDirectory(directory))
          yield* fs.writeFileString(`${directory}/${lock}`, "the dead")
          const touched = new Date(Date.now() + ahead)
          yield* fs.utimes(`${directory}/${lock}`, touched, touched)
          let inside = 0
          yield* hasty(Effect.forEach(stores, (store) =>
            store.modify(key, () =>
              Effect.gen(function*() {
                inside += 1
                assert.strictEqual(inside, 1)
                yield* Effect.sleep("20 millis")
                inside -= 1
              })), { concurrency: "unbounded" }))
          assert.deepStrictEqual(yield* fs.readDirectory(directory), [])
        })))
  }

  it.live("are not taken over from a program that lives, by one whose clock is ahead or was set", () =>
    run((directory) =>
      Effect.gen(function*() {
        const [holder, other] = [yield* FileTokenStore.make(directory), yield* FileTokenStore.make(directory)]
        const order: Array<string> = []
        const [held, looked] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const holding = yield* Effect.forkChild(holder.modify(key, () =>
          Effect.andThen(Deferred.succeed(held, void 0), Effect.andThen(Deferred.await(looked), Effect.sync(() => order.push("holder"))))))
        yield* Deferred.await(held)
        let looks = 0
        yield* withClock((clock) => ({
          currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + 3_600_000),
          currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + 3_600_000,
          sleep: (duration) => Effect.andThen(++looks === 5 ? Deferred.succeed(looked, void 0) : Effect.void, clock.sleep(duration))
        }), other.modify(key, () => Effect.sync(() => order.push("other"))))
        yield* Fiber.join(holding)
        assert.deepStrictEqual(order, ["holder", "other"])
      })))
})
