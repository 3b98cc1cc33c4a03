/** What a mock server was asked, and signals to wait for instead of sleeping. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { JsonObject } from "../../protocol/JsonRpc.ts"

/** One call of a tool. */
export interface ToolCall {
  readonly tool: string
  readonly args: JsonObject
  /** `failed`: with a JSON-RPC error. A result with `isError` is `done`. `cancelled`: its effect was interrupted. */
  readonly status: "running" | "done" | "failed" | "cancelled"
}

export interface Recorder {
  /** Keeps the call's status true from now on. */
  readonly record: <A, E, R>(tool: string, args: JsonObject, run: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Every call so far, in the order they arrived. */
  readonly calls: Effect.Effect<ReadonlyArray<ToolCall>>
  /** Waits until this holds. */
  readonly until: (
    predicate: (calls: ReadonlyArray<ToolCall>) => boolean
  ) => Effect.Effect<ReadonlyArray<ToolCall>>
}

/** Calls remembered; of more, the latest. */
const capacity = 10_000

export const make = (): Recorder => {
  const calls: Array<{ tool: string; args: JsonObject; status: ToolCall["status"] }> = []
  const waiting = new Set<{
    readonly holds: () => boolean
    readonly reached: Deferred.Deferred<void>
  }>()
  const snapshot = Effect.sync((): ReadonlyArray<ToolCall> => calls.map((call) => ({ ...call })))
  const changed = () => {
    for (const waiter of waiting) {
      if (waiter.holds()) Deferred.doneUnsafe(waiter.reached, Exit.void)
    }
  }
  return {
    record: (tool, args, run) =>
      Effect.suspend(() => {
        const call: (typeof calls)[number] = { tool, args, status: "running" }
        const begin = Effect.sync(() => {
          calls.push(call)
          if (calls.length > capacity) calls.shift()
          changed()
        })
        return Effect.onExit(Effect.andThen(begin, run), (exit) =>
          Effect.sync(() => {
            call.status = Exit.isSuccess(exit) ? "done" : Exit.hasInterrupts(exit) ? "cancelled" : "failed"
            changed()
          }))
      }),
    calls: snapshot,
    until: Effect.fnUntraced(function*(predicate) {
      const waiter = { holds: () => predicate(calls), reached: yield* Deferred.make<void>() }
      waiting.add(waiter)
      changed()
      yield* Effect.ensuring(Deferred.await(waiter.reached), Effect.sync(() => waiting.delete(waiter)))
      // Whoever waits is woken from inside the call, which goes on first.
      yield* Effect.yieldNow
      return yield* snapshot
    })
  }
}
