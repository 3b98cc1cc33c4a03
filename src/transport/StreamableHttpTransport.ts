/**
 * The server is one URL: a POST for every message, the answer in its body or on
 * an event stream (sections 9 and 23.1 of the requirements; H-01 …, L-20 …).
 *
 * A message that names a modern revision stands for itself: its headers are
 * derived from it, closing its stream gives it up. Any other belongs to a
 * session: the id the server gave goes with it, it is given up by a message,
 * broken streams are resumed, and the server may speak on a stream of its own.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import { HttpClient } from "effect/http/HttpClient"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Diagnostic from "../Diagnostic.ts"
import { utf8 } from "../internal/encoding.ts"
import { parseJson } from "../internal/parseJson.ts"
import * as PlainText from "../internal/plainText.ts"
import { Turnstile, type Visitor } from "../internal/turnstile.ts"
import { WaterMark } from "../internal/waterMark.ts"
import * as McpError from "../McpError.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import { type Agreement, type Link, type Receiver, type SendOptions, Transport } from "../Transport.ts"
import * as Answer from "./http/answer.ts"
import * as Body from "./http/body.ts"
import * as Endpoint from "./http/endpoint.ts"
import * as Failure from "./http/failure.ts"
import * as Headers from "./http/headers.ts"
import type * as HttpOptions from "./http/options.ts"
import * as Requests from "./http/requests.ts"
import * as RequestStream from "./http/requestStream.ts"
import * as Retry from "./http/retry.ts"
import type * as Scoped from "./http/scoped.ts"
import * as ServerStream from "./http/serverStream.ts"
import * as Sse from "./http/sse.ts"

export interface Options extends HttpOptions.Options {
  /** Requests that may wait for their answers at once; more wait for one to end. Subscriptions do not count. Default 128. */
  readonly maxInFlight?: number | undefined
}

/** What the server gave us with its answer to `initialize`. A secret (L-21). */
interface Session {
  readonly id: string
  /** Found out by the answer to some request. */
  expired: boolean
}

/** One request and its POST. */
interface Exchange extends Visitor {
  readonly id: JsonRpc.RequestId
  readonly message: JsonRpc.Request
  readonly body: Uint8Array
  readonly extra: SendOptions["headers"]
  readonly modern: boolean
  /** The one its POST went out with. */
  session: Session | undefined
  /** Whether its POST may have reached the server. */
  started: boolean
  settled: boolean
  /** Breaks off a POST without a fiber. */
  giveUp: (() => void) | undefined
  fiber: Fiber.Fiber<unknown, unknown> | undefined
}

/** For messages without an answer: the server has only to accept them. */
const acceptTime: Duration.Input = "30 seconds"

/** Requests wait for `notifications/initialized` to be accepted, but not for ever (L-02). */
const barrierTime: Duration.Input = "5 seconds"

/** The first ones also give the server's own stream this head start: what is said on it before it is there is lost. */
const listenTime: Duration.Input = "250 millis"

/** What a request comes to: its answer was delivered, or there is none. */
type Done = Effect.Effect<void, McpError.McpErrorReason>

const visibleAscii = /^[\u0021-\u007e]+$/

const start = Effect.fnUntraced(function*(
  options: Options,
  receiver: Receiver
): Effect.fn.Return<Link, McpError.McpError, HttpClient | Scope.Scope> {
  const endpoint = yield* Endpoint.make(options)
  const requests = yield* Requests.make(endpoint, options)
  const { shown } = endpoint
  const { maxInFlight = 128, maxMessageBytes = 64 * 1024 * 1024 } = options
  const policy = Retry.resolve(options.retry)
  const inFlight = new Turnstile<Exchange>(maxInFlight, (exchange) => begin(exchange))
  const unaccepted = new WaterMark(maxInFlight)
  const fibers = yield* FiberSet.make<unknown, never>()
  const run = yield* FiberSet.runtime(fibers)()
  const exchanges = new Map<JsonRpc.RequestId, Exchange>()
  let open = true
  let agreement: Agreement | undefined
  let session: Session | undefined
  /** Undefined before `notifications/initialized`, and done when the server has it. */
  let initialized: Deferred.Deferred<void> | undefined
  let listener: Fiber.Fiber<unknown, unknown> | undefined
  /** Done when the server answered to that, in whatever way. */
  let listens = Deferred.makeUnsafe<void>()

  const warn = (detail: string) => {
    if (open) receiver.onDiagnostic(Diagnostic.Warning({ detail }))
  }

  for (const name of endpoint.dropped) warn(`the header "${name}" of the config is not sent: the protocol sets it itself`)

  // ---------------------------------------------------------------------------
  // What arrives
  // ---------------------------------------------------------------------------

  /** An answer may come on any stream (L-42); the POST it is for is then of no more use. */
  const settle = (value: unknown, by: Exchange | undefined) => {
    if (!JsonRpc.isMessage(value) || "method" in value || value.id === undefined || value.id === null) return
    const exchange = exchanges.get(value.id)
    if (exchange === undefined) return
    exchanges.delete(value.id)
    exchange.settled = true
    if (exchange !== by) stop(exchange)
  }

  const deliver = (value: unknown, bytes: number, by?: Exchange) => {
    if (!open) return
    if (!Array.isArray(value)) settle(value, by)
    // Where batches were not agreed, an array answers nothing.
    else if (agreement?.batches === true) for (const message of value) settle(message, by)
    receiver.onMessage(value, bytes)
  }

  const fail = (exchange: Exchange, reason: McpError.McpErrorReason) => {
    if (!open || exchanges.get(exchange.id) !== exchange) return
    exchanges.delete(exchange.id)
    receiver.onFailure(exchange.id, reason)
  }

  const events = (position: ServerStream.Position, by?: Exchange): Sse.Options => ({
    shown,
    maxMessageBytes,
    idleTimeout: options.idleTimeout,
    onEvent({ bytes, data, event, id }) {
      position.id = id ?? position.id
      position.attempts = 0
      if (event !== "message" || data.trim() === "") return true
      const value = parseJson(data)
      if (value !== undefined) deliver(value, bytes, by)
      else if (open) {
        receiver.onDiagnostic(Diagnostic.Skipped({
          detail: "an event that is not JSON",
          excerpt: PlainText.excerpt(data, 200)
        }))
      }
      return by === undefined || !by.settled
    },
    onRetry(millis, id) {
      position.id = id ?? position.id
      position.retry = millis
    }
  })

  // ---------------------------------------------------------------------------
  // Headers
  // ---------------------------------------------------------------------------

  const postHeaders = (message: JsonRpc.Message, session: Session | undefined, extra: SendOptions["headers"]) =>
    Headers.isModern(message, agreement)
      ? Headers.modern(message, agreement, extra)
      : Headers.post(Headers.session(agreement, session))

  const get = (session: Session | undefined, lastEventId: string | undefined): Requests.Request => ({
    verb: "GET",
    headers: {
      accept: "text/event-stream",
      ...Headers.session(agreement, session),
      ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId })
    }
  })

  // ---------------------------------------------------------------------------
  // Requests
  // ---------------------------------------------------------------------------

  /** Takes over the session a server begins with its answer to `initialize`. */
  const adopt = (exchange: Exchange, response: HttpClientResponse) =>
    Effect.suspend(() => {
      const id = response.headers["mcp-session-id"]
      if (id === undefined) return Effect.void
      if (!visibleAscii.test(id)) {
        const detail = "its MCP-Session-Id has characters other than visible ASCII"
        return Effect.fail(new McpError.InvalidResponse({ method: exchange.message.method, detail }))
      }
      session = { id, expired: false }
      exchange.session = session
      return Effect.void
    })

  const refuse = (exchange: Exchange, response: HttpClientResponse) =>
    Effect.flatMap(Failure.fromResponse(response, { verb: "POST", shown }), ({ bytes, id, reason }): Done => {
      if (exchange.session !== undefined && Failure.saysExpired(reason)) {
        exchange.session.expired = true
        return Effect.fail(new McpError.SessionExpired({ url: shown, delivered: false }))
      }
      // Status and body together are evidence while nothing is agreed, and what is to be done about a 401 or a pause is in the status.
      if (
        agreement === undefined || reason.error === undefined || (id !== null && id !== exchange.id) ||
        reason.status === 401 || reason.retryAfterMillis !== undefined
      ) return Effect.fail(reason)
      deliver(JsonRpc.failure(exchange.id, reason.error), bytes, exchange)
      return Effect.void
    })

  const follow = (exchange: Exchange, position: ServerStream.Position, first: RequestStream.Options["first"]) =>
    RequestStream.follow({
      request: exchange,
      position,
      first,
      open: (last) => requests.open(get(exchange.session, last)),
      read: (response) => Sse.read(response, events(position, exchange)),
      shown
    })

  /** Delivers the answer of a body, or fails. */
  const takeBody = (exchange: Exchange, response: HttpClientResponse, { bytes, text }: Body.Text) => {
    const { id, message: { method } } = exchange
    const answer = Answer.read(response, text, { id, method, batches: agreement?.batches === true })
    if ("_tag" in answer) return Effect.fail(answer)
    deliver(answer.value, bytes, exchange)
    return undefined
  }

  const readBody = (exchange: Exchange, response: HttpClientResponse): Done => {
    if (Body.mediaType(response) === "text/event-stream") {
      const position = ServerStream.start()
      return follow(exchange, position, Effect.scoped(Sse.read(response, events(position, exchange))))
    }
    return Effect.matchEffect(Body.read(response, maxMessageBytes), {
      onFailure: (error) => Effect.fail(Failure.fromError(error, shown)),
      onSuccess: (body): Done =>
        body.cut === true
          ? Effect.fail(new McpError.MessageTooLarge({ limitBytes: maxMessageBytes }))
          : takeBody(exchange, response, body) ?? Effect.void
    })
  }

  const receive = (exchange: Exchange) => (response: HttpClientResponse): Done => {
    if (!Body.isSuccess(response)) return refuse(exchange, response)
    const done = readBody(exchange, response)
    return exchange.message.method === "initialize" ? Effect.andThen(adopt(exchange, response), done) : done
  }

  /** The same, as far as it takes no time: what is left to do, `undefined` when the answer was delivered. */
  const receiveNow = (exchange: Exchange, request: Requests.Request, head: Scoped.Head) => {
    const response = Exit.isSuccess(head) && head.value.status === 200 ? head.value : undefined
    const body = response === undefined ? undefined : Body.whole(response, maxMessageBytes)
    if (response === undefined || body === undefined || exchange.message.method === "initialize") {
      return requests.follow(request, head, receive(exchange))
    }
    if (Body.mediaType(response) !== "text/event-stream") return takeBody(exchange, response, body)
    const position = ServerStream.start()
    const end = Sse.take(body, events(position, exchange))
    return exchange.settled ? undefined : follow(exchange, position, typeof end === "string" ? Effect.void : Effect.fail(end))
  }

  const post = (exchange: Exchange): Requests.Request => {
    exchange.session = exchange.modern ? undefined : session
    exchange.started = true
    return { verb: "POST", headers: postHeaders(exchange.message, exchange.session, exchange.extra), body: exchange.body }
  }

  const attempt = (exchange: Exchange) => Effect.suspend(() => requests.use(post(exchange), receive(exchange)))

  const barrier = (): Effect.Effect<void> | undefined => {
    const accepted = initialized
    if (accepted === undefined || (Deferred.isDoneUnsafe(accepted) && Deferred.isDoneUnsafe(listens))) return undefined
    return passBy(accepted, barrierTime).pipe(Effect.andThen(passBy(listens, listenTime)))
  }

  /** Waits for something that may not come, and is not waited for again then. */
  const passBy = (sign: Deferred.Deferred<void>, atMost: Duration.Input) =>
    Effect.andThen(Effect.timeoutOption(Deferred.await(sign), atMost), Deferred.succeed(sign, void 0))

  /** Does all that takes time, asking again included, in a fiber. */
  const work = (exchange: Exchange, first: Done) => {
    const { method } = exchange.message
    exchange.fiber = run(
      Retry.run(policy, () => ({ method, agreed: agreement !== undefined }), attempt(exchange), first).pipe(
        Effect.catch((reason) => Effect.sync(() => fail(exchange, reason))),
        Effect.catchCause((cause) => {
          if (Cause.hasInterruptsOnly(cause)) return Effect.void
          const reason = new McpError.Unreachable({ url: shown, delivered: true, detail: "its answer could not be handled; the log says why" })
          return Effect.andThen(Effect.logError("Handling an answer failed", cause), Effect.sync(() => fail(exchange, reason)))
        }),
        Effect.ensuring(Effect.sync(() => inFlight.leave(exchange)))
      )
    )
  }

  const begin = (exchange: Exchange) => {
    if (!open) return
    const wait = barrier()
    if (wait !== undefined) return work(exchange, Effect.andThen(wait, attempt(exchange)))
    const request = post(exchange)
    // Most answers are there all at once and need no fiber.
    exchange.giveUp = requests.begin(request, (head) => {
      const { giveUp } = exchange
      exchange.giveUp = undefined
      let rest: Done | undefined
      try {
        rest = head === undefined ? attempt(exchange) : receiveNow(exchange, request, head)
      } catch (defect) {
        rest = Effect.die(defect)
      }
      if (rest === undefined) return inFlight.leave(exchange)
      work(exchange, Effect.ensuring(rest, Effect.sync(() => giveUp?.())))
    })
    if (exchange.giveUp === undefined) work(exchange, attempt(exchange))
  }

  /** Ends whatever is done for it. */
  const stop = (exchange: Exchange) => {
    exchange.giveUp?.()
    exchange.fiber?.interruptUnsafe()
    inFlight.leave(exchange)
  }

  const sendRequest = (message: JsonRpc.Request, body: Uint8Array, extra: SendOptions["headers"]) => {
    const exchange: Exchange = {
      id: message.id,
      message,
      body,
      extra,
      modern: Headers.isModern(message, agreement),
      session: undefined,
      started: false,
      settled: false,
      giveUp: undefined,
      fiber: undefined,
      place: "outside"
    }
    exchanges.set(message.id, exchange)
    if (exchange.modern && !visibleAscii.test(message.method)) {
      const detail = "its method goes into a header, and has characters other than visible ASCII"
      return fail(exchange, new McpError.InvalidArguments({ method: message.method, detail }))
    }
    // A subscription lasts as long as the link, and would take its place from the others for ever.
    if (message.method === "subscriptions/listen") begin(exchange)
    else inFlight.enter(exchange)
  }

  // ---------------------------------------------------------------------------
  // Messages without an answer
  // ---------------------------------------------------------------------------

  const tell = (message: JsonRpc.Notification | JsonRpc.Success | JsonRpc.Failure, body: Uint8Array, after: Effect.Effect<void>) => {
    unaccepted.rise(1)
    const what = "method" in message ? message.method : "a reply"
    const once = Effect.suspend(() => {
      const used = session
      return requests.use({ verb: "POST", headers: postHeaders(message, used, undefined), body }, (response) => {
        if (Body.isSuccess(response)) return Body.drain(response)
        return Effect.flatMap(Failure.fromResponse(response, { verb: "POST", shown }), ({ reason }) => {
          if (used !== undefined && Failure.saysExpired(reason)) used.expired = true
          return Effect.fail(reason)
        })
      })
    })
    run(
      Retry.run(policy, () => ({ method: what, agreed: agreement !== undefined }), once).pipe(
        Effect.timeoutOrElse({
          duration: acceptTime,
          orElse: () => Effect.fail(new McpError.Unreachable({ url: shown, delivered: true, detail: "it does not answer" }))
        }),
        Effect.catch((reason) => Effect.sync(() => warn(`${what} was not accepted: ${reason.message}`))),
        Effect.ensuring(Effect.andThen(Effect.sync(() => unaccepted.fall(1)), after))
      )
    )
  }

  // ---------------------------------------------------------------------------
  // The server's own stream (L-26)
  // ---------------------------------------------------------------------------

  /** When a legacy revision is agreed and the server knows that we are ready, in whichever order. */
  const listenIfReady = () => {
    if (!open || agreement?.stateless !== false || initialized === undefined || !Deferred.isDoneUnsafe(initialized)) return
    const listening = session
    const ask: ServerStream.Options["ask"] = (last, use) => requests.use(get(listening, last), use)
    const read: ServerStream.Options["read"] = (response, position) => Sse.read(response, events(position))
    listener ??= run(ServerStream.listen({ ask, answered: listens, read, shown, warn }))
  }

  // ---------------------------------------------------------------------------
  // The end
  // ---------------------------------------------------------------------------

  const endSession = Effect.suspend(() => {
    if (session === undefined || session.expired || agreement?.stateless === true) return Effect.void
    return Effect.ignore(Effect.scoped(requests.open({ verb: "DELETE", headers: Headers.session(agreement, session) })))
  })

  yield* Effect.addFinalizer(() =>
    Effect.gen(function*() {
      receiver.onClose(McpError.scopeClosed)
      open = false
      unaccepted.release()
      for (const exchange of exchanges.values()) stop(exchange)
      yield* FiberSet.clear(fibers)
      // Detached, so that an interruption of the closing fiber does not cut it short.
      const ending = yield* Effect.forkDetach(endSession, { startImmediately: true })
      yield* Effect.timeoutOption(Fiber.await(ending), options.closeTimeout ?? "2 seconds")
      ending.interruptUnsafe()
    })
  )

  return {
    send(message, sendOptions) {
      const body = utf8(JSON.stringify(message))
      if (!open) return 0
      if (JsonRpc.isRequest(message)) {
        if (message.method === "initialize") {
          agreement = session = initialized = undefined
          listener?.interruptUnsafe()
          listener = undefined
        }
        sendRequest(message, body, sendOptions?.headers)
      } else if ("method" in message && message.method === "notifications/initialized") {
        const accepted = Deferred.makeUnsafe<void>()
        initialized = accepted
        listens = Deferred.makeUnsafe()
        tell(message, body, Effect.andThen(Deferred.succeed(accepted, void 0), Effect.sync(listenIfReady)))
      } else {
        tell(message, body, Effect.void)
      }
      return body.length
    },
    backpressure: () => unaccepted.wait(),
    abandon(id, reason) {
      const exchange = exchanges.get(id)
      if (exchange === undefined) return
      exchanges.delete(id)
      const { message: { method }, modern, started } = exchange
      // Closing the stream would be no cancellation there, so the message goes first.
      if (modern || !started || method === "initialize" || exchange.session !== session) return stop(exchange)
      const cancelled = JsonRpc.notification("notifications/cancelled", { requestId: id, reason })
      tell(cancelled, utf8(JSON.stringify(cancelled)), Effect.sync(() => stop(exchange)))
    },
    agreed(agreed) {
      agreement = agreed
      listenIfReady()
    }
  }
})

/**
 * A transport to a server behind a URL, over whatever `HttpClient` is provided.
 * Opening sends nothing; it fails with `InvalidConfig` for a URL or a header
 * that cannot be used. The link never closes by itself. A request fails alone:
 *
 * - `HttpStatus`: with the beginning of the body, its JSON-RPC error if it has
 *   one, and `Retry-After`. Once a revision is agreed such an error is delivered
 *   as the answer it is (H-11).
 * - `Unreachable`: no answer; `delivered` tells whether it may have been handled.
 * - `SessionExpired`: begin a new one with `initialize`.
 * - `MessageTooLarge`, `InvalidResponse`: the answer cannot be used.
 *
 * What is safe is repeated (see `RetryPolicy`). Closing the scope aborts
 * everything and ends the session on the server, within `closeTimeout`.
 *
 * **Example**
 *
 * ```ts
 * const program = Effect.gen(function*() {
 *   const transport = yield* StreamableHttpTransport.make({
 *     url: "https://example.com/mcp",
 *     headers: { authorization: Redacted.make("Bearer …") }
 *   })
 *   const link = yield* transport.open(receiver)
 *   link.send(JsonRpc.request(1, "ping", undefined))
 * })
 * ```
 */
export const make = (options: Options): Effect.Effect<Transport["Service"], never, HttpClient> =>
  Effect.map(HttpClient, (client) =>
    Transport.of({
      kind: "http",
      network: "tcp",
      http: true,
      endpoint: Endpoint.describe(options.url),
      open: (receiver) => Effect.provideService(start(options, receiver), HttpClient, client)
    }))

/** A layer of {@link make}. */
export const layer = (options: Options): Layer.Layer<Transport, never, HttpClient> => Layer.effect(Transport, make(options))
