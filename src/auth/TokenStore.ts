/**
 * Where tokens and registrations are kept: by default in the memory of the
 * process. Over any `KeyValueStore`, and shared by several programs where it
 * has a lock that they share.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { Binding, Credential, isSpent, isUnchanged, Registration } from "./Credential.ts"

/** Whose token it is, and for what. */
export interface Key {
  readonly issuer: string
  readonly resource: string
  /** On whose behalf; one program may speak for several. */
  readonly principal: string
}

type StoreError = KeyValueStore.KeyValueStoreError

/** Keeps values of one kind. */
interface Shelf<A> {
  readonly get: (key: string) => Effect.Effect<A | undefined, StoreError>
  readonly set: (key: string, value: A | undefined) => Effect.Effect<void, StoreError>
}

export interface SaveOptions {
  /** Should it fail, whether what was to be written counts in this process all the same. Default false. */
  readonly remember?: boolean | undefined
}

export interface TokenStore {
  readonly get: (key: Key) => Effect.Effect<Credential | undefined, StoreError>
  /**
   * Works on a credential while nobody else does, in this process or in another
   * one that shares the store. The credential is read when it is this one's
   * turn; `save` writes at once, and `undefined` removes. Should it have changed
   * all the same, as after a machine has slept over its turn, nothing is written,
   * unless all that has changed is that its refresh token was found spent.
   * Where nothing else has it, `remember` keeps what cannot be written in this
   * process, and it is written next time.
   */
  readonly modify: <A, E, R>(
    key: Key,
    work: (
      current: Credential | undefined,
      save: (next: Credential | undefined, options?: SaveOptions) => Effect.Effect<void, StoreError>
    ) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | StoreError, R>
  /** Works while nobody else does work of that name, in this process or in another one that shares the store. */
  readonly alone: <A, E, R>(name: string, work: Effect.Effect<A, E, R>) => Effect.Effect<A, E | StoreError, R>
  /** By issuer, as no client is presented to another one: the latest, and with its id each. */
  readonly registrations: Shelf<Registration>
  /** By server and principal. */
  readonly bindings: Shelf<Binding>
  /** Begins to listen when it is called, and ends with the next change that is made through this store. */
  readonly changes: () => Effect.Effect<void>
}

/** The store in use. */
export const TokenStore: Context.Reference<TokenStore> = Context.Reference("mcp-connect/TokenStore", {
  defaultValue: () => memory()
})

/** A key for texts that may hold anything. */
export const keyOf = (...parts: ReadonlyArray<string>): string => JSON.stringify(parts)

/** A name that is held. */
export interface Hold {
  /**
   * Keeps a value, or removes it. `false`: somebody has taken this one for dead
   * meanwhile, so nothing was done; now the name is held again.
   */
  readonly keep: (key: string, value: string | undefined) => Effect.Effect<boolean, StoreError>
}

/** Waits until nobody else holds the name, and holds it until the scope closes. */
export type Lock = (name: string) => Effect.Effect<Hold, StoreError, Scope.Scope>

/** A lock among the fibers of this process. */
export const makeLock = (store: KeyValueStore.KeyValueStore): Lock => {
  // Only of names that somebody holds or waits for: a service may have any number of users.
  const locks = new Map<string, { readonly semaphore: Semaphore.Semaphore; users: number }>()
  const hold: Hold = {
    keep: (key, value) => Effect.as(value === undefined ? store.remove(key) : store.set(key, value), true)
  }
  return Effect.fnUntraced(function*(name) {
    const enter = Effect.sync(() => {
      const lock = locks.get(name) ?? { semaphore: Semaphore.makeUnsafe(1), users: 0 }
      lock.users += 1
      locks.set(name, lock)
      return lock
    })
    const { semaphore } = yield* Effect.acquireRelease(enter, (lock) =>
      Effect.sync(() => {
        lock.users -= 1
        if (lock.users === 0) locks.delete(name)
      }))
    yield* Effect.acquireRelease(semaphore.take(1), () => semaphore.release(1), { interruptible: true })
    return hold
  })
}

/** How values of one kind are written. */
const kind = <S extends Schema.Codec<unknown, unknown>>(store: KeyValueStore.KeyValueStore, name: string, schema: S) => {
  const json = Schema.fromJsonString(schema)
  const decode = Schema.decodeUnknownOption(json)
  const encode = Schema.encodeSync(json)
  return {
    keyOf: (key: string) => keyOf(name, key),
    encode: (value: S["Type"] | undefined) => value === undefined ? undefined : encode(value),
    get: (key: string): Effect.Effect<S["Type"] | undefined, StoreError> =>
      Effect.map(store.get(keyOf(name, key)), (text) => text === undefined ? undefined : Option.getOrUndefined(decode(text)))
  }
}

/** A store over what keeps texts. What is no entry of its kind counts as absent. */
export const make = (store: KeyValueStore.KeyValueStore, lock: Lock = makeLock(store)): TokenStore => {
  let change = Deferred.makeUnsafe<void>()
  const changed = Effect.sync(() => {
    const told = change
    change = Deferred.makeUnsafe()
    Deferred.doneUnsafe(told, Effect.void)
  })
  const shelf = <S extends Schema.Codec<unknown, unknown>>(name: string, schema: S): Shelf<S["Type"]> => {
    const { encode, get, keyOf } = kind(store, name, schema)
    return {
      get,
      set: (key, value) =>
        Effect.suspend(() => {
          const text = encode(value)
          return text === undefined ? store.remove(keyOf(key)) : store.set(keyOf(key), text)
        }).pipe(Effect.andThen(changed))
    }
  }
  const credentials = kind(store, "credential", Credential)
  /** What could not be written over what is kept. */
  const unwritten = new Map<string, { readonly over: Credential | undefined; readonly next: Credential }>()
  /** Unless somebody has written something else since. */
  const latest = (name: string, kept: Credential | undefined): Credential | undefined => {
    const found = unwritten.get(name)
    return found !== undefined && isUnchanged(kept, found.over) ? found.next : kept
  }
  const nameOf = ({ issuer, principal, resource }: Key) => keyOf(issuer, resource, principal)
  return {
    get: (key) => Effect.map(credentials.get(nameOf(key)), (kept) => latest(nameOf(key), kept)),
    modify: Effect.fnUntraced(function*(key, work) {
      const name = nameOf(key)
      const { keep } = yield* lock(credentials.keyOf(name))
      let seen = yield* credentials.get(name)
      const current = latest(name, seen)
      const save = Effect.fnUntraced(function*(next: Credential | undefined, options?: SaveOptions) {
        while (true) {
          const now = yield* credentials.get(name)
          // Who found the refresh token spent knows less than the one that has spent it.
          if (!isUnchanged(now, seen) && !isSpent(now, seen)) return
          const kept = yield* Effect.tapError(keep(credentials.keyOf(name), credentials.encode(next)), () =>
            Effect.sync(() => {
              if (next !== undefined && options?.remember === true) unwritten.set(name, { over: seen, next })
            }))
          if (kept) break
        }
        seen = next
        unwritten.delete(name)
        yield* changed
      }, Effect.uninterruptible)
      if (current !== seen) yield* Effect.ignore(save(current))
      return yield* work(current, save)
    }, Effect.scoped),
    alone: (name, work) => Effect.scoped(Effect.andThen(lock(keyOf("alone", name)), work)),
    registrations: shelf("registration", Registration),
    bindings: shelf("binding", Binding),
    changes: () => Deferred.await(change)
  }
}

const memory = (): TokenStore => {
  const values = new Map<string, string>()
  return make(KeyValueStore.makeStringOnly({
    get: (key) => Effect.sync(() => values.get(key)),
    set: (key, value) => Effect.sync(() => values.set(key, value)),
    remove: (key) => Effect.sync(() => values.delete(key)),
    clear: Effect.sync(() => values.clear()),
    size: Effect.sync(() => values.size),
    keys: Effect.sync(() => [...values.keys()])
  }))
}

/** A store of its own in memory, that ends with the layer. */
export const layerMemory: Layer.Layer<never> = Layer.effect(TokenStore, Effect.sync(memory))

/** A store over the `KeyValueStore` of the context, for one process at a time. */
export const layer: Layer.Layer<never, never, KeyValueStore.KeyValueStore> = Layer.effect(
  TokenStore,
  Effect.map(KeyValueStore.KeyValueStore, (store) => make(store))
)
