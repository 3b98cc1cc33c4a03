import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Connection from "../../src/Connection.ts"
import type { Diagnostic } from "../../src/Diagnostic.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import * as Recorder from "../../src/recording/Recorder.ts"
import type { Binding } from "../../src/Transport.ts"
import { shallow } from "../../src/transport/shallow.ts"
import { bodyOf, modern, modernHeaders, serve } from "../bridge/support.ts"
import { reasonOf } from "../support/reasonOf.ts"

/** A value that can be read, but not written again. */
const nested = (levels: number): unknown => JSON.parse(`${"[".repeat(levels)}${"]".repeat(levels)}`)

const deep = nested(100_000)

/** Answers every request with that, after a notification that has it too. */
const answering = (result: unknown): Binding => ({
  kind: "memory",
  network: "pipe",
  open: (receiver) =>
    Effect.succeed({
      send: (message) => {
        if (JsonRpc.isRequest(message)) {
          receiver.onMessage({ jsonrpc: "2.0", method: "notifications/message", params: { data: result } }, 1)
          receiver.onMessage({ jsonrpc: "2.0", id: message.id, result: { result } }, 1)
        }
        return 1
      },
      abandon: () => {},
      backpressure: () => undefined
    })
})

/** What comes of one request, and what else was heard. */
const ask = Effect.fnUntraced(function*(binding: Binding) {
  const diagnostics: Array<Diagnostic> = []
  const notifications: Array<JsonRpc.Notification> = []
  const connection = yield* Connection.make({
    server: "test",
    transport: binding,
    handlers: {
      onDiagnostic: (diagnostic) => diagnostics.push(diagnostic),
      onNotification: (notification) => notifications.push(notification),
      onRequest: () => Effect.succeed({})
    }
  })
  return { answer: yield* Effect.exit(connection.request("tools/call", {})), diagnostics, notifications }
})

describe("a binding for those who write down what they hear", () => {
  it.effect("fails the request whose answer is nested too deeply, and skips other messages", () =>
    Effect.gen(function*() {
      const { answer, diagnostics, notifications } = yield* ask(shallow(answering(deep)))
      const reason = reasonOf(answer)
      assert(reason._tag === "InvalidResponse")
      assert.include(reason.detail, "500 levels")
      assert.deepStrictEqual(diagnostics.map(({ _tag }) => _tag), ["Skipped"])
      assert.isEmpty(notifications)
    }).pipe(Effect.scoped))

  it.effect("changes nothing else", () =>
    Effect.gen(function*() {
      const { answer, diagnostics, notifications } = yield* ask(shallow(answering(nested(400))))
      assert.isTrue(Exit.isSuccess(answer))
      assert.isEmpty(diagnostics)
      assert.lengthOf(notifications, 1)
    }).pipe(Effect.scoped))

  it.effect("is what is served to others", () =>
    Effect.gen(function*() {
      const { post } = yield* serve(answering(deep))
      const { error, id } = yield* bodyOf(yield* post(modern(1, "tools/list"), modernHeaders("tools/list")))
      assert.strictEqual(id, 1)
      assert.deepInclude(error, { code: JsonRpc.ErrorCode.InternalError })
    }).pipe(Effect.scoped))

  it.effect("is what is recorded", () =>
    Effect.gen(function*() {
      const recorder = yield* Recorder.make(answering(deep))
      const { answer } = yield* ask(recorder.binding)
      assert.strictEqual(reasonOf(answer)._tag, "InvalidResponse")
      assert.include(recorder.text(), "\"failure\"")
    }).pipe(Effect.scoped))
})
