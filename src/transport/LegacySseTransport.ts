/**
 * HTTP with Server-Sent Events, as in revision 2024-11-05 (section 24 of the
 * requirements, Q-01 …): one GET whose stream carries everything the server
 * says, and a POST for each message to it, to an address the stream begins with.
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Diagnostic from "../Diagnostic.ts"
import { parseJson } from "../internal/parseJson.ts"
import * as PlainText from "../internal/plainText.ts"
import { WaterMark } from "../internal/waterMark.ts"
import * as McpError from "../McpError.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import { type Binding, type Link, type Receiver, Transport } from "../Transport.ts"
import * as Body from "./http/body.ts"
import * as Endpoint from "./http/endpoint.ts"
import * as Failure from "./http/failure.ts"
import type { Options } from "./http/options.ts"
import * as Requests from "./http/requests.ts"
import * as Retry from "./http/retry.ts"
import * as Sse from "./http/sse.ts"

export type { Options } from "./http/options.ts"

/** Messages on their way above which senders wait. */
const highWaterMark = 64

/** Characters shown of an event that is not a message. */
const excerptLength = 200

/** Bodies of accepted messages mean nothing; read this far, their connection can be used again. */
const ignoredBytes = 64 * 1024
const ignoredTime = "1 second"

const encoder = new TextEncoder()

/** Where messages go, which the server tells first. Credentials go there too: nowhere but to its own origin. */
const backChannel = (data: string, base: URL): URL | string => {
  const url = URL.parse(data, base.href)
  if (url === null) return "the endpoint told for messages is no URL"
  if (url.origin !== base.origin) {
    return `the endpoint told for messages is at another origin, ${url.origin}; only ${base.origin} is trusted`
  }
  url.username = url.password = url.hash = ""
  return url
}

const noEndpoint = (detail: string): McpError.InvalidResponse => new McpError.InvalidResponse({ method: "GET", detail })

interface Session {
  readonly link: Link
  readonly close: Effect.Effect<void>
}

const start = Effect.fnUntraced(function*(
  options: Options,
  receiver: Receiver,
  scope: Scope.Closeable
): Effect.fn.Return<Session, McpError.McpError, HttpClient.HttpClient> {
  const { maxMessageBytes = 64 * 1024 * 1024 } = options
  const endpoint = yield* Endpoint.make(options)
  const { dropped, shown, url } = endpoint
  const { open: request } = yield* Requests.make(endpoint, options)
  const policy = Retry.resolve(options.retry)
  const warn = (detail: string) => receiver.onDiagnostic(Diagnostic.Warning({ detail }))
  for (const name of dropped) warn(`the header "${name}" of the config is not sent: the protocol sets it itself`)
  const posts = yield* Scope.provide(FiberSet.make<void>(), scope)
  const run = yield* FiberSet.runtime(posts)()
  const waterMark = new WaterMark(highWaterMark)
  const ready = yield* Deferred.make<URL, McpError.McpErrorReason>()
  let open = true

  const close = (reason: McpError.McpErrorReason) => {
    if (!open) return
    open = false
    waterMark.release()
    // Until the server was heard, it is the opening that fails.
    if (!Deferred.doneUnsafe(ready, Exit.fail(reason))) receiver.onClose(reason)
  }

  // ---------------------------------------------------------------------------
  // The stream
  // ---------------------------------------------------------------------------

  const onEvent = ({ bytes, data, event }: Sse.Event): boolean => {
    if (!open) return false
    if (!Deferred.isDoneUnsafe(ready)) {
      const address = event === "endpoint"
        ? backChannel(data, url)
        : `the event stream must begin with an event "endpoint", but began with "${PlainText.excerpt(event, excerptLength)}"`
      if (typeof address === "string") close(noEndpoint(address))
      else Deferred.doneUnsafe(ready, Exit.succeed(address))
      return open
    }
    if (event !== "message" || data === "") return true
    const value = parseJson(data)
    if (value !== undefined) receiver.onMessage(value, bytes)
    else {
      receiver.onDiagnostic(Diagnostic.Skipped({
        detail: "an event that is not JSON",
        excerpt: PlainText.excerpt(data, excerptLength)
      }))
    }
    return true
  }

  const listen = Effect.gen(function*() {
    const response = yield* request({ verb: "GET", headers: { accept: "text/event-stream", "cache-control": "no-cache" } })
    const type = Body.mediaType(response)
    if (!Body.isSuccess(response) || type !== "text/event-stream") {
      const detail = Body.isSuccess(response) ? `an event stream was expected, not ${type === "" ? "a body without a type" : type}` : undefined
      return yield* (yield* Failure.fromResponse(response, { verb: "GET", shown, detail })).reason
    }
    yield* Sse.read(response, { shown, maxMessageBytes, idleTimeout: options.idleTimeout, onEvent })
  }).pipe(
    Effect.scoped,
    Effect.match({
      onFailure: close,
      onSuccess: () =>
        close(
          Deferred.isDoneUnsafe(ready)
            ? new McpError.ConnectionClosed({ by: "server", detail: "it ended its event stream" })
            : noEndpoint("the event stream ended before it told the endpoint for messages")
        )
    }),
    Effect.ensuring(Effect.suspend(() => {
      close(new McpError.ConnectionClosed({ by: "client", detail: "its event stream is no longer read" }))
      return FiberSet.clear(posts)
    }))
  )

  yield* Effect.forkIn(listen, scope)
  const address = yield* Effect.mapError(Deferred.await(ready), (reason) => McpError.make(reason))

  // ---------------------------------------------------------------------------
  // The back channel
  // ---------------------------------------------------------------------------

  /** Ends with the body, which means nothing; `onAccepted` is called before that. */
  const post = Effect.fnUntraced(function*(body: Uint8Array, onAccepted: () => void) {
    const response = yield* request({ verb: "POST", url: address, headers: { accept: "*/*" }, body })
    if (!Body.isSuccess(response)) {
      return yield* (yield* Failure.fromResponse(response, { verb: "POST", shown: Endpoint.shown(address) })).reason
    }
    onAccepted()
    // Read to its end, the connection can be used again.
    yield* Body.read(response, ignoredBytes).pipe(Effect.timeoutOption(ignoredTime), Effect.ignore)
  }, Effect.scoped)

  /** What fails is told for the request it carried; of anything else there is nobody to tell but the diagnostics. */
  const tell = (message: JsonRpc.Message, reason: McpError.McpErrorReason) => {
    if (!open) return
    if (JsonRpc.isRequest(message)) return receiver.onFailure(message.id, reason)
    warn(`a message was not delivered: ${reason.message}`)
  }

  let agreed = false
  /** Nothing may overtake the end of the handshake (L-02); of all else the order means nothing. */
  let handshake: Effect.Effect<void> = Effect.void

  const send: Link["send"] = (message) => {
    const body = encoder.encode(JSON.stringify(message))
    if (!open) return 0
    waterMark.rise(1)
    const method = "method" in message ? message.method : ""
    const settled = Deferred.makeUnsafe<void>()
    const settle = () => {
      if (Deferred.doneUnsafe(settled, Exit.void)) waterMark.fall(1)
    }
    run(handshake.pipe(
      Effect.andThen(Retry.run(policy, () => ({ method, agreed }), post(body, settle))),
      Effect.catch((reason) => Effect.sync(() => tell(message, reason))),
      Effect.ensuring(Effect.sync(settle))
    ))
    if (method === "notifications/initialized") handshake = Deferred.await(settled)
    return body.length
  }

  return {
    link: {
      send,
      backpressure: () => waterMark.wait(),
      abandon: (id, reason) => send(JsonRpc.notification("notifications/cancelled", { requestId: id, reason })),
      agreed: () => {
        agreed = true
      }
    },
    close: Effect.sync(() => close(McpError.scopeClosed))
  }
})

/**
 * A transport to a server that speaks HTTP+SSE. One that is not told to may
 * speak it when Streamable HTTP is refused (V-35); see `fromConfig`.
 *
 * Opening fails with `Unreachable` or `HttpStatus` when there is no stream,
 * and with `InvalidResponse` when it does not begin with the address for
 * messages, or that is at another origin. The link closes with
 * `ConnectionClosed` when the server ends the stream, with `Unreachable` when
 * the stream breaks or is silent for `idleTimeout`, with `MessageTooLarge` when
 * an event passes `maxMessageBytes`: there is no resumption. A request
 * whose POST fails fails alone, with `HttpStatus` or `Unreachable`.
 *
 * Closing the scope ends the stream and every POST, within `closeTimeout`.
 *
 * **Example**
 *
 * ```ts
 * const Files = McpClient.layer({ name: "files" }).pipe(
 *   Layer.provide(LegacySseTransport.layer({ url: "https://example.com/sse" })),
 *   Layer.provide(NodeMcp.layer)
 * )
 * ```
 */
export const make = (options: Options): Effect.Effect<Binding, never, HttpClient.HttpClient> =>
  Effect.map(HttpClient.HttpClient, (client) =>
    Transport.of({
      kind: "sse",
      network: "tcp",
      // Not `http`: answers come on one shared stream, where servers of that time may keep silent on a probe or hang up (V-25, V-26).
      endpoint: Endpoint.describe(options.url),
      open: Effect.fnUntraced(function*(receiver) {
        const scope = yield* Effect.acquireRelease(
          Scope.make(),
          (scope) => atMost(Scope.close(scope, Exit.void), options.closeTimeout ?? "2 seconds")
        )
        const session = yield* Effect.provideService(start(options, receiver, scope), HttpClient.HttpClient, client)
        yield* Effect.addFinalizer(() => session.close)
        return session.link
      })
    }))

/** A layer of {@link make}. */
export const layer = (options: Options): Layer.Layer<Transport, never, HttpClient.HttpClient> =>
  Layer.effect(Transport, make(options))

/** Waits no longer than that and leaves the rest running: nothing may hold up a closing scope. */
const atMost = (effect: Effect.Effect<void>, duration: Duration.Input): Effect.Effect<void> =>
  Effect.forkDetach(effect, { startImmediately: true }).pipe(
    Effect.flatMap(Fiber.await),
    Effect.timeoutOption(duration),
    Effect.asVoid
  )
