/**
 * What the two eras of the protocol have in common. `Modern` and `Legacy` are
 * the only implementations, and the only files that know which era they are in.
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Diagnostic from "../Diagnostic.ts"
import type { McpError, RemoteError } from "../McpError.ts"
import type * as JsonRpc from "./JsonRpc.ts"
import type * as McpSchema from "./McpSchema.ts"
import type { Interpretation } from "./ResultType.ts"
import type * as Revision from "./Revision.ts"

/** Who we say we are. A capability is declared exactly when its handler is provided (C-09). */
export interface Client {
  readonly info: McpSchema.Implementation
  readonly capabilities: McpSchema.ClientCapabilities
}

/** W3C Trace Context of the calling span (M-10). */
export interface Trace {
  readonly traceparent: string
  readonly tracestate?: string | undefined
}

/** What goes into the `_meta` of one request. */
export interface Metadata {
  readonly progressToken: JsonRpc.RequestId
  readonly trace: Trace | undefined
  readonly custom: JsonRpc.JsonObject | undefined
}

/** A page the user has to visit (L11-50). */
export interface Consent {
  /** Told in `notifications/elicitation/complete` when the user is done there. */
  readonly id: string
  /** The parameters of an `elicitation/create` in url mode. */
  readonly params: JsonRpc.JsonObject
}

/** What a dialect may use of the connection. */
export interface Wire {
  readonly request: (
    method: string,
    params: (id: JsonRpc.RequestId) => JsonRpc.JsonObject | undefined,
    options?: { readonly timeout?: Duration.Input; readonly maxTotal?: Duration.Input; readonly cancellable?: boolean }
  ) => Effect.Effect<unknown, McpError>
  readonly notify: (method: string, params?: JsonRpc.JsonObject) => Effect.Effect<void, McpError>
  readonly onDiagnostic: (diagnostic: Diagnostic.Diagnostic) => void
  /** The reason the connection ended for, or `undefined` while it is open. */
  readonly closedUnsafe: () => McpError | undefined
}

/** What a program wants to be told about. */
export interface Interest {
  readonly tools: boolean
  readonly prompts: boolean
  readonly resources: boolean
  readonly uris: ReadonlyArray<string>
}

export interface Subscriptions {
  /**
   * Makes the server tell exactly this, and ends when the server has agreed.
   * Calls must not overlap. Fails with `Unsupported` when the server cannot.
   */
  readonly update: (interest: Interest) => Effect.Effect<void, McpError>
  /** Asks again for what a server has forgotten together with its session. `wire` belongs to the new one. */
  readonly renew: (wire: Wire) => Effect.Effect<void, McpError>
  /** Takes a notification; false for one that was not asked for or that only concerns the subscription (SB-10). */
  readonly receive: (notification: JsonRpc.Notification) => boolean
}

export interface Dialect {
  readonly era: Revision.Era
  /** Whether every request stands for itself, without a session (V-01). */
  readonly stateless: boolean
  readonly revision: Revision.Revision
  readonly server: McpSchema.Server
  /** Whether arrays of messages must be accepted (B-11). */
  readonly acceptsBatches: boolean
  /** Whether a completion may tell the values of other arguments (CP-01). */
  readonly completionContext: boolean
  /** Whether tools can want arguments in headers, over bindings that have such (H-38). */
  readonly paramHeaders: boolean
  /** Whether the server may send requests, and gets answers (B-07, B-08). */
  readonly answersRequests: boolean
  /** Why the server cannot be asked this, or `undefined` when it can (C-07). */
  readonly lacks: (method: string) => string | undefined
  readonly decorate: (params: JsonRpc.JsonObject | undefined, metadata: Metadata) => JsonRpc.JsonObject | undefined
  readonly interpret: (method: string, result: unknown) => Interpretation
  /** Pages the user has to visit before a refused request can be made again; `undefined` for any other error. */
  readonly consents: (error: RemoteError) => ReadonlyArray<Consent> | undefined
  /** Opens a new session in place of one the server has forgotten (L-22); of an era with sessions. `begin` follows. */
  readonly renew: ((wire: Wire) => Effect.Effect<void, McpError>) | undefined
  /** What has to be said before anything else, once the verdict is known and in each new session (L-02). */
  readonly begin: (wire: Wire) => Effect.Effect<void, McpError>
  /** Tells that the client's roots changed, in an era that wants to know (RO-02). */
  readonly rootsChanged: (wire: Wire) => Effect.Effect<void, McpError>
  readonly ping: (wire: Wire) => Effect.Effect<void, McpError>
  /** What `notifications/message` the server sends from now on. */
  readonly setLogLevel: (wire: Wire, level: McpSchema.LoggingLevel) => Effect.Effect<void, McpError>
  /** `onLost`: changes may have been missed, what is known of lists and resources is stale (SB-08). */
  readonly subscriptions: (wire: Wire, onLost: () => void) => Effect.Effect<Subscriptions, never, Scope.Scope>
}
