/** What both ways of replaying have in common. */
import * as Diagnostic from "../../Diagnostic.ts"
import * as McpError from "../../McpError.ts"
import type * as JsonRpc from "../../protocol/JsonRpc.ts"
import type * as Format from "../../recording/format.ts"
import type { Binding, Receiver } from "../../Transport.ts"
import * as Compare from "./compare.ts"

/** A recording, and how it is replayed. */
export interface Tape extends Format.Contents {
  readonly file: string
  /** Members that may have any value. */
  readonly ignored: ReadonlySet<string>
  /** Whether the server takes the time it took. */
  readonly paced: boolean
}

export interface Replay {
  readonly open: (fallback: boolean) => Binding["open"]
  /** What a program did that was not recorded, and then what it did not do. */
  readonly problems: () => ReadonlyArray<McpError.CassetteDeviation>
}

const encoder = new TextEncoder()

export const deliver = (receiver: Receiver, value: unknown): void =>
  receiver.onMessage(value, encoder.encode(JSON.stringify(value)).length)

export const tell = (receiver: Receiver, diagnostic: Extract<Format.Frame, { type: "diagnostic" }>["diagnostic"]): void =>
  receiver.onDiagnostic(
    diagnostic._tag === "Stderr"
      ? Diagnostic.Stderr(diagnostic)
      : diagnostic._tag === "Skipped"
      ? Diagnostic.Skipped(diagnostic)
      : Diagnostic.Warning(diagnostic)
  )

/** A message that is not the one that was recorded. */
export const deviation = (
  { file, ignored }: Tape,
  message: JsonRpc.Message,
  expected: { readonly line: number; readonly message: JsonRpc.Message } | undefined,
  detail: string
): McpError.CassetteDeviation =>
  new McpError.CassetteDeviation({
    file,
    ...(expected === undefined ? {} : { line: expected.line }),
    detail,
    diff: expected === undefined
      ? Compare.diff({}, Compare.essence(message, ignored))
      : Compare.diff(Compare.essence(expected.message, ignored), Compare.essence(message, ignored))
  })

export type { Line } from "../../recording/format.ts"
