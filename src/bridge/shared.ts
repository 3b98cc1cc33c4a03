/**
 * One link to a server for many sessions. Every session has ids, progress
 * tokens and subscriptions of its own, which are unique on the link and come
 * back to their owner as they were.
 *
 * What one link cannot have twice is everybody's: the handshake of the older
 * revisions (the first session's capabilities and revision), the log level, and
 * the state the server keeps for its one client. Changes of a resource go to
 * those who subscribed to it, other messages of the server that name no request
 * to every session; its questions go to a session with a call in flight.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as RcRef from "effect/RcRef"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { McpErrorReason } from "../McpError.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import type { Binding, Link, Receiver } from "../Transport.ts"
import * as Failure from "./failure.ts"

export interface Options {
  /** How long the link is kept while there is no session. Default: for as long as the scope is open. */
  readonly idleTimeout?: Duration.Input | undefined
  /** Most requests in flight on the link, and as many questions of the server; further ones are refused. */
  readonly maxRequests: number
}

/** Resources that sessions subscribe to. Only an end of one takes it away again. */
const maxSubscriptions = 10_000

const subscriptionKey = "io.modelcontextprotocol/subscriptionId"
const logLevelKey = "io.modelcontextprotocol/logLevel"

/** One session on the link. */
interface Member {
  readonly receiver: Receiver
  /** Requests in flight, by the ids the session gave them. */
  readonly calls: Map<JsonRpc.RequestId, number>
}

/** A request in flight, by its id on the link. */
interface Call {
  /** Nobody, once its session has left. */
  owner: Member | undefined
  readonly id: JsonRpc.RequestId
  readonly method: string
  /** What the session gave it to be told of its progress. */
  readonly progressToken: unknown
  /** Whether it asked for log messages. */
  readonly logs: boolean
  /** What its answer is for beside its owner. */
  readonly onAnswer?: (answer: JsonRpc.Success | JsonRpc.Failure) => void
}

const metaOf = (params: unknown): JsonRpc.JsonObject | undefined =>
  JsonRpc.isJsonObject(params) && JsonRpc.isJsonObject(params._meta) ? params._meta : undefined

const withMeta = (params: JsonRpc.JsonObject, key: string, value: unknown): JsonRpc.JsonObject => ({
  ...params,
  _meta: { ...metaOf(params), [key]: value }
})

/** Members join it and leave it. One per link. */
class Hub {
  /** Why the link is gone. */
  closed: McpErrorReason | undefined
  private link: Link | undefined
  private lastId = 0
  private readonly members = new Set<Member>()
  private readonly calls = new Map<number, Call>()
  /** Questions of the server, and who was asked. */
  private readonly asked = new Map<JsonRpc.RequestId, Member>()
  private readonly subscribers = new Map<string, Set<Member>>()
  private handshake: { answer?: JsonRpc.Success | JsonRpc.Failure; readonly waiting: Map<Member, JsonRpc.RequestId> } | undefined
  private initialized = false
  /** What the latest message took on the wire. */
  private bytes = 0
  private readonly maxRequests: number

  constructor({ maxRequests }: Options) {
    this.maxRequests = maxRequests
  }

  readonly receiver: Receiver = {
    onMessage: (value, bytes) => {
      this.bytes = bytes
      for (const item of Array.isArray(value) ? value : [value]) if (JsonRpc.isMessage(item)) this.fromServer(item)
    },
    onDiagnostic: (diagnostic) => {
      for (const { receiver } of this.members) receiver.onDiagnostic(diagnostic)
    },
    onFailure: (id, reason) => {
      if (typeof id === "number") this.settle(id, Failure.answer(id, reason))
    },
    onClose: (reason) => {
      this.closed = reason
      const members = [...this.members]
      this.members.clear()
      this.calls.clear()
      this.asked.clear()
      for (const { receiver } of members) receiver.onClose(reason)
    }
  }

  opened(link: Link): void {
    this.link = link
  }

  join(receiver: Receiver): { readonly link: Link; readonly leave: () => void } {
    const member: Member = { receiver, calls: new Map() }
    if (this.closed === undefined) this.members.add(member)
    else receiver.onClose(this.closed)
    return {
      link: {
        send: (message) => this.members.has(member) ? this.fromMember(member, message) : 0,
        backpressure: () => this.link?.backpressure(),
        abandon: (id, reason) => this.abandon(member, id, reason)
      },
      leave: () => this.leave(member)
    }
  }

  // ---------------------------------------------------------------------------
  // To the server
  // ---------------------------------------------------------------------------

  private forward(message: JsonRpc.Message): number {
    return this.link?.send(message) ?? 0
  }

  private fromMember(member: Member, message: JsonRpc.Message): number {
    if (JsonRpc.isRequest(message)) return this.request(member, message)
    if ("method" in message) return this.notification(member, message)
    const { id } = message
    // Only who was asked answers.
    if (!JsonRpc.isRequestId(id) || this.asked.get(id) !== member) return 0
    this.asked.delete(id)
    return this.forward(message)
  }

  private request(member: Member, request: JsonRpc.Request): number {
    if (member.calls.has(request.id)) return this.decline(member, request.id, "a request with this id is in flight")
    if (request.method === "initialize" && this.handshake !== undefined) {
      const { answer, waiting } = this.handshake
      if (answer !== undefined) this.deliver(member, { ...answer, id: request.id })
      else if (waiting.has(member)) return this.decline(member, request.id, "this session is being initialized")
      else waiting.set(member, request.id)
      return 0
    }
    if (request.method === "resources/unsubscribe" && this.unsubscribe(member, request.params?.uri)) {
      this.deliver(member, JsonRpc.success(request.id, {}))
      return 0
    }
    if (this.calls.size >= this.maxRequests) {
      return this.decline(member, request.id, "there are too many requests in flight", JsonRpc.ErrorCode.InternalError)
    }
    if (request.method === "resources/subscribe" && typeof request.params?.uri === "string") {
      const members = this.subscribers.get(request.params.uri) ?? new Set()
      if (members.size === 0 && this.subscribers.size >= maxSubscriptions) {
        return this.decline(member, request.id, "there are too many subscriptions", JsonRpc.ErrorCode.InternalError)
      }
      this.subscribers.set(request.params.uri, members.add(member))
    }
    return this.call(member, request, request.method === "initialize" ? this.shakeHands() : undefined)
  }

  private decline(member: Member, id: JsonRpc.RequestId, message: string, code: number = JsonRpc.ErrorCode.InvalidRequest): number {
    this.deliver(member, JsonRpc.failure(id, { code, message }))
    return 0
  }

  /** Keeps of a request what its answer needs: there may be many, with large arguments. */
  private call(owner: Member | undefined, { id, method, params }: JsonRpc.Request, onAnswer?: Call["onAnswer"]): number {
    const upstream = ++this.lastId
    const meta = metaOf(params)
    const progressToken = meta?.progressToken
    this.calls.set(upstream, {
      owner,
      id,
      method,
      progressToken,
      logs: meta?.[logLevelKey] !== undefined,
      ...(onAnswer === undefined ? {} : { onAnswer })
    })
    owner?.calls.set(id, upstream)
    return this.forward(JsonRpc.request(
      upstream,
      method,
      params !== undefined && progressToken !== undefined ? withMeta(params, "progressToken", upstream) : params
    ))
  }

  /** The server shakes hands once; who comes later is given the same answer. */
  private shakeHands() {
    const handshake: NonNullable<Hub["handshake"]> = { waiting: new Map() }
    this.handshake = handshake
    return (answer: JsonRpc.Success | JsonRpc.Failure) => {
      // One that was refused may be tried again.
      if (JsonRpc.isFailure(answer)) this.handshake = undefined
      else handshake.answer = answer
      for (const [member, id] of handshake.waiting) this.deliver(member, { ...answer, id })
    }
  }

  private notification(member: Member, message: JsonRpc.Notification): number {
    switch (message.method) {
      case "notifications/initialized": {
        if (this.initialized) return 0
        this.initialized = true
        return this.forward(message)
      }
      case "notifications/cancelled": {
        const { reason, requestId } = message.params ?? {}
        if (JsonRpc.isRequestId(requestId)) this.abandon(member, requestId, typeof reason === "string" ? reason : "cancelled")
        return 0
      }
      default:
        return this.forward(message)
    }
  }

  private abandon(member: Member, id: JsonRpc.RequestId, reason: string): void {
    const upstream = member.calls.get(id)
    if (upstream === undefined) return
    member.calls.delete(id)
    const call = this.calls.get(upstream)
    // A handshake is not to be cancelled, and others may wait for it.
    if (call?.method === "initialize") call.owner = undefined
    else if (this.calls.delete(upstream)) this.link?.abandon(upstream, reason)
  }

  /** Whether others want to hear of the resource still, so that the server is not to be told. */
  private unsubscribe(member: Member, uri: unknown): boolean {
    if (typeof uri !== "string") return false
    const members = this.subscribers.get(uri)
    if (members === undefined) return false
    members.delete(member)
    if (members.size === 0) this.subscribers.delete(uri)
    return members.size > 0
  }

  private leave(member: Member): void {
    if (!this.members.delete(member)) return
    this.handshake?.waiting.delete(member)
    for (const id of member.calls.keys()) this.abandon(member, id, "its session has ended")
    for (const [id, other] of this.asked) {
      if (other !== member) continue
      this.asked.delete(id)
      this.refuse(id, "the client that was asked has left")
    }
    for (const [uri, members] of this.subscribers) {
      if (members.has(member) && !this.unsubscribe(member, uri)) {
        this.call(undefined, JsonRpc.request(0, "resources/unsubscribe", { uri }))
      }
    }
  }

  private refuse(id: JsonRpc.RequestId, message: string): void {
    this.forward(JsonRpc.failure(id, { code: JsonRpc.ErrorCode.InternalError, message }))
  }

  // ---------------------------------------------------------------------------
  // From the server
  // ---------------------------------------------------------------------------

  private deliver({ receiver }: Member, message: JsonRpc.Message): void {
    receiver.onMessage(message, this.bytes)
  }

  private fromServer(message: JsonRpc.Message): void {
    if (JsonRpc.isRequest(message)) return this.question(message)
    if (!("method" in message)) {
      if (typeof message.id === "number") this.settle(message.id, message)
      return
    }
    const { method, params = {} } = message
    switch (method) {
      case "notifications/progress": {
        const call = typeof params.progressToken === "number" ? this.calls.get(params.progressToken) : undefined
        if (call?.owner === undefined || call.progressToken === undefined) return
        return this.deliver(call.owner, { ...message, params: { ...params, progressToken: call.progressToken } })
      }
      case "notifications/cancelled":
        return this.cancelledByServer(message, params.requestId)
    }
    const subscription = metaOf(params)?.[subscriptionKey]
    if (typeof subscription === "number") {
      const call = this.calls.get(subscription)
      if (call?.owner === undefined) return
      return this.deliver(call.owner, { ...message, params: withMeta(params, subscriptionKey, call.id) })
    }
    for (const member of this.audience(method, params.uri)) this.deliver(member, message)
  }

  /**
   * Log messages go to those whose requests in flight asked for them, if any did
   * (S-06), and changes of a resource to those who subscribed to it.
   */
  private audience(method: string, uri: unknown): ReadonlyArray<Member> {
    const subscribers = method === "notifications/resources/updated" && typeof uri === "string" ? this.subscribers.get(uri) : undefined
    if (subscribers !== undefined) return [...subscribers]
    const askers = method !== "notifications/message" ? [] : [...this.calls.values()].flatMap(({ logs, owner }) =>
      logs && owner !== undefined ? [owner] : [])
    return askers.length > 0 ? [...new Set(askers)] : [...this.members]
  }

  private cancelledByServer(message: JsonRpc.Notification, id: unknown): void {
    if (!JsonRpc.isRequestId(id)) return
    const asked = this.asked.get(id)
    if (asked !== undefined) {
      this.asked.delete(id)
      return this.deliver(asked, message)
    }
    // The end of a subscription.
    const call = typeof id === "number" ? this.calls.get(id) : undefined
    if (typeof id !== "number" || call?.owner === undefined) return
    this.calls.delete(id)
    call.owner.calls.delete(call.id)
    this.deliver(call.owner, { ...message, params: { ...message.params, requestId: call.id } })
  }

  private settle(id: number, answer: JsonRpc.Success | JsonRpc.Failure): void {
    const call = this.calls.get(id)
    if (call === undefined) return
    this.calls.delete(id)
    call.owner?.calls.delete(call.id)
    if (call.owner !== undefined) this.deliver(call.owner, this.unmapped(call, answer))
    call.onAnswer?.(answer)
  }

  private unmapped({ id }: Call, answer: JsonRpc.Success | JsonRpc.Failure): JsonRpc.Message {
    if ("result" in answer && JsonRpc.isJsonObject(answer.result) && metaOf(answer.result)?.[subscriptionKey] === answer.id) {
      return { ...answer, id, result: withMeta(answer.result, subscriptionKey, id) }
    }
    return { ...answer, id }
  }

  private question(message: JsonRpc.Request): void {
    if (message.method === "ping") {
      this.forward(JsonRpc.success(message.id, {}))
      return
    }
    // The newest call is the likeliest to have made the server ask.
    const member = [...this.calls.values()].findLast(({ owner }) => owner !== undefined)?.owner
    if (member === undefined) return this.refuse(message.id, "no client has a call in flight that could be asked")
    if (this.asked.size >= this.maxRequests) return this.refuse(message.id, "there are too many questions without an answer")
    this.asked.set(message.id, member)
    this.deliver(member, message)
  }
}

/**
 * A binding whose openings are sessions on one link of `binding`. The link is
 * opened with the first of them, and again after it was lost: then every
 * session is closed with its reason. A session that leaves has its calls
 * cancelled at the server.
 */
export const make = Effect.fnUntraced(function*(
  binding: Binding,
  options: Options
): Effect.fn.Return<Binding, never, Scope.Scope> {
  const opening = yield* Semaphore.make(1)
  const links = yield* RcRef.make({
    acquire: Effect.gen(function*() {
      const hub = new Hub(options)
      hub.opened(yield* binding.open(hub.receiver))
      return hub
    }),
    idleTimeToLive: options.idleTimeout ?? "Infinity"
  })
  const alive = opening.withPermit(Effect.gen(function*() {
    const hub = yield* RcRef.get(links)
    if (hub.closed === undefined) return hub
    yield* RcRef.invalidate(links)
    return yield* RcRef.get(links)
  }))
  return {
    kind: binding.kind,
    network: binding.network,
    open: Effect.fnUntraced(function*(receiver) {
      const hub = yield* alive
      const { link, leave } = hub.join(receiver)
      yield* Effect.addFinalizer(() => Effect.sync(leave))
      return link
    })
  }
})
