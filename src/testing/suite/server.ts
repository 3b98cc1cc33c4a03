/** What a server has, and what it says on its own account. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Elicitation from "../../Elicitation.ts"
import * as Roots from "../../Roots.ts"
import * as Sampling from "../../Sampling.ts"
import type { Capabilities } from "./capabilities.ts"
import { type Prover, reasonOf, textOf, untilTold } from "./prover.ts"

/** A user who answers every question. */
const handlers = Layer.mergeAll(
  Elicitation.layer({ form: () => Effect.succeed({ action: "accept", content: { name: "Ann" } }) }),
  Sampling.layer({
    createMessage: ({ messages }) =>
      Effect.succeed({ role: "assistant", model: "test", content: { type: "text", text: `${messages.length} message` } })
  }),
  Roots.layer([{ uri: "file:///work", name: "work" }])
)

export const register = <R>(proves: Prover<R>, { lacks = [] }: Capabilities<R>): void => {
  proves("gives its resources page by page, its templates, prompts and completions", ({ connect }) =>
    Effect.gen(function*() {
      const client = yield* connect
      const pages = yield* Stream.runCollect(client.resourcePages())
      // `memo://extra` may have come in between.
      assert.deepStrictEqual(pages.slice(0, 3).map((page) => page.length), [2, 2, 2])
      assert.strictEqual((yield* client.listResourceTemplates()).length, 1)
      assert.deepInclude((yield* client.readResource("memo://1")).contents[0], { text: "This is memo://1" })
      assert.deepInclude((yield* client.readResource("memo://binary")).contents[0], { blob: "AAH+/w==" })
      assert.strictEqual(reasonOf(yield* Effect.exit(client.readResource("memo://missing")))._tag, "RemoteError")
      const { messages } = yield* client.getPrompt("greet", { name: "Ann", style: "formal" })
      assert.deepInclude(messages[0], { content: { type: "text", text: "Greet Ann, formal" } })
      const { completion } = yield* client.complete({
        ref: { type: "ref/prompt", name: "greet" },
        argument: { name: "style", value: "f" }
      })
      assert.deepStrictEqual(completion.values, ["formal", "friendly", "funny"])
    }))

  if (!lacks.includes("questions")) {
    proves("asks its questions and gets the answers, also of several calls at once", ({ connect }) =>
      Effect.gen(function*() {
        const client = yield* Effect.provide(connect, handlers)
        const [asked, sampled, listed] = yield* Effect.all([
          client.callTool<never>("ask", { question: "Who?" }),
          client.callTool<never>("sample", { prompt: "hi" }),
          client.callTool<never>("roots")
        ], { concurrency: "unbounded" })
        assert.strictEqual(textOf(asked), "Hello Ann.")
        assert.include(textOf(sampled), "1 message")
        assert.deepStrictEqual(listed.structuredContent ?? JSON.parse(textOf(listed)), { uris: ["file:///work"] })
      }))
  }

  if (!lacks.includes("changes")) {
    proves("tells which of its lists changed", ({ connect }) =>
      Effect.gen(function*() {
        const client = yield* connect
        const extra = Effect.map(client.listTools(), (tools) => tools.some(({ name }) => name === "extra"))
        yield* untilTold(client.toolsChanged, client, "toggle", { kind: "tool" })
        yield* untilTold(client.promptsChanged, client, "toggle", { kind: "prompt" })
        yield* untilTold(client.resourcesChanged, client, "toggle", { kind: "resource" })
        // What was kept of a list does not outlive a change that was told.
        const before = yield* extra
        const changed = Effect.andThen(client.callTool("toggle", { kind: "tool" }), extra)
        yield* Effect.repeat(changed, { until: (now) => now !== before })
      }))
  }

  if (!lacks.includes("subscriptions")) {
    proves("tells of a resource that is subscribed to", ({ connect }) =>
      Effect.gen(function*() {
        const client = yield* connect
        const uri = yield* untilTold(client.resourceUpdates("memo://1"), client, "touch", { uri: "memo://1" })
        assert.deepInclude(uri, { _tag: "Some", value: "memo://1" })
      }))
  }

  if (!lacks.includes("logs")) {
    proves("logs, and nothing below the level asked for", ({ connect }) =>
      Effect.gen(function*() {
        const client = yield* connect
        yield* client.setLogLevel("warning")
        const told = Stream.runCollect(Stream.take(client.logs, 3))
        const logs = yield* Effect.forkChild(told, { startImmediately: true })
        const both = Effect.andThen(
          client.callTool("log", { level: "info", text: "too quiet" }),
          client.callTool("log", { level: "error", text: "loud" })
        )
        for (const log of yield* Effect.raceFirst(Fiber.join(logs), Effect.forever(both))) {
          assert.deepInclude(log, { level: "error", data: "loud" })
        }
      }))
  }
}
