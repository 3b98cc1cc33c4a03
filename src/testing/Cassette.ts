/**
 * Cassettes: the traffic of a real server in a file that people can read, and
 * the server replaced by it. The client above is the real one, and so is every
 * message; there is no process, no network and no time.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as McpError from "../McpError.ts"
import * as Format from "../recording/format.ts"
import * as Recorder from "../recording/Recorder.ts"
import * as Redaction from "../recording/redaction.ts"
import { type Binding, Transport } from "../Transport.ts"
import * as Loose from "./cassette/loose.ts"
import type { Tape } from "./cassette/replay.ts"
import * as Strict from "./cassette/strict.ts"

export interface ReplayOptions {
  /**
   * `strict` (default): the same messages in the same order, each once.
   * `loose`: by method and params, in any order, as often as wanted.
   */
  readonly match?: "strict" | "loose" | undefined
  /** `none` (default): the server answers at once. `recorded`: it takes the time it took, on the Clock. */
  readonly pace?: "none" | "recorded" | undefined
  /**
   * Names of members of the params, at any depth, that may have any value.
   * Default `["timestamp"]`. Ids, progress tokens, trace context and the version
   * of the client are never compared.
   */
  readonly ignore?: ReadonlyArray<string> | undefined
}

export interface RecordOptions {
  /** What the server is called, for who reads the file. */
  readonly server?: string | undefined
  /** What is hidden beside what looks like a secret; see {@link defaultKeys}. */
  readonly redact?: Redaction.Options | undefined
  /** The most characters a cassette may have; it ends there, and says so. Default 64 Mi. */
  readonly maxLength?: number | undefined
}

export interface Options extends ReplayOptions, RecordOptions {
  /** `auto` (default) replays when there is a file, and records otherwise; in CI, ask for `replay`. */
  readonly mode?: "auto" | "record" | "replay" | undefined
}

/** The cassette that is recorded or replayed. */
export class Cassette extends Context.Service<Cassette, {
  readonly mode: "record" | "replay"
  /**
   * Fails with `CassetteDeviation` when the program did something that was not
   * recorded, or, with `match: "strict"`, not everything that was. While
   * recording it succeeds.
   */
  readonly assertComplete: Effect.Effect<void, McpError.McpError>
}>()("mcp-connect/testing/Cassette") {}

/** Names of members whose values are always hidden, also as the end of a longer name. */
export const defaultKeys: ReadonlyArray<string> = Redaction.defaultKeys

const read = Effect.fnUntraced(function*(file: string) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* Effect.mapError(fs.readFileString(file), ({ message }) =>
    McpError.make(new McpError.InvalidCassette({ file, detail: message })))
  return yield* Format.parse(file, text)
})

/**
 * The server of a cassette, without the server. A message that was not recorded
 * fails the call with `CassetteDeviation`, which shows the difference; what a
 * strict replay was never asked for is logged as a warning when the scope
 * closes, and fails `assertComplete`. Building fails with `InvalidCassette`.
 *
 * **Example**
 *
 * ```ts
 * const client = McpClient.layer({ name: "files" }).pipe(
 *   Layer.provide(Cassette.replay("test/files.cassette.jsonl"))
 * )
 * ```
 */
export const replay = (
  file: string,
  options: ReplayOptions = {}
): Layer.Layer<Transport | Cassette, McpError.McpError, FileSystem.FileSystem> =>
  Layer.effectContext(Effect.gen(function*() {
    const contents = yield* read(file)
    const { header: { fallback, http, kind, network } } = contents
    const tape: Tape = {
      ...contents,
      file,
      ignored: new Set(options.ignore ?? ["timestamp"]),
      paced: options.pace === "recorded"
    }
    const { open, problems } = options.match === "loose" ? Loose.make(tape) : Strict.make(tape)
    const binding: Binding = {
      kind,
      network,
      ...(http === undefined ? {} : { http }),
      open: open(false),
      ...(fallback === undefined ? {} : { fallback: { ...fallback, open: open(true) } })
    }
    yield* Effect.addFinalizer(() =>
      Effect.forEach(problems(), ({ message }) => Effect.logWarning(message), { discard: true })
    )
    const assertComplete = Effect.suspend(() => {
      const [first] = problems()
      return first === undefined ? Effect.void : Effect.fail(McpError.make(first))
    })
    return Context.make(Transport, binding).pipe(Context.add(Cassette, { mode: "replay", assertComplete }))
  }))

/**
 * Records a transport. The file is written when the scope closes, also after a
 * failure or an interruption, and replaced as a whole. Fails with
 * `InvalidCassette` at once when it cannot be written.
 */
export const record = (
  file: string,
  options: RecordOptions = {}
): Layer.Layer<Transport | Cassette, McpError.McpError, FileSystem.FileSystem | Transport> =>
  Layer.effectContext(Effect.gen(function*() {
    const { binding } = yield* Recorder.toFile(file, yield* Transport, options)
    return Context.make(Transport, binding).pipe(Context.add(Cassette, { mode: "record", assertComplete: Effect.void }))
  }))

/**
 * A transport with a cassette in between: {@link record} or {@link replay}, as
 * the mode says. The transport itself is not even built for a replay.
 *
 * **Example**
 *
 * ```ts
 * const transport = StdioTransport.layer({ command: "files-server", env: {} }).pipe(
 *   Cassette.layer("test/files.cassette.jsonl", { mode: process.env.CI ? "replay" : "auto" })
 * )
 * ```
 */
export const layer = (file: string, options: Options = {}) =>
<E, R>(
  transport: Layer.Layer<Transport, E, R>
): Layer.Layer<Transport | Cassette, E | McpError.McpError, R | FileSystem.FileSystem> =>
  Layer.unwrap(Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const { mode = "auto" } = options
    const replays = mode === "replay" ||
      (mode === "auto" && (yield* Effect.mapError(fs.exists(file), ({ message }) =>
        McpError.make(new McpError.InvalidCassette({ file, detail: message })))))
    return replays ? replay(file, options) : Layer.provide(record(file, options), transport)
  }))
