/**
 * Tokens in files that only their user may read, one for each entry, shared by
 * any number of programs: replaced whole, and worked on by one at a time.
 */
import * as Clock from "effect/Clock"
import * as Digest from "effect/crypto/Digest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import type { PlatformError } from "effect/PlatformError"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Random from "./random.ts"
import * as TokenStore from "./TokenStore.ts"

/** How often the holder of a lock shows that it lives, and after what silence it is taken for dead. */
const heartbeat = "2 seconds"
const silence = 15_000

const retry = "50 millis"

const onlyUser = { directory: 0o700, file: 0o600 }

const Entry = Schema.fromJsonString(Schema.Struct({ key: Schema.String, value: Schema.String }))
const decode = Schema.decodeUnknownOption(Entry)
const encode = Schema.encodeSync(Entry)

const isReason = (tag: string) => ({ reason }: PlatformError): boolean => reason._tag === tag
const isAbsent = isReason("NotFound")
const isTaken = isReason("AlreadyExists")

const encoder = new TextEncoder()

interface Folder {
  readonly fs: FileSystem.FileSystem
  /** The file of a name that may hold anything. */
  readonly file: (name: string, extension: string) => Effect.Effect<string>
}

const storeError = (method: string) => ({ reason }: PlatformError) =>
  new KeyValueStore.KeyValueStoreError({ method, message: `the files of the token store cannot be used (${method}: ${reason._tag})` })

/** Written beside it and moved over it: a reader sees the old or the new, and a crash leaves one of them. */
const replace = Effect.fnUntraced(function*(
  { fs }: Folder,
  file: string,
  text: string
): Effect.fn.Return<void, PlatformError> {
  const draft = `${file}.${yield* Random.secret}`
  const write = Effect.scoped(Effect.flatMap(
    fs.open(draft, { flag: "wx", mode: onlyUser.file }),
    (open) => Effect.andThen(open.writeAll(encoder.encode(text)), open.sync)
  ))
  yield* Effect.andThen(write, fs.rename(draft, file)).pipe(
    Effect.onError(() => Effect.ignore(fs.remove(draft, { force: true })))
  )
})

const keyValueStore = (folder: Folder, directory: string): KeyValueStore.KeyValueStore => {
  const { file, fs } = folder
  const path = (key: string) => file(key, "json")
  const entries = Effect.gen(function*() {
    const names = (yield* fs.readDirectory(directory)).filter((name) => name.endsWith(".json"))
    const texts = yield* Effect.forEach(names, (name) => Effect.orElseSucceed(fs.readFileString(`${directory}/${name}`), () => ""))
    return texts.flatMap((text) => {
      const entry = decode(text)
      return entry._tag === "Some" ? [entry.value.key] : []
    })
  }).pipe(Effect.mapError(storeError("keys")))
  const remove = (key: string) =>
    Effect.flatMap(path(key), (path) => fs.remove(path, { force: true })).pipe(Effect.mapError(storeError("remove")))
  return KeyValueStore.makeStringOnly({
    get: (key) =>
      Effect.flatMap(path(key), fs.readFileString).pipe(
        Effect.map((text) => {
          const entry = decode(text)
          return entry._tag === "Some" && entry.value.key === key ? entry.value.value : undefined
        }),
        Effect.catchIf(isAbsent, () => Effect.undefined),
        Effect.mapError(storeError("get"))
      ),
    set: (key, value) =>
      Effect.flatMap(path(key), (path) => replace(folder, path, encode({ key, value }))).pipe(Effect.mapError(storeError("set"))),
    remove,
    clear: Effect.flatMap(entries, Effect.forEach(remove)),
    size: Effect.map(entries, (keys) => keys.length),
    keys: entries
  })
}

/** Takes a lock away from a holder that has died. Of several that want to, one succeeds. */
const bury = Effect.fnUntraced(function*({ fs }: Folder, lock: string): Effect.fn.Return<void, PlatformError> {
  const owner = yield* fs.readFileString(lock)
  const { mtime } = yield* fs.stat(lock)
  const now = yield* Clock.currentTimeMillis
  if (mtime._tag === "None" || now - mtime.value.getTime() < silence) return
  const grave = `${lock}.${yield* Random.secret}`
  yield* fs.rename(lock, grave)
  // Another one may have buried it before, and taken it since: then it gets it back.
  if (owner !== (yield* fs.readFileString(grave))) yield* Effect.ignore(fs.link(grave, lock))
  yield* fs.remove(grave, { force: true })
})

/** A lock among processes: a file that exists while it is held, and is touched all the while. */
const fileLock = (folder: Folder): TokenStore.Lock => {
  const { file, fs } = folder
  return Effect.fnUntraced(function*(name: string): Effect.fn.Return<void, KeyValueStore.KeyValueStoreError, Scope.Scope> {
    const lock = yield* file(name, "lock")
    const owner = yield* Random.secret
    const take = fs.writeFileString(lock, owner, { flag: "wx", mode: onlyUser.file }).pipe(
      Effect.as(true),
      Effect.catchIf(isTaken, () => Effect.as(Effect.catchIf(bury(folder, lock), isAbsent, () => Effect.void), false))
    )
    const wait: Effect.Effect<void, PlatformError> = Effect.flatMap(
      take,
      // Only here: between the file and its release lies nothing that could be interrupted.
      (taken) => taken ? Effect.void : Effect.andThen(Effect.interruptible(Effect.sleep(retry)), wait)
    )
    // Not that of one who took ours for dead.
    const release = Effect.flatMap(fs.readFileString(lock), (holder) => holder === owner ? fs.remove(lock) : Effect.void)
    yield* Effect.acquireRelease(wait, () => Effect.ignore(release)).pipe(
      Effect.mapError(storeError("lock"))
    )
    yield* Clock.currentTimeMillis.pipe(
      Effect.flatMap((now) => fs.utimes(lock, now / 1_000, now / 1_000)),
      Effect.ignore,
      Effect.repeat(Schedule.spaced(heartbeat)),
      Effect.forkScoped
    )
  })
}

/**
 * A store in the files of a directory, made if it is not there, for its user
 * only (0700, its files 0600; systems without such permissions have their own).
 *
 * ```ts
 * const Tokens = FileTokenStore.layer("/home/me/.config/my-program/tokens")
 * ```
 */
export const make = Effect.fnUntraced(function*(
  directory: string
): Effect.fn.Return<TokenStore.TokenStore, PlatformError, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const digest = yield* Effect.provide(Digest.Digest, Digest.layerWebCrypto)
  const root = path.resolve(directory)
  yield* fs.makeDirectory(root, { recursive: true, mode: onlyUser.directory })
  yield* fs.chmod(root, onlyUser.directory)
  const folder: Folder = {
    fs,
    file: (name, extension) =>
      Effect.map(digest.digestHex(Digest.sha256, encoder.encode(name)), (hash) => path.join(root, `${hash}.${extension}`))
  }
  const among = TokenStore.makeLock()
  const between = fileLock(folder)
  // Fibers of this process queue in memory; only one of them competes for the file.
  return TokenStore.make(keyValueStore(folder, root), (name) => Effect.andThen(among(name), between(name)))
})

/** A layer of {@link make}. */
export const layer = (directory: string): Layer.Layer<never, PlatformError, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(TokenStore.TokenStore, make(directory))
