/**
 * Replays a recording as a stub: a request gets what was answered to the same
 * method and params, in any order and as often as it is asked. Where the same
 * was asked several times, the answers come in turn, and the last one stays.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as McpError from "../../McpError.ts"
import * as JsonRpc from "../../protocol/JsonRpc.ts"
import type { Receiver } from "../../Transport.ts"
import * as Compare from "./compare.ts"
import * as Ids from "./ids.ts"
import * as Replay from "./replay.ts"

type Frame = Replay.Line["frame"]

/** What the server says after a message of the program, or when a link opens, up to what is about something else. */
interface Script {
  readonly line: number
  readonly message: JsonRpc.Message | undefined
  readonly at: number
  /** Frames of the server, and replies it waits for. */
  readonly frames: Array<Frame>
  /** Set for a script a link begins with. */
  readonly opens?: { readonly fallback: boolean }
  used: number
}

const scriptsOf = (lines: ReadonlyArray<Replay.Line>): ReadonlyArray<Script> => {
  const scripts: Array<Script> = []
  /** Of each link. */
  const states = new Map<number, {
    current: Script
    readonly pending: Map<JsonRpc.RequestId, Script>
    readonly tokens: Map<unknown, Script>
    readonly asking: Map<unknown, Script>
  }>()
  const begin = (script: Script): Script => {
    scripts.push(script)
    return script
  }
  for (const { frame, line } of lines) {
    if (frame.type === "open") {
      const opens = { fallback: frame.fallback ?? false }
      const current = begin({ line, message: undefined, at: frame.at, frames: [], opens, used: 0 })
      states.set(frame.link, { current, pending: new Map(), tokens: new Map(), asking: new Map() })
      continue
    }
    const state = states.get(frame.link)
    if (state === undefined) continue
    /** Who is being answered, as far as that can be known: the latest request that waits, or what was last sent. */
    const latest = () => [...state.pending.values()].at(-1) ?? state.current
    switch (frame.type) {
      case "send": {
        const { message } = frame
        if (!("method" in message)) {
          state.asking.get(message.id)?.frames.push(frame)
          break
        }
        state.current = begin({ line, message, at: frame.at, frames: [], used: 0 })
        if ("id" in message) {
          state.pending.set(message.id, state.current)
          const token = Ids.tokenOf(message)
          if (token !== undefined) state.tokens.set(token, state.current)
        }
        break
      }
      case "abandon":
        state.pending.delete(frame.id)
        break
      case "failure": {
        (state.pending.get(frame.id) ?? latest()).frames.push(frame)
        state.pending.delete(frame.id)
        break
      }
      case "receive": {
        const { value } = frame
        const answered = Ids.answeredBy(value)
        const owner = (answered === undefined ? undefined : state.pending.get(answered)) ??
          state.tokens.get(Ids.progressOf(value)) ?? latest()
        owner.frames.push(frame)
        if (answered !== undefined) state.pending.delete(answered)
        if (JsonRpc.isMessage(value) && JsonRpc.isRequest(value)) state.asking.set(value.id, owner)
        break
      }
      default:
        latest().frames.push(frame)
    }
  }
  return scripts
}

/** The next of some that fit: each in turn, and then the last one again. */
const take = (scripts: ReadonlyArray<Script>): Script | undefined => {
  const script = scripts.find(({ used }) => used === 0) ?? scripts.at(-1)
  if (script !== undefined) script.used += 1
  return script
}

export const make = (tape: Replay.Tape): Replay.Replay => {
  const { file, ignored } = tape
  const scripts = scriptsOf(tape.lines)
  const deviations: Array<McpError.CassetteDeviation> = []

  const matching = (message: JsonRpc.Message): ReadonlyArray<Script> => {
    const essence = Compare.essence(message, ignored)
    return scripts.filter((script) =>
      script.message !== undefined && "id" in script.message === "id" in message &&
      Compare.isSame(Compare.essence(script.message, ignored), essence)
    )
  }

  const unknown = (message: JsonRpc.Request): McpError.CassetteDeviation => {
    const similar = scripts.find((script) =>
      script.message !== undefined && "method" in script.message && script.message.method === message.method
    )
    return Replay.deviation(
      tape,
      message,
      similar?.message === undefined ? undefined : { line: similar.line, message: similar.message },
      similar === undefined
        ? `${message.method} was never recorded`
        : `${Compare.title(message)} was not recorded with these params; the first ${message.method} is shown`
    )
  }

  const play = Effect.fnUntraced(function*(opening: Script, receiver: Receiver) {
    const running = yield* FiberMap.make<JsonRpc.RequestId | symbol>()
    const run = yield* FiberMap.runtime(running)()
    /** Requests of the server that the program has not answered, by the ids it sees. */
    const asking = new Map<unknown, Deferred.Deferred<void>>()
    let open = true

    const close = (reason: McpError.McpErrorReason) => {
      if (!open) return
      open = false
      receiver.onClose(reason)
    }

    const follow = Effect.fnUntraced(function*(script: Script, message: JsonRpc.Message | undefined) {
      const ids = Ids.make()
      if (script.message !== undefined && message !== undefined) Ids.learn(ids, script.message, message)
      /** The server's ids of this script, and what they are now. */
      const theirs = new Map<unknown, JsonRpc.RequestId>()
      let before = script.at
      for (const frame of script.frames) {
        const wait = frame.at - before
        before = frame.at
        if (frame.type === "send") {
          const id = "id" in frame.message ? theirs.get(frame.message.id) : undefined
          const reply = asking.get(id)
          if (reply !== undefined) yield* Deferred.await(reply)
          asking.delete(id)
          continue
        }
        if (tape.paced && wait > 0) yield* Effect.sleep(wait)
        if (!open) return
        switch (frame.type) {
          case "receive": {
            const { value } = frame
            if (JsonRpc.isMessage(value) && JsonRpc.isRequest(value)) {
              // The same script may be playing twice.
              let id = value.id
              for (let again = 2; asking.has(id); again++) id = `${value.id}-${again}`
              theirs.set(value.id, id)
              asking.set(id, Deferred.makeUnsafe())
              Replay.deliver(receiver, { ...value, id })
              break
            }
            const translated = Ids.translate(ids, value, (id) => theirs.has(id))
            if (translated !== undefined) Replay.deliver(receiver, translated)
            break
          }
          case "diagnostic":
            Replay.tell(receiver, frame.diagnostic)
            break
          case "failure":
            receiver.onFailure(ids.actual.get(frame.id) ?? frame.id, frame.reason)
            break
          case "close":
            return close(frame.reason)
          case "refused":
            return yield* Effect.fail(frame.reason)
        }
      }
    })

    yield* Effect.addFinalizer(() => Effect.sync(() => close(McpError.scopeClosed)))
    yield* Effect.mapError(follow(opening, undefined), (reason) => McpError.make(reason))
    return {
      send: (message: JsonRpc.Message) => {
        const { length } = JSON.stringify(message)
        if (!open) return 0
        if (!("method" in message)) {
          const reply = asking.get(message.id)
          if (reply !== undefined) Deferred.doneUnsafe(reply, Effect.void)
          return length
        }
        const script = take(matching(message))
        if (script !== undefined) {
          run("id" in message ? message.id : Symbol(message.method), Effect.ignore(follow(script, message)))
        } else if ("id" in message) {
          const reason = unknown(message)
          deviations.push(reason)
          receiver.onFailure(message.id, reason)
        }
        return length
      },
      backpressure: () => undefined,
      abandon: (id: JsonRpc.RequestId) => {
        const fiber = FiberMap.getUnsafe(running, id)
        if (fiber._tag === "Some") fiber.value.interruptUnsafe()
      }
    }
  })

  return {
    open: (fallback) => (receiver) =>
      Effect.suspend(() => {
        const opening = take(scripts.filter(({ opens }) => opens?.fallback === fallback))
        if (opening !== undefined) return play(opening, receiver)
        const reason = new McpError.CassetteDeviation({
          file,
          detail: `no connection by the ${fallback ? "older" : "newer"} binding was recorded`,
          diff: ""
        })
        deviations.push(reason)
        return Effect.fail(McpError.make(reason))
      }),
    problems: () => deviations
  }
}
