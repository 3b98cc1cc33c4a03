/**
 * One session of the Streamable HTTP of the older revisions: a link to the
 * server, the answers to what is posted, and one stream for what belongs to no
 * call.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import type * as Scope from "effect/Scope"
import * as McpError from "../McpError.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import type { Binding } from "../Transport.ts"
import * as Exchange from "./exchange.ts"
import * as Failure from "./failure.ts"
import * as Reply from "./reply.ts"

type Headers = Readonly<Record<string, string>>

export interface Options extends Exchange.Options {
  /** How long a session lives without a request in flight or a stream. */
  readonly idleTimeout: Duration.Duration
}

export interface Session {
  /** Hands posted messages to the server, and gives its answers where any of them is a request. */
  readonly post: (body: Reply.Body, headers: Headers) => Effect.Effect<HttpServerResponse, never, Scope.Scope>
  /** The stream of what belongs to no call. The newest takes the place of the one before. */
  readonly stream: (headers: Headers) => Effect.Effect<HttpServerResponse, never, Scope.Scope>
  /** Ends when the session is to be closed: its server is gone, its peer does not read, or nobody used it. */
  readonly ended: Effect.Effect<void>
}

/** Requests that were posted together, and their way back. */
interface Call {
  readonly exchange: Exchange.Exchange
  readonly waiting: Set<JsonRpc.RequestId>
  readonly tokens: ReadonlySet<unknown>
  isCancelled: boolean
}

/** Messages kept while there is no stream to send them on. */
const maxKept = 256

const tokenOf = ({ params }: JsonRpc.Request): unknown =>
  JsonRpc.isJsonObject(params?._meta) ? params._meta.progressToken : undefined

/** Begins a session, which ends with the scope. */
export const open = Effect.fnUntraced(function*(
  binding: Binding,
  options: Options
): Effect.fn.Return<Session, McpError.McpError, Scope.Scope> {
  const over = yield* Deferred.make<void>()
  const calls = new Set<Call>()
  let stream: Exchange.Exchange | undefined
  let kept: Array<{ readonly message: JsonRpc.Message; readonly size: number }> = []
  /** Why there will be no more answers. */
  let gone: McpError.McpErrorReason | undefined
  let inUse = 0
  let lastUsed = yield* Clock.currentTimeMillis

  const finish = (reason: McpError.McpErrorReason) => {
    if (gone !== undefined) return
    gone = reason
    for (const { exchange, waiting } of calls) {
      for (const id of waiting) exchange.offer(Failure.answer(id, reason))
      exchange.end()
    }
    calls.clear()
    stream?.end()
    Deferred.doneUnsafe(over, Effect.void)
  }

  const tell = (exchange: Exchange.Exchange, message: JsonRpc.Message) => {
    if (!exchange.offer(message)) {
      finish(new McpError.ConnectionClosed({ by: "client", detail: "the peer does not read what is sent to it" }))
    }
  }

  /** Waits for a stream; where nobody asks for one, the oldest gives way. */
  const keep = (message: JsonRpc.Message) => {
    kept.push({ message, size: JSON.stringify(message).length })
    while (kept.length > maxKept || kept.reduce((sum, { size }) => sum + size, 0) > options.maxBufferedBytes) {
      const dropped = kept.shift()?.message
      if (dropped !== undefined && JsonRpc.isRequest(dropped)) {
        link.send(JsonRpc.failure(dropped.id, { code: JsonRpc.ErrorCode.InternalError, message: "the client does not listen" }))
      }
    }
  }

  const callOf = (id: JsonRpc.RequestId) => [...calls].find(({ waiting }) => waiting.has(id))

  /** There is one answer less to come, and after the last of them nothing. */
  const settle = (call: Call, id: JsonRpc.RequestId) => {
    call.waiting.delete(id)
    if (call.waiting.size > 0) return
    calls.delete(call)
    call.exchange.end()
  }

  /** There is no answer to come, and the peer does not always hang up. */
  const cancelled = (id: unknown) => {
    if (!JsonRpc.isRequestId(id)) return
    const call = callOf(id)
    if (call === undefined) return
    call.isCancelled = true
    settle(call, id)
  }

  const route = (message: JsonRpc.Message) => {
    if (!("method" in message)) {
      const call = message.id == null ? undefined : callOf(message.id)
      if (call !== undefined && message.id != null) {
        tell(call.exchange, message)
        return settle(call, message.id)
      }
    } else if (message.method === "notifications/progress") {
      const call = [...calls].find(({ tokens }) => tokens.has(message.params?.progressToken))
      if (call !== undefined) return tell(call.exchange, message)
    }
    const other = stream ?? [...calls].at(-1)?.exchange
    if (other === undefined) keep(message)
    else tell(other, message)
  }

  const link = yield* binding.open({
    onMessage: (value) => {
      for (const item of Array.isArray(value) ? value : [value]) if (JsonRpc.isMessage(item)) route(item)
    },
    onDiagnostic: () => {},
    onFailure: (id, reason) => route(Failure.answer(id, reason)),
    onClose: finish
  })
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => finish(new McpError.ConnectionClosed({ by: "client", detail: "the session was closed" }))))

  const begin = Effect.sync(() => {
    inUse++
  })
  const done = Effect.map(Clock.currentTimeMillis, (now) => {
    inUse--
    lastUsed = now
  })

  const idleMillis = Duration.toMillis(options.idleTimeout)
  const unused = Effect.gen(function*() {
    while (true) {
      const left = inUse > 0 ? idleMillis : lastUsed + idleMillis - (yield* Clock.currentTimeMillis)
      if (left <= 0) return
      yield* Effect.sleep(left)
    }
  })
  if (idleMillis !== Infinity) {
    yield* Effect.forkScoped(Effect.andThen(unused, Deferred.succeed(over, undefined)))
  }

  const send = Effect.fnUntraced(function*(messages: ReadonlyArray<JsonRpc.Message>) {
    for (const message of messages) {
      const full = link.backpressure()
      if (full !== undefined) yield* full
      link.send(message)
      if ("method" in message && message.method === "notifications/cancelled") cancelled(message.params?.requestId)
    }
  })

  return {
    ended: Deferred.await(over),
    post: Effect.fnUntraced(function*({ batch, messages }, headers) {
      const requests = messages.filter(JsonRpc.isRequest)
      const waiting = new Set(requests.map(({ id }) => id))
      if (waiting.size < requests.length || [...calls].some((call) => requests.some(({ id }) => call.waiting.has(id)))) {
        return Reply.refuse(400, JsonRpc.ErrorCode.InvalidRequest, "a request with this id is in flight", { headers })
      }
      if (requests.length === 0) {
        yield* begin
        yield* Effect.ensuring(Effect.interruptible(send(messages)), done)
        return Reply.accepted(headers)
      }
      const exchange = yield* Exchange.make(options)
      const tokens = new Set(requests.map(tokenOf).filter((token) => token !== undefined))
      const call: Call = { exchange, waiting, tokens, isCancelled: false }
      // What hangs up did not cancel: the answer goes to the stream.
      const release = Effect.tap(done, () => Effect.sync(() => calls.delete(call)))
      yield* begin
      calls.add(call)
      yield* Effect.onError(Effect.interruptible(send(messages)), () => release)
      if (gone !== undefined && calls.delete(call)) {
        for (const id of waiting) exchange.offer(Failure.answer(id, gone))
        exchange.end()
      }
      return yield* exchange.respond({
        mode: batch ? "stream" : "either",
        headers,
        emptyStatus: () => call.isCancelled ? 202 : 503,
        release
      })
    }),
    stream: Effect.fnUntraced(function*(headers) {
      const exchange = yield* Exchange.make(options)
      stream?.end()
      stream = exchange
      yield* begin
      const waiting = kept
      kept = []
      for (const { message } of waiting) tell(exchange, message)
      return yield* exchange.respond({
        mode: "stream",
        headers,
        release: Effect.tap(done, () =>
          Effect.sync(() => {
            if (stream === exchange) stream = undefined
          }))
      })
    })
  }
})
