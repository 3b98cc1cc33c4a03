/** One client of a mock server, in whichever era it speaks. */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as McpError from "../../McpError.ts"
import * as JsonRpc from "../../protocol/JsonRpc.ts"
import * as McpSchema from "../../protocol/McpSchema.ts"
import * as Revision from "../../protocol/Revision.ts"
import type { Peer } from "../../transport/InMemoryTransport.ts"
import * as Call from "./call.ts"
import { JsonRpcError } from "./declaration.ts"
import * as Host from "./host.ts"
import * as Rounds from "./rounds.ts"

const key = <const Name extends string>(name: Name): `io.modelcontextprotocol/${Name}` =>
  `io.modelcontextprotocol/${name}`

/** Results that say how long they may be kept (CACHE-01). */
const cacheable: ReadonlySet<string> = new Set([
  "server/discover",
  "tools/list",
  "prompts/list",
  "resources/list",
  "resources/templates/list",
  "resources/read"
])

/** Results that may ask back (MR-02). */
const asksBack: ReadonlySet<string> = new Set(["tools/call", "prompts/get", "resources/read"])

const { InternalError, InvalidParams, InvalidRequest, MethodNotFound, UnsupportedProtocolVersion } = JsonRpc.ErrorCode

const fail = (code: number, message: string, data?: unknown) =>
  Effect.fail(new JsonRpcError({ code, message, ...(data === undefined ? undefined : { data }) }))

const errorOf = ({ code, data, message }: JsonRpcError): JsonRpc.ErrorObject =>
  data === undefined ? { code, message } : { code, message, data }

const objectOr = <A extends object>(value: unknown, fallback: A): A => JsonRpc.isJsonObject(value) ? value as A : fallback

/** A client that has shaken hands. */
interface Legacy {
  readonly revision: Revision.LegacyRevision
  readonly capabilities: McpSchema.ClientCapabilities
  readonly subscribed: Set<string>
  logLevel: unknown
  initialized: boolean
}

const isWithin = (changed: string, uri: string): boolean =>
  changed === uri || changed.startsWith(uri.endsWith("/") ? uri : `${uri}/`)

/** Speaks with one client until the link is gone; what it was still doing is interrupted then. */
export const serve = Effect.fnUntraced(function*(host: Host.Host, peer: Peer): Effect.fn.Return<void, never, Scope.Scope> {
  const answering = yield* FiberMap.make<JsonRpc.RequestId, void>()
  const rounds = yield* Rounds.make()
  const asked = new Map<JsonRpc.RequestId, Deferred.Deferred<JsonRpc.JsonObject, JsonRpcError>>()
  const listening = new Map<JsonRpc.RequestId, JsonRpc.JsonObject>()
  let legacy: Legacy | undefined
  let nextId = 1

  const notify = (method: string, params?: JsonRpc.JsonObject) => peer.send(JsonRpc.notification(method, params))

  // ---------------------------------------------------------------------------
  // The legacy era
  // ---------------------------------------------------------------------------

  const initialize = Effect.fnUntraced(function*(params: JsonRpc.JsonObject) {
    const { protocolVersion } = params
    if (typeof protocolVersion !== "string") return yield* fail(InvalidParams, "initialize: protocolVersion: Expected string")
    const [newest] = host.legacy
    if (newest === undefined) {
      return yield* fail(UnsupportedProtocolVersion, "Unsupported protocol version", {
        supported: host.modern,
        requested: protocolVersion
      })
    }
    const revision = Revision.newestMutual(host.legacy, [protocolVersion]) ?? newest
    legacy = {
      revision,
      capabilities: objectOr(params.capabilities, {}),
      subscribed: new Set(),
      // Messages come also when nobody asked for a level (LG-02).
      logLevel: "debug",
      initialized: false
    }
    return {
      protocolVersion: revision,
      capabilities: host.capabilities,
      serverInfo: host.info,
      ...(host.instructions === undefined ? undefined : { instructions: host.instructions })
    }
  })

  /** Asks the client with a request of our own, and takes it back when nobody waits any more. */
  const request = (method: string, params: JsonRpc.JsonObject | undefined) =>
    Effect.suspend(() => {
      const id = `mock-${nextId++}`
      const answer = Deferred.makeUnsafe<JsonRpc.JsonObject, JsonRpcError>()
      asked.set(id, answer)
      return peer.send(JsonRpc.request(id, method, params)).pipe(
        Effect.andThen(Deferred.await(answer)),
        Effect.onInterrupt(() => notify("notifications/cancelled", { requestId: id, reason: "no longer needed" })),
        Effect.ensuring(Effect.sync(() => asked.delete(id)))
      )
    })

  const answerLegacy = Effect.fnUntraced(function*(client: Legacy, method: string, params: JsonRpc.JsonObject) {
    yield* Host.admit(host, client.revision, method)
    switch (method) {
      case "logging/setLevel": {
        if (!McpSchema.loggingLevels.some((level) => level === params.level)) {
          return yield* fail(InvalidParams, `logging/setLevel: level: Expected one of ${McpSchema.loggingLevels.join(", ")}`)
        }
        client.logLevel = params.level
        return {}
      }
      case "resources/subscribe":
      case "resources/unsubscribe": {
        const { uri } = params
        if (typeof uri !== "string") return yield* fail(InvalidParams, `${method}: uri: Expected string`)
        if (method === "resources/subscribe") client.subscribed.add(uri)
        else client.subscribed.delete(uri)
        return {}
      }
    }
    const meta = objectOr<JsonRpc.JsonObject>(params._meta, {})
    return yield* Host.answer(host, method, params, Call.make({
      revision: client.revision,
      capabilities: client.capabilities,
      meta,
      notify,
      progressToken: () => meta.progressToken,
      logLevel: () => client.logLevel,
      ask: request
    }))
  })

  // ---------------------------------------------------------------------------
  // The modern era
  // ---------------------------------------------------------------------------

  const listen = Effect.fnUntraced(function*(id: JsonRpc.RequestId, params: JsonRpc.JsonObject) {
    if (!JsonRpc.isJsonObject(params.notifications)) {
      return yield* fail(InvalidParams, "subscriptions/listen: notifications: Expected an object")
    }
    const { capabilities } = host
    const filter = Object.fromEntries(
      Object.entries(params.notifications).filter(([name]) =>
        name === "resourceSubscriptions"
          ? capabilities.resources?.subscribe === true
          : (["tools", "prompts", "resources"] as const).some((kind) =>
            name === `${kind}ListChanged` && capabilities[kind]?.listChanged === true
          )
      )
    )
    listening.set(id, filter)
    yield* notify("notifications/subscriptions/acknowledged", {
      notifications: filter,
      _meta: { [key("subscriptionId")]: id }
    })
    return yield* Effect.ensuring(Effect.never, Effect.sync(() => listening.delete(id)))
  })

  const answerModern = Effect.fnUntraced(function*(id: JsonRpc.RequestId, method: string, params: JsonRpc.JsonObject) {
    const meta = objectOr<JsonRpc.JsonObject>(params._meta, {})
    const requested = meta[key("protocolVersion")]
    const capabilities = meta[key("clientCapabilities")]
    if (typeof requested !== "string") return yield* fail(InvalidParams, `_meta["${key("protocolVersion")}"]: Expected string`)
    if (!JsonRpc.isJsonObject(capabilities)) {
      return yield* fail(InvalidParams, `_meta["${key("clientCapabilities")}"]: Expected an object`)
    }
    const revision = Revision.newestMutual(host.modern, [requested])
    if (revision === undefined) {
      return yield* fail(UnsupportedProtocolVersion, "Unsupported protocol version", { supported: host.modern, requested })
    }
    yield* Host.admit(host, revision, method)
    if (method === "subscriptions/listen") return yield* listen(id, params)
    if (method === "server/discover") {
      return {
        supportedVersions: host.modern,
        capabilities: host.capabilities,
        ...(host.instructions === undefined ? undefined : { instructions: host.instructions })
      }
    }
    const run = (round: Rounds.Round) =>
      Host.answer(host, method, params, Call.make({
        revision,
        capabilities,
        meta,
        notify,
        progressToken: () => round.meta().progressToken,
        logLevel: () => round.meta()[key("logLevel")],
        ask: round.ask
      }))
    if (!asksBack.has(method)) return yield* run({ meta: () => meta, ask: () => fail(InternalError, `${method} cannot ask`) })
    const target = JSON.stringify([method, params.name, params.uri])
    return yield* rounds.next({ target, params, meta }, run)
  })

  const completed = (method: string, result: JsonRpc.JsonObject): JsonRpc.JsonObject => ({
    resultType: "complete",
    ...(cacheable.has(method) && result.resultType === undefined ? { ttlMs: host.ttlMs, cacheScope: "private" } : undefined),
    ...result,
    _meta: { [key("serverInfo")]: host.info, ...objectOr(result._meta, {}) }
  })

  // ---------------------------------------------------------------------------
  // What arrives
  // ---------------------------------------------------------------------------

  const answer = Effect.fnUntraced(function*({ id, method, params = {} }: JsonRpc.Request) {
    if (method === "initialize") return yield* initialize(params)
    const meta = objectOr<JsonRpc.JsonObject>(params._meta, {})
    const modern = meta[key("protocolVersion")] !== undefined || !Revision.has("2025-11-25", method)
    if (host.modern.length > 0 && (modern || host.legacy.length === 0)) {
      return completed(method, yield* answerModern(id, method, params))
    }
    if (method === "ping") return {}
    if (!Revision.has("2025-11-25", method)) return yield* fail(MethodNotFound, `Method not found: ${method}`)
    if (legacy === undefined) return yield* fail(InvalidRequest, `${method} before initialize`)
    return yield* answerLegacy(legacy, method, params)
  })

  const respond = (request: JsonRpc.Request) =>
    Effect.matchCauseEffect(answer(request), {
      onSuccess: (result) => peer.send(JsonRpc.success(request.id, result)),
      onFailure: (cause) => {
        if (Cause.hasInterruptsOnly(cause)) return Effect.void
        const error = Cause.findErrorOption(cause)
        return peer.send(JsonRpc.failure(
          request.id,
          Option.isSome(error)
            ? errorOf(error.value)
            : { code: InternalError, message: `The handler of ${request.method} died: ${Cause.pretty(cause)}` }
        ))
      }
    })

  const settle = (message: JsonRpc.Success | JsonRpc.Failure) =>
    Effect.suspend(() => {
      const waiting = message.id === undefined || message.id === null ? undefined : asked.get(message.id)
      if (waiting === undefined) return Effect.void
      return JsonRpc.isFailure(message)
        ? Deferred.fail(waiting, new JsonRpcError(message.error))
        : Deferred.succeed(waiting, objectOr<JsonRpc.JsonObject>(message.result, {}))
    })

  const receive = (message: JsonRpc.Message): Effect.Effect<unknown> => {
    if (!("method" in message)) return settle(message)
    if ("id" in message) {
      return FiberMap.hasUnsafe(answering, message.id)
        ? peer.send(JsonRpc.failure(message.id, { code: InvalidRequest, message: "The id is in use" }))
        : FiberMap.run(answering, message.id, respond(message))
    }
    return Effect.sync(() => {
      const id = message.params?.requestId
      if (message.method === "notifications/initialized" && legacy !== undefined) legacy.initialized = true
      if (message.method === "notifications/cancelled" && JsonRpc.isRequestId(id)) {
        const fiber = FiberMap.getUnsafe(answering, id)
        if (Option.isSome(fiber)) fiber.value.interruptUnsafe()
      }
    })
  }

  // ---------------------------------------------------------------------------
  // What the server tells on its own account
  // ---------------------------------------------------------------------------

  const told = (method: string, params: JsonRpc.JsonObject, wanted: (filter: JsonRpc.JsonObject) => boolean) =>
    Effect.suspend(() =>
      Effect.forEach([...listening].filter(([, filter]) => wanted(filter)), ([id]) =>
        notify(method, { ...params, _meta: { [key("subscriptionId")]: id } }), { discard: true })
    )
  const session: Host.Session = {
    listChanged: (kind) =>
      Effect.andThen(
        Effect.suspend(() => legacy?.initialized === true ? notify(`notifications/${kind}/list_changed`) : Effect.void),
        told(`notifications/${kind}/list_changed`, {}, (filter) => filter[`${kind}ListChanged`] === true)
      ),
    resourceUpdated: (uri) =>
      Effect.andThen(
        Effect.suspend(() =>
          [...legacy?.subscribed ?? []].some((subscribed) => isWithin(uri, subscribed))
            ? notify("notifications/resources/updated", { uri })
            : Effect.void
        ),
        told("notifications/resources/updated", { uri }, ({ resourceSubscriptions }) =>
          Array.isArray(resourceSubscriptions) && resourceSubscriptions.some((subscribed) => isWithin(uri, String(subscribed))))
      ),
    log: (message) =>
      Effect.suspend(() =>
        legacy?.initialized === true && Call.wants(legacy.logLevel, message.level)
          ? notify("notifications/message", { ...message })
          : Effect.void
      ),
    disconnect: (detail) => peer.close(new McpError.ConnectionClosed({ by: "server", detail }))
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => host.sessions.add(session)),
    () => Effect.sync(() => host.sessions.delete(session))
  )
  yield* Stream.runForEach(peer.incoming, receive)
})
