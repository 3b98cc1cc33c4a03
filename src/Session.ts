/**
 * One server, spoken to in the dialect that was negotiated with it: opens the
 * transport, finds out the era and the revision, and carries single requests
 * through everything the dialect asks of them (metadata, result types, rounds
 * of input).
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Exchange from "./client/exchange.ts"
import type { Inputs } from "./client/inputs.ts"
import * as Connection from "./Connection.ts"
import * as Diagnostic from "./Diagnostic.ts"
import * as PlainText from "./internal/plainText.ts"
import * as McpError from "./McpError.ts"
import type { Client, Dialect, Subscriptions, Wire } from "./protocol/Dialect.ts"
import type * as JsonRpc from "./protocol/JsonRpc.ts"
import * as Legacy from "./protocol/Legacy.ts"
import type { Implementation } from "./protocol/McpSchema.ts"
import * as Modern from "./protocol/Modern.ts"
import * as Negotiation from "./protocol/Negotiation.ts"
import type { Transport } from "./Transport.ts"

/** How the revision is found out. */
export interface NegotiationOptions extends Negotiation.Preference {
  /** How long a server may leave the first probe unanswered before it counts as legacy (V-25). Default 5 seconds. */
  readonly probeTimeout?: Duration.Input | undefined
}

/** A server with which a revision was agreed. */
export interface Session {
  readonly dialect: Dialect
  readonly connection: Connection.Connection
  /** What the dialect's own operations speak through. */
  readonly wire: Wire
  readonly subscriptions: Subscriptions
  readonly call: Exchange.Call
}

export interface Options {
  readonly server: string
  readonly transport: Transport["Service"]
  readonly inputs: Inputs
  readonly clientInfo: Implementation
  readonly limits: Connection.Limits
  readonly negotiation: NegotiationOptions
  /** Time for starting, probing and shaking hands altogether. */
  readonly startupTimeout: Duration.Input
  /** Rounds of input in one call. */
  readonly maxInputRounds: number
  readonly onNotification: (notification: JsonRpc.Notification) => void
  readonly onDiagnostic: (diagnostic: Diagnostic.Diagnostic) => void
  /** Changes may have been missed. */
  readonly onLost: () => void
}

// =============================================================================
// Opening
// =============================================================================

/**
 * Opens a session, for as long as the scope is open. Fails with
 * `NegotiationFailed`, with `RequestTimeout` of the startup, or with the reason
 * the transport could not be opened for.
 */
export const open = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<Session, McpError.McpError, Scope.Scope> {
  const { inputs, server } = options
  const scope = yield* Scope.Scope
  const client: Client = { info: options.clientInfo, capabilities: inputs.capabilities }
  let dialect: Dialect | undefined
  let subscriptions: Subscriptions | undefined
  const completions = Exchange.makeCompletions()
  let shaking = false

  const stderr = PlainText.makeTail(2_048)

  const handlers: Connection.Handlers = {
    onDiagnostic: (diagnostic) => {
      if (diagnostic._tag === "Stderr") stderr.append(diagnostic.line)
      options.onDiagnostic(diagnostic)
    },
    onNotification: (notification) => {
      // Before the verdict anything that arrives is noise (V-28).
      if (subscriptions?.receive(notification) !== true) return
      completions.onNotification(notification)
      options.onNotification(notification)
    },
    onRequest: (request) => {
      const legacy = dialect === undefined ? shaking : dialect.answersRequests
      if (legacy && request.method === "ping") return Effect.succeed({})
      if (legacy && dialect !== undefined) return inputs.answer(request.method, request.params)
      // Answering would itself break the protocol (B-07, B-09).
      options.onDiagnostic(Diagnostic.Warning({ detail: `ignored a request of the server: ${request.method}` }))
      return Effect.undefined
    }
  }

  let link = yield* Scope.fork(scope)
  const connect = Effect.suspend(() =>
    Connection.make({ server, transport: options.transport, handlers, limits: options.limits }).pipe(Scope.provide(link))
  )
  const reconnect = Effect.gen(function*() {
    yield* Scope.close(link, Exit.void)
    link = yield* Scope.fork(scope)
    return yield* connect
  })

  /** One request of the negotiation, and what it proves. */
  const gather = (request: Effect.Effect<unknown, McpError.McpError>): Effect.Effect<Negotiation.Evidence, McpError.McpError> =>
    Effect.matchEffect(request, {
      onSuccess: (result) => Effect.succeed(Negotiation.Answered({ result })),
      onFailure: (error): Effect.Effect<Negotiation.Evidence, McpError.McpError> => {
        const { reason } = error
        switch (reason._tag) {
          case "RemoteError":
            return Effect.succeed(Negotiation.Rejected({
              error: { code: reason.code, message: reason.detail, ...("data" in reason ? { data: reason.data } : {}) }
            }))
          case "RequestTimeout":
            return Effect.succeed(Negotiation.Silence({ millis: reason.millis }))
          case "ProcessExited":
          case "ConnectionClosed":
            return Effect.succeed(Negotiation.Exited({ reason }))
          default:
            return Effect.fail(error)
        }
      }
    })

  const probeTimeout = options.negotiation.probeTimeout ?? "5 seconds"
  const negotiate = Effect.gen(function*() {
    let connection = yield* connect
    let state = Negotiation.start(options.negotiation)
    while (true) {
      const { step } = state
      switch (step._tag) {
        case "Probe": {
          const probe = connection.request(
            "server/discover",
            Modern.discoverParams(step.revision, client),
            { id: step.id, timeout: probeTimeout }
          )
          state = Negotiation.next(state, yield* gather(probe))
          break
        }
        case "Handshake": {
          if (step.fresh) connection = yield* reconnect
          shaking = true
          const initialize = connection.request(
            "initialize",
            Legacy.initializeParams(step.revision, client),
            { cancellable: false, timeout: options.startupTimeout }
          )
          state = Negotiation.next(state, yield* gather(initialize))
          break
        }
        case "Failed":
          return yield* Effect.fail(McpError.make(step.reason, server))
        case "Settled":
          return { connection, verdict: step.verdict }
      }
    }
  })

  const { connection, verdict } = yield* Effect.timeoutOrElse(negotiate, {
    duration: options.startupTimeout,
    orElse: () =>
      Effect.fail(McpError.make(
        new McpError.RequestTimeout({
          method: shaking ? "initialize" : "server/discover",
          limit: "startup",
          millis: Duration.toMillis(options.startupTimeout)
        }),
        server
      ))
  }).pipe(
    Effect.mapError(({ reason }) => McpError.make(withStderr(reason, stderr.text()), server)),
    // The caller's scope may live on; what was started for nothing does not.
    Effect.onError((cause) => Scope.close(link, Exit.failCause(cause)))
  )

  dialect = verdict.era === "modern"
    ? Modern.make({ revision: verdict.revision, client, server: verdict.server })
    : Legacy.make({ revision: verdict.revision, server: verdict.server })
  connection.acceptsBatches = dialect.acceptsBatches
  const wire: Wire = { ...connection, onDiagnostic: options.onDiagnostic }
  subscriptions = yield* dialect.subscriptions(wire, options.onLost)
  yield* dialect.begin(wire)
  if (inputs.rootsChanges !== undefined) {
    yield* Stream.runForEach(inputs.rootsChanges, () => dialect.rootsChanged(wire)).pipe(
      Effect.ignore,
      Effect.forkScoped
    )
  }
  return { dialect, connection, wire, subscriptions, call: Exchange.make({ ...options, connection, dialect, completions }) }
})

/** A server that does not get ready often says why, on stderr. */
const withStderr = (reason: McpError.McpErrorReason, stderr: string): McpError.McpErrorReason => {
  if (stderr === "") return reason
  switch (reason._tag) {
    case "RequestTimeout":
      return new McpError.RequestTimeout({ ...reason, stderr })
    case "NegotiationFailed":
      return new McpError.NegotiationFailed({ ...reason, stderr })
    case "ConnectionClosed":
      return new McpError.ConnectionClosed({ ...reason, stderr })
    default:
      return reason
  }
}
