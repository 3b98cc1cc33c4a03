/**
 * Writes down what goes over a binding, whatever the binding is, and changes
 * nothing of it. Headers are not part of a recording.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Diagnostic from "../Diagnostic.ts"
import * as McpError from "../McpError.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import type { Binding, Link } from "../Transport.ts"
import { shallow } from "../transport/shallow.ts"
import * as Format from "./format.ts"
import * as Redaction from "./redaction.ts"

export interface Options {
  /** What the server is called, for who reads the file. */
  readonly server?: string | undefined
  /** What is hidden, beside what always is. */
  readonly redact?: Redaction.Options | undefined
  /** The most characters a recording may have; it ends there, and says so. Default 64 Mi. */
  readonly maxLength?: number | undefined
}

export interface Summary {
  readonly frames: number
  readonly requests: number
  readonly redactions: number
  readonly truncated: boolean
}

export interface Recorder {
  /** The same binding, recorded. */
  readonly binding: Binding
  readonly summary: () => Summary
  /** The text of the cassette so far. */
  readonly text: () => string
}

/** A frame without its place. */
type Event = Format.Frame extends infer F ? F extends Format.Frame ? Omit<F, "at" | "link"> : never : never

const describe = ({ http, kind, network }: Binding) => ({ kind, network, ...(http === undefined ? {} : { http }) })

/**
 * A recorder of a binding. Every opening of it is recorded, also of its
 * fallback. It has no `endpoint`: a remembered verdict would keep the
 * negotiation out of the recording, which a replay starts with.
 */
export const make = Effect.fnUntraced(function*(binding: Binding, options: Options = {}): Effect.fn.Return<Recorder> {
  const clock = yield* Clock.Clock
  const redactor = Redaction.make(options.redact)
  const { maxLength = 64 * 1_024 * 1_024, server } = options
  const frames: Array<string> = []
  let length = 0
  let requests = 0
  let links = 0
  let start: number | undefined
  let revision: string | undefined
  let truncated = false

  const record = (binding: Binding, fallback: boolean): Binding => ({
    ...describe(binding),
    ...(binding.fallback === undefined ? {} : { fallback: record(binding.fallback, true) }),
    open: (receiver) =>
      Effect.suspend(() => {
        const link = ++links
        const write = (event: Event) => {
          if (truncated) return
          const now = clock.currentTimeMillisUnsafe()
          start ??= now
          const { type, ...rest } = event
          const encoded = Format.toJson({ at: 0, link, type, ...rest } as Format.Frame)
          const safe = redactor.value(encoded)
          const text = JSON.stringify({ ...(safe as JsonRpc.JsonObject), at: now - start })
          length += text.length + 1
          if (length > maxLength) {
            truncated = true
            return receiver.onDiagnostic(Diagnostic.Warning({ detail: `the recording ends here: it has ${maxLength} characters` }))
          }
          frames.push(text)
        }
        write({ type: "open", ...(fallback ? { fallback } : {}) })
        return binding.open({
          onMessage: (value, bytes) => {
            write({ type: "receive", value })
            receiver.onMessage(value, bytes)
          },
          onDiagnostic: (diagnostic) => {
            // A stray reply is the connection's own finding.
            if (diagnostic._tag !== "StrayReply") write({ type: "diagnostic", diagnostic })
            receiver.onDiagnostic(diagnostic)
          },
          onFailure: (id, reason) => {
            write({ type: "failure", id, reason })
            receiver.onFailure(id, reason)
          },
          onClose: (reason) => {
            // The end that the program makes is nothing the server does.
            if (!(reason._tag === "ConnectionClosed" && reason.by === "client")) write({ type: "close", reason })
            receiver.onClose(reason)
          }
        }).pipe(
          Effect.tapError(({ reason }) => Effect.sync(() => write({ type: "refused", reason }))),
          Effect.map((inner): Link => ({
            ...inner,
            send: (message, options) => {
              // As it is on the wire: what is in it may say itself how it is written.
              write({ type: "send", message: JSON.parse(JSON.stringify(message)) })
              if ("method" in message && "id" in message) requests += 1
              return inner.send(message, options)
            },
            abandon: (id, reason) => {
              write({ type: "abandon", id, reason })
              inner.abandon(id, reason)
            },
            agreed: (agreement) => {
              revision = agreement.revision
              inner.agreed?.(agreement)
            }
          }))
        )
      })
  })

  return {
    binding: record(shallow(binding), false),
    summary: () => ({ frames: frames.length, requests, redactions: redactor.count(), truncated }),
    text: () =>
      Format.render({
        cassette: Format.version,
        ...(server === undefined ? {} : { server }),
        ...describe(binding),
        ...(binding.fallback === undefined ? {} : { fallback: describe(binding.fallback) }),
        ...(revision === undefined ? {} : { revision }),
        ...(truncated ? { truncated } : {})
      }, frames)
  }
})

/**
 * The same, written to a file when the scope closes, however it does: to a
 * temporary file beside it first, so that there is never half a cassette. Fails
 * with `InvalidCassette` at once when the file cannot be written.
 */
export const toFile = Effect.fnUntraced(function*(
  file: string,
  binding: Binding,
  options?: Options
): Effect.fn.Return<Recorder, McpError.McpError, FileSystem.FileSystem | Scope.Scope> {
  const fs = yield* FileSystem.FileSystem
  const recorder = yield* make(binding, options)
  const temporary = `${file}.${(yield* Random.nextIntBetween(0, 2 ** 32)).toString(36)}.tmp`
  const unwritable = Effect.mapError(({ message }: { readonly message: string }) =>
    McpError.make(new McpError.InvalidCassette({ file, detail: message }))
  )
  // Registered before anything is opened with it, so that it runs after the last frame.
  yield* Effect.acquireRelease(
    unwritable(fs.writeFileString(temporary, "")),
    () =>
      Effect.suspend(() => fs.writeFileString(temporary, recorder.text())).pipe(
        Effect.andThen(fs.rename(temporary, file)),
        Effect.onError(() => Effect.ignore(fs.remove(temporary))),
        unwritable,
        // Nothing can be returned from here, and a lost recording must not go unnoticed.
        Effect.orDie
      )
  )
  return recorder
})
