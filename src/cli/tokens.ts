/** Tokens of the commands: in files of the user's data folder, so that one command has what another one was given. */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import { KeyValueStoreError } from "effect/persistence/KeyValueStore"
import * as FileTokenStore from "../auth/FileTokenStore.ts"
import * as TokenStore from "../auth/TokenStore.ts"

const lookup = Effect.fnUntraced(function*(name: string) {
  const provider = yield* ConfigProvider.ConfigProvider
  const node = yield* Effect.orElseSucceed(provider.load([name]), () => undefined)
  return node?.value
})

/** Where this platform's programs keep what is their user's, as far as the environment tells. */
const dataFolder = Effect.gen(function*() {
  const path = yield* Path.Path
  if (process.platform === "win32") return yield* lookup("LOCALAPPDATA")
  const home = yield* lookup("HOME")
  if (process.platform === "darwin") return home === undefined ? undefined : path.join(home, "Library/Application Support")
  const data = yield* lookup("XDG_DATA_HOME")
  // A relative one is to be ignored (XDG Base Directory Specification).
  if (data !== undefined && path.isAbsolute(data)) return data
  return home === undefined ? undefined : path.join(home, ".local/share")
})

const unusable = (message: string) => new KeyValueStoreError({ method: "open", message })

/** In the data folder; made when the first token is to be kept, so that commands without any leave no trace. */
export const layer: Layer.Layer<never, never, FileSystem.FileSystem | Path.Path> = Layer.effect(
  TokenStore.TokenStore,
  Effect.gen(function*() {
    const context = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const data = yield* dataFolder
    const directory = data === undefined ? undefined : path.join(data, "mcp-connect", "tokens")
    const opening = directory === undefined
      ? Effect.fail(unusable("the environment does not tell where the user's data is (HOME)"))
      : FileTokenStore.make(directory).pipe(
        Effect.provideContext(context),
        Effect.mapError(({ reason }) => unusable(`the folder of tokens ${directory} cannot be used (${reason._tag})`))
      )
    const store = yield* Effect.cached(opening)
    const isMade = directory === undefined
      ? Effect.succeed(false)
      : Effect.orElseSucceed(fs.exists(directory), () => true)
    const read = <A>(use: (store: TokenStore.TokenStore) => Effect.Effect<A | undefined, KeyValueStoreError>) =>
      Effect.flatMap(isMade, (made) => made ? Effect.flatMap(store, use) : Effect.undefined)
    return {
      get: (key) => read((store) => store.get(key)),
      modify: (key, work) => Effect.flatMap(store, (store) => store.modify(key, work)),
      alone: (name, work) => Effect.flatMap(store, (store) => store.alone(name, work)),
      registrations: {
        get: (key) => read((store) => store.registrations.get(key)),
        set: (key, value) => Effect.flatMap(store, ({ registrations }) => registrations.set(key, value))
      },
      bindings: {
        get: (key) => read((store) => store.bindings.get(key)),
        set: (key, value) => Effect.flatMap(store, ({ bindings }) => bindings.set(key, value))
      },
      changes: () => Effect.flatMap(Effect.orElseSucceed(store, () => undefined), (store) => store?.changes() ?? Effect.never)
    }
  })
)
