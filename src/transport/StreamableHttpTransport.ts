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
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import { HttpClient } from "effect/http/HttpClient"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Diagnostic from "../Diagnostic.ts"
import { parseJson } from "../internal/parseJson.ts"
import * as PlainText from "../internal/plainText.ts"
import * as WaterMark from "../internal/waterMark.ts"
import * as McpError from "../McpError.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import { type Agreement, type Link, type Receiver, type SendOptions, Transport } from "../Transport.ts"
import * as Body from "./http/body.ts"
import * as Endpoint from "./http/endpoint.ts"
import * as Failure from "./http/failure.ts"
import * as ModernHeaders from "./http/modernHeaders.ts"
import type * as HttpOptions from "./http/options.ts"
import * as Requests from "./http/requests.ts"
import * as Retry from "./http/retry.ts"
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
interface Exchange {
  readonly id: JsonRpc.RequestId
  readonly method: string
  readonly modern: boolean
  /** The one its POST went out with. */
  session: Session | undefined
  /** Whether its POST may have reached the server. */
  started: boolean
  settled: boolean
  fiber: Fiber.Fiber<unknown, unknown> | undefined
}

/** Bodies of accepted notifications are not looked at, only read away so that the connection can be used again. */
const drainBytes = 64 * 1024
const drainTime: Duration.Input = "1 second"

/** For messages without an answer: the server has only to accept them. */
const acceptTime: Duration.Input = "30 seconds"

/** Requests wait for `notifications/initialized` to be accepted, but not for ever (L-02). */
const barrierTime: Duration.Input = "5 seconds"

/** The first ones also give the server's own stream this head start: what is said on it before it is there is lost. */
const listenTime: Duration.Input = "250 millis"

/** Attempts to resume the stream of a request while nothing comes. */
const maxResumes = 5

const visibleAscii = /^[\u0021-\u007e]+$/

const encoder = new TextEncoder()

const encode = (message: JsonRpc.Message): Uint8Array => encoder.encode(JSON.stringify(message))

/** An error of a peer that could not read the id of what it answers (B-05). */
const isAnonymous = (message: JsonRpc.Message): boolean =>
  JsonRpc.isFailure(message) && (message.id === undefined || message.id === null)

/** 404 says so (L-22); some servers say it with 400. A method nobody knows is another matter (H-11). */
const saysExpired = ({ error, status }: McpError.HttpStatus): boolean =>
  status === 404
    ? error?.code !== JsonRpc.ErrorCode.MethodNotFound
    : status === 400 && error !== undefined && /session/i.test(error.message)

const start = Effect.fnUntraced(function*(
  options: Options,
  receiver: Receiver
): Effect.fn.Return<Link, McpError.McpError, HttpClient | Scope.Scope> {
  const endpoint = yield* Endpoint.make(options)
  const requests = yield* Requests.make(endpoint, options)
  const { shown } = endpoint
  const maxMessageBytes = options.maxMessageBytes ?? 64 * 1024 * 1024
  const maxInFlight = options.maxInFlight ?? 128
  const policy = Retry.resolve(options.retry)
  const inFlight = yield* Semaphore.make(maxInFlight)
  const unaccepted = WaterMark.make(maxInFlight)
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
    if (exchange !== by) exchange.fiber?.interruptUnsafe()
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

  const readEvents = (response: HttpClientResponse, position: ServerStream.Position, by?: Exchange) =>
    Sse.read(response, {
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

  const isModern = (message: JsonRpc.Message): boolean =>
    agreement === undefined
      ? ModernHeaders.revisionOf(message) !== undefined || ("method" in message && message.method === "server/discover")
      : agreement.stateless

  const sessionHeaders = (session: Session | undefined): Record<string, string> => ({
    ...(agreement === undefined ? {} : { "mcp-protocol-version": agreement.revision }),
    ...(session === undefined ? {} : { "mcp-session-id": session.id })
  })

  const postHeaders = (message: JsonRpc.Message, session: Session | undefined, extra: SendOptions["headers"]) => ({
    accept: "application/json, text/event-stream",
    ...(isModern(message) ? { ...extra, ...ModernHeaders.make(message, agreement?.revision) } : sessionHeaders(session))
  })

  const get = (session: Session | undefined, lastEventId: string | undefined) =>
    requests.open({
      verb: "GET",
      headers: {
        accept: "text/event-stream",
        ...sessionHeaders(session),
        ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId })
      }
    })

  // ---------------------------------------------------------------------------
  // Requests
  // ---------------------------------------------------------------------------

  const invalid = (exchange: Exchange, detail: string) =>
    Effect.fail(new McpError.InvalidResponse({ method: exchange.method, detail }))

  /** Takes over the session a server begins with its answer to `initialize`. */
  const adopt = (exchange: Exchange, response: HttpClientResponse) =>
    Effect.suspend(() => {
      const id = response.headers["mcp-session-id"]
      if (id === undefined) return Effect.void
      if (!visibleAscii.test(id)) return invalid(exchange, "its MCP-Session-Id has characters other than visible ASCII")
      session = { id, expired: false }
      exchange.session = session
      return Effect.void
    })

  const refuse = Effect.fnUntraced(function*(exchange: Exchange, response: HttpClientResponse) {
    const { bytes, id, reason } = yield* Failure.fromResponse(response, { verb: "POST", shown })
    if (exchange.session !== undefined && saysExpired(reason)) {
      exchange.session.expired = true
      return yield* Effect.fail(new McpError.SessionExpired({ url: shown, delivered: false }))
    }
    // Status and body together are evidence while nothing is agreed, and what is to be done about a 401 or a pause is in the status.
    if (
      agreement === undefined || reason.error === undefined || (id !== null && id !== exchange.id) ||
      reason.status === 401 || reason.retryAfterMillis !== undefined
    ) return yield* Effect.fail(reason)
    deliver(JsonRpc.failure(exchange.id, reason.error), bytes, exchange)
  })

  /** Reads the stream of a request until its answer came, resuming it where the server lets us (L-40 … L-43). */
  const follow = Effect.fnUntraced(function*(exchange: Exchange, response: HttpClientResponse) {
    const position = ServerStream.start()
    const resumable = () => !exchange.modern && position.id !== undefined

    const lost = (detail: string) =>
      exchange.session?.expired === true
        ? new McpError.SessionExpired({ url: shown, delivered: true })
        : new McpError.Unreachable({ url: shown, delivered: true, detail })

    let ending = "its event stream ended before the answer"
    const readAll = (response: HttpClientResponse) =>
      readEvents(response, position, exchange).pipe(
        Effect.catchTag("Unreachable", (reason) =>
          Effect.sync(() => {
            ending = reason.detail
          }))
      )

    const resume = Effect.gen(function*() {
      const response = yield* Effect.catchTag(get(exchange.session, position.id), "Unreachable", () => Effect.undefined)
      if (response === undefined || response.status === 429 || response.status >= 500) return
      if (response.status === 200 && Body.mediaType(response) === "text/event-stream") return yield* readAll(response)
      if (response.status === 404 && exchange.session !== undefined) exchange.session.expired = true
      return yield* Effect.fail(lost(`${ending}, and resuming it was answered with status ${response.status}`))
    }).pipe(Effect.scoped)

    yield* Effect.scoped(readAll(response))
    while (!exchange.settled) {
      if (!resumable() || position.attempts >= maxResumes) return yield* Effect.fail(lost(ending))
      yield* Effect.sleep(position.retry ?? ServerStream.backoff(position.attempts))
      position.attempts += 1
      yield* resume
    }
  })

  const readBody = Effect.fnUntraced(function*(exchange: Exchange, response: HttpClientResponse) {
    const type = Body.mediaType(response)
    if (type === "text/event-stream") return yield* follow(exchange, response)
    const { bytes, cut, text } = yield* Body.read(response, maxMessageBytes).pipe(
      Effect.mapError((error) => Failure.fromError(error, shown))
    )
    if (cut) return yield* Effect.fail(new McpError.MessageTooLarge({ limitBytes: maxMessageBytes }))
    const encoding = response.headers["content-encoding"]
    const came = `status ${response.status}, content type "${type}"${encoding === undefined ? "" : `, content encoding "${encoding}"`}`
    if (text.trim() === "") return yield* invalid(exchange, `expected a result, but the body is empty (${came})`)
    if (type !== "application/json") return yield* invalid(exchange, `expected JSON or an event stream, but got ${came}`)
    const value = parseJson(text)
    if (value === undefined) {
      return yield* invalid(exchange, `the body is not JSON (${came}): ${PlainText.excerpt(text, 200)}`)
    }
    const messages: ReadonlyArray<unknown> = Array.isArray(value) && agreement?.batches === true ? value : [value]
    const answer = messages.find((message) =>
      JsonRpc.isMessage(message) && !("method" in message) && (message.id === exchange.id || isAnonymous(message))
    )
    if (answer === undefined) return yield* invalid(exchange, `the body has no answer to this request: ${PlainText.excerpt(text, 200)}`)
    deliver(answer === value ? { ...answer, id: exchange.id } : value, bytes, exchange)
  })

  const exchangeOnce = (exchange: Exchange, message: JsonRpc.Request, body: Uint8Array, extra: SendOptions["headers"]) =>
    Effect.suspend(() => {
      exchange.session = exchange.modern ? undefined : session
      const request: Requests.Request = {
        verb: "POST",
        headers: postHeaders(message, exchange.session, extra),
        body,
        onStart: () => {
          exchange.started = true
        }
      }
      return requests.use(request, (response): Effect.Effect<void, McpError.McpErrorReason> => {
        if (!Body.isSuccess(response)) return refuse(exchange, response)
        return message.method === "initialize"
          ? Effect.andThen(adopt(exchange, response), readBody(exchange, response))
          : readBody(exchange, response)
      })
    })

  const barrier = Effect.suspend(() => {
    const accepted = initialized
    if (accepted === undefined || (Deferred.isDoneUnsafe(accepted) && Deferred.isDoneUnsafe(listens))) return Effect.void
    return passBy(accepted, barrierTime).pipe(Effect.andThen(passBy(listens, listenTime)))
  })

  /** Waits for something that may not come, and is not waited for again then. */
  const passBy = (sign: Deferred.Deferred<void>, atMost: Duration.Input) =>
    Effect.andThen(Effect.timeoutOption(Deferred.await(sign), atMost), Deferred.succeed(sign, void 0))

  const sendRequest = (message: JsonRpc.Request, body: Uint8Array, extra: SendOptions["headers"]) => {
    const exchange: Exchange = {
      id: message.id,
      method: message.method,
      modern: isModern(message),
      session: undefined,
      started: false,
      settled: false,
      fiber: undefined
    }
    exchanges.set(message.id, exchange)
    if (exchange.modern && !visibleAscii.test(message.method)) {
      const detail = "its method goes into a header, and has characters other than visible ASCII"
      return fail(exchange, new McpError.InvalidArguments({ method: message.method, detail }))
    }
    const attempts = Retry.run(
      policy,
      () => ({ method: message.method, agreed: agreement !== undefined }),
      Effect.suspend(() => exchangeOnce(exchange, message, body, extra))
    )
    // A subscription lasts as long as the link, and would take its place from the others for ever.
    const admitted = message.method === "subscriptions/listen" ? attempts : inFlight.withPermit(attempts)
    exchange.fiber = run(
      Effect.andThen(barrier, admitted).pipe(
        Effect.catch((reason) => Effect.sync(() => fail(exchange, reason))),
        Effect.catchCause((cause) => {
          if (Cause.hasInterruptsOnly(cause)) return Effect.void
          fail(exchange, new McpError.Unreachable({ url: shown, delivered: true, detail: "its answer could not be handled" }))
          return Effect.logError("Handling an answer failed", cause)
        })
      )
    )
  }

  // ---------------------------------------------------------------------------
  // Messages without an answer
  // ---------------------------------------------------------------------------

  const tell = (message: JsonRpc.Notification | JsonRpc.Success | JsonRpc.Failure, body: Uint8Array, after: Effect.Effect<void>) => {
    unaccepted.rise(1)
    const what = "method" in message ? message.method : "a reply"
    const once = Effect.gen(function*() {
      const used = session
      const response = yield* requests.open({ verb: "POST", headers: postHeaders(message, used, undefined), body })
      if (Body.isSuccess(response)) return yield* Effect.asVoid(Effect.timeoutOption(Effect.exit(Body.read(response, drainBytes)), drainTime))
      const { reason } = yield* Failure.fromResponse(response, { verb: "POST", shown })
      if (used !== undefined && saysExpired(reason)) used.expired = true
      return yield* Effect.fail(reason)
    }).pipe(Effect.scoped)
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
    const reach = (last: string | undefined) => Effect.ensuring(get(listening, last), Deferred.succeed(listens, void 0))
    listener ??= run(ServerStream.listen({ open: reach, read: readEvents, shown, warn }))
  }

  // ---------------------------------------------------------------------------
  // The end
  // ---------------------------------------------------------------------------

  const endSession = Effect.suspend(() => {
    if (session === undefined || session.expired || agreement?.stateless === true) return Effect.void
    return Effect.ignore(Effect.scoped(requests.open({ verb: "DELETE", headers: sessionHeaders(session) })))
  })

  yield* Effect.addFinalizer(() =>
    Effect.gen(function*() {
      receiver.onClose(new McpError.ConnectionClosed({ by: "client", detail: "its scope was closed" }))
      open = false
      unaccepted.release()
      yield* FiberSet.clear(fibers)
      // Detached, so that an interruption of the closing fiber does not cut it short.
      const ending = yield* Effect.forkDetach(endSession, { startImmediately: true })
      yield* Effect.timeoutOption(Fiber.await(ending), options.closeTimeout ?? "2 seconds")
      ending.interruptUnsafe()
    })
  )

  return {
    send(message, sendOptions) {
      const body = encode(message)
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
    backpressure: unaccepted.wait,
    abandon(id, reason) {
      const exchange = exchanges.get(id)
      if (exchange === undefined) return
      exchanges.delete(id)
      const interrupt = () => exchange.fiber?.interruptUnsafe()
      // Closing the stream would be no cancellation there (X-08), so the message goes first.
      if (exchange.modern || !exchange.started || exchange.method === "initialize" || exchange.session !== session) return interrupt()
      const cancelled = JsonRpc.notification("notifications/cancelled", { requestId: id, reason })
      tell(cancelled, encode(cancelled), Effect.sync(interrupt))
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
