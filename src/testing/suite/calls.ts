/** Calls: one, many, large, with progress, interrupted, late. */
import { assert } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Capabilities } from "./capabilities.ts"
import { endless, type Prover, reasonOf, Sum, textOf, until } from "./prover.ts"

const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

export const register = <R>(
  proves: Prover<R>,
  { atOnce = 300, lacks = [], maxBytes = 3 * 1024 * 1024, revision }: Capabilities<R>
): void => {
  proves("is spoken to in its revision, lists and calls", ({ connect }) =>
    Effect.gen(function*() {
      const client = yield* connect
      assert.strictEqual(client.revision, revision)
      assert.strictEqual(client.server.instructions, "A fixture: every tool is harmless.")
      assert.includeMembers((yield* client.listTools()).map((tool) => tool.name), ["echo", "add", "fail"])
      assert.strictEqual(textOf(yield* client.callTool("echo", { text: "hello" })), "hello")
      assert.deepStrictEqual(yield* client.callToolAs("add", { a: 1, b: 2 }, Sum), { sum: 3 })
      assert.deepInclude(reasonOf(yield* Effect.exit(client.callToolOrFail("fail", { message: "no luck" }))), {
        _tag: "ToolFailed",
        text: "no luck"
      })
      yield* client.ping
    }))

  proves("carries every character", ({ connect }) =>
    Effect.gen(function*() {
      const client = yield* connect
      const texts = ["", "Grüße, 世界 👩‍👩‍👧", "line\nline\r\nline\u2028line\u2029", "\u0000\t\u001b[0m\"\\/", "\uFEFFmark"]
      for (const text of texts) assert.strictEqual(textOf(yield* client.callTool("echo", { text })), text)
    }))

  proves("refuses what cannot be written as JSON, and goes on", ({ connect }) =>
    Effect.gen(function*() {
      const client = yield* connect
      assert.strictEqual(reasonOf(yield* Effect.exit(client.callTool("echo", { text: 1n })))._tag, "InvalidArguments")
      assert.strictEqual(textOf(yield* client.callTool("echo", { text: "after" })), "after")
    }))

  proves("carries large messages both ways, and small ones beside them", ({ connect }) =>
    Effect.gen(function*() {
      const client = yield* connect
      // Characters of one to four bytes, so that every cut goes through some of them.
      const piece = "aé世👍"
      const text = piece.repeat(Math.floor(maxBytes / new TextEncoder().encode(piece).length))
      const [large, small] = yield* Effect.all([
        client.callTool<never>("echo", { text }),
        client.callToolAs<typeof Sum.Type>("add", { a: 20, b: 22 }, Sum)
      ], { concurrency: "unbounded" })
      // A difference of so much text is of no help.
      assert.isTrue(textOf(large) === text, "The text comes back as it was")
      assert.deepStrictEqual(small, { sum: 42 })
    }))

  proves("answers many calls at once, each its own", ({ connect }) =>
    Effect.gen(function*() {
      const client = yield* connect
      const sums = yield* Effect.forEach(
        upTo(atOnce),
        (index) => client.callToolAs("add", { a: index, b: 1 }, Sum),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(sums.map(({ sum }) => sum), upTo(atOnce).map((index) => index + 1))
    }))

  if (!lacks.includes("progress")) {
    proves("tells each call its own progress, in order", ({ connect }) =>
      Effect.gen(function*() {
        const client = yield* connect
        const heard = yield* Effect.forEach(upTo(10), (index) =>
          Effect.gen(function*() {
            const { label } = endless()
            const steps: Array<string> = []
            const result = yield* client.callTool("slow", { label, steps: 3, millis: 1 + index % 3 }, {
              onProgress: ({ message, progress }) => Effect.sync(() => steps.push(`${message} ${progress}`))
            })
            assert.strictEqual(textOf(result), `${label}: done`)
            return { label, steps }
          }), { concurrency: "unbounded" })
        for (const { label, steps } of heard) {
          assert.deepStrictEqual(steps, [1, 2, 3].map((step) => `${label}: step ${step} ${step}`))
        }
      }))

    proves("tells progress when it is made, not at the end", ({ connect }) =>
      Effect.gen(function*() {
        const client = yield* connect
        const started = yield* Deferred.make<void>()
        const call = yield* Effect.forkChild(client.callTool("slow", endless(), {
          onProgress: () => Deferred.succeed(started, undefined)
        }))
        yield* Deferred.await(started)
        yield* Fiber.interrupt(call)
      }))
  }

  if (lacks.includes("cancellation")) return

  proves("stops on the server what is interrupted here", ({ connect }) =>
    Effect.gen(function*() {
      const client = yield* connect
      const slow = endless()
      const call = yield* Effect.forkChild(client.callTool("slow", slow))
      yield* until(client, "running", slow)
      yield* Fiber.interrupt(call)
      yield* until(client, "cancelled", slow)
    }))

  proves("loses a call to its deadline without harm to the others", ({ connect }) =>
    Effect.gen(function*() {
      const client = yield* connect
      const slow = endless()
      const { label } = endless()
      const other = yield* Effect.forkChild(client.callTool("slow", { label, steps: 40, millis: 5 }))
      const late = yield* Effect.exit(client.callTool("slow", slow, { timeout: "100 millis", resetOnProgress: false }))
      assert.deepInclude(reasonOf(late), { _tag: "RequestTimeout", limit: "idle", millis: 100 })
      yield* until(client, "cancelled", slow)
      assert.strictEqual(textOf(yield* Fiber.join(other)), `${label}: done`)
    }))
}
