/**
 * What outlives the connections of a server: who reads its changes, the log
 * level, which lists are in use, and the streams of everything it says. Each
 * new connection is told of it before it is ready.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Changes from "../client/changes.ts"
import type { Diagnostic } from "../Diagnostic.ts"
import * as DiagnosticOf from "../Diagnostic.ts"
import * as Broadcast from "../internal/broadcast.ts"
import * as McpError from "../McpError.ts"
import type * as JsonRpc from "../protocol/JsonRpc.ts"
import type * as McpSchema from "../protocol/McpSchema.ts"
import type { Client } from "./member.ts"

/** The lists a server can have, and how a client fetches each. */
const lists = {
  tools: (client: Client) => client.listTools(),
  resources: (client: Client) => client.listResources(),
  templates: (client: Client) => client.listResourceTemplates(),
  prompts: (client: Client) => client.listPrompts()
}
export type ListName = keyof typeof lists

/** What a reader of changes wants to hear of: a list, or one resource. */
type Interest = Changes.Change

const keyOf = ({ kind, uri }: Interest): string => uri === undefined ? kind : `resource ${uri}`

const streamOf = (client: Client, { kind, uri }: Interest): Stream.Stream<Interest, McpError.McpError> =>
  uri !== undefined
    ? Stream.map(client.resourceUpdates(uri), (uri) => ({ kind, uri }))
    : Stream.map(
      kind === "tools" ? client.toolsChanged : kind === "prompts" ? client.promptsChanged : client.resourcesChanged,
      () => ({ kind })
    )

export interface Continuity {
  /** Tells a new connection what the ones before it knew. Fails when it ends meanwhile, or says nothing. */
  readonly restore: (client: Client, again: boolean) => Effect.Effect<void, McpError.McpError, Scope.Scope>
  /** Whether somebody reads changes. */
  readonly demanded: () => boolean
  /** The list was given: from now on, a new connection is ready when it has been asked for it. */
  readonly use: (list: ListName) => void
  /** The level of every connection, now and later. */
  readonly setLogLevel: (level: McpSchema.LoggingLevel) => Effect.Effect<void, McpError.McpError>
  /** Changes of a list or a resource, from whichever connection there is. `connect` makes sure that there is one. */
  readonly changes: (
    interest: Interest,
    connect: Effect.Effect<void, McpError.McpError>
  ) => Stream.Stream<Interest, McpError.McpError>
  readonly logs: Stream.Stream<McpSchema.LogMessage>
  readonly notifications: Stream.Stream<JsonRpc.Notification>
  readonly diagnostics: Stream.Stream<Diagnostic>
  /** The latest connection that was ready. */
  readonly latest: () => Client | undefined
  /** There will be no more connections: every stream ends. */
  readonly end: (error: McpError.McpError) => void
}

const readerCapacity = 1_024
const diagnosticsReplay = 64

/** A connection, and who reads each interest of it. */
interface Attachment {
  readonly client: Client
  readonly scope: Scope.Scope
  readonly readers: Map<string, Reader>
}

interface Reader {
  readonly scope: Scope.Closeable
  /** Done when the server was asked, or has refused. */
  readonly asked: Deferred.Deferred<void, McpError.McpError>
}

/** Whether a call failed because its connection ended. */
export const isLost = ({ reason }: McpError.McpError): boolean =>
  reason._tag === "ProcessExited" || reason._tag === "ConnectionClosed" || reason._tag === "SessionExpired"

/** A connection that ends just now has a successor, which will be told. */
const unlessLost = (told: Effect.Effect<void, McpError.McpError>) =>
  Effect.catchIf(told, isLost, () => Effect.void)

export const make = (): Continuity => {
  const logs = Broadcast.make<McpSchema.LogMessage>({ capacity: readerCapacity })
  const notifications = Broadcast.make<JsonRpc.Notification>({ capacity: readerCapacity })
  const diagnostics = Broadcast.make<Diagnostic>({ capacity: readerCapacity, replay: diagnosticsReplay })
  /** Per interest, so that a reader of one is not crowded out by the others. */
  const interests = new Map<string, {
    readonly interest: Interest
    readonly broadcast: Broadcast.Broadcast<Interest, McpError.McpError>
    readers: number
  }>()
  const inUse = new Set<ListName>()
  const attachments = new Set<Attachment>()
  let level: McpSchema.LoggingLevel | undefined
  let latest: Client | undefined
  let ended: McpError.McpError | undefined

  const forward = <A>(stream: Stream.Stream<A>, broadcast: Broadcast.Broadcast<A>) =>
    Effect.forkScoped(Stream.runForEach(stream, (value) => Effect.sync(() => broadcast.publish(value))), {
      startImmediately: true
    })

  /** Reads an interest of one connection; ends when the server was asked, or has refused. Who comes then asks anew. */
  const attach = Effect.fnUntraced(function*({ client, readers, scope }: Attachment, key: string, interest: Interest) {
    const there = readers.get(key)
    if (there !== undefined) return yield* Deferred.await(there.asked)
    const reader: Reader = { scope: Scope.forkUnsafe(scope), asked: Deferred.makeUnsafe() }
    readers.set(key, reader)
    yield* streamOf(client, interest).pipe(
      Stream.runForEach((change) => Effect.sync(() => interests.get(key)?.broadcast.publish(change))),
      Effect.provideService(Changes.Asked, Deferred.succeed(reader.asked, undefined)),
      Effect.onExit((exit) =>
        Effect.andThen(
          Effect.sync(() => {
            if (readers.get(key) === reader) readers.delete(key)
          }),
          Deferred.done(reader.asked, Exit.asVoid(exit))
        )
      ),
      Effect.ignore,
      Effect.forkIn(reader.scope, { startImmediately: true })
    )
    yield* Deferred.await(reader.asked)
  })

  const detach = (key: string) =>
    Effect.forEach([...attachments], ({ readers }) => {
      const reader = readers.get(key)
      readers.delete(key)
      return reader === undefined ? Effect.void : Scope.close(reader.scope, Exit.void)
    }, { discard: true })

  /** A server that refuses something is usable all the same; one that is gone is not. */
  const tolerate = (what: string) => (restored: Effect.Effect<void, McpError.McpError>) =>
    Effect.catch(restored, (error) =>
      error.reason._tag === "RemoteError" || error.reason._tag === "Unsupported" || error.reason._tag === "InvalidResponse"
        ? Effect.sync(() => diagnostics.publish(DiagnosticOf.Warning({ detail: `${what} was refused: ${error.reason.message}` })))
        : Effect.fail(error))

  return {
    restore: Effect.fnUntraced(function*(client, again) {
      const scope = yield* Scope.Scope
      yield* forward(client.diagnostics, diagnostics)
      yield* forward(client.logs, logs)
      yield* forward(client.notifications, notifications)
      const attachment: Attachment = { client, scope, readers: new Map() }
      // From here on new interests, and another log level, come to this connection by themselves.
      yield* Effect.acquireRelease(
        Effect.sync(() => attachments.add(attachment)),
        () => Effect.sync(() => attachments.delete(attachment))
      )
      if (level !== undefined) yield* tolerate("the log level")(client.setLogLevel(level))
      yield* Effect.forEach([...interests], ([key, { interest }]) =>
        tolerate(`subscribing to ${keyOf(interest)}`)(attach(attachment, key, interest)), { concurrency: 16, discard: true })
      if (again) yield* Effect.forEach([...inUse], (list) => tolerate(`listing ${list}`)(Effect.asVoid(lists[list](client))), { concurrency: 4, discard: true })
      latest = client
      // Whatever changed in between was missed.
      if (again) for (const { broadcast, interest } of interests.values()) broadcast.publish(interest)
    }),
    demanded: () => interests.size > 0,
    use: (list) => inUse.add(list),
    setLogLevel: (wanted) =>
      Effect.suspend(() => {
        const before = level
        level = wanted
        return Effect.forEach([...attachments], ({ client }) => unlessLost(client.setLogLevel(wanted)), { discard: true }).pipe(
          Effect.tapError(() =>
            Effect.sync(() => {
              if (level === wanted) level = before
            })
          )
        )
      }),
    changes: (interest, connect) => {
      const key = keyOf(interest)
      const hold = Effect.acquireRelease(
        Effect.sync(() => {
          const held = interests.get(key) ?? {
            interest,
            broadcast: Broadcast.make<Interest, McpError.McpError>({ capacity: 256 }),
            readers: 0
          }
          held.readers += 1
          interests.set(key, held)
          return held
        }),
        (held) => {
          held.readers -= 1
          if (held.readers > 0) return Effect.void
          interests.delete(key)
          return detach(key)
        }
      )
      return Stream.unwrap(Effect.gen(function*() {
        if (ended !== undefined) return Stream.fail(ended)
        const { broadcast } = yield* hold
        const queue = yield* broadcast.subscribe
        yield* Effect.forEach([...attachments], (attachment) => unlessLost(attach(attachment, key, interest)), { discard: true })
        yield* connect
        return Stream.fromQueue(queue)
      }))
    },
    logs: logs.stream,
    notifications: notifications.stream,
    diagnostics: diagnostics.stream,
    latest: () => latest,
    end: (error) => {
      ended = error
      for (const { broadcast } of interests.values()) broadcast.end(Cause.fail(error))
      for (const broadcast of [logs, notifications, diagnostics]) broadcast.end(Cause.fail(Cause.Done()))
    }
  }
}
