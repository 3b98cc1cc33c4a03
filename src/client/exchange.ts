/**
 * One request through everything its dialect asks for: metadata, the type of
 * its result, rounds of input by the user, pages the user has to visit first.
 */
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type * as Connection from "../Connection.ts"
import * as McpError from "../McpError.ts"
import type { Consent, Dialect, Trace } from "../protocol/Dialect.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import type { InputRequiredResult } from "../protocol/ResultType.ts"
import type { SendOptions } from "../Transport.ts"
import type { Inputs } from "./inputs.ts"

export interface CallOptions<R = never> extends Connection.Limits {
  /** Told the progress of this request, in order, before its result. Old news is dropped when it is slow. */
  readonly onProgress?: ((progress: Connection.Progress) => Effect.Effect<void, never, R>) | undefined
  /** Added to the request's `_meta`; keys with a meaning in the protocol cannot be overwritten. */
  readonly meta?: JsonRpc.JsonObject | undefined
}

/** What a call can say besides, which its caller cannot. */
export interface InternalCallOptions<R = never> extends CallOptions<R> {
  /** Goes with the message in every round of input. */
  readonly send?: SendOptions | undefined
  /** See `Connection.RequestOptions`. */
  readonly since?: number | undefined
}

/**
 * What a call ends with when its result is complete; see `Connection.Read`.
 * `personal`: input of the user went into it, and it is nobody else's (MR-11).
 */
export type Read<A> = (result: JsonRpc.JsonObject, personal: boolean) => Effect.Effect<A, McpError.McpError>

/**
 * Asks for a complete result. Answers the server's questions in between, each
 * round being a request of its own (MR-03 … MR-08).
 */
export type Call = <A, R = never>(
  method: string,
  params: JsonRpc.JsonObject | undefined,
  read: Read<A>,
  options?: InternalCallOptions<R>,
  trace?: Trace
) => Effect.Effect<A, McpError.McpError, R>

/** News of progress that may wait for a slow handler. */
const progressCapacity = 128

/** So much news of one turn is handled without waiting for the turn's end, so that no chunk is too full of it. */
const progressBatch = 16

/** What the user says to one question. Fails with `InputRefused` when nothing can be said. */
type Answer = (
  method: string,
  params: JsonRpc.JsonObject | undefined
) => Effect.Effect<JsonRpc.JsonObject, McpError.McpError>

/** Questions of one result that are answered at a time, as many as of an older server. */
const maxQuestions = 64

const answerAll = Effect.fnUntraced(function*(answer: Answer, input: InputRequiredResult) {
  const answers = yield* Effect.forEach(
    input.requests,
    ({ key, method, params }) => Effect.map(answer(method, params), (result) => [key, result] as const),
    { concurrency: maxQuestions }
  )
  return {
    ...(answers.length === 0 ? undefined : { inputResponses: Object.fromEntries(answers) }),
    ...(input.requestState === undefined ? undefined : { requestState: input.requestState })
  }
})

/** Sends the user to each page, then waits until the server says they are done there, or for its silence. */
const visitAll = Effect.fnUntraced(function*(
  { completions, server }: { readonly completions: Completions; readonly server: string },
  answer: Answer,
  consents: ReadonlyArray<Consent>,
  limits: Connection.Limits | undefined
) {
  for (const { id, params } of consents) {
    const completed = yield* completions.await(id)
    const { action } = yield* answer("elicitation/create", params)
    if (action !== "accept") {
      const detail = "the user did not agree to open the page"
      return yield* McpError.make(new McpError.InputRefused({ request: "elicitation/create", detail }), server)
    }
    yield* Effect.timeoutOption(completed, limits?.timeout ?? "60 seconds")
  }
}, Effect.scoped)

export const make = (options: {
  readonly server: string
  readonly clock: Clock.Clock
  readonly connection: Connection.Connection
  readonly dialect: Dialect
  readonly inputs: Inputs
  readonly maxInputRounds: number
  readonly completions: Completions
}): Call => {
  const { clock, connection, dialect, inputs, maxInputRounds, server } = options
  const visitsPages = inputs.capabilities.elicitation?.url !== undefined
  const fail = (reason: McpError.McpErrorReason) => Effect.fail(McpError.make(reason, server))

  /** A question that cannot be answered ends the call (MR-09, MR-10). */
  const answer: Answer = (method, params) =>
    Effect.catch(inputs.answer(method, params), ({ message }) =>
      fail(new McpError.InputRefused({ request: method, detail: message })))

  const ask = <A>(
    method: string,
    params: JsonRpc.JsonObject | undefined,
    read: Read<A>,
    request: Connection.RequestOptions | undefined,
    meta: JsonRpc.JsonObject | undefined,
    trace: Trace | undefined,
    round: number
  ): Effect.Effect<A, McpError.McpError> => {
    const decorate = (id: JsonRpc.RequestId) => dialect.decorate(params, { progressToken: id, trace, custom: meta })
    /** All rounds have one `maxTotal`; what a user takes in between is theirs. */
    const again = <B>(
      begun: number,
      answered: Effect.Effect<B, McpError.McpError>,
      next: (answers: B) => JsonRpc.JsonObject | undefined
    ): Effect.Effect<A, McpError.McpError> =>
      Effect.suspend(() => {
        const paused = clock.currentTimeMillisUnsafe()
        return Effect.flatMap(answered, (answers) => {
          const since = begun + clock.currentTimeMillisUnsafe() - paused
          return ask(method, next(answers), read, { ...request, since }, meta, trace, round + 1)
        })
      })
    const onResult = (raw: unknown, begun: number): Effect.Effect<A, McpError.McpError> => {
      const interpretation = dialect.interpret(method, raw)
      if (interpretation._tag === "Complete") return read(interpretation.result, round > 0)
      if (interpretation._tag === "Invalid") {
        return fail(new McpError.InvalidResponse({ method, detail: interpretation.detail }))
      }
      if (round >= maxInputRounds) {
        return fail(new McpError.InvalidResponse({ method, detail: `it asked for input ${round + 1} times` }))
      }
      // Only the latest round's answers and state go into the retry (MR-06).
      const { inputResponses: _, requestState: __, ...original } = params ?? {}
      return again(begun, answerAll(answer, interpretation.input), (answers) => ({ ...original, ...answers }))
    }
    if (!visitsPages) return connection.requestAs(method, decorate, request, onResult)
    const begun = request?.since ?? clock.currentTimeMillisUnsafe()
    return Effect.matchEffect(connection.request(method, decorate, request), {
      onSuccess: (raw) => onResult(raw, begun),
      onFailure: (error) => {
        const consents = error.reason._tag === "RemoteError" ? dialect.consents(error.reason) : undefined
        if (consents === undefined || round >= maxInputRounds) return Effect.fail(error)
        // The server refused before doing anything, so asking again repeats nothing.
        return again(begun, visitAll(options, answer, consents, request), () => params)
      }
    })
  }

  return (method, params, read, call, trace) => {
    const lacks = dialect.lacks(method)
    if (lacks !== undefined) return fail(new McpError.Unsupported({ method, detail: lacks }))
    const own = params?._meta
    const meta = JsonRpc.isJsonObject(own) ? { ...own, ...call?.meta } : call?.meta
    if (call?.onProgress === undefined) return ask(method, params, read, withoutProgress(call), meta, trace, 0)
    return withProgress(call.onProgress, (onProgress) =>
      ask(method, params, read, { ...withoutProgress(call), onProgress }, meta, trace, 0))
  }
}

const withoutProgress = <R>(call: InternalCallOptions<R> | undefined): Connection.RequestOptions | undefined =>
  call === undefined
    ? undefined
    : { timeout: call.timeout, maxTotal: call.maxTotal, resetOnProgress: call.resetOnProgress, send: call.send, since: call.since }

/**
 * Runs a handler beside the request; all progress that came before the result is handled before it is returned.
 * The handler's fiber is resumed in place, not through the scheduler: thousands of notifications may share a chunk,
 * and a handler that does not wait misses none of them.
 */
const withProgress = Effect.fnUntraced(function*<A, E, R>(
  onProgress: (progress: Connection.Progress) => Effect.Effect<void, never, R>,
  use: (sink: (progress: Connection.Progress) => void) => Effect.Effect<A, E>
) {
  const news: Array<Connection.Progress> = []
  let ended = false
  let scheduled = false
  let resume: ((exit: Exit.Exit<void>) => void) | undefined
  const wake = () => {
    const waiting = resume
    resume = undefined
    waiting?.(Exit.void)
  }
  const atEndOfTurn = () => {
    scheduled = false
    wake()
  }
  const arrival = Effect.callback<void>((waiting) => {
    resume = waiting
  })
  const handleAll = Effect.whileLoop({
    while: () => news.length > 0 || !ended,
    body: () => {
      const next = news.shift()
      return next === undefined ? arrival : onProgress(next)
    },
    step: () => {}
  })
  const handling = yield* Effect.forkChild(handleAll, { startImmediately: true })
  const exit = yield* Effect.exit(use((progress) => {
    if (news.length === progressCapacity) news.shift()
    news.push(progress)
    if (news.length >= progressBatch) return wake()
    if (scheduled) return
    scheduled = true
    queueMicrotask(atEndOfTurn)
  }))
  ended = true
  wake()
  yield* Fiber.join(handling)
  return yield* exit
})

/** Pages whose visitors are waited for (L11-50). */
export interface Completions {
  /** Ends when the user is done on the page. Listening begins now, and ends with the scope. */
  readonly await: (id: string) => Effect.Effect<Effect.Effect<void>, never, Scope.Scope>
  readonly onNotification: (notification: JsonRpc.Notification) => void
}

export const makeCompletions = (): Completions => {
  /** Made with the first page. */
  let waiting: Map<string, Deferred.Deferred<void>> | undefined
  return {
    await: (id) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          waiting ??= new Map()
          const completed = waiting.get(id) ?? Deferred.makeUnsafe<void>()
          waiting.set(id, completed)
          return Deferred.await(completed)
        }),
        () => Effect.sync(() => waiting?.delete(id))
      ),
    onNotification: ({ method, params }) => {
      if (method !== "notifications/elicitation/complete" || typeof params?.elicitationId !== "string") return
      const completed = waiting?.get(params.elicitationId)
      if (completed !== undefined) Deferred.doneUnsafe(completed, Effect.void)
    }
  }
}
