/** What many servers are doing, as a table that is drawn again and as lines of a log. */
import * as DateTime from "effect/DateTime"
import * as Status from "../servers/status.ts"
import type { Style } from "./style.ts"
import type { Column, Row } from "./table.ts"
import { json, oneLine, seconds } from "./text.ts"

/** A server, and since when its status is what it is, in milliseconds of the clock. */
export interface Seen {
  readonly server: string
  readonly transport: string
  readonly status: Status.Status
  readonly since: number
}

export const columns: ReadonlyArray<Column> = [
  { title: "NAME", keep: true },
  { title: "TRANSPORT" },
  { title: "STATUS", keep: true },
  { title: "SINCE", align: "right" },
  { title: "DETAIL" }
]

/** When it is tried again: not yet, or as soon as anybody wants it. */
const until = (next: number | undefined, now: number): string =>
  next === undefined || next <= now ? "" : ` in ${seconds(next - now + 999)}`

/** What there is to say besides its name. */
const detail = (status: Status.Status, now: number): string =>
  Status.match(status, {
    Idle: () => "",
    Connecting: () => "",
    Ready: () => "",
    Reconnecting: ({ attempt, error, next }) => `attempt ${attempt}${until(next, now)}: ${error.reason.message}`,
    NeedsAuthorization: ({ error }) => error.reason.message,
    Failed: ({ error, next }) => `${until(next, now).replace(/.+/, "again$&: ")}${error.reason.message}`,
    Draining: () => ""
  })

const styleOf = ({ status }: Seen, style: Style): ((text: string) => string) => {
  switch (status._tag) {
    case "Ready":
      return style.green
    case "NeedsAuthorization":
    case "Failed":
      return style.red
    case "Reconnecting":
      return style.yellow
    default:
      return style.dim
  }
}

export const row = (seen: Seen, now: number, style: Style): Row => ({
  cells: [
    seen.server,
    seen.transport,
    seen.status._tag,
    seconds(now - seen.since),
    detail(seen.status, now)
  ],
  style: styleOf(seen, style)
})

/** One transition in a log for people. */
export const line = (seen: Seen, style: Style): string => {
  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" }).format(seen.since)
  const status = styleOf(seen, style)(seen.status._tag)
  return `${style.dim(clock)} ${style.bold(oneLine(seen.server))} ${status}  ${oneLine(detail(seen.status, seen.since))}`.trimEnd()
}

/** The same for a program: one JSON document in a line. */
export const jsonLine = ({ server, since, status, transport }: Seen): string => {
  const { _tag, ...facts } = status
  return json({
    time: DateTime.formatIso(DateTime.makeUnsafe(since)),
    server,
    transport,
    status: _tag,
    ...facts,
    ..."error" in facts ? { error: { reason: facts.error.reason._tag, message: facts.error.reason.message } } : {}
  }, 0)
}
