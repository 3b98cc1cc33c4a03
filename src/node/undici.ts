/**
 * The HTTP client over a dispatcher of undici. It is the platform's; but a
 * request of a transport goes to `dispatch` itself, past the `AbortController`,
 * the promises and the `Readable` that the platform's way takes for each.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import type { Dispatcher } from "@effect/platform-node/Undici"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Cookies from "effect/http/Cookies"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type { HttpClientRequest } from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import { pipeArguments } from "effect/Pipeable"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Scoped from "../transport/http/scoped.ts"

/** undici leaves bodies as they came. None is asked for, but a proxy may still send one compressed. */
const decompressed = (response: HttpClientResponse.HttpClientResponse): HttpClientResponse.HttpClientResponse => {
  const coding = /^(?:x-)?(gzip|deflate)$/.exec(response.headers["content-encoding"]?.trim().toLowerCase() ?? "")?.[1]
  if ((coding !== "gzip" && coding !== "deflate") || [101, 204, 205, 304].includes(response.status)) return response
  const body = Stream.toReadableStream(response.stream).pipeThrough(new DecompressionStream(coding))
  const headers = Headers.removeMany(response.headers, ["content-encoding", "content-length"])
  return HttpClientResponse.fromWeb(response.request, new Response(body, { status: response.status, headers }))
}

/** What is read ahead of a reader, in bytes; then the peer has to wait. */
const readAhead = 256 * 1024

const decoder = new TextDecoder()

/** One answer as undici tells it. Readers are woken when all that came with one read of the socket is there. */
class Incoming implements Dispatcher.DispatchHandler {
  readonly request: HttpClientRequest
  /** Told the response, or why there is none. */
  onHead: (head: Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>) => void = () => {}
  private response: UndiciResponse | undefined
  private controller: Dispatcher.DispatchController | undefined
  private chunks: Array<Buffer> = []
  private bytes = 0
  private room = readAhead
  private aborted = false
  private ended = false
  private failure: HttpClientError.HttpClientError | undefined
  private waiter: (() => void) | undefined
  private collected: Buffer | undefined

  constructor(request: HttpClientRequest) {
    this.request = request
  }

  onRequestStart(controller: Dispatcher.DispatchController) {
    this.controller = controller
    if (this.aborted) controller.abort(abortion())
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Record<string, string | Array<string> | undefined>) {
    if (status < 200) return
    const response = new UndiciResponse(this, status, headers)
    this.response = response
    const told = "content-encoding" in headers ? decompressed(response) : response
    queueMicrotask(() => this.onHead(Effect.succeed(told)))
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer) {
    this.chunks.push(chunk)
    this.bytes += chunk.length
    if (this.bytes >= this.room) controller.pause()
    this.wake()
  }

  onResponseEnd() {
    this.ended = true
    this.wake()
  }

  onResponseError(_: unknown, cause: Error) {
    const { request, response } = this
    if (response === undefined) {
      const reason = new HttpClientError.TransportError({ request, cause })
      return this.onHead(Effect.fail(new HttpClientError.HttpClientError({ reason })))
    }
    this.failure = new HttpClientError.HttpClientError({ reason: new HttpClientError.DecodeError({ request, response, cause }) })
    this.wake()
  }

  abort() {
    if (this.aborted || this.ended) return
    this.aborted = true
    this.controller?.abort(abortion())
  }

  private wake() {
    const { waiter } = this
    if (waiter === undefined) return
    this.waiter = undefined
    queueMicrotask(waiter)
  }

  private wait<A, E>(then: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.callback<A, E>((resume) => {
      this.waiter = () => resume(then)
      return Effect.sync(() => {
        this.waiter = undefined
      })
    })
  }

  /** What came since the last time. */
  readonly take: Pull.Pull<Arr.NonEmptyReadonlyArray<Buffer>, HttpClientError.HttpClientError> = Effect.suspend(() => {
    const { chunks } = this
    if (Arr.isArrayNonEmpty(chunks)) {
      this.chunks = []
      this.bytes = 0
      if (this.controller?.paused === true) this.controller.resume()
      return Effect.succeed(chunks)
    }
    if (this.failure !== undefined) return Effect.fail(this.failure)
    return this.ended ? Cause.done() : this.wait(this.take)
  })

  /** All of it. */
  readonly collect: Effect.Effect<Buffer, HttpClientError.HttpClientError> = Effect.suspend(() => {
    if (this.collected !== undefined) return Effect.succeed(this.collected)
    if (this.failure !== undefined) return Effect.fail(this.failure)
    if (this.ended) {
      this.collected = this.chunks.length === 1 ? this.chunks[0] : Buffer.concat(this.chunks)
      return this.collect
    }
    this.room = Infinity
    if (this.controller?.paused === true) this.controller.resume()
    return this.wait(this.collect)
  })
}

const abortion = (): Error => new Error("The request was given up")

/** What is rarely asked for is left to the platform's response over the same body. */
class UndiciResponse extends Inspectable.Class implements HttpClientResponse.HttpClientResponse {
  readonly [HttpIncomingMessage.TypeId]: typeof HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: typeof HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly request: HttpClientRequest
  readonly status: number
  readonly headers: Headers.Headers
  private readonly incoming: Incoming
  private readonly setCookie: string | Array<string> | undefined

  constructor(incoming: Incoming, status: number, headers: Record<string, string | Array<string> | undefined>) {
    super()
    this.request = incoming.request
    this.status = status
    this.headers = Headers.fromInput(headers)
    this.incoming = incoming
    this.setCookie = headers["set-cookie"]
  }

  get url(): string {
    return this.request.url.split("#", 1)[0] ?? ""
  }

  get cookies(): Cookies.Cookies {
    return this.setCookie === undefined ? Cookies.empty : Cookies.fromSetCookie(this.setCookie)
  }

  get remoteAddress(): Option.Option<string> {
    return Option.none()
  }

  get stream() {
    const { incoming } = this
    return Stream.fromChannel(Channel.fromTransform((_: unknown, scope) =>
      Effect.as(Scope.addFinalizer(scope, Effect.sync(() => incoming.abort())), incoming.take)
    ))
  }

  get arrayBuffer() {
    return Effect.map(this.incoming.collect, (buffer) => new Uint8Array(buffer).buffer)
  }

  get text() {
    return Effect.map(this.incoming.collect, (buffer) => decoder.decode(buffer))
  }

  private get web() {
    return Effect.map(this.incoming.collect, (buffer) =>
      HttpClientResponse.fromWeb(this.request, new Response(new Uint8Array(buffer), { headers: this.headers })))
  }

  get json() {
    return Effect.flatMap(this.web, ({ json }) => json)
  }

  get urlParamsBody() {
    return Effect.flatMap(this.web, ({ urlParamsBody }) => urlParamsBody)
  }

  get formData() {
    return Effect.flatMap(this.web, ({ formData }) => formData)
  }

  get upgrade() {
    return Effect.flatMap(this.web, ({ upgrade }) => upgrade)
  }

  toJSON(): unknown {
    return HttpIncomingMessage.inspect(this, {
      _id: "effect/http/HttpClientResponse",
      request: this.request.toJSON(),
      status: this.status
    })
  }

  pipe() {
    return pipeArguments(this, arguments)
  }
}

/** What can be handed to `dispatch` as it is; `undefined` for what takes more. */
const plainBody = ({ body, headers }: HttpClientRequest): Uint8Array | null | undefined => {
  if (headers.upgrade !== undefined) return undefined
  if (body._tag === "Empty") return null
  return body._tag === "Uint8Array" ? body.body : undefined
}

const send = (dispatcher: Dispatcher, request: HttpClientRequest, url: URL, body: Uint8Array | null) =>
  Effect.flatMap(Scope.Scope, (scope) => {
    const incoming = new Incoming(request)
    const head = Effect.callback<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>((resume) => {
      incoming.onHead = resume
      dispatcher.dispatch({
        method: request.method,
        origin: url.origin,
        path: url.pathname + url.search,
        headers: request.headers,
        body,
        // Time limits are the caller's, as those of the platform's client are.
        headersTimeout: 60 * 60 * 1_000,
        bodyTimeout: 0
      }, incoming)
    })
    return Effect.andThen(Scope.addFinalizer(scope, Effect.sync(() => incoming.abort())), head)
  })

/** The client over a dispatcher, which stays the caller's. */
export const make = (dispatcher: Dispatcher): Effect.Effect<HttpClient.HttpClient> =>
  Effect.map(Effect.provideService(NodeHttpClient.makeUndici, NodeHttpClient.Dispatcher, dispatcher), (platform) => {
    const client = HttpClient.transformResponse(platform, Effect.map(decompressed))
    const scoped = HttpClient.withScope(client)
    return Scoped.register(
      client,
      HttpClient.makeWith(
        Effect.flatMap((request) =>
          Effect.withFiber((fiber) => {
            const body = plainBody(request)
            const url = body !== undefined && fiber.getRef(HttpClient.TracerDisabledWhen)(request) ? URL.parse(request.url) : null
            return body === undefined || url === null || request.urlParams.params.length > 0
              ? scoped.postprocess(Effect.succeed(request))
              : send(dispatcher, request, url, body)
          })
        ),
        Effect.succeed<HttpClientRequest>
      )
    )
  })
