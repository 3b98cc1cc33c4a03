/**
 * Requests in flight over one link: ids, correlation, deadlines, progress,
 * cancellation, and the end. It speaks JSON-RPC and knows no method of MCP but
 * `notifications/progress` and `notifications/cancelled`.
 *
 * Every request ends exactly once: with its result, with a typed error, or by
 * interruption, which also tells the server to give up. When the link ends, all
 * of them fail at once with the reason.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberMap from "effect/FiberMap"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Diagnostic from "./Diagnostic.ts"
import * as Deadlines from "./internal/deadlines.ts"
import { InFlight } from "./internal/inFlight.ts"
import * as PlainText from "./internal/plainText.ts"
import * as McpError from "./McpError.ts"
import * as JsonRpc from "./protocol/JsonRpc.ts"
import type { Agreement, Link, SendOptions, Transport } from "./Transport.ts"

/** How long a request may take. */
export interface Limits {
  /** Longest silence: no answer and no progress for that long fails the request. Default 60 seconds. */
  readonly timeout?: Duration.Input | undefined
  /** Longest total time, whatever progress comes. Default 10 minutes. */
  readonly maxTotal?: Duration.Input | undefined
  /** Whether progress starts the `timeout` anew. Default true. */
  readonly resetOnProgress?: boolean | undefined
}

/** What came with `notifications/progress` (P-02). */
export interface Progress {
  readonly progress: number
  readonly total?: number
  readonly message?: string
}

export interface RequestOptions extends Limits {
  /** Called from the read loop; must be quick and must not throw. */
  readonly onProgress?: ((progress: Progress) => void) | undefined
  /** Used as it is; default is the next integer, never used twice (B-03). */
  readonly id?: string | undefined
  /** What goes with the message itself. */
  readonly send?: SendOptions | undefined
  /** When that began which this request is a part of, in milliseconds of the clock: all of it has one `maxTotal`. Default: now. */
  readonly since?: number | undefined
  /** False for a request the protocol forbids to cancel. */
  readonly cancellable?: boolean | undefined
}

/** Who handles what the server sends on its own account. */
export interface Handlers {
  /** Every notification but progress. Called from the read loop; must not throw. */
  readonly onNotification: (notification: JsonRpc.Notification) => void
  /** The result for a request of the server, `undefined` to say nothing. Interrupted when the server cancels it or the link ends. */
  readonly onRequest: (request: JsonRpc.Request) => Effect.Effect<JsonRpc.JsonObject | undefined, JsonRpc.ErrorObject>
  readonly onDiagnostic: (diagnostic: Diagnostic.Diagnostic) => void
  /** The link is gone. Called once, before any request fails of it. */
  readonly onClosed?: (reason: McpError.McpError) => void
}

/**
 * What a request ends with when its result has come. Called once, from the
 * read loop, so that the usual answer costs its caller no further step; what
 * takes longer is done by the effect it gives. `since`: see `RequestOptions`.
 */
export type Read<A> = (result: unknown, since: number) => Effect.Effect<A, McpError.McpError>

/** Parameters that depend on the id the request gets, such as a progress token. */
export type Params = JsonRpc.JsonObject | undefined | ((id: JsonRpc.RequestId) => JsonRpc.JsonObject | undefined)

export interface Traffic {
  readonly sentBytes: number
  readonly receivedBytes: number
  /** Replies that nobody waited for. */
  readonly strayReplies: number
}

export interface Connection {
  /**
   * Sends a request and waits for its result, undecoded. Fails with
   * `RemoteError`, `RequestTimeout`, or the reason the link ended for.
   * Interruption abandons the request on the server.
   */
  readonly request: (
    method: string,
    params?: Params,
    options?: RequestOptions
  ) => Effect.Effect<unknown, McpError.McpError>
  /** The same, with something made of the result. */
  readonly requestAs: <A>(
    method: string,
    params: Params,
    options: RequestOptions | undefined,
    read: Read<A>
  ) => Effect.Effect<A, McpError.McpError>
  /** Sends a notification; waits only while the link has no room. */
  readonly notify: (method: string, params?: JsonRpc.JsonObject) => Effect.Effect<void, McpError.McpError>
  /** Ends when the link is gone, with the reason. */
  readonly closed: Effect.Effect<McpError.McpError>
  /** The reason the link is gone for, or `undefined` while it is open. */
  readonly closedUnsafe: () => McpError.McpError | undefined
  /** Requests waiting for their answer now. */
  readonly inFlightUnsafe: () => number
  /** What went over the wire so far. */
  readonly trafficUnsafe: () => Traffic
  /** Tells the link what was agreed with the server. */
  readonly agreed: (agreement: Agreement) => void
  /** Whether a message may hold several (JSON-RPC batches, B-11). Off until the dialect says so. */
  acceptsBatches: boolean
}

interface Pending extends Deadlines.Entry {
  readonly id: JsonRpc.RequestId
  readonly method: string
  /** The result came. */
  readonly answer: (result: unknown) => void
  /** None will come. */
  readonly end: (exit: Exit.Exit<never, McpError.McpError>) => void
  readonly cancellable: boolean
  readonly onProgress: ((progress: Progress) => void) | undefined
  /** Milliseconds of silence allowed; what progress adds again. */
  readonly idle: number
  readonly idleAfterProgress: number
  readonly totalAt: number
  readonly total: number
}

/** Requests of the server handled at once; beyond that it is told so (a flood must not become fibers). */
const maxServerRequests = 64

const defaultTimeout: Duration.Input = "60 seconds"
const defaultMaxTotal: Duration.Input = "10 minutes"

const excerpt = (value: unknown): string => PlainText.excerptOfJson(value, 200)

const isProgress = (params: JsonRpc.JsonObject | undefined): params is JsonRpc.JsonObject & Progress =>
  params !== undefined && typeof params.progress === "number" &&
  (params.total === undefined || typeof params.total === "number") &&
  (params.message === undefined || typeof params.message === "string")

/**
 * Opens the transport and keeps its requests until the scope closes. Closing
 * fails what is pending with `ConnectionClosed`, then closes the link.
 */
export const make = Effect.fnUntraced(function*(options: {
  readonly server: string
  readonly transport: Transport["Service"]
  readonly handlers: Handlers
  readonly limits?: Limits | undefined
}): Effect.fn.Return<Connection, McpError.McpError, Scope.Scope> {
  const { handlers, limits, server, transport } = options
  const clock = yield* Clock.Clock
  const pending = new InFlight<Pending>()
  const serving = yield* FiberMap.make<JsonRpc.RequestId, unknown, never>()
  const serve = yield* FiberMap.runtime(serving)()
  const closed = yield* Deferred.make<McpError.McpError>()
  let failure: McpError.McpError | undefined
  // Undefined only while the transport opens; a server may speak before that is done.
  let link: Link | undefined
  let acceptsBatches = false
  let answering = 0
  let lastAnswered = -Infinity
  let sentBytes = 0
  let receivedBytes = 0
  let strayReplies = 0

  const send = (message: JsonRpc.Message, options?: SendOptions) => {
    if (link !== undefined && failure === undefined) sentBytes += link.send(message, options)
  }

  // ---------------------------------------------------------------------------
  // The end of a request
  // ---------------------------------------------------------------------------

  /** Takes a request out; whoever gets it here is the one who ends it. */
  const take = (id: JsonRpc.RequestId): Pending | undefined => {
    const entry = pending.get(id)
    if (entry === undefined) return undefined
    pending.remove(entry)
    deadlines.remove(entry)
    return entry
  }

  const abandon = (entry: Pending, reason: string) => {
    if (entry.cancellable && failure === undefined) link?.abandon(entry.id, reason)
  }

  const close = (reason: McpError.McpErrorReason) => {
    if (failure !== undefined) return
    failure = McpError.make(reason, server)
    const exit = Exit.fail(failure)
    const entries = pending.clear()
    for (const entry of entries) deadlines.remove(entry)
    for (const [, fiber] of serving) fiber.interruptUnsafe()
    // Who supervises the connection learns first: a caller who tries again at once is not given a dead one.
    Deferred.doneUnsafe(closed, Exit.succeed(failure))
    handlers.onClosed?.(failure)
    for (const entry of entries) entry.end(exit)
  }

  const deadlines = yield* Deadlines.make<Pending>((entry, now) => {
    const asked = transport.lastAsked?.() ?? -Infinity
    const totalAt = Math.max(entry.totalAt, asked + entry.total)
    const total = now >= totalAt
    // While the server waits for an answer of ours, or of a user's, its silence is not held against it (MR-08).
    const idleFrom = answering > 0 ? now : Math.max(asked, lastAnswered)
    if (!total && idleFrom + Math.max(entry.idle, 1) > now) {
      entry.at = Math.min(idleFrom + Math.max(entry.idle, 1), totalAt)
      return deadlines.add(entry)
    }
    pending.remove(entry)
    const millis = total ? entry.total : entry.idle
    abandon(entry, `no answer within ${millis} ms`)
    entry.end(Exit.fail(McpError.make(
      new McpError.RequestTimeout({ method: entry.method, limit: total ? "total" : "idle", millis }),
      server
    )))
  })

  // ---------------------------------------------------------------------------
  // What arrives
  // ---------------------------------------------------------------------------

  const settle = (message: JsonRpc.Success | JsonRpc.Failure) => {
    const id = message.id
    const entry = id === undefined || id === null ? undefined : take(id)
    if (entry === undefined) {
      strayReplies += 1
      // Late and duplicate replies have an id that was given out; anything else was never asked (B-10, X-02).
      return handlers.onDiagnostic(
        id === undefined || id === null
          ? Diagnostic.Warning({ detail: `the server reported an error for no request: ${excerpt(message)}` })
          : Diagnostic.StrayReply({ id, kind: pending.knows(id) ? "late" : "unknown" })
      )
    }
    if (!JsonRpc.isFailure(message)) return entry.answer(message.result)
    const { code, data, message: detail } = message.error
    entry.end(Exit.fail(McpError.make(
      new McpError.RemoteError({ method: entry.method, code, detail, ...(data === undefined ? {} : { data }) }),
      server
    )))
  }

  const onProgress = (params: JsonRpc.JsonObject | undefined) => {
    const token = params?.progressToken
    if ((typeof token !== "string" && typeof token !== "number") || !isProgress(params)) return
    const entry = pending.get(token)
    if (entry === undefined) return
    if (entry.idleAfterProgress !== Infinity) {
      deadlines.move(entry, Math.min(clock.currentTimeMillisUnsafe() + entry.idleAfterProgress, entry.totalAt))
    }
    entry.onProgress?.(params)
  }

  const answer = (request: JsonRpc.Request) => {
    if (answering >= maxServerRequests || FiberMap.hasUnsafe(serving, request.id)) {
      // A server that floods us and does not read gets no reply either: replies must not pile up.
      if (link?.backpressure() === undefined) {
        send(JsonRpc.failure(request.id, {
          code: JsonRpc.ErrorCode.InternalError,
          message: "Too many requests at once, or an id that is in use"
        }))
      }
      return handlers.onDiagnostic(Diagnostic.Warning({ detail: `refused the server's ${request.method}: too many at once` }))
    }
    answering += 1
    const reply = (message: JsonRpc.Message) =>
      Effect.andThen(link?.backpressure() ?? Effect.void, Effect.sync(() => send(message)))
    const error = (error: JsonRpc.ErrorObject) => reply(JsonRpc.failure(request.id, error))
    serve(
      request.id,
      handlers.onRequest(request).pipe(
        Effect.flatMap((result) => result === undefined ? Effect.void : reply(JsonRpc.success(request.id, result))),
        Effect.catch(error),
        Effect.catchCause((cause) =>
          Cause.hasInterruptsOnly(cause)
            ? Effect.void
            : Effect.andThen(
              Effect.logError(`A handler for ${request.method} of server "${server}" failed`, cause),
              error({ code: JsonRpc.ErrorCode.InternalError, message: "The handler failed" })
            )
        ),
        Effect.ensuring(Effect.sync(() => {
          answering -= 1
          lastAnswered = clock.currentTimeMillisUnsafe()
        }))
      )
    )
  }

  const onNotification = (notification: JsonRpc.Notification) => {
    if (notification.method === "notifications/progress") return onProgress(notification.params)
    if (notification.method === "notifications/cancelled") {
      const id = notification.params?.requestId
      if (JsonRpc.isRequestId(id)) {
        const handling = FiberMap.getUnsafe(serving, id)
        if (Option.isSome(handling)) return handling.value.interruptUnsafe()
      }
    }
    handlers.onNotification(notification)
  }

  /** What answers a request of ours in no way that can be understood is its answer all the same: no other will come. */
  const skip = (value: unknown) => {
    const shown = excerpt(value)
    handlers.onDiagnostic(Diagnostic.Skipped({ detail: "not a JSON-RPC 2.0 message", excerpt: shown }))
    const id = JsonRpc.answeredBy(value)
    const entry = id === undefined ? undefined : take(id)
    if (entry === undefined) return
    const detail = `expected a "result" or an "error" with code and message, got ${shown}`
    entry.end(Exit.fail(McpError.make(new McpError.InvalidResponse({ method: entry.method, detail }), server)))
  }

  const onMessage = (value: unknown) => {
    if (!JsonRpc.isMessage(value)) return skip(value)
    if (!("method" in value)) return settle(value)
    return "id" in value ? answer(value) : onNotification(value)
  }

  link = yield* transport.open({
    onMessage: (value, bytes) => {
      if (failure !== undefined) return
      receivedBytes += bytes
      if (acceptsBatches && Array.isArray(value)) return value.forEach(onMessage)
      onMessage(value)
    },
    onDiagnostic: handlers.onDiagnostic,
    onFailure: (id, reason) => take(id)?.end(Exit.fail(McpError.make(reason, server))),
    onClose: close
  }).pipe(Effect.mapError((error) => McpError.make(error.reason, server)))
  // Registered after the link, so it runs before the link's own finalizer: callers learn at once, not after the server has died.
  yield* Effect.addFinalizer((exit) => Effect.sync(() => close(reasonOf(exit, server))))

  // ---------------------------------------------------------------------------
  // What is sent
  // ---------------------------------------------------------------------------

  const defaults = resolveLimits(limits ?? {}, {
    idle: Duration.toMillis(defaultTimeout),
    total: Duration.toMillis(defaultMaxTotal),
    resetOnProgress: true
  })

  /** One request, begun at `since` if it had to wait for room. */
  const exchange = <A>(
    method: string,
    params: Params,
    options: RequestOptions | undefined,
    read: Read<A>,
    since?: number
  ): Effect.Effect<A, McpError.McpError> =>
    Effect.callback((resume) => {
      if (failure !== undefined) return resume(Exit.fail(failure))
      const limits = options === undefined ? defaults : resolveLimits(options, defaults)
      const now = clock.currentTimeMillisUnsafe()
      const begun = since ?? now
      if (link?.backpressure() !== undefined) {
        return resume(whenRoom(method, limits, begun, () => exchange(method, params, options, read, begun)))
      }
      const id = options?.id ?? pending.nextId()
      const operationSince = options?.since ?? begun
      const totalAt = operationSince + limits.total
      const entry: Pending = {
        id,
        method,
        answer: (result) => {
          try {
            resume(read(result, operationSince))
          } catch (defect) {
            resume(Exit.die(defect))
          }
        },
        end: resume,
        cancellable: options?.cancellable !== false,
        onProgress: options?.onProgress,
        idle: limits.idle,
        idleAfterProgress: limits.resetOnProgress ? limits.idle : Infinity,
        totalAt,
        total: limits.total,
        at: Math.min(now + limits.idle, totalAt),
        slot: -1
      }
      pending.add(entry)
      if (entry.at !== Infinity) deadlines.add(entry)
      try {
        send(JsonRpc.request(id, method, typeof params === "function" ? params(id) : params), options?.send)
      } catch (error) {
        take(id)
        const detail = error instanceof Error ? error.message : String(error)
        return resume(Exit.fail(McpError.make(new McpError.InvalidArguments({ method, detail }), server)))
      }
      return Effect.sync(() => {
        if (take(id) !== undefined) abandon(entry, "interrupted by the caller")
      })
    })

  /**
   * Sends when there is room on the link. Waits for it no longer than the
   * request itself may; others may have filled it up again by the time it does.
   */
  const whenRoom = <A>(
    method: string,
    limits: ResolvedLimits,
    since: number,
    send: () => Effect.Effect<A, McpError.McpError>
  ): Effect.Effect<A, McpError.McpError> => {
    const wait = failure === undefined ? link?.backpressure() : undefined
    if (wait === undefined) return send()
    const spent = clock.currentTimeMillisUnsafe() - since
    const limit = limits.total < limits.idle ? "total" : "idle"
    const millis = Math.min(limits.idle, limits.total)
    return wait.pipe(
      Effect.timeoutOrElse({
        duration: Duration.millis(Math.max(0, millis - spent)),
        orElse: () => Effect.fail(McpError.make(new McpError.RequestTimeout({ method, limit, millis }), server))
      }),
      Effect.flatMap(() => whenRoom(method, limits, since, send))
    )
  }

  const connection: Connection = {
    get acceptsBatches() {
      return acceptsBatches
    },
    set acceptsBatches(accepts) {
      acceptsBatches = accepts
    },
    agreed: (agreement) => link?.agreed?.(agreement),
    request: (method, params, options) => exchange(method, params, options, Effect.succeed),
    requestAs: exchange,
    notify: (method, params) =>
      Effect.suspend(() =>
        whenRoom(method, defaults, clock.currentTimeMillisUnsafe(), () => {
          if (failure !== undefined) return Effect.fail(failure)
          send(JsonRpc.notification(method, params))
          return Effect.void
        })
      ),
    closed: Deferred.await(closed),
    closedUnsafe: () => failure,
    inFlightUnsafe: () => pending.size,
    trafficUnsafe: () => ({ sentBytes, receivedBytes, strayReplies })
  }
  return connection
})

/** Who closes the connection may say why, by closing its scope with that failure. */
const reasonOf = (exit: Exit.Exit<unknown, unknown>, server: string): McpError.McpErrorReason => {
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  return McpError.isMcpError(error) && error.server === server && error.reason._tag === "ConnectionClosed"
    ? error.reason
    : McpError.scopeClosed
}

interface ResolvedLimits {
  readonly idle: number
  readonly total: number
  readonly resetOnProgress: boolean
}

const resolveLimits = (limits: Limits, defaults: ResolvedLimits): ResolvedLimits => ({
  idle: limits.timeout === undefined ? defaults.idle : Duration.toMillis(limits.timeout),
  total: limits.maxTotal === undefined ? defaults.total : Duration.toMillis(limits.maxTotal),
  resetOnProgress: limits.resetOnProgress ?? defaults.resetOnProgress
})
