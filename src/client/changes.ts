/**
 * What servers tell on their own account: changed lists, updated resources. A
 * reader of a stream is an interest; the server is asked for exactly the union
 * of the interests there are.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as Broadcast from "../internal/broadcast.ts"
import * as McpError from "../McpError.ts"
import type { Interest, Subscriptions } from "../protocol/Dialect.ts"
import type * as JsonRpc from "../protocol/JsonRpc.ts"

export type ListKind = "tools" | "prompts" | "resources"

/** A change, or the possibility of one: when `uri` is absent the list itself changed. */
export interface Change {
  readonly kind: ListKind
  readonly uri?: string
}

export interface Changes {
  /** Changes of a list, told for as long as the stream is read. Fails when the connection ends. */
  readonly ofList: (kind: ListKind) => Stream.Stream<void, McpError.McpError>
  /** Updates of one resource or of resources below it, told for as long as the stream is read. */
  readonly ofResource: (uri: string) => Stream.Stream<string, McpError.McpError>
  /** An interest without a reader, from the first time on. Does not wait until the server knows. */
  readonly watch: (kind: ListKind) => Effect.Effect<void>
  readonly onNotification: (notification: JsonRpc.Notification) => void
  /** Something may have been missed: every interest is told that it changed (SB-08). */
  readonly onLost: () => void
  readonly end: (error: McpError.McpError) => void
}

const listChanged: Readonly<Record<string, ListKind>> = {
  "notifications/tools/list_changed": "tools",
  "notifications/prompts/list_changed": "prompts",
  "notifications/resources/list_changed": "resources"
}

/** Run by each reader once the server was asked to tell, for those who have to know when it was. */
export const Asked: Context.Reference<Effect.Effect<void>> = Context.Reference("mcp-connect/Changes/Asked", {
  defaultValue: () => Effect.void
})

/** An update may name a resource below the one that was subscribed to (SB-03). */
const isWithin = (changed: string, uri: string): boolean =>
  changed === uri || changed.startsWith(uri.endsWith("/") ? uri : `${uri}/`)

/** Changes a slow reader may be behind, of those it reads: where they are all alike, losing old ones loses nothing. */
const readerCapacity = 256

export const make = (options: {
  readonly server: string
  /** The client's own: what is told to the server in the background ends with it. */
  readonly scope: Scope.Scope
  readonly subscriptions: () => Subscriptions
  readonly onChange: (change: Change) => void
}): Changes => {
  const changes = Broadcast.make<Change, McpError.McpError>({ capacity: readerCapacity })
  const lists = new Map<ListKind, number>()
  const uris = new Map<string, number>()
  const watched = new Set<ListKind>()
  const updating = Semaphore.makeUnsafe(1)

  const wanted = (): Interest => ({
    tools: lists.has("tools"),
    prompts: lists.has("prompts"),
    resources: lists.has("resources"),
    uris: [...uris.keys()]
  })
  const update = updating.withPermits(1)(Effect.suspend(() => options.subscriptions().update(wanted()))).pipe(
    Effect.mapError(({ reason }) => McpError.make(reason, options.server))
  )

  const count = <K>(counts: Map<K, number>, key: K, by: 1 | -1) => {
    const next = (counts.get(key) ?? 0) + by
    if (next > 0) counts.set(key, next)
    else counts.delete(key)
  }
  const hold = <K>(counts: Map<K, number>, key: K) =>
    Effect.acquireRelease(
      Effect.sync(() => count(counts, key, 1)),
      () => {
        count(counts, key, -1)
        // Nobody listens any more, whatever the server says to that; a reader does not wait for it.
        return Effect.forkIn(Effect.ignore(update), options.scope)
      }
    ).pipe(Effect.andThen(update))

  const publish = (change: Change) => {
    options.onChange(change)
    changes.publish(change)
  }
  const read = (
    interest: Effect.Effect<void, McpError.McpError, Scope.Scope>,
    isWanted: (change: Change) => boolean
  ): Stream.Stream<Change, McpError.McpError> =>
    Stream.unwrap(Effect.gen(function*() {
      // Reading begins before the server is asked, so that its first word is not lost.
      const queue: Queue.Dequeue<Change, McpError.McpError | Cause.Done> = yield* changes.subscribeTo(isWanted)
      yield* interest
      yield* yield* Asked
      return Stream.fromQueue(queue)
    }))

  return {
    ofList: (kind) =>
      read(hold(lists, kind), (change) => change.kind === kind && change.uri === undefined).pipe(Stream.map(() => undefined)),
    ofResource: (uri) =>
      read(hold(uris, uri), ({ uri: changed }) => changed !== undefined && isWithin(changed, uri)).pipe(
        Stream.map(({ uri: changed = uri }) => changed)
      ),
    watch: (kind) =>
      Effect.suspend(() => {
        if (watched.has(kind)) return Effect.void
        watched.add(kind)
        count(lists, kind, 1)
        // What changed before the server knew was told to nobody.
        const missed = Effect.sync(() => options.onChange({ kind }))
        return Effect.forkIn(Effect.ignore(Effect.andThen(update, missed)), options.scope)
      }),
    onNotification: ({ method, params }) => {
      const kind = listChanged[method]
      if (kind !== undefined) return publish({ kind })
      if (method === "notifications/resources/updated" && typeof params?.uri === "string") {
        publish({ kind: "resources", uri: params.uri })
      }
    },
    onLost: () => {
      for (const kind of lists.keys()) publish({ kind })
      for (const uri of uris.keys()) publish({ kind: "resources", uri })
    },
    end: (error) => changes.end(Cause.fail(error))
  }
}
