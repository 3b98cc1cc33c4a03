import * as Effect from "effect/Effect"
import * as HttpEffect from "effect/http/HttpEffect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import type * as Scope from "effect/Scope"
import * as Bridge from "../../src/bridge/Bridge.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import type { Binding } from "../../src/Transport.ts"
import * as InMemoryTransport from "../../src/transport/InMemoryTransport.ts"

/** A server whose every link is in the hands of the test. */
export interface Hand {
  readonly binding: Binding
  /** One per link, in the order they were opened. */
  readonly links: Array<{
    readonly peer: InMemoryTransport.Peer
    readonly received: Array<JsonRpc.Message>
    open: boolean
  }>
}

/** What the server does with each message; by default nothing. */
export type OnMessage = (message: JsonRpc.Message, peer: InMemoryTransport.Peer) => Effect.Effect<void>

export const hand = (onMessage: OnMessage = () => Effect.void): Effect.Effect<Hand> =>
  Effect.gen(function*() {
    const links: Hand["links"] = []
    const binding = yield* InMemoryTransport.make((peer) => {
      const link = { peer, received: [] as Array<JsonRpc.Message>, open: true }
      links.push(link)
      return Effect.forever(Effect.gen(function*() {
        const message = yield* peer.take
        link.received.push(message)
        yield* Effect.forkChild(onMessage(message, peer), { startImmediately: true })
      })).pipe(Effect.ignore, Effect.ensuring(Effect.sync(() => link.open = false)))
    })
    return { binding, links }
  })

/** Answers every request with what it was. */
export const echo: OnMessage = (message, peer) =>
  JsonRpc.isRequest(message)
    ? peer.send(JsonRpc.success(message.id, { method: message.method, params: message.params ?? null }))
    : Effect.void

export const json = { "content-type": "application/json", accept: "application/json, text/event-stream" }

export const modernHeaders = (method: string, extra: Record<string, string> = {}) => ({
  ...json,
  "mcp-protocol-version": "2026-07-28",
  "mcp-method": method,
  ...extra
})

/** A request of the modern revision. */
export const modern = (id: JsonRpc.RequestId, method: string, params: JsonRpc.JsonObject = {}, meta: JsonRpc.JsonObject = {}) =>
  JsonRpc.request(id, method, {
    ...params,
    _meta: { "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}, ...meta }
  })

/** The bridge without sockets: a request in, a response out. */
export const serve = Effect.fnUntraced(function*(
  binding: Binding,
  options: Omit<Bridge.HttpOptions, "servers"> & { readonly servers?: Bridge.HttpOptions["servers"] } = {}
) {
  const handler = HttpEffect.toWebHandlerWith<Scope.Scope, HttpServerRequest | Scope.Scope>(yield* Effect.context<Scope.Scope>())(yield* Bridge.app({ servers: { only: binding }, ...options }))
  const send = (method: string, body: unknown, headers: Record<string, string> = json, init: RequestInit & { path?: string } = {}) =>
    Effect.promise(() =>
      handler(
        new Request(`http://localhost${init.path ?? "/mcp"}`, {
          method,
          headers: { host: "localhost", ...headers },
          ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
          ...init
        })
      )
    )
  return {
    send,
    post: (body: unknown, headers?: Record<string, string>, init?: RequestInit) => send("POST", body, headers, init)
  }
})

/** The JSON document of a response. */
export const bodyOf = (response: Response): Effect.Effect<Record<string, unknown>> =>
  Effect.promise(async () => JSON.parse(await response.text()))

/** The events of a response, read one by one: the data of each, comments left out. */
export const events = (response: Response) => {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ""
  const next: Effect.Effect<unknown> = Effect.gen(function*() {
    while (true) {
      const end = text.indexOf("\n\n")
      if (end !== -1) {
        const data = text.slice(0, end).split("\n").find((line) => line.startsWith("data: "))
        text = text.slice(end + 2)
        if (data !== undefined) return JSON.parse(data.slice(6))
        continue
      }
      const chunk = yield* Effect.promise(async () => reader?.read())
      if (chunk === undefined || chunk.done) return undefined
      text += chunk.value
    }
  })
  return { next, cancel: Effect.promise(async () => reader?.cancel()) }
}
