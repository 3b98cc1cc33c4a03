/**
 * One server, spoken to in the dialect that was negotiated with it: opens the
 * transport, finds out the era and the revision, and carries single requests
 * through everything the dialect asks of them (metadata, result types, rounds
 * of input).
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Exchange from "./client/exchange.ts"
import type { Inputs } from "./client/inputs.ts"
import * as Renewal from "./client/renewal.ts"
import * as Connection from "./Connection.ts"
import * as Diagnostic from "./Diagnostic.ts"
import * as Patience from "./internal/patience.ts"
import * as PlainText from "./internal/plainText.ts"
import * as McpError from "./McpError.ts"
import type { Client, Dialect, Subscriptions, Wire } from "./protocol/Dialect.ts"
import type * as JsonRpc from "./protocol/JsonRpc.ts"
import * as Legacy from "./protocol/Legacy.ts"
import type { Implementation } from "./protocol/McpSchema.ts"
import * as Modern from "./protocol/Modern.ts"
import * as Negotiation from "./protocol/Negotiation.ts"
import type { Agreement, Transport } from "./Transport.ts"
import { VerdictCache } from "./VerdictCache.ts"

/** How the revision is found out. */
export interface NegotiationOptions extends Negotiation.Preference {
  /**
   * How long a server may leave the first probe unanswered before it counts as
   * legacy (V-25). Default 5 seconds. Over HTTP silence is an outage, which
   * fails the start; there the default is all of `startupTimeout` (V-37).
   */
  readonly probeTimeout?: Duration.Input | undefined
}

/** A server with which a revision was agreed. */
export interface Session {
  /** What the transport in use is called: another one than was given when the server needed the older one. */
  readonly transport: string
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
  /** The session is over. */
  readonly onClosed: (reason: McpError.McpError) => void
}

// =============================================================================
// Opening
// =============================================================================

/**
 * Opens a session, for as long as the scope is open. Fails with
 * `NegotiationFailed`, with `RequestTimeout` of the startup, with the reason
 * the transport could not be opened for, or over HTTP with `HttpStatus` or
 * `Unreachable` when these say nothing about revisions.
 */
export const open = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<Session, McpError.McpError, Scope.Scope> {
  const { inputs, server } = options
  const scope = yield* Scope.Scope
  const { extensions } = options.transport
  const capabilities = extensions === undefined
    ? inputs.capabilities
    : { ...inputs.capabilities, extensions: Object.fromEntries(extensions.map((id) => [id, {}])) }
  const client: Client = { info: options.clientInfo, capabilities }
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
    },
    // Before the verdict it may be followed by another one.
    onClosed: (reason) => {
      if (dialect !== undefined) options.onClosed(reason)
    }
  }

  const { endpoint, fallback, http = false, lastAsked, outlives = http } = options.transport
  let binding = options.transport
  let link = yield* Scope.fork(scope)
  const connect = Effect.suspend(() =>
    Connection.make({ server, transport: binding, handlers, limits: options.limits }).pipe(Scope.provide(link))
  )
  const reconnect = Effect.gen(function*() {
    yield* Scope.close(link, Exit.void)
    link = yield* Scope.fork(scope)
    return yield* connect
  })

  /** One request of the negotiation, and what it proves. */
  const gather = (request: Effect.Effect<unknown, McpError.McpError>): Effect.Effect<Negotiation.Evidence> =>
    Effect.match(request, {
      onSuccess: (result): Negotiation.Evidence => Negotiation.Answered({ result }),
      onFailure: ({ reason }) => {
        switch (reason._tag) {
          case "RemoteError": {
            const { code, detail: message } = reason
            return Negotiation.Rejected({ error: { code, message, ...("data" in reason ? { data: reason.data } : {}) } })
          }
          // Over HTTP these are outages: a server that keeps silent or dies of a request closes no link there.
          // A WebSocket's close is one too, its silence is not (W-04).
          case "RequestTimeout":
            return http ? Negotiation.Refused({ reason }) : Negotiation.Silence({ millis: reason.millis })
          case "ProcessExited":
          case "ConnectionClosed":
            return outlives ? Negotiation.Refused({ reason }) : Negotiation.Exited({ reason })
          default:
            return Negotiation.Refused({ reason })
        }
      }
    })

  const timedOut = (method: string) =>
    new McpError.RequestTimeout({ method, limit: "startup", millis: Duration.toMillis(options.startupTimeout) })

  const { pin, preset = "auto" } = options.negotiation
  const probeTimeout = options.negotiation.probeTimeout ?? (http ? Duration.infinity : "5 seconds")
  const verdicts = yield* VerdictCache
  const remembered = endpoint !== undefined && preset === "auto" ? yield* verdicts.get(endpoint) : undefined
  let state = Negotiation.start({ pin, preset: remembered ?? preset }, { http, fallback: fallback !== undefined })
  const negotiate = Effect.gen(function*() {
    let connection = yield* connect
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
          shaking = true
          const initialize = Effect.suspend(() =>
            connection.request(
              "initialize",
              Legacy.initializeParams(step.revision, client),
              { cancellable: false, timeout: options.startupTimeout }
            )
          )
          const opened = Effect.map(reconnect, (fresh) => {
            connection = fresh
          })
          if (step.fallback && fallback !== undefined) binding = fallback
          const attempt = step.fresh ? Effect.andThen(opened, initialize) : initialize
          state = Negotiation.next(state, yield* gather(attempt))
          break
        }
        case "Failed":
          if (endpoint !== undefined && step.reason._tag === "NegotiationFailed") yield* verdicts.forget(endpoint)
          return yield* Effect.fail(McpError.make(step.reason, server))
        case "Settled": {
          const { verdict } = step
          if (endpoint !== undefined && verdict.lasting) yield* verdicts.set(endpoint, verdict.era)
          return { connection, verdict }
        }
      }
    }
  })

  const { connection: opened, verdict } = yield* Patience.timeoutOrElse({
    duration: options.startupTimeout,
    lastAsked,
    orElse: () => {
      const reason = timedOut(shaking ? "initialize" : "server/discover")
      // Tells of the attempts before it, where these matter.
      const { step } = Negotiation.next(state, Negotiation.Refused({ reason }))
      return Effect.fail(McpError.make(step._tag === "Failed" ? step.reason : reason, server))
    }
  })(negotiate).pipe(
    Effect.mapError(({ reason }) => McpError.make(withStderr(reason, stderr.text()), server)),
    // The caller's scope may live on; what was started for nothing does not.
    Effect.onError((cause) => Scope.close(link, Exit.failCause(cause)))
  )

  dialect = verdict.era === "modern"
    ? Modern.make({ revision: verdict.revision, client, server: verdict.server })
    : Legacy.make({ revision: verdict.revision, client, server: verdict.server })
  const lost = opened.closedUnsafe()
  if (lost !== undefined) options.onClosed(lost)
  const { acceptsBatches, begin, renew, revision, stateless } = dialect
  const agreement: Agreement = { revision, stateless, batches: acceptsBatches }
  opened.acceptsBatches = acceptsBatches
  opened.agreed(agreement)
  const wireOf = (connection: Connection.Connection): Wire => ({ ...connection, onDiagnostic: options.onDiagnostic })

  const renewed = (renew: (wire: Wire) => Effect.Effect<void, McpError.McpError>) =>
    Effect.gen(function*() {
      const wire = wireOf(opened)
      yield* renew(wire)
      opened.agreed(agreement)
      yield* begin(wire)
      if (subscriptions !== undefined) yield* subscriptions.renew(wire)
      options.onLost()
    }).pipe(
      Patience.timeoutOrElse({
        duration: options.startupTimeout,
        lastAsked,
        orElse: () => Effect.fail(McpError.make(timedOut("initialize")))
      }),
      Effect.mapError(({ reason }) => McpError.make(reason, server)),
      // The server may have become another one: the next connect asks it again (V-07).
      Effect.tapError(() => endpoint === undefined ? Effect.void : verdicts.forget(endpoint))
    )
  const connection = renew === undefined || binding.http !== true
    ? opened
    : Renewal.make({ server, connection: opened, limits: options.limits, renew: renewed(renew), scope })
  const wire = wireOf(connection)
  subscriptions = yield* dialect.subscriptions(wire, options.onLost)
  yield* begin(wire)
  if (inputs.rootsChanges !== undefined) {
    yield* Stream.runForEach(inputs.rootsChanges, () => dialect.rootsChanged(wire)).pipe(
      Effect.ignore,
      Effect.forkScoped
    )
  }
  const call = Exchange.make({ ...options, clock: yield* Clock.Clock, connection, dialect, completions })
  return { transport: binding.kind, dialect, connection, wire, subscriptions, call }
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
