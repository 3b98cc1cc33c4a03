import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Diagnostic from "../../src/Diagnostic.ts"
import * as McpError from "../../src/McpError.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import type * as StdioTransport from "../../src/transport/StdioTransport.ts"
import { call, fault, type Incoming, open, openOverStreams } from "../support/faultServer.ts"

const folder = mkdtempSync(join(tmpdir(), "mcp-connect-"))
afterAll(() => rmSync(folder, { recursive: true }))

const quick = { stdin: "300 millis", terminate: "300 millis", kill: "300 millis" } as const

const text = (reply: Incoming) => reply.result.content.map(({ text }) => text).join("")

const env = { PATH: "/usr/bin:/bin" }

const spawnFailure = (options: StdioTransport.Options) =>
  Effect.scoped(Effect.flip(open(options))).pipe(Effect.map((error) => {
    assert.isTrue(McpError.isMcpError(error))
    assert.instanceOf(error.reason, McpError.SpawnFailed)
    return { kind: error.reason.kind, message: error.message }
  }))

describe("starting", () => {
  it.live("a command that is nowhere is reported with the directories that were searched", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* spawnFailure({ command: "no-such-server", env }), {
        kind: "CommandNotFound",
        message: "Cannot start \"no-such-server\": it is in no directory of PATH (searched /usr/bin, /bin)"
      })
      assert.deepStrictEqual(yield* spawnFailure({ command: "no-such-server", env: { PATH: Redacted.make("/x") } }), {
        kind: "CommandNotFound",
        message: "Cannot start \"no-such-server\": it is in no directory of PATH (searched /x)"
      })
      assert.deepStrictEqual(yield* spawnFailure({ command: "no-such-server", env: {} }), {
        kind: "CommandNotFound",
        message: "Cannot start \"no-such-server\": it was looked for on the search path, but PATH is not set for the server"
      })
    }))

  it.live("a file that does not exist is reported without a search path", () =>
    Effect.gen(function*() {
      const { kind, message } = yield* spawnFailure({ command: "./server", env, cwd: folder })
      assert.strictEqual(kind, "CommandNotFound")
      assert.include(message, `relative names are looked for in ${folder}`)
      assert.notInclude(message, "/usr/bin")
    }))

  it.live("a file that may not be run is told apart from one that is missing", () =>
    Effect.gen(function*() {
      const file = join(folder, "not-executable")
      writeFileSync(file, "#!/bin/sh\n", { mode: 0o644 })
      assert.strictEqual((yield* spawnFailure({ command: file, env })).kind, "PermissionDenied")
    }))

  it.live("a working directory that is missing, or is a file, is told apart from the command", () =>
    Effect.gen(function*() {
      const missing = join(folder, "missing")
      assert.deepStrictEqual(yield* spawnFailure({ command: "sh", env, cwd: missing }), {
        kind: "InvalidWorkingDirectory",
        message: `Cannot start "sh": its working directory ${missing} does not exist`
      })
      const file = join(folder, "file")
      writeFileSync(file, "")
      assert.deepStrictEqual(yield* spawnFailure({ command: "sh", env, cwd: file }), {
        kind: "InvalidWorkingDirectory",
        message: `Cannot start "sh": its working directory ${file} is not a directory`
      })
    }))

  it.live("what the system refuses to start is a typed failure without the arguments", () =>
    Effect.gen(function*() {
      const { kind, message } = yield* spawnFailure({ command: "sh", args: ["-c", "secret".repeat(100_000)], env })
      assert.strictEqual(kind, "Other")
      assert.notInclude(message, "secret")
      const withNul = yield* spawnFailure({ command: "sh", args: [Redacted.make("secret\0")], env })
      assert.strictEqual(withNul.message, "Cannot start \"sh\": Argument 1 contains a NUL character")
    }))

  it.live("the process has the environment, arguments and directory it was given and nothing else", () =>
    Effect.gen(function*() {
      const { closed } = yield* open({
        command: process.execPath,
        args: ["-e", "console.error(JSON.stringify([process.env, process.argv.slice(1), process.cwd()]))", Redacted.make("a b")],
        env: { A: "1", B: Redacted.make("2") },
        cwd: folder
      })
      const reason = yield* closed
      assert.instanceOf(reason, McpError.ProcessExited)
      assert.deepStrictEqual(JSON.parse(reason.stderr), [{ A: "1", B: "2" }, ["a b"], folder])
    }))

  it.live("a transport opens a new process each time", () =>
    Effect.gen(function*() {
      const first = yield* open(fault())
      const second = yield* open(fault())
      call(first.link, "exit", { code: 1 })
      yield* first.closed
      call(second.link, "echo", { text: "alive" })
      assert.strictEqual(text(yield* second.next), "alive")
    }))
})

describe.each([
  { pipes: "with pipes of our own", open },
  { pipes: "with the streams of another spawner", open: openOverStreams }
])("$pipes", ({ open }) => {
  describe("the end of the process", () => {
    const exit = (...faults: ReadonlyArray<string>) => Effect.flatMap(open(fault(...faults)), ({ closed }) => closed)

    it.live("an exit is reported with its code and the end of stderr", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(
          yield* exit("say=missing API key", "exit=3"),
          new McpError.ProcessExited({ code: 3, signal: null, stderr: "missing API key" })
        )
        assert.deepStrictEqual(yield* exit("exit=0"), new McpError.ProcessExited({ code: 0, signal: null, stderr: "" }))
      }))

    it.live("a death by signal is reported with the signal", () =>
      Effect.gen(function*() {
        for (const signal of ["SIGKILL", "SIGSEGV", "SIGTERM"]) {
          const { closed, link } = yield* open(fault())
          call(link, "die", { signal })
          assert.deepStrictEqual(yield* closed, new McpError.ProcessExited({ code: null, signal, stderr: "" }))
        }
      }))

    it.live("the last reply before an exit is delivered before the link closes", () =>
      Effect.gen(function*() {
        const { afterClose, closed, link, next } = yield* open(fault("last-words=tools/call:2"))
        call(link, "giant", { bytes: 1_000_000 })
        assert.deepInclude(yield* closed, { code: 2 })
        assert.strictEqual(text(yield* next).length, 1_000_000)
        assert.isEmpty(afterClose)
      }))

    it.live("an exit is reported although a grandchild holds the pipes open", () =>
      Effect.gen(function*() {
        const { closed, link, next } = yield* open({ ...fault("child-holds-stdout"), shutdown: quick })
        call(link, "echo", { text: "ready" })
        yield* next
        call(link, "die", { signal: "SIGKILL" })
        assert.deepInclude(yield* closed, { signal: "SIGKILL" })
      }))

    it.live("a server that closes its stdout and lives on has closed the connection", () =>
      Effect.gen(function*() {
        const { closed } = yield* open({ ...fault("close-stdout", "ignore-eof"), shutdown: quick })
        assert.deepStrictEqual(
          yield* closed,
          new McpError.ConnectionClosed({ by: "server", detail: "its process lives on, but closed its stdout" })
        )
      }))

    it.live("a server that closes its stdin and lives on has closed the connection when it is written to", () =>
      Effect.gen(function*() {
        const { closed, diagnostics, link } = yield* open({ ...fault("close-stdin", "say=up"), shutdown: quick })
        yield* Queue.take(diagnostics)
        const writing = yield* Effect.forkChild(Effect.forever(Effect.andThen(
          Effect.sync(() => call(link, "echo")),
          Effect.sleep("20 millis")
        )))
        assert.deepStrictEqual(
          yield* closed,
          new McpError.ConnectionClosed({ by: "server", detail: "its process lives on, but closed its stdin", stderr: "up" })
        )
        yield* Fiber.interrupt(writing)
      }))

    it.live("what is sent after the end goes nowhere and nobody waits", () =>
      Effect.gen(function*() {
        const { closed, link } = yield* open(fault("exit=1"))
        yield* closed
        assert.strictEqual(link.send(JsonRpc.notification("n")), 0)
        link.abandon(1, "late")
        assert.isUndefined(link.backpressure())
      }))

    it.live("closing the scope is told once, before the process is gone, and nothing is delivered after it", () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const { afterClose, closed, link } = yield* Scope.provide(open(fault("flood=1000")), scope)
        call(link, "echo", { text: "x" })
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(
          yield* closed,
          new McpError.ConnectionClosed({ by: "client", detail: "its scope was closed" })
        )
        assert.isEmpty(afterClose)
      }))
  })

  describe("reading", () => {
    const echo = Effect.fnUntraced(function*(faults: ReadonlyArray<string>, echoed: string) {
      const session = yield* open(fault(...faults))
      const id = call(session.link, "echo", { text: echoed })
      const message = yield* session.next
      return { ...session, id, message }
    })

    it.live("lines that are not JSON are reported and skipped, and the connection goes on", () =>
      Effect.gen(function*() {
        const { diagnostics, id, message } = yield* echo(["noise"], "hello")
        assert.strictEqual(message.id, id)
        assert.deepStrictEqual(yield* Queue.takeN(diagnostics, 3), [
          "Listening on stdio",
          "info ready",
          "{\"level\":30,\"msg\":\"pino"
        ].map((excerpt) => Diagnostic.Skipped({ detail: "a line on stdout that is not JSON", excerpt })))
      }))

    it.live("an excerpt of a long line that is not JSON is short", () =>
      Effect.gen(function*() {
        const { diagnostics } = yield* open({
          command: process.execPath,
          args: ["-e", "console.log('x'.repeat(1e6))"],
          env
        })
        const diagnostic = yield* Queue.take(diagnostics)
        assert(diagnostic._tag === "Skipped")
        assert.strictEqual(diagnostic.excerpt.length, 200)
      }))

    for (const faults of [["blank"], ["crlf"], ["bom"], ["bom", "crlf", "blank"]]) {
      it.live(`${faults.join(", ")}: messages come through unharmed`, () =>
        Effect.gen(function*() {
          const { diagnostics, message } = yield* echo(faults, "hello")
          assert.strictEqual(text(message), "hello")
          assert.strictEqual(yield* Queue.size(diagnostics), 0)
        }))
    }

    it.live("characters cut in the middle are put together", () =>
      Effect.gen(function*() {
        const { message } = yield* echo(["split", "crlf", "bom"], "é € 😀 漢字")
        assert.strictEqual(text(message), "é € 😀 漢字")
      }))

    it.live("many messages in one chunk come one by one, in order", () =>
      Effect.gen(function*() {
        const { link, messages } = yield* open(fault())
        call(link, "many", { count: 5_000 })
        const got = yield* Queue.takeN(messages, 5_001)
        assert.deepStrictEqual(got.slice(0, 5_000).map(({ value }) => value.params.data), Array.from({ length: 5_000 }, (_, i) => i))
      }))

    it.live("a message is reported with the bytes it took on the wire", () =>
      Effect.gen(function*() {
        const { link, messages } = yield* open(fault("crlf"))
        call(link, "echo", { text: "é" })
        const { bytes, value } = yield* Queue.take(messages)
        assert.strictEqual(bytes, Buffer.byteLength(JSON.stringify(value)) + 2)
      }))

    it.live("valid JSON of any shape is handed on", () =>
      Effect.gen(function*() {
        const { link, next } = yield* open(fault("batch"))
        const id = call(link, "echo", { text: "x" })
        const batch: unknown = yield* next
        assert(Array.isArray(batch))
        assert.deepStrictEqual(batch.map((reply: Incoming) => reply.id), [id])
      }))

    it.live("a message over the limit ends the connection with the limit, and nothing after it is delivered", () =>
      Effect.gen(function*() {
        const { afterClose, closed, link, messages } = yield* open({ ...fault(), maxMessageBytes: 10_000 })
        call(link, "giant", { bytes: 20_000 })
        call(link, "echo", { text: "x" })
        assert.deepStrictEqual(yield* closed, new McpError.MessageTooLarge({ limitBytes: 10_000 }))
        assert.strictEqual(yield* Queue.size(messages), 0)
        assert.isEmpty(afterClose)
      }))

    it.live("a line that never ends is cut off at the limit, and the server that writes it is taken down", () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const { closed } = yield* Scope.provide(
          open({ ...fault("endless-line"), maxMessageBytes: 1_000_000, shutdown: quick }),
          scope
        )
        assert.deepStrictEqual(yield* closed, new McpError.MessageTooLarge({ limitBytes: 1_000_000 }))
        yield* Scope.close(scope, Exit.void)
      }))
  })

  describe("stderr", () => {
    it.live("a server that floods stderr is not blocked by it", () =>
      Effect.gen(function*() {
        const { link, next } = yield* open(fault("stderr=4000000"))
        call(link, "echo", { text: "alive" })
        assert.strictEqual(text(yield* next), "alive")
      }))

    it.live("a line on stderr that never ends comes in bounded pieces", () =>
      Effect.gen(function*() {
        const { diagnostics, link, next } = yield* open({ ...fault("endless-stderr"), shutdown: quick })
        const pieces = yield* Queue.takeN(diagnostics, 20)
        assert.isTrue(pieces.every((piece) => piece._tag === "Stderr" && piece.line.length === 16 * 1024))
        call(link, "echo", { text: "alive" })
        assert.strictEqual(text(yield* next), "alive")
      }))

    it.live("every line is reported as it comes, without control sequences", () =>
      Effect.gen(function*() {
        const { diagnostics } = yield* open(fault("say=\u001b[31mred\u001b[0m", "say=second"))
        assert.deepStrictEqual(yield* Queue.takeN(diagnostics, 2), [
          Diagnostic.Stderr({ line: "red" }),
          Diagnostic.Stderr({ line: "second" })
        ])
      }))

    it.live("only so much of its end is kept", () =>
      Effect.gen(function*() {
        const { closed } = yield* open({ ...fault("stderr=100000", "say=the end", "exit=1"), stderrTail: 20 })
        const reason = yield* closed
        assert.instanceOf(reason, McpError.ProcessExited)
        assert.strictEqual(reason.stderr, "x".repeat(11) + "\nthe end")
      }))

    it.live("a last line without an end is kept too", () =>
      Effect.gen(function*() {
        const { closed } = yield* open({ command: "/bin/sh", args: ["-c", "printf 'no end' >&2; exit 4"], env })
        assert.deepStrictEqual(yield* closed, new McpError.ProcessExited({ code: 4, signal: null, stderr: "no end" }))
      }))
  })

  describe("writing", () => {
    it.live("what is sent arrives unchanged and in order, counted in bytes", () =>
      Effect.gen(function*() {
        const { link, next } = yield* open(fault())
        const message = JsonRpc.notification("n", { text: "é\n€ 😀" })
        assert.strictEqual(link.send(message), Buffer.byteLength(JSON.stringify(message)) + 1)
        for (let i = 0; i < 2_000; i++) link.send(JsonRpc.notification("n", { i, text: "é".repeat(i) }))
        call(link, "received")
        const received = JSON.parse(text(yield* next)) as ReadonlyArray<JsonRpc.Notification>
        assert.deepStrictEqual(received[0], message)
        assert.deepStrictEqual(received.slice(1, -1).map(({ params }) => params?.i), Array.from({ length: 2_000 }, (_, i) => i))
      }))

    it.live("any number of senders that wait for little room are let through one after the other", () =>
      Effect.gen(function*() {
        const { link, next } = yield* open({ ...fault(), highWaterMark: 1 })
        const send = (i: number): Effect.Effect<void> =>
          Effect.suspend(() => {
            const full = link.backpressure()
            if (full !== undefined) return Effect.andThen(full, send(i))
            link.send(JsonRpc.notification("n", { i }))
            return Effect.void
          })
        const all = Array.from({ length: 20_000 }, (_, i) => i)
        yield* Effect.forEach(all, send, { concurrency: "unbounded" })
        call(link, "received")
        const received = JSON.parse(text(yield* next)) as ReadonlyArray<JsonRpc.Notification>
        assert.deepStrictEqual(received.slice(0, -1).map(({ params }) => params?.i), all)
      }))

    it.live("giving a request up reaches the server as a cancellation", () =>
      Effect.gen(function*() {
        const { link, next } = yield* open(fault())
        const id = call(link, "never")
        link.abandon(id, "no longer needed")
        call(link, "received")
        const received = JSON.parse(text(yield* next)) as ReadonlyArray<JsonRpc.Notification>
        assert.deepStrictEqual(
          received[1],
          JsonRpc.notification("notifications/cancelled", { requestId: id, reason: "no longer needed" })
        )
      }))

    it.live("senders to a server that does not read wait, and are let go when the link closes", () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const { link } = yield* Scope.provide(
          open({ ...fault("deaf"), highWaterMark: 100_000, shutdown: quick }),
          scope
        )
        let sent = 0
        let rounds = 0
        while (rounds < 100 && (link.backpressure() === undefined || sent < 1_000_000)) {
          sent += link.send(JsonRpc.notification("n", { text: "x".repeat(50_000) }))
          rounds++
          yield* Effect.yieldNow
        }
        const waiting = yield* Effect.forkChild(link.backpressure() ?? Effect.die("there is room"), { startImmediately: true })
        assert.isUndefined(waiting.pollUnsafe())
        yield* Scope.close(scope, Exit.void)
        yield* Fiber.join(waiting)
      }))

    it.live("senders to a slow server go on when it has caught up", () =>
      Effect.gen(function*() {
        const { link, next } = yield* open({ ...fault(), highWaterMark: 10_000 })
        let sent = 0
        for (let i = 0; i < 200; i++) {
          yield* link.backpressure() ?? Effect.void
          sent += link.send(JsonRpc.notification("n", { text: "x".repeat(20_000) }))
        }
        call(link, "echo", { text: "all read" })
        assert.strictEqual(text(yield* next), "all read")
        assert.isAbove(sent, 4_000_000)
      }))
  })
})
