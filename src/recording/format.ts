/**
 * A cassette: the traffic of one server in a readable file. JSON Lines; the
 * first line says what was recorded, each other line is one thing that happened.
 *
 * ```
 * {"cassette":1,"server":"files","kind":"stdio","network":"pipe","revision":"2025-11-25"}
 * {"at":0,"link":1,"type":"open"}
 * {"at":2,"link":1,"type":"send","message":{"jsonrpc":"2.0","id":1,"method":"ping"}}
 * {"at":9,"link":1,"type":"receive","value":{"jsonrpc":"2.0","id":1,"result":{}}}
 * ```
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as McpError from "../McpError.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"

const binding = {
  kind: Schema.String,
  network: Schema.String,
  http: Schema.optionalKey(Schema.Boolean)
}

/** The first line. */
export const Header = Schema.Struct({
  /** The version of the format. Members this version does not know are passed over. */
  cassette: Schema.Int,
  server: Schema.optionalKey(Schema.String),
  ...binding,
  /** The older binding, of a server that has one. */
  fallback: Schema.optionalKey(Schema.Struct(binding)),
  /** What was agreed last. */
  revision: Schema.optionalKey(Schema.String),
  /** Whether something is missing at the end, because the recording became too large. */
  truncated: Schema.optionalKey(Schema.Boolean)
})
export type Header = typeof Header.Type

const Message = Schema.declare<JsonRpc.Message>(JsonRpc.isMessage, { expected: "a JSON-RPC 2.0 message" })

const event = <const Type extends string>(type: Type) => ({
  /** Milliseconds since the first link was opened. */
  at: Schema.Number,
  /** Links are counted from 1 in the order they were opened. */
  link: Schema.Int,
  type: Schema.Literal(type)
})

const RequestId = Schema.Union([Schema.String, Schema.Int])

const Diagnostic = Schema.Union([
  Schema.Struct({ _tag: Schema.Literal("Stderr"), line: Schema.String }),
  Schema.Struct({ _tag: Schema.Literal("Skipped"), detail: Schema.String, excerpt: Schema.String }),
  Schema.Struct({ _tag: Schema.Literal("Warning"), detail: Schema.String })
])

/** One thing that happened. */
export const Frame = Schema.Union([
  /** A link was to be opened. */
  Schema.Struct({ ...event("open"), fallback: Schema.optionalKey(Schema.Boolean) }),
  /** It could not be opened. */
  Schema.Struct({ ...event("refused"), reason: McpError.McpErrorReason }),
  Schema.Struct({ ...event("send"), message: Message }),
  /** The client gave a request up. */
  Schema.Struct({ ...event("abandon"), id: RequestId, reason: Schema.String }),
  Schema.Struct({ ...event("receive"), value: Schema.Unknown }),
  Schema.Struct({ ...event("diagnostic"), diagnostic: Diagnostic }),
  /** One request got no answer. */
  Schema.Struct({ ...event("failure"), id: RequestId, reason: McpError.McpErrorReason }),
  /** The link ended. */
  Schema.Struct({ ...event("close"), reason: McpError.McpErrorReason })
])
export type Frame = typeof Frame.Type

const types: ReadonlySet<unknown> = new Set(Frame.members.map(({ fields }) => fields.type.literal))

/** The version that is written. */
export const version = 1

/** A frame and where it is in the file. */
export interface Line {
  readonly line: number
  readonly frame: Frame
}

export interface Contents {
  readonly header: Header
  readonly lines: ReadonlyArray<Line>
}

const encodeFrame = Schema.encodeSync(Frame)
const decodeHeader = Schema.decodeUnknownResult(Header)
const decodeFrame = Schema.decodeUnknownResult(Frame)

/** A frame as the value its line holds. */
export const toJson = (frame: Frame): unknown => encodeFrame(frame)

/** The text of a cassette, of values that are JSON. */
export const render = (header: Header, frames: ReadonlyArray<string>): string =>
  [JSON.stringify(header), ...frames, ""].join("\n")

/**
 * Reads a cassette. Fails with `InvalidCassette`, which names the line. Kinds of
 * frames and members that a later version may have added are passed over.
 */
export const parse = (file: string, text: string): Effect.Effect<Contents, McpError.McpError> => {
  const invalid = (line: number, detail: string) =>
    Effect.fail(McpError.make(new McpError.InvalidCassette({ file, line, detail })))
  return Effect.gen(function*() {
    let header: Header | undefined
    const lines: Array<Line> = []
    for (const [index, content] of text.split("\n").entries()) {
      if (content.trim() === "") continue
      const line = index + 1
      const parsed = Result.try((): unknown => JSON.parse(content))
      if (Result.isFailure(parsed)) return yield* invalid(line, "it is not valid JSON; was it cut off, or merged badly?")
      const value = parsed.success
      if (header === undefined) {
        const decoded = decodeHeader(value)
        if (Result.isFailure(decoded)) return yield* invalid(line, `it is not the header of a cassette: ${decoded.failure.message}`)
        header = decoded.success
        if (header.cassette > version) {
          return yield* invalid(line, `it has format ${header.cassette}, this version reads up to ${version}; update mcp-connect`)
        }
        continue
      }
      if (JsonRpc.isJsonObject(value) && typeof value.type === "string" && !types.has(value.type)) continue
      const decoded = decodeFrame(value)
      if (Result.isFailure(decoded)) return yield* invalid(line, decoded.failure.message)
      lines.push({ line, frame: decoded.success })
    }
    return header === undefined ? yield* invalid(1, "it is empty") : { header, lines }
  })
}
