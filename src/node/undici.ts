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
import * as Exit from "effect/Exit"
import * as Cookies from "effect/http/Cookies"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type { HttpClientRequest } from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpMethod from "effect/http/HttpMethod"
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

/** A byte order mark, which is no part of a text. */
const mark = "\uFEFF"

/** One answer as undici tells it. Readers are woken when all that came with one read of the socket is there. */
class Incoming implements Dispatcher.DispatchHandler {
  readonly asked: Scoped.Request
  private readonly answered: (head: Scoped.Head) => void
  private response: UndiciResponse | undefined
  private controller: Dispatcher.DispatchController | undefined
  private chunks: Array<Buffer> = []
  private bytes = 0
  private room = readAhead
  private givenUp = false
  private ended = false
  private failure: HttpClientError.HttpClientError | undefined
  private waiter: (() => void) | undefined
  private collected: Buffer | undefined

  constructor(asked: Scoped.Request, answered: (head: Scoped.Head) => void) {
    this.asked = asked
    this.answered = answered
  }

  onRequestStart(controller: Dispatcher.DispatchController) {
    this.controller = controller
    if (this.givenUp) controller.abort(abortion())
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Record<string, string | Array<string> | undefined>) {
    if (status < 200) return
    const response = new UndiciResponse(this, status, headers)
    this.response = response
    const told = headers["content-encoding"] === undefined ? response : decompressed(response)
    this.answer(Exit.succeed(told))
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
    const { response } = this
    const request = Scoped.toHttp(this.asked)
    if (response === undefined) {
      const reason = new HttpClientError.TransportError({ request, cause })
      return this.answer(Exit.fail(new HttpClientError.HttpClientError({ reason })))
    }
    this.failure = new HttpClientError.HttpClientError({ reason: new HttpClientError.DecodeError({ request, response, cause }) })
    this.wake()
  }

  giveUp() {
    if (this.givenUp) return
    this.givenUp = true
    if (!this.ended) this.controller?.abort(abortion())
  }

  private answer(head: Scoped.Head) {
    queueMicrotask(() => {
      if (!this.givenUp) this.answered(head)
    })
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
  take(): Pull.Pull<Arr.NonEmptyReadonlyArray<Buffer>, HttpClientError.HttpClientError> {
    const { chunks } = this
    if (Arr.isArrayNonEmpty(chunks)) {
      this.chunks = []
      this.bytes = 0
      if (this.controller?.paused === true) this.controller.resume()
      return Effect.succeed(chunks)
    }
    if (this.failure !== undefined) return Effect.fail(this.failure)
    return this.ended ? Cause.done() : this.wait(Effect.suspend(() => this.take()))
  }

  /** All of it, if all is here. */
  whole(): Buffer | undefined {
    if (this.ended) this.collected ??= this.chunks.length === 1 ? this.chunks[0] : Buffer.concat(this.chunks)
    return this.collected
  }

  /** All of it. */
  collect(): Effect.Effect<Buffer, HttpClientError.HttpClientError> {
    const whole = this.whole()
    if (whole !== undefined) return Exit.succeed(whole)
    if (this.failure !== undefined) return Effect.fail(this.failure)
    this.room = Infinity
    if (this.controller?.paused === true) this.controller.resume()
    return this.wait(Effect.suspend(() => this.collect()))
  }
}

const abortion = (): Error => new Error("The request was given up")

const decode = (buffer: Buffer): string => {
  const text = buffer.toString()
  return text.startsWith(mark) ? text.slice(1) : text
}

/** What is rarely asked for is left to the platform's response over the same body. */
class UndiciResponse extends Inspectable.Class implements Scoped.Answer {
  readonly [HttpIncomingMessage.TypeId]: typeof HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: typeof HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly status: number
  readonly headers: Headers.Headers
  private readonly incoming: Incoming
  private readonly setCookie: string | Array<string> | undefined

  constructor(incoming: Incoming, status: number, headers: Record<string, string | Array<string> | undefined>) {
    super()
    this.status = status
    this.headers = Headers.fromInput(headers)
    this.incoming = incoming
    this.setCookie = headers["set-cookie"]
  }

  get request(): HttpClientRequest {
    return Scoped.toHttp(this.incoming.asked)
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
      Effect.as(Scope.addFinalizer(scope, Effect.sync(() => incoming.giveUp())), Effect.suspend(() => incoming.take()))
    ))
  }

  whole() {
    const whole = this.incoming.whole()
    return whole === undefined ? undefined : { text: decode(whole), bytes: whole.length }
  }

  private get collected() {
    return Effect.suspend(() => this.incoming.collect())
  }

  get arrayBuffer() {
    return Effect.map(this.collected, (buffer) => new Uint8Array(buffer).buffer)
  }

  get text() {
    return Effect.map(this.collected, decode)
  }

  private get web() {
    return Effect.map(this.collected, (buffer) =>
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
const plain = ({ body, headers, method, url, urlParams }: HttpClientRequest): Scoped.Request | undefined => {
  if (!HttpMethod.isHttpMethod(method) || headers.upgrade !== undefined || urlParams.params.length > 0) return undefined
  const parsed = URL.parse(url)
  if (parsed === null) return undefined
  if (body._tag === "Empty") return { method, url: parsed, headers, body: undefined }
  return body._tag === "Uint8Array" ? { method, url: parsed, headers, body: body.body } : undefined
}

const start = (dispatcher: Dispatcher): Scoped.Start => (request, answered) => {
  const { body = null, headers, method, url } = request
  const incoming = new Incoming(request, answered)
  // Time limits are the caller's, as those of the platform's client are.
  dispatcher.dispatch(
    { method, origin: url.origin, path: url.pathname + url.search, headers, body, headersTimeout: 0, bodyTimeout: 0 },
    incoming
  )
  return () => incoming.giveUp()
}

/** The client over a dispatcher, which stays the caller's. */
export const make = (dispatcher: Dispatcher): Effect.Effect<HttpClient.HttpClient> =>
  Effect.map(Effect.provideService(NodeHttpClient.makeUndici, NodeHttpClient.Dispatcher, dispatcher), (platform) => {
    const client = HttpClient.transformResponse(platform, Effect.map(decompressed))
    const withScope = HttpClient.withScope(client)
    const begin = start(dispatcher)
    const scoped = HttpClient.makeWith(
      Effect.flatMap((request: HttpClientRequest) =>
        Effect.withFiber((fiber) => {
          const asked = fiber.getRef(HttpClient.TracerDisabledWhen)(request) ? plain(request) : undefined
          return asked === undefined ? withScope.postprocess(Effect.succeed(request)) : Scoped.run(begin, asked)
        })
      ),
      Effect.succeed<HttpClientRequest>
    )
    return Scoped.register(client, { scoped, start: () => Effect.succeed(begin) })
  })
