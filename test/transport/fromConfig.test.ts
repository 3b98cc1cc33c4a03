import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type { HttpClientRequest } from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import { TestClock } from "effect/testing"
import type { SocketAddress } from "../../src/config/SocketAddress.ts"
import * as McpConfig from "../../src/McpConfig.ts"
import * as McpError from "../../src/McpError.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import { fromConfig } from "../../src/transport/fromConfig.ts"
import * as Sockets from "../../src/transport/socket/Sockets.ts"
import * as WebSockets from "../../src/transport/websocket/WebSockets.ts"
import { makeReceiver } from "../support/receiver.ts"
import { waitUntil } from "../support/waitUntil.ts"

type Answer = (request: HttpClientRequest) => Response | "refused"

const platform = (answer: Answer) =>
  Layer.mergeAll(
    NodeServices.layer,
    ConfigProvider.layer(ConfigProvider.fromEnvRecord({ TOKEN: "s3cr3t" })),
    Layer.succeed(
      HttpClient.HttpClient,
      HttpClient.make((request) => {
        const response = answer(request)
        return response === "refused"
          ? Effect.fail(
            new HttpClientError.HttpClientError({
              reason: new HttpClientError.TransportError({ request, cause: Object.assign(new Error(), { code: "ECONNREFUSED" }) })
            })
          )
          : Effect.succeed(HttpClientResponse.fromWeb(request, response))
      })
    )
  )

const transportOf = Effect.fnUntraced(function*(entry: Record<string, unknown>) {
  const config = yield* McpConfig.fromValue({ mcpServers: { remote: entry } })
  return yield* fromConfig("remote", yield* McpConfig.resolve(yield* McpConfig.get(config, "remote")))
})

const nobody = platform(() => "refused")

const events = (text: string) => {
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode(`event: endpoint\ndata: /messages\n\n${text}`))
  })
  return new Response(body, { headers: { "content-type": "text/event-stream" } })
}

/** Opens an SSE entry and gives what the receiver hears. */
const openSse = Effect.fnUntraced(function*(entry: Record<string, unknown>) {
  const receiving = yield* makeReceiver
  const transport = yield* transportOf({ type: "sse", url: "http://example.com/sse", ...entry })
  return { ...receiving, link: yield* transport.open(receiving.receiver) }
})

describe("fromConfig", () => {
  it.effect("an entry for HTTP tries the current transport and falls back to the older, unless it says which it speaks", () =>
    Effect.gen(function*() {
      const url = "https://example.com/mcp?key=s3cr3t"
      const open = yield* transportOf({ url })
      assert.deepStrictEqual([open.kind, open.fallback?.kind], ["http", "sse"])
      assert.deepStrictEqual([open.endpoint, open.fallback?.endpoint], ["https://example.com/mcp", "https://example.com/mcp"])
      const streamable = yield* transportOf({ url, type: "streamable-http" })
      assert.deepStrictEqual([streamable.kind, streamable.fallback], ["http", undefined])
      const sse = yield* transportOf({ url, type: "sse" })
      assert.deepStrictEqual([sse.kind, sse.fallback], ["sse", undefined])
      assert.strictEqual((yield* transportOf({ command: "npx" })).kind, "stdio")
    }).pipe(Effect.scoped, Effect.provide(nobody)))

  it.effect("what this platform cannot connect to says so, with the name of the server", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(transportOf({ url: "https://example.com", proxy: "http://proxy" }))
      assert.deepStrictEqual([error.reason._tag, error.server], ["UnsupportedTransport", "remote"])
      const socket = yield* transportOf({ url: "tcp://localhost:1" })
      const { reason } = yield* Effect.flip(socket.open((yield* makeReceiver).receiver))
      assert.strictEqual(reason._tag, "UnsupportedTransport")
    }).pipe(Effect.scoped, Effect.provide(nobody)))

  it.effect("a WebSocket gets everything its entry says, and a socket its address", () => {
    const requests: Array<WebSockets.Request> = []
    const addresses: Array<SocketAddress> = []
    const refused = Effect.fail(McpError.make(new McpError.Unreachable({ url: "", delivered: false, detail: "" })))
    return Effect.gen(function*() {
      const receiving = yield* makeReceiver
      const transport = yield* transportOf({
        url: "wss://example.com/mcp?key=s3cr3t",
        headers: { "X-Team": "a" },
        bearerTokenEnv: "TOKEN",
        tls: { skipVerify: true },
        compression: true,
        maxMessageBytes: 5,
        closeTimeout: "3 seconds"
      })
      assert.deepStrictEqual([transport.kind, transport.endpoint, transport.outlives], ["ws", "wss://example.com/mcp", true])
      yield* Effect.flip(transport.open(receiving.receiver))
      assert.deepStrictEqual(requests, [{
        url: "wss://example.com/mcp?key=s3cr3t",
        shown: "wss://example.com/mcp",
        headers: { "x-team": "a", authorization: "Bearer s3cr3t" },
        protocols: ["mcp"],
        tls: { skipVerify: true },
        compression: true,
        maxMessageBytes: 5,
        closeTimeout: 3_000
      }])
      assert.include((yield* Queue.take(receiving.diagnostics))._tag, "Warning")
      for (const url of ["tcp://[::1]:7000", "unix:///run/a%20b.sock"]) {
        const transport = yield* transportOf({ url })
        yield* Effect.flip(transport.open(receiving.receiver))
      }
      assert.deepStrictEqual(addresses, [{ host: "::1", port: 7000 }, { path: "/run/a b.sock" }])
    }).pipe(
      Effect.scoped,
      Effect.provide(nobody),
      Effect.provideService(WebSockets.WebSockets, {
        open: (request) =>
          Effect.suspend(() => {
            requests.push(request)
            return refused
          })
      }),
      Effect.provideService(Sockets.Sockets, {
        make: (address) =>
          Effect.suspend(() => {
            addresses.push(address)
            return refused
          })
      })
    )
  })

  it.effect("headers and the bearer token of an entry are on every request", () => {
    const requests: Array<HttpClientRequest> = []
    return Effect.gen(function*() {
      const { link } = yield* openSse({ headers: { "X-Team": "a" }, bearerTokenEnv: "TOKEN" })
      link.send(JsonRpc.request(1, "initialize", {}))
      const streamable = yield* transportOf({ url: "http://example.com", headers: { "X-Team": "a" }, bearerTokenEnv: "TOKEN" })
      const other = yield* streamable.open((yield* makeReceiver).receiver)
      other.send(JsonRpc.request(1, "initialize", {}))
      yield* waitUntil(() => requests.length === 3)
      assert.deepStrictEqual(requests.map(({ method }) => method), ["GET", "POST", "POST"])
      for (const { headers } of requests) {
        assert.strictEqual(headers["authorization"], "Bearer s3cr3t")
        assert.strictEqual(headers["x-team"], "a")
      }
    }).pipe(
      Effect.scoped,
      Effect.provide(platform((request) => {
        requests.push(request)
        return request.method === "GET" ? events("") : new Response(null, { status: 202 })
      }))
    )
  })

  it.effect("maxMessageBytes and idleTimeout of an entry are in force", () =>
    Effect.gen(function*() {
      const bounded = yield* openSse({ maxMessageBytes: 40 })
      assert.strictEqual((yield* bounded.closed)._tag, "MessageTooLarge")
      const silent = yield* openSse({ idleTimeout: "1 minute" })
      yield* TestClock.adjust("1 minute")
      assert.include((yield* silent.closed).message, "went silent")
    }).pipe(Effect.scoped, Effect.provide(platform(() => events(`data: ${"x".repeat(60)}`)))))

  it.effect("redirects and retries are as the entry says", () => {
    let posts = 0
    return Effect.gen(function*() {
      const { failures, link } = yield* openSse({ retry: { attempts: 3, baseDelay: 0, jitter: false } })
      link.agreed?.({ revision: "2024-11-05", stateless: false, batches: false })
      link.send(JsonRpc.request(1, "tools/list", {}))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Queue.take(failures)).reason._tag, "Unreachable")
      assert.strictEqual(posts, 4)
      const { reason } = yield* Effect.flip(openSse({ redirects: "none" }))
      assert.isTrue(reason._tag === "HttpStatus" && reason.status === 307)
    }).pipe(
      Effect.scoped,
      Effect.provide(platform(({ method, url }) => {
        if (method === "POST") {
          posts++
          return "refused"
        }
        return url.endsWith("/sse") ? new Response(null, { status: 307, headers: { location: "/moved" } }) : events("")
      }))
    )
  })
})
