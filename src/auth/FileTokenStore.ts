/**
 * Tokens in files that only their user may read, one for each entry, shared by
 * any number of programs: replaced whole, and worked on by one at a time.
 */
import * as Clock from "effect/Clock"
import * as Digest from "effect/crypto/Digest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import type { PlatformError } from "effect/PlatformError"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Random from "./random.ts"
import * as TokenStore from "./TokenStore.ts"

/** How often the holder of a lock shows that it lives, and after what silence it is taken for dead, in nanoseconds. */
const heartbeat = "2 seconds"
const silence = 15_000_000_000n

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
  readonly path: Path.Path
  readonly root: string
  /** The file of a name that may hold anything. */
  readonly file: (name: string, extension: string) => Effect.Effect<string>
}

/** What the user can do about it; the platform tells some of it only by the code of the system. */
const advice = ({ reason }: PlatformError): string => {
  const code = Predicate.hasProperty(reason.cause, "code") ? reason.cause.code : undefined
  switch (true) {
    case code === "ENOSPC" || code === "EDQUOT":
      return "the disk is full: make room, and try again"
    case code === "EROFS":
      return "the file system is read-only: choose another folder"
    case reason._tag === "PermissionDenied":
      return "permission denied: the folder and its files have to belong to this user, who may write there"
    default:
      return typeof code === "string" ? `${reason._tag}, ${code}` : reason._tag
  }
}

const storeError = ({ root }: Folder, method: string) => (error: PlatformError) =>
  new KeyValueStore.KeyValueStoreError({
    method,
    message: `the token store in ${root} cannot be used (${method}): ${advice(error)}`
  })

/** A file with a text, for its user only; none if not all of it can be written. */
const create = Effect.fnUntraced(function*(
  { fs }: Folder,
  file: string,
  text: string
): Effect.fn.Return<void, PlatformError> {
  yield* Effect.scoped(Effect.flatMap(fs.open(file, { flag: "wx", mode: onlyUser.file }), (open) =>
    Effect.andThen(open.writeAll(encoder.encode(text)), open.sync).pipe(
      Effect.onError(() => Effect.ignore(fs.remove(file, { force: true })))
    )))
})

/**
 * Written beside it and moved over it: a reader sees the old or the new, and a
 * crash leaves one of them. Not moved when the draft is there, but `isMine` is
 * not so: then the answer is `false`, and also when somebody removes the draft.
 */
const replace = Effect.fnUntraced(function*(
  folder: Folder,
  { draft, file, isMine }: { readonly draft: string; readonly file: string; readonly isMine: Effect.Effect<boolean, PlatformError> },
  text: string
): Effect.fn.Return<boolean, PlatformError> {
  const { fs } = folder
  yield* create(folder, draft, text)
  return yield* Effect.flatMap(isMine, (mine) => mine ? Effect.as(fs.rename(draft, file), true) : Effect.succeed(false)).pipe(
    Effect.catchIf(isAbsent, () => Effect.succeed(false)),
    Effect.ensuring(Effect.ignore(fs.remove(draft, { force: true })))
  )
})

const keyValueStore = (folder: Folder): KeyValueStore.KeyValueStore => {
  const { file, fs, path, root } = folder
  const entries = Effect.gen(function*() {
    const names = (yield* fs.readDirectory(root)).filter((name) => name.endsWith(".json"))
    const texts = yield* Effect.forEach(names, (name) => Effect.orElseSucceed(fs.readFileString(path.join(root, name)), () => ""))
    return texts.flatMap((text) => {
      const entry = decode(text)
      return entry._tag === "Some" ? [entry.value.key] : []
    })
  }).pipe(Effect.mapError(storeError(folder, "keys")))
  const remove = (key: string) =>
    Effect.flatMap(file(key, "json"), (file) => fs.remove(file, { force: true })).pipe(Effect.mapError(storeError(folder, "remove")))
  const get = Effect.fnUntraced(function*(key: string) {
    const name = yield* file(key, "json")
    const text = yield* Effect.tap(fs.stat(name), ({ mode }) =>
      // As `ssh` would have it; who is not its owner can read it all the same.
      (mode & 0o077) === 0 ? Effect.void : Effect.ignore(fs.chmod(name, onlyUser.file))).pipe(
        Effect.andThen(fs.readFileString(name)),
        Effect.catchIf(isAbsent, () => Effect.undefined),
        Effect.mapError(storeError(folder, "get"))
      )
    if (text === undefined) return undefined
    const entry = Option.getOrUndefined(decode(text))
    if (entry?.key === key) return entry.value
    return yield* new KeyValueStore.KeyValueStoreError({
      method: "get",
      message: `${name} is cut off, or no file of this token store: move it away, and log in again`
    })
  })
  return KeyValueStore.makeStringOnly({
    get,
    set: Effect.fnUntraced(function*(key, value) {
      const name = yield* file(key, "json")
      const draft = `${name}.${yield* Random.secret}`
      yield* replace(folder, { draft, file: name, isMine: Effect.succeed(true) }, encode({ key, value }))
    }, Effect.mapError(storeError(folder, "set"))),
    remove,
    clear: Effect.flatMap(entries, Effect.forEach(remove)),
    size: Effect.map(entries, (keys) => keys.length),
    keys: entries
  })
}

/** A lock that another one holds, since when it has looked like this. */
interface Sight {
  readonly owner: string
  readonly touched: number | undefined
  readonly since: bigint
}

/**
 * Takes a lock away from a holder that has died. Of several that want to, one
 * succeeds. How long it was silent is told by the clock that nobody sets, of the
 * one who looks: that of its holder may be another, and either may jump.
 */
const bury = Effect.fnUntraced(function*(
  { fs }: Folder,
  lock: string,
  before: Sight | undefined
): Effect.fn.Return<Sight, PlatformError> {
  const owner = yield* fs.readFileString(lock)
  const { mtime } = yield* fs.stat(lock)
  const now = yield* Clock.monotonicTimeNanos
  const touched = Option.getOrUndefined(mtime)?.getTime()
  if (before === undefined || before.owner !== owner || before.touched !== touched) return { owner, touched, since: now }
  if (now - before.since < silence) return before
  const grave = `${lock}.${yield* Random.secret}`
  yield* fs.rename(lock, grave)
  // Another one may have buried it before, and taken it since: then it gets it back.
  if (owner !== (yield* fs.readFileString(grave))) yield* Effect.ignore(fs.link(grave, lock))
  yield* fs.remove(grave, { force: true })
  return before
})

/**
 * A lock among processes: a file that exists while it is held, and is touched
 * all the while. One that was stopped, with its machine or alone, and taken for
 * dead, cannot overwrite what others have kept since: its draft has the name of
 * its hold, and has to be there before it looks whether it still holds the lock.
 * Whoever takes the lock then removes all drafts of others before reading, so
 * the draft is moved before that, or it is gone. Only a removal has no draft:
 * stopped just between look and removal, it removes what others have kept.
 */
const fileLock = (folder: Folder): TokenStore.Lock => {
  const { file, fs, path, root } = folder
  return Effect.fnUntraced(function*(name: string): Effect.fn.Return<TokenStore.Hold, KeyValueStore.KeyValueStoreError, Scope.Scope> {
    const lock = yield* file(name, "lock")
    const entry = yield* file(name, "json")
    const drafts = `${path.basename(entry)}.`
    let owner = ""
    const isMine = fs.readFileString(lock).pipe(
      Effect.map((holder) => holder === owner),
      Effect.catchIf(isAbsent, () => Effect.succeed(false))
    )
    // Not that of one who took ours for dead.
    const release = Effect.flatMap(isMine, (mine) => mine ? fs.remove(lock) : Effect.void)
    const clean = Effect.flatMap(fs.readDirectory(root), (names) =>
      Effect.forEach(names.filter((name) => name.startsWith(drafts)), (name) => fs.remove(path.join(root, name), { force: true }), { discard: true }))
    const take = Effect.fnUntraced(function*(restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) {
      const secret = yield* Random.secret
      let sight: Sight | undefined
      while (!(yield* Effect.as(create(folder, lock, secret), true).pipe(Effect.catchIf(isTaken, () => Effect.succeed(false))))) {
        sight = yield* Effect.catchIf(bury(folder, lock, sight), isAbsent, () => Effect.undefined)
        // Only here: between the file and its release lies nothing that could be interrupted.
        yield* restore(Effect.sleep(retry))
      }
      owner = secret
      yield* Effect.onError(clean, () => Effect.ignore(release))
    })
    // Who is not to be interrupted is not here either: what they keep may be the only copy.
    yield* Effect.uninterruptibleMask((restore) => Effect.acquireRelease(take(restore), () => Effect.ignore(release))).pipe(
      Effect.mapError(storeError(folder, "lock"))
    )
    yield* Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      if (yield* isMine) yield* fs.utimes(lock, now / 1_000, now / 1_000)
    }).pipe(
      Effect.ignore,
      Effect.repeat(Schedule.spaced(heartbeat)),
      Effect.forkScoped
    )
    return {
      keep: Effect.fnUntraced(function*(key, value) {
        const file = yield* folder.file(key, "json")
        const kept = value === undefined
          ? yield* Effect.flatMap(isMine, (mine) => mine ? Effect.as(fs.remove(file, { force: true }), true) : Effect.succeed(false))
          : yield* replace(folder, { draft: `${entry}.${owner}`, file, isMine }, encode({ key, value }))
        if (!kept) yield* take((sleep) => sleep)
        return kept
      }, Effect.mapError(storeError(folder, "set")))
    }
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
    path,
    root,
    file: (name, extension) =>
      Effect.map(digest.digestHex(Digest.sha256, encoder.encode(name)), (hash) => path.join(root, `${hash}.${extension}`))
  }
  const store = keyValueStore(folder)
  const among = TokenStore.makeLock(store)
  const between = fileLock(folder)
  // Fibers of this process queue in memory; only one of them competes for the file.
  return TokenStore.make(store, (name) => Effect.andThen(among(name), between(name)))
})

/** A layer of {@link make}. */
export const layer = (directory: string): Layer.Layer<never, PlatformError, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(TokenStore.TokenStore, make(directory))
