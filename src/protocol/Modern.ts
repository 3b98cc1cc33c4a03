/**
 * The modern era, 2026-07-28 and later: no handshake and no session. Every
 * request carries who asks and in which revision; what the server needs from
 * the user it asks in its result (MRTR); changes come on a listen stream.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Diagnostic from "../Diagnostic.ts"
import * as McpError from "../McpError.ts"
import type { Client, Dialect, Interest, Metadata, Subscriptions, Wire } from "./Dialect.ts"
import * as JsonRpc from "./JsonRpc.ts"
import type * as McpSchema from "./McpSchema.ts"
import * as ResultType from "./ResultType.ts"
import * as Revision from "./Revision.ts"

const key = <const Name extends string>(name: Name): `io.modelcontextprotocol/${Name}` =>
  `io.modelcontextprotocol/${name}`

/** The `_meta` that makes a request self-contained (M-01, M-02). */
const identity = (revision: Revision.ModernRevision, client: Client): JsonRpc.JsonObject => ({
  [key("protocolVersion")]: revision,
  [key("clientInfo")]: client.info,
  [key("clientCapabilities")]: client.capabilities
})

/** The parameters of `server/discover`, the first thing a server is asked (D-01, V-04). */
export const discoverParams = (revision: Revision.ModernRevision, client: Client): JsonRpc.JsonObject => ({
  _meta: identity(revision, client)
})

/** Speaks a modern revision with a server that described itself. */
export const make = (options: {
  readonly revision: Revision.ModernRevision
  readonly client: Client
  readonly server: McpSchema.Server
}): Dialect => {
  const { client, revision, server } = options
  let base = identity(revision, client)

  const decorate = (params: JsonRpc.JsonObject | undefined, metadata: Metadata): JsonRpc.JsonObject => ({
    ...params,
    _meta: { ...metadata.custom, ...metadata.trace, ...base, progressToken: metadata.progressToken }
  })
  const bare = (id: JsonRpc.RequestId) => decorate(undefined, { progressToken: id, trace: undefined, custom: undefined })

  return {
    era: "modern",
    stateless: true,
    revision,
    server,
    acceptsBatches: false,
    completionContext: true,
    paramHeaders: true,
    answersRequests: false,
    lacks: (method) => Revision.lacks(revision, server.capabilities, method),
    decorate,
    interpret: (method, result) => ResultType.interpret(method, result, "modern"),
    consents: () => undefined,
    renew: undefined,
    begin: () => Effect.void,
    rootsChanged: () => Effect.void,
    ping: (wire) => Effect.asVoid(wire.request("server/discover", bare)),
    setLogLevel: (_, level) =>
      Effect.sync(() => {
        base = { ...base, [key("logLevel")]: level }
      }),
    subscriptions: (wire, onLost) => subscriptions(wire, onLost, decorate)
  }
}

// =============================================================================
// Subscriptions: one listen stream, re-opened when what is wanted changes
// =============================================================================

/** How long a server may take to acknowledge a listen request; the request itself has no limit. */
const acknowledgeWithin = Duration.seconds(30)

/** A listen stream that lived this long was healthy; its end starts the backoff from the beginning. */
const healthyMillis = 60_000

const backoffMillis = (attempt: number): number => Math.min(30_000, 1_000 * 2 ** attempt)

type Filter = {
  readonly toolsListChanged?: true
  readonly promptsListChanged?: true
  readonly resourcesListChanged?: true
  readonly resourceSubscriptions?: ReadonlyArray<string>
}

const filterOf = (interest: Interest): Filter => ({
  ...(interest.tools ? { toolsListChanged: true } : undefined),
  ...(interest.prompts ? { promptsListChanged: true } : undefined),
  ...(interest.resources ? { resourcesListChanged: true } : undefined),
  ...(interest.uris.length > 0 ? { resourceSubscriptions: interest.uris.toSorted() } : undefined)
})

/** What was asked for and is missing in what the server acknowledged (SB-02). */
const refused = (asked: Filter, honoured: JsonRpc.JsonObject): ReadonlyArray<string> => {
  const uris = Array.isArray(honoured.resourceSubscriptions) ? honoured.resourceSubscriptions : []
  return [
    ...(["toolsListChanged", "promptsListChanged", "resourcesListChanged"] as const)
      .filter((name) => asked[name] === true && honoured[name] !== true),
    ...(asked.resourceSubscriptions ?? []).filter((uri) => !uris.includes(uri))
  ]
}

/** One listen request on its way. */
interface Listen {
  readonly acknowledged: Deferred.Deferred<void, McpError.McpError>
  readonly endedByServer: Deferred.Deferred<void>
  readonly filter: Filter
  /** Whether there was a stream before it that was lost. */
  readonly isAgain: boolean
  acknowledgedAt: number | undefined
}

const subscriptionId = (notification: JsonRpc.Notification): JsonRpc.RequestId | undefined => {
  const meta = notification.params?._meta
  const id = JsonRpc.isJsonObject(meta) ? meta[key("subscriptionId")] : undefined
  return JsonRpc.isRequestId(id) ? id : undefined
}

/** What listens is made with the first interest: most connections never have one. */
const subscriptions = Effect.fnUntraced(function*(
  wire: Wire,
  onLost: () => void,
  decorate: Dialect["decorate"]
): Effect.fn.Return<Subscriptions, never, Scope.Scope> {
  const scope = yield* Scope.Scope
  const clock = yield* Clock.Clock
  let listening: Listening | undefined
  return {
    update: (interest) => (listening ??= makeListening({ clock, decorate, onLost, scope, wire })).update(interest),
    receive: (notification) => listening?.receive(notification) ?? notification.method === "notifications/message",
    renew: () => Effect.void
  }
})

type Listening = Pick<Subscriptions, "receive" | "update">

const makeListening = ({ clock, decorate, onLost, scope, wire }: {
  readonly clock: Clock.Clock
  readonly decorate: Dialect["decorate"]
  readonly onLost: () => void
  readonly scope: Scope.Scope
  readonly wire: Wire
}): Listening => {
  const open = new Map<JsonRpc.RequestId, Listen>()
  let current: { readonly wanted: string; readonly fiber: Fiber.Fiber<void> } | undefined

  /** One listen request, from sending to its end. Fails when the server refuses it. */
  const listenOnce = (listen: Listen) =>
    Effect.suspend(() => {
      let id: JsonRpc.RequestId | undefined
      const request = wire.request("subscriptions/listen", (requestId) => {
        id = requestId
        open.set(requestId, listen)
        return decorate({ notifications: listen.filter }, {
          progressToken: requestId,
          trace: undefined,
          custom: undefined
        })
      }, { timeout: Duration.infinity, maxTotal: Duration.infinity })
      // A server may end it by answering, by `notifications/cancelled`, or both (SB-07, G-06).
      return Effect.raceFirst(request, Deferred.await(listen.endedByServer)).pipe(
        Effect.ensuring(Effect.sync(() => {
          if (id !== undefined) open.delete(id)
        }))
      )
    })

  /** Keeps a filter listened to. The first attempt decides `acknowledged`; later ones are repeated with backoff (SB-09). */
  const keepListening = Effect.fnUntraced(function*(filter: Filter, first: Listen["acknowledged"]) {
    let attempt = 0
    while (true) {
      const acknowledged = attempt === 0 ? first : yield* Deferred.make<void, McpError.McpError>()
      const endedByServer = yield* Deferred.make<void>()
      const listen: Listen = { acknowledged, endedByServer, filter, isAgain: attempt > 0, acknowledgedAt: undefined }
      const exit = yield* Effect.exit(listenOnce(listen))
      if (listen.acknowledgedAt === undefined && acknowledged === first) {
        const ended = McpError.make(
          new McpError.InvalidResponse({ method: "subscriptions/listen", detail: "it ended without an acknowledgement" })
        )
        yield* Deferred.done(first, Exit.isFailure(exit) ? Exit.asVoid(exit) : Exit.fail(ended))
        return
      }
      if (wire.closedUnsafe() !== undefined) return
      if (Exit.isFailure(exit)) {
        wire.onDiagnostic(Diagnostic.Warning({ detail: "the listen stream was lost and is opened again" }))
      }
      onLost()
      const lived = listen.acknowledgedAt === undefined ? 0 : clock.currentTimeMillisUnsafe() - listen.acknowledgedAt
      attempt = lived >= healthyMillis ? 1 : attempt + 1
      const jitter = yield* Random.next
      yield* Effect.sleep(Duration.millis(backoffMillis(attempt - 1) * (0.75 + jitter / 2)))
    }
  })

  const update = Effect.fnUntraced(function*(interest: Interest) {
    const filter = filterOf(interest)
    const wanted = JSON.stringify(filter)
    if (current?.wanted === wanted && current.fiber.pollUnsafe() === undefined) return
    const previous = current
    if (wanted === "{}") {
      current = undefined
    } else {
      const acknowledged = yield* Deferred.make<void, McpError.McpError>()
      const fiber = yield* Effect.forkIn(keepListening(filter, acknowledged), scope, { startImmediately: true })
      yield* Deferred.await(acknowledged).pipe(
        Effect.timeoutOrElse({
          duration: acknowledgeWithin,
          orElse: () =>
            Effect.fail(McpError.make(
              new McpError.RequestTimeout({
                method: "subscriptions/listen",
                limit: "idle",
                millis: Duration.toMillis(acknowledgeWithin)
              })
            ))
        }),
        Effect.onError(() => Fiber.interrupt(fiber))
      )
      current = { wanted, fiber }
    }
    // The new stream is open before the old one closes, so that no change falls between them (SB-05).
    if (previous !== undefined) yield* Fiber.interrupt(previous.fiber)
  })

  const receive = (notification: JsonRpc.Notification): boolean => {
    const id = subscriptionId(notification)
    switch (notification.method) {
      case "notifications/message":
        return true
      case "notifications/cancelled": {
        const target = notification.params?.requestId
        const listen = JsonRpc.isRequestId(target) ? open.get(target) : undefined
        if (listen !== undefined) Deferred.doneUnsafe(listen.endedByServer, Exit.void)
        return false
      }
      case "notifications/subscriptions/acknowledged": {
        const listen = id === undefined ? undefined : open.get(id)
        if (listen === undefined) return false
        listen.acknowledgedAt = clock.currentTimeMillisUnsafe()
        const honoured = notification.params?.notifications
        const missing = refused(listen.filter, JsonRpc.isJsonObject(honoured) ? honoured : {})
        if (missing.length > 0) {
          wire.onDiagnostic(Diagnostic.Warning({ detail: `the server will not tell about ${missing.join(", ")}` }))
        }
        Deferred.doneUnsafe(listen.acknowledged, Exit.void)
        // What changed while there was no stream is told by nobody (SB-08).
        if (listen.isAgain) onLost()
        return false
      }
      default:
        return id !== undefined && open.has(id)
    }
  }

  return { update, receive }
}
