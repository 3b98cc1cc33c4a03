/** What a transport, and the server behind it, can be held to. */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as McpClient from "../../McpClient.ts"
import type { McpError } from "../../McpError.ts"
import type { Revision } from "../../protocol/Revision.ts"

/**
 * What a way of serving may have no room for: steps of progress (a stream per
 * call), `cancellation`, questions of the server, lists that tell of their
 * changes, resources that tell of theirs, log messages, and a server that can be
 * connected to more than once, also at the same time (`reopening`).
 */
export type Feature = "progress" | "cancellation" | "questions" | "changes" | "subscriptions" | "logs" | "reopening"

type Client = McpClient.McpClient["Service"]

/** What can be done to the server of a layer, with services of that layer or by a tool of its own. */
export interface Faults<R = never> {
  /** Ends the server without a word, as a crash does; may fail or wait for an answer that never comes. */
  readonly dies?: (client: Client) => Effect.Effect<unknown, McpError, R>
  /** Makes the server send this text in the place of a message: a line, a frame. Ends when it was sent. */
  readonly sends?: (client: Client, text: string) => Effect.Effect<unknown, McpError, R>
  /** Makes the server read no more. */
  readonly stalls?: (client: Client) => Effect.Effect<unknown, McpError, R>
}

export interface Capabilities<R = never> {
  /** The revision that has to be agreed on. */
  readonly revision: Revision
  /** How the client is made: a pinned revision, an era. Limits of its own make the tests fail. */
  readonly client?: McpClient.Options
  readonly lacks?: ReadonlyArray<Feature>
  /** Bytes of text that binding and server take in one message, both ways. Default 3 MiB. */
  readonly maxBytes?: number
  /** Calls that may run at once. Default 300. */
  readonly atOnce?: number
  /** Within which the link is closed, whatever runs. Default 10 seconds. */
  readonly closesWithin?: Duration.Input
  readonly faults?: Faults<R>
  /** Ends when nothing is left of any link: no connection, no process. Looked at after a close in the middle of calls. */
  readonly deserted?: Effect.Effect<unknown, McpError, R>
  /** Time for each test, in milliseconds. Default 60,000. */
  readonly timeout?: number
}
