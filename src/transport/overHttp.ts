/**
 * Entries whose connections begin with an HTTP request: HTTP and WebSocket. A
 * module of its own, since with it come HTTP and authorization.
 */
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type * as Scope from "effect/Scope"
import * as Auth from "../auth/Auth.ts"
import * as Entry from "../auth/entry.ts"
import * as Diagnostic from "../Diagnostic.ts"
import type * as McpError from "../McpError.ts"
import type { ResolvedHttp, ResolvedWebSocket } from "../ServerConfig.ts"
import type { Binding } from "../Transport.ts"
import * as HttpClients from "./http/HttpClients.ts"
import * as LegacySseTransport from "./LegacySseTransport.ts"
import * as StreamableHttpTransport from "./StreamableHttpTransport.ts"
import * as WebSocketTransport from "./WebSocketTransport.ts"

const unverified = "the server's certificate is not verified (tls.skipVerify): anyone on the way can read and change everything"

/** What is done against all advice is told each time. */
const loudly = (binding: Binding): Binding => ({
  ...binding,
  open: (receiver) =>
    Effect.suspend(() => {
      receiver.onDiagnostic(Diagnostic.Warning({ detail: unverified }))
      return Effect.andThen(Effect.logWarning(`${binding.endpoint}: ${unverified}`), binding.open(receiver))
    })
})

/** What adds tokens to the requests of an entry that has none of its own. */
const authorize = Effect.fnUntraced(function*(config: ResolvedHttp | ResolvedWebSocket) {
  const options = Entry.optionsOf(config)
  if (options === undefined) return { decorate: undefined, finish: (binding: Binding) => binding }
  const { decorate, lastAsked } = yield* Auth.make(options)
  const extension = Entry.extensionOf(config.auth)
  return {
    decorate,
    finish: (binding: Binding): Binding => ({
      ...binding,
      lastAsked,
      ...(extension === undefined ? {} : { extensions: [extension] })
    })
  }
})

export const http = Effect.fnUntraced(function*(
  config: ResolvedHttp
): Effect.fn.Return<Binding, McpError.McpError, HttpClient.HttpClient | Scope.Scope> {
  const client = yield* HttpClients.get(config)
  const { headers, idleTimeout, maxMessageBytes, redirects, retry, socketPath, tls, transport, url } = config
  const provided = Effect.provideService(HttpClient.HttpClient, client)
  const authorized = yield* provided(authorize(config))
  const options = { url, headers, idleTimeout, maxMessageBytes, redirects, retry, decorate: authorized.decorate }
  const finish = (binding: Binding): Binding => {
    // Every socket has the same URL.
    const distinct = socketPath === undefined ? binding : { ...binding, endpoint: `unix:${socketPath}:${binding.endpoint}` }
    return authorized.finish(tls?.skipVerify === true ? loudly(distinct) : distinct)
  }
  if (transport === "sse") return finish(yield* provided(LegacySseTransport.make(options)))
  const streamable = finish(yield* provided(StreamableHttpTransport.make(options)))
  return transport === "streamable-http"
    ? streamable
    : { ...streamable, fallback: finish(yield* provided(LegacySseTransport.make(options))) }
})

export const webSocket = Effect.fnUntraced(function*(
  config: ResolvedWebSocket
): Effect.fn.Return<Binding, McpError.McpError, HttpClient.HttpClient | Scope.Scope> {
  const { auth, tls } = config
  // What gives tokens is reached as the server is.
  const client = auth === undefined ? yield* HttpClient.HttpClient : yield* HttpClients.get(config)
  const { decorate, finish } = yield* Effect.provideService(authorize(config), HttpClient.HttpClient, client)
  const binding = yield* WebSocketTransport.make({ ...config, decorate })
  return finish(tls?.skipVerify === true ? loudly(binding) : binding)
})
