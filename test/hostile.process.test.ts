/** The whole client against a real server that misbehaves in every way it can. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Diagnostic } from "../src/Diagnostic.ts"
import * as McpClient from "../src/McpClient.ts"
import type * as McpError from "../src/McpError.ts"
import * as NodeMcp from "../src/node.ts"
import { Transport } from "../src/Transport.ts"
import * as StdioTransport from "../src/transport/StdioTransport.ts"
import { fault } from "./support/faultServer.ts"
import { reasonOf } from "./support/reasonOf.ts"

const connect = Effect.fnUntraced(function*(
  faults: ReadonlyArray<string>,
  options?: McpClient.Options,
  stdio?: Partial<StdioTransport.Options>
) {
  const transport = yield* StdioTransport.make({ ...fault(...faults), ...stdio })
  return yield* McpClient.make({ name: "fault", ...options }).pipe(Effect.provideService(Transport, transport))
}, Effect.provide(NodeMcp.layer))

const echo = (client: McpClient.McpClient["Service"], text = "Grüße, 世界 🌍") =>
  Effect.map(client.callTool("echo", { text }), ({ content }) => assert.deepInclude(content[0], { text }))

const live = (name: string, body: () => Effect.Effect<unknown, McpError.McpError, Scope.Scope>) =>
  it.live(name, () => Effect.scoped(body()))

/** The diagnostics of a client so far and from now on, until one is found. */
const diagnostic = (client: McpClient.McpClient["Service"], wanted: (diagnostic: Diagnostic) => boolean) =>
  Stream.runHead(Stream.filter(client.diagnostics, wanted))

describe("a server that crashes", () => {
  live("in the middle of calls fails each of them at once, with its exit and its last words", () =>
    Effect.gen(function*() {
      const client = yield* connect(["say=license expired"])
      const calls = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(client.callTool("never")))
      const last = reasonOf(yield* Effect.exit(client.callTool("exit", { code: 7 })))
      assert.deepInclude(last, { _tag: "ProcessExited", code: 7, stderr: "license expired" })
      for (const call of calls) assert.deepInclude(reasonOf(yield* Fiber.await(call)), { _tag: "ProcessExited", code: 7 })
      assert.deepInclude((yield* client.closed).reason, { code: 7 })
    }))

  live("by a signal is told by it", () =>
    Effect.gen(function*() {
      const client = yield* connect([])
      const reason = reasonOf(yield* Effect.exit(client.callTool("die", { signal: "SIGKILL" })))
      assert.deepInclude(reason, { _tag: "ProcessExited", code: null, signal: "SIGKILL" })
    }))

  live("right after its answer does not take the answer with it", () =>
    Effect.gen(function*() {
      const client = yield* connect(["last-words=tools/call:3"])
      yield* echo(client)
      assert.deepInclude((yield* client.closed).reason, { _tag: "ProcessExited", code: 3 })
    }))

  live("on the probe is started again for the handshake (V-26)", () =>
    Effect.gen(function*() {
      const client = yield* connect(["exit-on=server/discover:1"])
      assert.strictEqual(client.era, "legacy")
      yield* echo(client)
    }))

  live("at its start fails the connection with what it said", () =>
    Effect.gen(function*() {
      const reason = reasonOf(yield* Effect.exit(connect(["say=no such key", "exit=4"])))
      assert.deepInclude(reason, { _tag: "ProcessExited", code: 4, stderr: "no such key" })
    }))
})

describe("a server that does not answer", () => {
  live("the probe is spoken to in the legacy era", () =>
    Effect.gen(function*() {
      const client = yield* connect(["hang-on=server/discover"], { negotiation: { probeTimeout: "200 millis" } })
      assert.strictEqual(client.era, "legacy")
      yield* echo(client)
    }))

  live("anything fails when the time for the start is up, with its last words", () =>
    Effect.gen(function*() {
      const reason = reasonOf(
        yield* Effect.exit(connect(["hang-on=*", "say=log in at https://example.com"], { startupTimeout: "1 second" }))
      )
      assert.deepInclude(reason, { _tag: "RequestTimeout", limit: "startup", stderr: "log in at https://example.com" })
    }))

  live("a call fails that call alone, and is told to stop", () =>
    Effect.gen(function*() {
      const client = yield* connect([])
      const reason = reasonOf(yield* Effect.exit(client.callTool("never", {}, { timeout: "100 millis" })))
      assert.deepInclude(reason, { _tag: "RequestTimeout", limit: "idle", millis: 100 })
      const { content } = yield* client.callTool("received")
      assert.include(JSON.stringify(content), "notifications/cancelled")
      yield* echo(client)
    }))

  live("in time, but later, or although it was told to stop, harms nobody", () =>
    Effect.gen(function*() {
      const client = yield* connect([])
      yield* Effect.exit(client.callTool("stubborn", { ms: 100 }, { timeout: "20 millis" }))
      const late = (diagnostic: Diagnostic) => diagnostic._tag === "StrayReply" && diagnostic.kind === "late"
      assert.strictEqual((yield* diagnostic(client, late))._tag, "Some")
      yield* echo(client)
    }))

  live("because it reads nothing is given up at the deadline, however much is written", () =>
    Effect.gen(function*() {
      const reason = reasonOf(yield* Effect.exit(connect(["deaf"], { startupTimeout: "500 millis" })))
      assert.deepInclude(reason, { _tag: "RequestTimeout", limit: "startup" })
    }))
})

describe("a server that writes as it should not", () => {
  for (
    const faults of [["noise"], ["deep"], ["blank"], ["crlf"], ["bom"], ["split"], ["duplicate"], ["stderr=1048576"], ["endless-stderr"], ["flood=2000"]]
  ) {
    live(`(${faults.join(", ")}) is understood all the same`, () =>
      Effect.gen(function*() {
        const client = yield* connect(faults)
        for (let times = 0; times < 3; times++) yield* echo(client)
      }))
  }

  live("(batch) is understood in the revision that has batches, and in no other (B-11)", () =>
    Effect.gen(function*() {
      const old = yield* connect(["batch", "revision=2025-03-26"])
      assert.strictEqual(old.revision, "2025-03-26")
      yield* echo(old)
      const newer = yield* connect(["batch"])
      const reason = reasonOf(yield* Effect.exit(newer.callTool("echo", { text: "x" }, { timeout: "100 millis" })))
      assert.deepInclude(reason, { _tag: "RequestTimeout" })
      assert.strictEqual((yield* diagnostic(newer, ({ _tag }) => _tag === "Skipped"))._tag, "Some")
    }))

  for (const faults of [["string-id"], ["wrong-id"]]) {
    live(`(${faults.join()}) fails the call by its deadline and reports the stray reply`, () =>
      Effect.gen(function*() {
        const client = yield* connect(faults)
        const reason = reasonOf(yield* Effect.exit(client.callTool("echo", { text: "x" }, { timeout: "100 millis" })))
        assert.deepInclude(reason, { _tag: "RequestTimeout" })
        assert.strictEqual((yield* diagnostic(client, ({ _tag }) => _tag === "StrayReply"))._tag, "Some")
        yield* client.ping
      }))
  }

  for (const faults of [["null-error"], ["no-id-error"]]) {
    live(`errors for no request (${faults.join()}) keeps its other calls`, () =>
      Effect.gen(function*() {
        const client = yield* connect(faults)
        const reason = reasonOf(yield* Effect.exit(client.callTool("echo", { text: "x" }, { timeout: "100 millis" })))
        assert.deepInclude(reason, { _tag: "RequestTimeout" })
        assert.isAbove((yield* client.listTools()).length, 0)
      }))
  }

  live("a message over the limit ends its connection with a typed error", () =>
    Effect.gen(function*() {
      const client = yield* connect([], {}, { maxMessageBytes: 100_000 })
      yield* client.callTool("giant", { bytes: 50_000 })
      const reason = reasonOf(yield* Effect.exit(client.callTool("giant", { bytes: 200_000 })))
      assert.deepInclude(reason, { _tag: "MessageTooLarge", limitBytes: 100_000 })
    }))

  live("a message of 16 MiB is taken under the default limit", () =>
    Effect.gen(function*() {
      const client = yield* connect([])
      const { content } = yield* client.callTool("giant", { bytes: 16 * 1024 * 1024 })
      assert.isAtLeast(JSON.stringify(content).length, 16 * 1024 * 1024)
    }))

  live("progress for nobody, and after the result, is ignored", () =>
    Effect.gen(function*() {
      const client = yield* connect([])
      const heard: Array<number> = []
      const onProgress = ({ progress }: McpClient.Progress) => Effect.sync(() => heard.push(progress))
      yield* client.callTool("progress", { count: 3, unknown: true }, { onProgress })
      assert.deepStrictEqual(heard, [])
      yield* client.callTool("progress", { count: 3, late: true }, { onProgress })
      assert.deepStrictEqual(heard, [1, 2, 3])
      yield* echo(client)
    }))

  live("a flood while a handler of progress is slow loses old news, never the result", () =>
    Effect.gen(function*() {
      const client = yield* connect([])
      const first = yield* Deferred.make<void>()
      let heard = 0
      yield* client.callTool("progress", { count: 5_000 }, {
        onProgress: () => {
          heard++
          return Effect.andThen(Deferred.succeed(first, undefined), Effect.yieldNow)
        }
      })
      assert.isAtLeast(heard, 1)
      assert.isAtMost(heard, 5_000)
    }))
})

describe("a server that closes its pipes and lives on", () => {
  live("(close-stdout) fails the connection, because nothing more can come", () =>
    Effect.gen(function*() {
      const reason = reasonOf(yield* Effect.exit(connect(["close-stdout"])))
      assert.include(["ConnectionClosed", "ProcessExited"], reason._tag)
    }))

  // Nobody hears of a closed stdin before writing to it again, so it may also be the time for the start that ends it.
  live("(close-stdin) fails the connection, within the time for the start", () =>
    Effect.gen(function*() {
      const reason = reasonOf(
        yield* Effect.exit(connect(["close-stdin"], { startupTimeout: "2 seconds", negotiation: { probeTimeout: "100 millis" } }, {
          shutdown: { stdin: "100 millis", terminate: "100 millis" }
        }))
      )
      assert.include(["ConnectionClosed", "RequestTimeout"], reason._tag)
    }))
})
