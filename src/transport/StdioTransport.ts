/**
 * The server is a child process: one JSON message per line on its stdin and
 * stdout, free text on its stderr (section 8 of the requirements, S-01 …).
 *
 * The scope that opens a link owns the process and its process group. However
 * it ends (success, failure, interruption, the end of the program), the process
 * is asked to leave, then told, then killed, and the scope is closed only when
 * it is gone or was given up.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type { ChildProcessHandle, ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Scope from "effect/Scope"
import * as Diagnostic from "../Diagnostic.ts"
import { atMost } from "../internal/atMost.ts"
import * as JsonLines from "../internal/jsonLines.ts"
import { LineSplitter } from "../internal/lineSplitter.ts"
import { Outbox } from "../internal/outbox.ts"
import * as Pipes from "../internal/pipes.ts"
import * as PlainText from "../internal/plainText.ts"
import * as Spawn from "../internal/spawn.ts"
import * as McpError from "../McpError.ts"
import { type Link, type Receiver, Transport } from "../Transport.ts"
import * as LineLink from "./lineLink.ts"

/** A program to run as a server, and how to treat it. */
export interface Options extends Spawn.Program {
  /** An absolute directory. Default is this program's own. */
  readonly cwd?: string | undefined
  /** How long each step of the shutdown may take before the next one (S-08). */
  readonly shutdown?: {
    /** After its stdin was closed. Default 2 seconds. */
    readonly stdin?: Duration.Input | undefined
    /** After SIGTERM to the process group. Default 2 seconds. */
    readonly terminate?: Duration.Input | undefined
    /** After SIGKILL to the process group; then it is given up with a warning. Default 1 second. */
    readonly kill?: Duration.Input | undefined
  } | undefined
  /** Largest message taken, in bytes. Default 64 MiB. */
  readonly maxMessageBytes?: number | undefined
  /** Bytes not yet written above which senders wait. Default 1 MiB. */
  readonly highWaterMark?: number | undefined
  /** How much of the end of stderr goes into an error, in characters. Default 2,048. */
  readonly stderrTail?: number | undefined
}

/** Longest line of stderr reported in one piece, in bytes. */
const stderrLineBytes = 16 * 1024

/** After the exit, for what is still in the pipes: grandchildren may hold them open for ever. */
const drainTime = Duration.millis(500)

/** After a pipe was closed: most often the process is on its way out, and its exit says more. */
const exitTime = Duration.seconds(1)

interface ExitStatus {
  readonly code: number | null
  readonly signal: string | null
}

/** A spawner tells a death by signal only in the text of a failure. */
const awaitExit = (handle: ChildProcessHandle): Effect.Effect<ExitStatus> =>
  Effect.match(handle.exitCode, {
    onSuccess: (code): ExitStatus => ({ code, signal: null }),
    onFailure: (error): ExitStatus => ({ code: null, signal: /signal: '(\w+)'/.exec(String(error.cause))?.[1] ?? null })
  })

/** A running process. */
interface Session {
  readonly link: Link
  /** Closes the link for this side, and ends when the process is gone or given up. */
  readonly close: Effect.Effect<void>
}

const start = Effect.fnUntraced(function*(
  spawn: Spawn.Spawn,
  options: Options,
  receiver: Receiver
): Effect.fn.Return<Session, McpError.McpError> {
  const maxMessageBytes = options.maxMessageBytes ?? 64 * 1024 * 1024
  const scope = yield* Scope.make()
  const handle = yield* spawn(options).pipe(
    Scope.provide(scope),
    Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
  )
  const outbox = new Outbox(options.highWaterMark ?? 1024 * 1024)
  const tail = PlainText.makeTail(options.stderrTail ?? 2_048)
  const exited = yield* Deferred.make<ExitStatus>()
  /** The first pipe that is closed while the process lives. */
  const broken = yield* Deferred.make<"stdin" | "stdout">()
  const drained = yield* Deferred.make<void>()
  const closed = yield* Deferred.make<void>()
  let open = true

  const close = (reason: McpError.McpErrorReason) => {
    if (!open) return
    open = false
    outbox.end()
    receiver.onClose(reason)
    Deferred.doneUnsafe(closed, Exit.void)
  }

  // ---------------------------------------------------------------------------
  // The three pipes. Both outputs are read to the end whatever happens: a
  // process that blocks on a full pipe does not notice that it is to leave.
  // ---------------------------------------------------------------------------

  const stdoutLines = JsonLines.make({
    line: "a line on stdout",
    maxBytes: maxMessageBytes,
    onTooLong: () => close(new McpError.MessageTooLarge({ limitBytes: maxMessageBytes })),
    onMessage: (value, bytes) => {
      if (open) receiver.onMessage(value, bytes)
    },
    onDiagnostic: (diagnostic) => {
      if (open) receiver.onDiagnostic(diagnostic)
    }
  })

  const stderrLines = new LineSplitter({
    maxBytes: stderrLineBytes,
    onTooLong: "split",
    onLine: (text) => {
      const line = PlainText.plain(text)
      tail.append(line)
      if (open) receiver.onDiagnostic(Diagnostic.Stderr({ line }))
    }
  })

  let outputs = 2
  yield* Scope.provide(scope)(Pipes.connect(handle, {
    stdin: outbox,
    onStdout: (chunk) => stdoutLines.push(chunk),
    onStderr: (chunk) => stderrLines.push(chunk),
    onEnd: (output) => {
      if (output === "stdout") {
        stdoutLines.end()
        Deferred.doneUnsafe(broken, Exit.succeed("stdout"))
      } else stderrLines.end()
      outputs -= 1
      if (outputs === 0) Deferred.doneUnsafe(drained, Exit.void)
    },
    onStdinLost: () => Deferred.doneUnsafe(broken, Exit.succeed("stdin"))
  }))
  yield* Deferred.await(broken).pipe(
    Effect.flatMap((pipe) =>
      Effect.timeoutOrElse(Effect.asVoid(Deferred.await(exited)), {
        duration: exitTime,
        orElse: () =>
          Effect.sync(() => {
            const detail = `its process lives on, but closed its ${pipe}`
            close(new McpError.ConnectionClosed({ by: "server", detail, stderr: tail.text() }))
          })
      })
    ),
    Effect.forkIn(scope)
  )

  // ---------------------------------------------------------------------------
  // The end
  // ---------------------------------------------------------------------------

  yield* awaitExit(handle).pipe(
    Effect.tap((status) => Deferred.succeed(exited, status)),
    Effect.tap(() => Effect.timeoutOption(Deferred.await(drained), drainTime)),
    Effect.map((status) => {
      stderrLines.end()
      close(new McpError.ProcessExited({ ...status, stderr: tail.text() }))
    }),
    Effect.forkIn(scope)
  )

  const { kill = "1 second", stdin = "2 seconds", terminate = "2 seconds" } = options.shutdown ?? {}

  /** Its stdin is closed already, by the end of the outbox. */
  const takeDown = Effect.gen(function*() {
    yield* Effect.timeoutOption(Deferred.await(exited), stdin)
    // Also when it has exited: what it started may live on in its group.
    yield* atMost(
      handle.kill({ killSignal: "SIGTERM", forceKillAfter: terminate }),
      Duration.sum(Duration.fromInputUnsafe(terminate), Duration.fromInputUnsafe(kill))
    )
    if (!(yield* Deferred.isDone(exited))) {
      const detail = `the server's process ${handle.pid} did not end on SIGKILL and was given up`
      receiver.onDiagnostic(Diagnostic.Warning({ detail }))
      yield* Effect.logWarning(detail)
    }
    // What is left must neither keep this program alive nor be waited for again by the spawner.
    yield* Effect.ignore(handle.unref)
    yield* atMost(Scope.close(scope, Exit.void), kill)
  })

  const gone = yield* Deferred.await(closed).pipe(
    Effect.andThen(takeDown),
    Effect.forkDetach
  )

  return {
    link: LineLink.make(outbox),
    close: Effect.suspend(() => {
      close(McpError.scopeClosed)
      return Effect.asVoid(Fiber.await(gone))
    })
  }
})

/**
 * A transport to a server that is started for each link and ended with it.
 *
 * Opening fails with `SpawnFailed`, which says what was looked for and where.
 * The link closes with `ProcessExited` (code, signal, the end of stderr) when
 * the process ends by itself, after everything it wrote has been delivered;
 * with `MessageTooLarge` when a line passes `maxMessageBytes`; with
 * `ConnectionClosed` when the scope closes, or when the process closes a pipe
 * and lives on. In each case the process and its group are then taken down:
 * stdin closed, SIGTERM, SIGKILL, each with its time. Only a descendant that
 * moved to a process group of its own is out of reach.
 *
 * Lines on stdout that are not JSON are skipped and reported; every line on
 * stderr is reported, without control sequences.
 *
 * On Windows a command is looked for with PATH and PATHEXT if a `FileSystem`
 * and a `Path` are provided too, and batch files such as `npx.cmd` are run with
 * their arguments quoted for cmd.exe.
 *
 * **Example**
 *
 * ```ts
 * const program = Effect.gen(function*() {
 *   const transport = yield* StdioTransport.make({
 *     command: "npx",
 *     args: ["-y", "@modelcontextprotocol/server-everything"],
 *     env: { PATH: "/usr/local/bin:/usr/bin:/bin", API_KEY: Redacted.make("…") }
 *   })
 *   const link = yield* transport.open(receiver)
 *   link.send(JsonRpc.request(1, "ping", undefined))
 * })
 * ```
 */
export const make = (options: Options): Effect.Effect<Transport["Service"], never, ChildProcessSpawner> =>
  Effect.map(Spawn.make, (spawn) =>
    Transport.of({
      kind: "stdio",
      network: "pipe",
      open: (receiver) =>
        Effect.map(
          Effect.acquireRelease(start(spawn, options, receiver), (session) => session.close),
          (session) => session.link
        )
    }))

/** A layer of {@link make}. */
export const layer = (options: Options): Layer.Layer<Transport, never, ChildProcessSpawner> =>
  Layer.effect(Transport, make(options))
