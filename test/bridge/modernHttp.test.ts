import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as McpError from "../../src/McpError.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import { waitUntil } from "../support/waitUntil.ts"
import { bodyOf, echo, events, hand, modern, modernHeaders, serve } from "./support.ts"

describe("modern requests over HTTP", () => {
  it.effect("a request whose headers differ from its body is refused and never reaches the server", () =>
    Effect.gen(function*() {
      const { binding, links } = yield* hand(echo)
      const { post } = yield* serve(binding)
      const call = modern(1, "tools/call", { name: "add" })
      for (
        const headers of [
          modernHeaders("tools/list", { "mcp-name": "add" }),
          modernHeaders("tools/call", { "mcp-name": "sub" }),
          modernHeaders("tools/call"),
          { ...modernHeaders("tools/call", { "mcp-name": "add" }), "mcp-protocol-version": "2025-11-25" }
        ]
      ) {
        const response = yield* post(call, headers)
        assert.strictEqual(response.status, 400)
        assert.deepInclude(yield* bodyOf(response), { id: 1 })
      }
      assert.lengthOf(links, 0)
    }).pipe(Effect.scoped))

  it.effect("a name outside ASCII is compared decoded", () =>
    Effect.gen(function*() {
      const { post } = yield* serve((yield* hand(echo)).binding)
      const response = yield* post(
        modern(1, "tools/call", { name: "Hello, 世界" }),
        modernHeaders("tools/call", { "mcp-name": "=?base64?SGVsbG8sIOS4lueVjA==?=" })
      )
      assert.strictEqual(response.status, 200)
    }).pipe(Effect.scoped))

  it.effect("the answer that comes first is one JSON document, with the id as it was", () =>
    Effect.gen(function*() {
      const { binding, links } = yield* hand(echo)
      const { post } = yield* serve(binding)
      for (const id of [7, "seven", 7]) {
        const response = yield* post(modern(id, "tools/list"), modernHeaders("tools/list"))
        assert.strictEqual(response.status, 200)
        assert.include(response.headers.get("content-type") ?? "", "application/json")
        assert.deepInclude(yield* bodyOf(response), { id })
      }
      assert.lengthOf(links, 1)
    }).pipe(Effect.scoped))

  it.effect("an unknown method is 404, an unsupported revision 400, another error 200", () =>
    Effect.gen(function*() {
      const { post } = yield* serve((yield* hand((message, peer) =>
        JsonRpc.isRequest(message)
          ? peer.send(JsonRpc.failure(message.id, { code: Number(message.params?.code), message: "no" }))
          : Effect.void)).binding)
      const status = (code: number) =>
        Effect.map(post(modern(1, "x", { code }), modernHeaders("x")), (response) => response.status)
      assert.strictEqual(yield* status(-32601), 404)
      assert.strictEqual(yield* status(-32022), 400)
      assert.strictEqual(yield* status(-32603), 200)
    }).pipe(Effect.scoped))

  it.effect("progress makes it a stream, under the token of the client, and the answer ends it", () =>
    Effect.gen(function*() {
      const { post } = yield* serve((yield* hand((message, peer) => {
        if (!JsonRpc.isRequest(message)) return Effect.void
        const meta = message.params?._meta
        const token = JsonRpc.isJsonObject(meta) ? meta.progressToken : undefined
        return peer.send(JsonRpc.notification("notifications/tools/list_changed")).pipe(
          Effect.andThen(peer.send(JsonRpc.notification("notifications/progress", { progressToken: token, progress: 1 }))),
          Effect.andThen(peer.send(JsonRpc.success(message.id, {})))
        )
      })).binding)
      const { next } = events(yield* post(modern("a", "tools/list", {}, { progressToken: "mine" }), modernHeaders("tools/list")))
      assert.deepInclude(yield* next, { params: { progressToken: "mine", progress: 1 } })
      assert.deepInclude(yield* next, { id: "a", result: {} })
      assert.isUndefined(yield* next)
    }).pipe(Effect.scoped))

  it.effect("a silent answer becomes a stream that says it is alive", () =>
    Effect.gen(function*() {
      const { binding, links } = yield* hand()
      const { post } = yield* serve(binding, { keepAlive: "5 seconds" })
      const posting = yield* Effect.forkChild(post(modern(1, "slow"), modernHeaders("slow")), { startImmediately: true })
      yield* waitUntil(() => links[0]?.received.length === 1)
      yield* TestClock.adjust("5 seconds")
      const response = yield* Fiber.join(posting)
      assert.strictEqual(response.headers.get("content-type"), "text/event-stream")
      const { next } = events(response)
      const [sent] = links[0]?.received ?? []
      yield* links[0]?.peer.send(JsonRpc.success(sent !== undefined && JsonRpc.isRequest(sent) ? sent.id : 0, { done: true })) ?? Effect.void
      assert.deepInclude(yield* next, { id: 1, result: { done: true } })
    }).pipe(Effect.scoped))

  it.effect("an answer is not lost when it comes in the very moment of a sign of life", () =>
    Effect.gen(function*() {
      const { binding } = yield* hand((message, peer) =>
        Effect.andThen(Effect.sleep("15 seconds"), echo(message, peer)))
      const { post } = yield* serve(binding)
      const answered = yield* Effect.forkChild(post(modern(1, "slow"), modernHeaders("slow")))
      yield* TestClock.adjust("15 seconds")
      const response = yield* Fiber.join(answered)
      const text = yield* Effect.forkChild(Effect.promise(() => response.text()))
      yield* TestClock.adjust("15 seconds")
      assert.include(yield* Fiber.join(text), "\"result\"")
    }).pipe(Effect.scoped))

  it.effect("hanging up cancels the request at the server", () =>
    Effect.gen(function*() {
      const { binding, links } = yield* hand()
      const { post } = yield* serve(binding)
      const controller = new AbortController()
      yield* Effect.forkChild(Effect.exit(post(modern(1, "slow"), modernHeaders("slow"), { signal: controller.signal })), {
        startImmediately: true
      })
      yield* waitUntil(() => links[0]?.received.length === 1)
      controller.abort()
      yield* waitUntil(() => links[0]?.received.length === 2)
      const [request, cancelled] = links[0]?.received ?? []
      assert.deepInclude(cancelled, { method: "notifications/cancelled" })
      assert.strictEqual(
        cancelled !== undefined && "method" in cancelled ? cancelled.params?.requestId : undefined,
        request !== undefined && "id" in request ? request.id : null
      )
    }).pipe(Effect.scoped))

  it.effect("more requests than allowed are refused until one has ended", () =>
    Effect.gen(function*() {
      const { binding, links } = yield* hand()
      const { post } = yield* serve(binding, { maxRequests: 1 })
      const controller = new AbortController()
      const slow = yield* Effect.forkChild(Effect.exit(post(modern(1, "slow"), modernHeaders("slow"), { signal: controller.signal })), {
        startImmediately: true
      })
      yield* waitUntil(() => links[0]?.received.length === 1)
      const refused = yield* post(modern(2, "slow"), modernHeaders("slow"))
      assert.strictEqual(refused.status, 503)
      assert.strictEqual(refused.headers.get("retry-after"), "5")
      // Sessions are no way around it.
      assert.strictEqual((yield* post(JsonRpc.request(1, "initialize", {}))).status, 503)
      controller.abort()
      yield* Fiber.join(slow)
      yield* waitUntil(() => links[0]?.received.length === 2)
      yield* Effect.forkChild(Effect.exit(post(modern(3, "slow"), modernHeaders("slow"))), { startImmediately: true })
      yield* waitUntil(() => links[0]?.received.length === 3)
    }).pipe(Effect.scoped))

  it.effect("notifications of a subscription carry the id that the client gave it", () =>
    Effect.gen(function*() {
      const { binding, links } = yield* hand()
      const { post } = yield* serve(binding)
      const { cancel, next } = events(yield* post(modern("mine", "subscriptions/listen"), modernHeaders("subscriptions/listen")))
      yield* waitUntil(() => links[0]?.received.length === 1)
      const [request] = links[0]?.received ?? []
      const id = request !== undefined && JsonRpc.isRequest(request) ? request.id : 0
      yield* links[0]?.peer.send(
        JsonRpc.notification("notifications/tools/list_changed", { _meta: { "io.modelcontextprotocol/subscriptionId": id } })
      ) ?? Effect.void
      assert.deepStrictEqual(yield* next, {
        jsonrpc: "2.0",
        method: "notifications/tools/list_changed",
        params: { _meta: { "io.modelcontextprotocol/subscriptionId": "mine" } }
      })
      yield* cancel
      yield* waitUntil(() => links[0]?.received.length === 2)
      assert.deepInclude(links[0]?.received[1], { method: "notifications/cancelled" })
    }).pipe(Effect.scoped))

  it.effect("a server that dies is told with its exit code and none of its words, and the next request has a new one", () =>
    Effect.gen(function*() {
      const { binding, links } = yield* hand((_, peer) =>
        peer.close(new McpError.ProcessExited({ code: 3, signal: null, stderr: "secret" })))
      const { post } = yield* serve(binding)
      const response = yield* post(modern(1, "tools/list"), modernHeaders("tools/list"))
      assert.strictEqual(response.status, 502)
      const body = JSON.stringify(yield* bodyOf(response))
      assert.include(body, "exited with code 3")
      assert.notInclude(body, "secret")
      yield* post(modern(1, "tools/list"), modernHeaders("tools/list"))
      assert.lengthOf(links, 2)
    }).pipe(Effect.scoped))

  it.effect("an answer that was the last thing the server said is given as it is", () =>
    Effect.gen(function*() {
      const { post } = yield* serve((yield* hand((message, peer) =>
        Effect.andThen(echo(message, peer), peer.close(new McpError.ProcessExited({ code: 0, signal: null, stderr: "" })))))
        .binding)
      const response = yield* post(modern(1, "tools/list"), modernHeaders("tools/list"))
      assert.strictEqual(response.status, 200)
      assert.property(yield* bodyOf(response), "result")
    }).pipe(Effect.scoped))

  it.effect("a server that leaves when it is asked for its revision is of an older one", () =>
    Effect.gen(function*() {
      const { post } = yield* serve((yield* hand((_, peer) =>
        peer.close(new McpError.ProcessExited({ code: 1, signal: null, stderr: "" })))).binding)
      const response = yield* post(modern(1, "server/discover"), modernHeaders("server/discover"))
      assert.strictEqual(response.status, 404)
      assert.deepInclude((yield* bodyOf(response)).error, { code: -32601 })
    }).pipe(Effect.scoped))

  it.effect("a body that is too large, no JSON or no message is refused", () =>
    Effect.gen(function*() {
      const { post } = yield* serve((yield* hand()).binding, { maxMessageBytes: 100 })
      assert.strictEqual((yield* post("{")).status, 400)
      assert.strictEqual((yield* post({ hello: 1 })).status, 400)
      assert.strictEqual((yield* post({ jsonrpc: "2.0", id: 1, method: "x".repeat(200) })).status, 413)
      assert.strictEqual((yield* post("{}", { "content-type": "text/plain" })).status, 415)
    }).pipe(Effect.scoped))
})
