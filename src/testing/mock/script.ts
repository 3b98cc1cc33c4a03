/** A script of one side of a conversation: what must come, what is sent, and what goes wrong. */
import type * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Diagnostic from "../../Diagnostic.ts"
import * as McpError from "../../McpError.ts"
import * as JsonRpc from "../../protocol/JsonRpc.ts"
import type { Peer } from "../../transport/InMemoryTransport.ts"

/** One step of a script. Plain data, so that a script can be printed, joined and generated. */
export type Step =
  | { readonly _tag: "Expect"; readonly method: string; readonly params?: JsonRpc.JsonObject; readonly as?: string }
  | { readonly _tag: "Reply"; readonly result: JsonRpc.JsonObject; readonly to?: string }
  | { readonly _tag: "Refuse"; readonly error: JsonRpc.ErrorObject; readonly to?: string }
  | { readonly _tag: "Progress"; readonly params: JsonRpc.JsonObject; readonly to?: string }
  | { readonly _tag: "Send"; readonly value: unknown }
  | { readonly _tag: "Garbage"; readonly text: string }
  | { readonly _tag: "Delay"; readonly duration: Duration.Input }
  | { readonly _tag: "HalfClose" }
  | { readonly _tag: "Close"; readonly reason: McpError.McpErrorReason }

/** The program did something else than the script says. */
export class Deviation extends Data.TaggedError("Deviation")<{ readonly message: string }> {}

/** Whether everything in `expected` is in `actual`; objects may have more. */
const contains = (actual: unknown, expected: unknown): boolean => {
  if (Array.isArray(expected)) {
    return Array.isArray(actual) && actual.length === expected.length &&
      expected.every((item, index) => contains(actual[index], item))
  }
  if (!JsonRpc.isJsonObject(expected)) return Object.is(actual, expected)
  return JsonRpc.isJsonObject(actual) &&
    Object.entries(expected).every(([name, value]) => contains(actual[name], value))
}

const excerpt = (value: unknown): string => {
  const text = JSON.stringify(value) ?? "undefined"
  return text.length <= 300 ? text : `${text.slice(0, 300)}…`
}

const asWritten = ({ method, params }: Extract<Step, { _tag: "Expect" }>): string =>
  params === undefined ? method : `${method} with ${excerpt(params)}`

const describe = (message: JsonRpc.Message): string =>
  "method" in message ? `${message.method} ${excerpt(message.params ?? {})}` : `an answer ${excerpt(message)}`

/**
 * Plays a script once. Fails with what was expected and what came, also when it
 * is interrupted; afterwards nothing but notifications may come.
 */
export const play = (
  steps: ReadonlyArray<Step>,
  peer: Peer,
  on: { readonly finished: Effect.Effect<void>; readonly cut: (deviation: Deviation) => Effect.Effect<void> }
): Effect.Effect<void, Deviation | Cause.Done> => {
  const at = { step: 0 }
  return Effect.onInterrupt(playFrom(steps, peer, at, on.finished), () =>
    at.step < steps.length ? on.cut(new Deviation({ message: `${stepAt(steps, at.step)}; the connection was closed` })) : Effect.void)
}

const stepAt = (steps: ReadonlyArray<Step>, index: number): string => {
  const step = steps[index]
  return `step ${index + 1} ${step?._tag === "Expect" ? `expected ${asWritten(step)}` : "was under way"}`
}

const playFrom = Effect.fnUntraced(function*(
  steps: ReadonlyArray<Step>,
  peer: Peer,
  at: { step: number },
  finished: Effect.Effect<void>
): Effect.fn.Return<void, Deviation | Cause.Done> {
  const requests = new Map<string, JsonRpc.Request>()
  let latest: JsonRpc.Request | undefined
  let silent = false
  const say = (value: unknown) => silent ? Effect.void : peer.send(value)

  const requestOf = (index: number, to: string | undefined) => {
    const request = to === undefined ? latest : requests.get(to)
    return request === undefined
      ? Effect.die(new Error(`step ${index + 1} of the script answers ${to ?? "a request"} before one was expected`))
      : Effect.succeed(request)
  }

  for (const [index, step] of steps.entries()) {
    at.step = index
    switch (step._tag) {
      case "Expect": {
        const message = yield* Effect.catch(peer.take, () =>
          Effect.fail(new Deviation({ message: `${stepAt(steps, index)}; the connection was closed` })))
        const matches = "method" in message && message.method === step.method &&
          (step.params === undefined || contains(message.params, step.params))
        if (!matches) {
          return yield* Effect.fail(new Deviation({ message: `${stepAt(steps, index)}; came ${describe(message)}` }))
        }
        if (JsonRpc.isRequest(message)) {
          latest = message
          if (step.as !== undefined) requests.set(step.as, message)
        }
        break
      }
      case "Reply":
        yield* say(JsonRpc.success((yield* requestOf(index, step.to)).id, step.result))
        break
      case "Refuse":
        yield* say(JsonRpc.failure((yield* requestOf(index, step.to)).id, step.error))
        break
      case "Progress": {
        const { _meta } = (yield* requestOf(index, step.to)).params ?? {}
        const progressToken = JsonRpc.isJsonObject(_meta) ? _meta.progressToken : undefined
        yield* say(JsonRpc.notification("notifications/progress", { progressToken, ...step.params }))
        break
      }
      case "Send":
        yield* say(step.value)
        break
      case "Garbage":
        if (!silent) yield* peer.report(Diagnostic.Skipped({ detail: "not JSON", excerpt: step.text.slice(0, 200) }))
        break
      case "Delay":
        yield* Effect.sleep(step.duration)
        break
      case "HalfClose":
        silent = true
        break
      case "Close":
        yield* peer.close(step.reason)
        break
    }
  }
  at.step = steps.length
  yield* finished
  while (true) {
    const message = yield* peer.take
    if (JsonRpc.isRequest(message) && !silent) {
      return yield* Effect.fail(new Deviation({ message: `the script is at its end; came ${describe(message)}` }))
    }
  }
})
