/**
 * Handlers that ask, for clients that are asked in results (MRTR): a round ends
 * with `input_required` while the handler's fiber stays suspended, and the
 * retry that brings the answers goes on with it (MR-01 … MR-06).
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as JsonRpc from "../../protocol/JsonRpc.ts"
import type { Channel } from "./call.ts"
import { JsonRpcError } from "./declaration.ts"

interface Question {
  readonly method: string
  readonly params: JsonRpc.JsonObject | undefined
  readonly answer: Deferred.Deferred<JsonRpc.JsonObject>
}

/** One request through all its rounds. */
interface Exchange {
  /** What is asked for; a state is good for nothing else. */
  readonly target: string
  readonly asked: Queue.Queue<Question>
  readonly fiber: Fiber.Fiber<JsonRpc.JsonObject, JsonRpcError>
  /** The `_meta` of the latest round. */
  readonly latest: { meta: JsonRpc.JsonObject }
  open: ReadonlyMap<string, Question>
}

/** A handler's way to its client, whichever round it is in. */
export interface Round {
  readonly ask: Channel["ask"]
  readonly meta: () => JsonRpc.JsonObject
}

export interface Rounds {
  /** One round: a new request, or the next round of the one whose state is given. Interruption ends all of it. */
  readonly next: (
    request: { readonly target: string; readonly params: JsonRpc.JsonObject; readonly meta: JsonRpc.JsonObject },
    run: (round: Round) => Effect.Effect<JsonRpc.JsonObject, JsonRpcError>
  ) => Effect.Effect<JsonRpc.JsonObject, JsonRpcError>
}

/** Handlers that may wait for a retry at once; a client need not come back, so the eldest are given up. */
const capacity = 64

/** Questions of one handler that may be open at once. */
const questionCapacity = 64

const invalid = (message: string) => new JsonRpcError({ code: JsonRpc.ErrorCode.InvalidParams, message })

/** Handlers that still wait when the scope closes are interrupted. */
export const make = Effect.fnUntraced(function*(): Effect.fn.Return<Rounds, never, Scope.Scope> {
  const scope = yield* Scope.Scope
  const suspended = new Map<string, Exchange>()
  let states = 0

  /** Goes on until the handler has ended or asks something. */
  const advance = (exchange: Exchange) =>
    Effect.gen(function*() {
      const question = yield* Effect.raceFirst(
        Queue.take(exchange.asked),
        Effect.as(Fiber.await(exchange.fiber), undefined)
      )
      if (question === undefined) return yield* Fiber.join(exchange.fiber)
      // What the handler asks at the same time goes into the same round.
      yield* Effect.yieldNow
      const questions = [question, ...(yield* Queue.clear(exchange.asked))]
      exchange.open = new Map(questions.map((question, index) => [`input-${index + 1}`, question]))
      const requestState = `state-${++states}`
      suspended.set(requestState, exchange)
      for (const [state, { fiber }] of suspended) {
        if (suspended.size <= capacity) break
        suspended.delete(state)
        fiber.interruptUnsafe()
      }
      return {
        resultType: "input_required",
        inputRequests: Object.fromEntries(
          [...exchange.open].map(([key, { method, params }]) => [key, params === undefined ? { method } : { method, params }])
        ),
        requestState
      }
    }).pipe(Effect.onInterrupt(() => Fiber.interrupt(exchange.fiber)))

  const resume = Effect.fnUntraced(function*(state: unknown, target: string, params: JsonRpc.JsonObject, meta: JsonRpc.JsonObject) {
    const exchange = typeof state === "string" ? suspended.get(state) : undefined
    if (exchange === undefined || typeof state !== "string") return yield* Effect.fail(invalid("Unknown requestState"))
    if (exchange.target !== target) return yield* Effect.fail(invalid("requestState belongs to another request"))
    const responses = JsonRpc.isJsonObject(params.inputResponses) ? params.inputResponses : {}
    const answers: Array<readonly [Question, JsonRpc.JsonObject]> = []
    for (const [key, question] of exchange.open) {
      const response = responses[key]
      if (!JsonRpc.isJsonObject(response)) return yield* Effect.fail(invalid(`inputResponses has no answer to "${key}"`))
      answers.push([question, response])
    }
    suspended.delete(state)
    exchange.latest.meta = meta
    for (const [question, response] of answers) yield* Deferred.succeed(question.answer, response)
    return yield* advance(exchange)
  })

  const begin = (
    target: string,
    meta: JsonRpc.JsonObject,
    run: (round: Round) => Effect.Effect<JsonRpc.JsonObject, JsonRpcError>
  ) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const asked = yield* Queue.bounded<Question>(questionCapacity)
        const latest = { meta }
        const ask: Round["ask"] = Effect.fnUntraced(function*(method, params) {
          const answer = yield* Deferred.make<JsonRpc.JsonObject>()
          yield* Queue.offer(asked, { method, params, answer })
          return yield* Deferred.await(answer)
        })
        const fiber = yield* Effect.forkIn(run({ ask, meta: () => latest.meta }), scope, { startImmediately: true })
        return yield* restore(advance({ target, asked, fiber, latest, open: new Map() }))
      })
    )

  return {
    next: ({ meta, params, target }, run) =>
      params.requestState === undefined ? begin(target, meta, run) : resume(params.requestState, target, params, meta)
  }
})
