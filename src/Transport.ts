/**
 * A transport is a binding: how messages are framed and delivered, how one
 * request is abandoned, how the connection ends. It knows nothing of tools,
 * eras or pools; everything else is built above it.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Diagnostic } from "./Diagnostic.ts"
import type { McpError, McpErrorReason } from "./McpError.ts"
import type * as JsonRpc from "./protocol/JsonRpc.ts"

/**
 * What a transport reports to. The callbacks are called synchronously from the
 * read loop, in order, and never throw.
 */
export interface Receiver {
  /** One decoded JSON value that arrived, and its size on the wire in bytes. Not yet checked to be a message. */
  readonly onMessage: (value: unknown, bytes: number) => void
  readonly onDiagnostic: (diagnostic: Diagnostic) => void
  /** A request that was sent will get no answer, for this reason; the link goes on. Only of bindings with a stream per request. */
  readonly onFailure: (id: JsonRpc.RequestId, reason: McpErrorReason) => void
  /** The link is gone, for this reason. Called at most once; nothing is delivered after it. */
  readonly onClose: (reason: McpErrorReason) => void
}

/** What goes with one message, for bindings that have a place for it. */
export interface SendOptions {
  /** Arguments mirrored into headers, already encoded: `Mcp-Param-Region: us-west1` (H-30). */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** What was agreed with the server, as far as it concerns a binding. */
export interface Agreement {
  readonly revision: string
  /**
   * Whether every request stands for itself: abandoning one closes its stream,
   * and there is no session. Otherwise requests are abandoned by a message, the
   * server may speak on a stream of its own, and a session is ended on close.
   */
  readonly stateless: boolean
  /** Whether an array of messages is a message (B-11). */
  readonly batches: boolean
}

/** An open link to one server. Owned by the scope that opened it. */
export interface Link {
  /**
   * Hands one message over, and returns the bytes it takes on the wire. Never
   * waits; what cannot be delivered is told by `Receiver.onClose`. Throws only
   * for a message that cannot be written as JSON, and then sends nothing of it.
   */
  readonly send: (message: JsonRpc.Message, options?: SendOptions) => number
  /**
   * `undefined` while there is room. Above the high-water mark, an effect that
   * ends when there is room again or the link is gone: senders wait on it first.
   */
  readonly backpressure: () => Effect.Effect<void> | undefined
  /**
   * Gives up a request that was sent. On a shared channel this is a
   * `notifications/cancelled`; a binding with a stream per request closes it.
   */
  readonly abandon: (id: JsonRpc.RequestId, reason: string) => void
  /** Told once a revision was agreed, and again when a new session was begun. Bindings that carry every revision alike have none. */
  readonly agreed?: (agreement: Agreement) => void
}

/**
 * How to reach one server. Opening starts whatever the binding needs (a
 * process, a socket); closing the scope takes it down again, within a bounded
 * time and without failing. It can be opened again afterwards.
 */
export interface Binding {
  /** What it is called in messages and tables: `stdio`, `http`, `sse`, `memory`, … */
  readonly kind: string
  /** OpenTelemetry's `network.transport`: `pipe`, `tcp`, … */
  readonly network: string
  readonly open: (receiver: Receiver) => Effect.Effect<Link, McpError, Scope.Scope>
  /** Whether messages have HTTP semantics: silence and failures of the network are outages, not evidence of an era (V-37). */
  readonly http?: boolean
  /** Whether the server lives on without the link: then a close during the negotiation is an outage, not a server that broke on a method it does not know (W-04). */
  readonly outlives?: boolean
  /** What a verdict about the server's era may be remembered under: the URL of its endpoint (V-07, G-12). */
  readonly endpoint?: string
  /** Extensions of the protocol that it wants declared. */
  readonly extensions?: ReadonlyArray<string>
  /**
   * When a user was last asked something that messages wait for, such as to log
   * in: milliseconds of the clock, now while one is being asked. Time limits
   * begin anew then.
   */
  readonly lastAsked?: () => number | undefined
  /** An older binding of the same server, for when the negotiation asks for it (V-35). */
  readonly fallback?: Binding
}

export class Transport extends Context.Service<Transport, Binding>()("mcp-connect/Transport") {}
