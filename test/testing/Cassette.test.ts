import { assert, describe, it } from "@effect/vitest"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Elicitation from "../../src/Elicitation.ts"
import * as McpClient from "../../src/McpClient.ts"
import * as McpError from "../../src/McpError.ts"
import * as Cassette from "../../src/testing/Cassette.ts"
import * as MockServer from "../../src/testing/MockServer.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import * as InMemoryTransport from "../../src/transport/InMemoryTransport.ts"
import { Transport } from "../../src/Transport.ts"

const mock: MockServer.Declaration = {
  tools: {
    echo: ({ text }) => Effect.succeed(String(text)),
    login: () => Effect.succeed("{\"apiKey\":\"abcdef123456\"} and hunter2"),
    slow: (_args, call) =>
      Effect.gen(function*() {
        yield* call.progress({ progress: 1, total: 2 })
        yield* Effect.sleep("4 seconds")
        yield* call.log("info", "half way")
        yield* call.progress({ progress: 2, total: 2 })
        return "done"
      }),
    ask: (_args, call) =>
      Effect.map(
        call.elicit({ message: "Who?", schema: Schema.Struct({ name: Schema.String }) }),
        (answer) => JSON.stringify(answer)
      )
  }
}

const temporary = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  return `${yield* fs.makeTempDirectoryScoped({ prefix: "mcp-connect-cassette-" })}/server.jsonl`
})

const run = <A, E, R>(
  program: Effect.Effect<A, E, R | McpClient.McpClient | Cassette.Cassette>,
  transport: Layer.Layer<Transport | Cassette.Cassette, McpError.McpError, FileSystem.FileSystem>
) =>
  program.pipe(
    Effect.provide(Layer.provideMerge(McpClient.layer({ name: "mock" }), transport))
  )

const answering = Effect.provide(
  Elicitation.layer({ form: () => Effect.succeed({ action: "accept", content: { name: "Ada" } }) })
)

const failsWith = <A, R, Tag extends McpError.McpErrorReason["_tag"]>(
  effect: Effect.Effect<A, McpError.McpError, R>,
  tag: Tag
): Effect.Effect<Extract<McpError.McpErrorReason, { _tag: Tag }>, never, R> =>
  Effect.map(Effect.flip(Effect.asVoid(effect)), ({ reason }) => {
    assert(isTag(reason, tag), reason.message)
    return reason
  }).pipe(Effect.orDie)

const isTag = <Tag extends McpError.McpErrorReason["_tag"]>(
  reason: McpError.McpErrorReason,
  tag: Tag
): reason is Extract<McpError.McpErrorReason, { _tag: Tag }> => reason._tag === tag

const callEcho = (text: string) => McpClient.McpClient.use((client) => client.callTool("echo", { text }))
const textOf = (result: { readonly content: ReadonlyArray<object> }) => result.content.map((part) => "text" in part ? part.text : "").join()
const complete = Cassette.Cassette.use(({ assertComplete }) => assertComplete)

const recorded = (era: "modern" | "legacy", options?: Cassette.RecordOptions) => (file: string) =>
  MockServer.layerTransport(mock, { era }).pipe(Cassette.layer(file, { mode: "record", ...options }))

/** A legacy server that dies of a call. */
const mortal = (reason: McpError.McpErrorReason) =>
  InMemoryTransport.layer((peer) =>
    Stream.runForEach(peer.incoming, (message) => {
      if (!JsonRpc.isRequest(message)) return Effect.void
      switch (message.method) {
        case "initialize":
          return peer.send(JsonRpc.success(message.id, {
            protocolVersion: "2025-11-25",
            capabilities: { tools: {} },
            serverInfo: { name: "mortal", version: "1" }
          }))
        case "tools/call":
          return peer.close(reason)
        default:
          return peer.send(JsonRpc.failure(message.id, { code: JsonRpc.ErrorCode.MethodNotFound, message: "?" }))
      }
    }))

for (const era of ["modern", "legacy"] as const) {
  describe(`a cassette of a ${era} server`, () => {
    it.effect("is replayed without it, and says when everything was asked", () =>
      Effect.gen(function*() {
        const file = yield* temporary
        const program = Effect.all([callEcho("a"), callEcho("b")], { concurrency: "unbounded" })
        const first = yield* run(program, recorded(era)(file))
        const again = yield* run(Effect.zip(program, complete), Cassette.replay(file))
        assert.deepStrictEqual(again[0].map(textOf), first.map(textOf))
        assert.deepStrictEqual(again[0].map(textOf), ["a", "b"])
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.effect("fails a call that was not recorded, with the difference and the line", () =>
      Effect.gen(function*() {
        const file = yield* temporary
        yield* run(callEcho("a"), recorded(era)(file))
        const reason = yield* failsWith(run(callEcho("b"), Cassette.replay(file)), "CassetteDeviation")
        assert.match(reason.diff, /^- +"text": "a"$/m)
        assert.match(reason.diff, /^\+ +"text": "b"$/m)
        const line = (yield* (yield* FileSystem.FileSystem).readFileString(file)).split("\n")[(reason.line ?? 0) - 1] ?? ""
        assert.include(line, "\"tools/call\"")
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.effect("tells what a strict replay was never asked for, and what comes after its end", () =>
      Effect.gen(function*() {
        const file = yield* temporary
        yield* run(Effect.andThen(callEcho("a"), callEcho("b")), recorded(era)(file))
        const missing = yield* failsWith(run(Effect.andThen(callEcho("a"), complete), Cassette.replay(file)), "CassetteDeviation")
        assert.include(missing.message, "1 recorded message was never sent")
        assert.include(missing.diff, "tools/call \"echo\"")
        const once = Effect.andThen(callEcho("a"), callEcho("b"))
        const more = yield* failsWith(run(Effect.andThen(once, callEcho("b")), Cassette.replay(file)), "CassetteDeviation")
        assert.include(more.message, "nothing more was to come")
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.effect("answers a program that asks one after the other what was recorded at once", () =>
      Effect.gen(function*() {
        const file = yield* temporary
        yield* run(Effect.all([callEcho("a"), callEcho("b")], { concurrency: 2 }), recorded(era)(file))
        const [results] = yield* run(Effect.zip(Effect.all([callEcho("a"), callEcho("b")]), complete), Cassette.replay(file))
        assert.deepStrictEqual(results.map(textOf), ["a", "b"])
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.effect("answers by method and params in any order when replayed loosely", () =>
      Effect.gen(function*() {
        const file = yield* temporary
        yield* run(Effect.andThen(callEcho("a"), callEcho("b")), recorded(era)(file))
        const program = Effect.all([callEcho("b"), callEcho("a"), callEcho("b")])
        const results = yield* run(program, Cassette.replay(file, { match: "loose" }))
        assert.deepStrictEqual(results.map(textOf), ["b", "a", "b"])
        const reason = yield* failsWith(run(callEcho("c"), Cassette.replay(file, { match: "loose" })), "CassetteDeviation")
        assert.match(reason.diff, /^\+ +"text": "c"$/m)
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    for (const match of ["strict", "loose"] as const) {
      it.effect(`keeps progress and log lines in their order, at once or in their time (${match})`, () =>
        Effect.gen(function*() {
          const file = yield* temporary
          /** Calls, and opens the latch when the tool has begun. */
          const program = (begun: Latch.Latch) =>
            Effect.gen(function*() {
              const client = yield* McpClient.McpClient
              const heard: Array<string> = []
              const result = yield* client.callTool("slow", {}, {
                onProgress: ({ progress }) =>
                  Effect.sync(() => {
                    heard.push(`progress ${progress}`)
                    begun.openUnsafe()
                  })
              })
              return [...heard, textOf(result)]
            })
          const inTime = Effect.fnUntraced(function*(
            layer: Layer.Layer<Transport | Cassette.Cassette, McpError.McpError, FileSystem.FileSystem>
          ) {
            const begun = yield* Latch.make()
            const fiber = yield* Effect.forkChild(run(program(begun), layer))
            yield* begun.await
            yield* TestClock.adjust("3900 millis")
            assert.isUndefined(fiber.pollUnsafe())
            yield* TestClock.adjust("200 millis")
            return yield* Fiber.join(fiber)
          })
          const expected = ["progress 1", "progress 2", "done"]
          assert.deepStrictEqual(yield* inTime(recorded(era)(file)), expected)
          assert.deepStrictEqual(yield* inTime(Cassette.replay(file, { match, pace: "recorded" })), expected)
          assert.deepStrictEqual(yield* run(program(Latch.makeUnsafe()), Cassette.replay(file, { match })), expected)
        }).pipe(Effect.provide(NodeFileSystem.layer)))

      it.effect(`asks the program what the server asked, and goes on when it has answered (${match})`, () =>
        Effect.gen(function*() {
          const file = yield* temporary
          const program = McpClient.McpClient.use((client) => client.callTool("ask", {}))
          const first = yield* answering(run(program, recorded(era)(file)))
          const again = yield* answering(run(Effect.zip(program, complete), Cassette.replay(file, { match })))
          assert.strictEqual(textOf(first), "{\"action\":\"accept\",\"content\":{\"name\":\"Ada\"}}")
          assert.strictEqual(textOf(again[0]), textOf(first))
        }).pipe(Effect.provide(NodeFileSystem.layer)))
    }
  })
}

describe("a cassette", () => {
  it.effect("hides secrets by their names, forms and values, and takes any others in a replay", () =>
    Effect.gen(function*() {
      const file = yield* temporary
      const program = (password: string, text: string) =>
        McpClient.McpClient.use((client) =>
          Effect.andThen(client.callTool("login", { user: "ada", password }), client.callTool("echo", { text })))
      const layer = recorded("legacy", { redact: { values: [Redacted.make("hunter2")], keys: ["user"] } })
      const result = yield* run(program("s3cret!", "Authorization: Bearer abcdefgh"), layer(file))
      assert.include(textOf(result), "abcdefgh")
      const text = yield* (yield* FileSystem.FileSystem).readFileString(file)
      for (const secret of ["s3cret!", "abcdef123456", "hunter2", "abcdefgh", "\"ada\""]) assert.notInclude(text, secret)
      assert.include(text, "\"password\":\"[redacted]\"")
      const again = yield* run(Effect.zip(program("another", "Authorization: Bearer zyxwvuts"), complete), Cassette.replay(file))
      assert.strictEqual(textOf(again[0]), "Authorization: Bearer [redacted]")
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.effect("is written after an interruption, and replaces the old one as a whole", () =>
    Effect.gen(function*() {
      const file = yield* temporary
      const fs = yield* FileSystem.FileSystem
      yield* fs.writeFileString(file, "old")
      const program = Effect.andThen(callEcho("a"), Effect.andThen(fs.readFileString(file), (text) =>
        Effect.andThen(Effect.sync(() => assert.strictEqual(text, "old")), Effect.interrupt)))
      const exit = yield* Effect.exit(run(program, recorded("modern")(file)))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.strictEqual(textOf(yield* run(callEcho("a"), Cassette.replay(file))), "a")
      assert.deepStrictEqual(yield* fs.readDirectory(file.replace("/server.jsonl", "")), ["server.jsonl"])
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.effect("is recorded when there is none and replayed when there is, without building the transport", () =>
    Effect.gen(function*() {
      const file = yield* temporary
      const mode = Cassette.Cassette.use(({ mode }) => Effect.succeed(mode))
      const auto = MockServer.layerTransport(mock).pipe(Cassette.layer(file))
      const broken = Layer.effect(Transport, Effect.die("built")).pipe(Cassette.layer(file))
      assert.strictEqual(yield* run(Effect.andThen(callEcho("a"), mode), auto), "record")
      assert.strictEqual(yield* run(Effect.andThen(callEcho("a"), mode), broken), "replay")
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.effect("tells how the link ended as it did when it was recorded", () =>
    Effect.gen(function*() {
      const file = yield* temporary
      const exited = new McpError.ProcessExited({ code: 3, signal: null, stderr: "out of memory" })
      const program = McpClient.McpClient.use((client) => client.callTool("die", {}))
      yield* failsWith(run(program, mortal(exited).pipe(Cassette.layer(file))), "ProcessExited")
      const reason = yield* failsWith(run(program, Cassette.replay(file)), "ProcessExited")
      assert.deepStrictEqual(reason, exited)
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.effect("names the line that is broken", () =>
    Effect.gen(function*() {
      const file = yield* temporary
      const fs = yield* FileSystem.FileSystem
      const header = "{\"cassette\":1,\"kind\":\"stdio\",\"network\":\"pipe\"}"
      const reasonFor = (text: string) =>
        Effect.andThen(fs.writeFileString(file, text), failsWith(run(Effect.void, Cassette.replay(file)), "InvalidCassette"))
      assert.strictEqual((yield* reasonFor("")).line, 1)
      assert.strictEqual((yield* reasonFor("{}")).line, 1)
      assert.include((yield* reasonFor("{\"cassette\":2,\"kind\":\"x\",\"network\":\"x\"}")).detail, "update")
      assert.strictEqual((yield* reasonFor(`${header}\n{"at":0,"link":1,"type":"open"}\n{"at":`)).line, 3)
      assert.include((yield* reasonFor(`${header}\n\n{"at":0,"link":1,"type":"send","message":1}`)).message, `${file}:3`)
      yield* fs.writeFileString(file, `${header}\n{"type":"weather","later":true}\n{"at":0,"link":1,"type":"open","new":1}\n`)
      const built = yield* Effect.scoped(Layer.build(Cassette.replay(file)))
      assert.isDefined(built)
    }).pipe(Effect.provide(NodeFileSystem.layer)))
})
