/**
 * Replays a recording as it was: the program has to send the same messages in
 * the same order, each once, and hears what it heard then in that order.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as McpError from "../../McpError.ts"
import * as JsonRpc from "../../protocol/JsonRpc.ts"
import type { Receiver } from "../../Transport.ts"
import * as Compare from "./compare.ts"
import * as Ids from "./ids.ts"
import * as Replay from "./replay.ts"

/** Turns of the scheduler in which the rest of what a program sends at once may follow. */
const turns = 2

/** Requests with requests; replies with those to the same request of the server. */
const isSameKind = (recorded: JsonRpc.Message, message: JsonRpc.Message): boolean =>
  "id" in recorded === "id" in message && ("method" in message || ("id" in recorded && recorded.id === message.id))

const isReply = (message: JsonRpc.Message): boolean => !("method" in message)

/** The lines of each link, in the order they were opened. */
const linksOf = (lines: ReadonlyArray<Replay.Line>): ReadonlyArray<ReadonlyArray<Replay.Line>> => {
  const links = new Map<number, Array<Replay.Line>>()
  for (const line of lines) {
    const link = links.get(line.frame.link)
    if (link === undefined) links.set(line.frame.link, [line])
    else link.push(line)
  }
  return [...links.values()]
}

export const make = (tape: Replay.Tape): Replay.Replay => {
  const { file } = tape
  const links = linksOf(tape.lines)
  const deviations: Array<McpError.CassetteDeviation> = []
  const asked = new Set<Replay.Line>()
  let opened = 0

  const play = Effect.fnUntraced(function*(lines: ReadonlyArray<Replay.Line>, receiver: Receiver) {
    const ids = Ids.make()
    const wake = yield* Latch.make()
    const passed = lines.map(({ frame }) => frame.type === "open")
    const gone = new Set<JsonRpc.RequestId>()
    let open = true
    // Everything before it has passed: long recordings are not searched from their beginning.
    let from = 0

    // Which request each frame of the server is about.
    const owners = lines.map((): number | undefined => undefined)
    const theirs = new Set<unknown>()
    {
      const byId = new Map<JsonRpc.RequestId, number>()
      const byToken = new Map<unknown, number>()
      for (const [index, { frame }] of lines.entries()) {
        if (frame.type === "send" && "method" in frame.message && "id" in frame.message) {
          byId.set(frame.message.id, index)
          byToken.set(Ids.tokenOf(frame.message), index)
        } else if (frame.type === "failure") owners[index] = byId.get(frame.id)
        else if (frame.type === "receive") {
          const { value } = frame
          const answered = Ids.answeredBy(value)
          const token = Ids.progressOf(value)
          owners[index] = answered !== undefined ? byId.get(answered) : token !== undefined ? byToken.get(token) : undefined
          if (JsonRpc.isMessage(value) && JsonRpc.isRequest(value)) theirs.add(value.id)
        }
      }
    }

    const isClients = (index: number): boolean => {
      const type = lines[index]?.frame.type
      return type === "send" || type === "abandon"
    }

    const find = (is: (line: Replay.Line, index: number) => boolean): number => {
      while (passed[from] === true) from += 1
      for (let index = from; index < lines.length; index++) {
        const line = lines[index]
        if (line !== undefined && passed[index] !== true && is(line, index)) return index
      }
      return -1
    }

    /** Whether everything the program sent before was sent; for an answer, its request and what the server was waiting for. */
    const isReady = (index: number): boolean => {
      const owner = owners[index]
      if (owner !== undefined && passed[owner] !== true) return false
      for (let before = from; before < index; before++) {
        if (passed[before] === true || !isClients(before)) continue
        const frame = lines[before]?.frame
        if (owner === undefined || (frame?.type === "send" && isReply(frame.message))) return false
      }
      return true
    }

    const next = (): number => find((_, index) => !isClients(index))

    const close = (reason: McpError.McpErrorReason) => {
      if (!open) return
      open = false
      receiver.onClose(reason)
    }

    const give = (index: number) => {
      passed[index] = true
      const frame = lines[index]?.frame
      if (frame === undefined || !open) return
      switch (frame.type) {
        case "receive": {
          const owner = lines[owners[index] ?? -1]?.frame
          // Nobody waits for it any more.
          if (owner?.type === "send" && "id" in owner.message && gone.has(owner.message.id ?? "")) return
          const value = Ids.translate(ids, frame.value, (id) => theirs.has(id))
          if (value !== undefined) Replay.deliver(receiver, value)
          return
        }
        case "diagnostic":
          return Replay.tell(receiver, frame.diagnostic)
        case "failure":
          return receiver.onFailure(ids.actual.get(frame.id) ?? frame.id, frame.reason)
        case "close":
          return close(frame.reason)
        default:
          return
      }
    }

    /** Tells the program where it waits: in its request, or else by the end of the link. */
    const deviate = (message: JsonRpc.Message, reason: McpError.CassetteDeviation) => {
      deviations.push(reason)
      if ("method" in message && "id" in message) receiver.onFailure(message.id, reason)
      else close(reason)
    }

    const send = (message: JsonRpc.Message) => {
      const text = JSON.stringify(message)
      if (!open) return 0
      const index = find(({ frame }) => frame.type === "send")
      const line = lines[index]
      if (line?.frame.type !== "send") {
        deviate(message, Replay.deviation(tape, message, undefined, `${Compare.title(message)} was not recorded: nothing more was to come`))
        return text.length
      }
      const expected = line.frame.message
      if (!isSameKind(expected, message) || !Compare.isSame(Compare.essence(expected, tape.ignored), Compare.essence(message, tape.ignored))) {
        deviate(message, Replay.deviation(
          tape,
          message,
          { line: line.line, message: expected },
          `expected ${Compare.title(expected)}, got ${Compare.title(message)}`
        ))
        return text.length
      }
      // What was given up then may take another course now: when depends on time.
      for (let before = from; before < index; before++) {
        if (lines[before]?.frame.type === "abandon") passed[before] = true
      }
      passed[index] = true
      asked.add(line)
      Ids.learn(ids, expected, message)
      wake.openUnsafe()
      return text.length
    }

    const pump = Effect.gen(function*() {
      while (true) {
        wake.closeUnsafe()
        let index = next()
        if (index === -1 || !open) return
        for (let turn = 0; turn < turns && !isReady(index); turn++) yield* Effect.yieldNow
        // A program that now asks one after the other must not wait for what comes later.
        if (!isReady(index)) {
          index = find((_, index) => owners[index] !== undefined && isReady(index))
        }
        if (index === -1) {
          yield* wake.await
          continue
        }
        const wait = (lines[index]?.frame.at ?? 0) - (lines[index - 1]?.frame.at ?? 0)
        if (tape.paced && wait > 0) yield* Effect.sleep(wait)
        give(index)
      }
    })

    yield* Effect.addFinalizer(() => Effect.sync(() => close(McpError.scopeClosed)))
    const refused = lines.findIndex(({ frame }) => frame.type === "refused")
    const reason = lines[refused]?.frame
    if (reason?.type === "refused") {
      for (let index = 0; index <= refused; index++) give(index)
      open = false
      return yield* Effect.fail(McpError.make(reason.reason))
    }
    yield* Effect.forkScoped(pump)
    return {
      send,
      backpressure: () => undefined,
      abandon: (id: JsonRpc.RequestId) => {
        for (const [recorded, actual] of ids.actual) {
          if (actual !== id) continue
          gone.add(recorded)
          const index = find(({ frame }) => frame.type === "abandon" && frame.id === recorded)
          if (index !== -1) passed[index] = true
        }
        wake.openUnsafe()
      }
    }
  })

  return {
    open: (fallback) => (receiver) =>
      Effect.suspend(() => {
        const lines = links[opened]
        const first = lines?.[0]
        if (lines === undefined || first?.frame.type !== "open" || (first.frame.fallback ?? false) !== fallback) {
          const reason = new McpError.CassetteDeviation({
            file,
            ...(first === undefined ? {} : { line: first.line }),
            detail: lines === undefined
              ? `it connects once more than the ${links.length} recorded time${links.length === 1 ? "" : "s"}`
              : `it connects by the ${fallback ? "older" : "newer"} binding`,
            diff: ""
          })
          deviations.push(reason)
          return Effect.fail(McpError.make(reason))
        }
        opened += 1
        return play(lines, receiver)
      }),
    problems: () => {
      const missing = tape.lines.filter((line) => line.frame.type === "send" && !asked.has(line))
      const [first] = missing
      if (first === undefined) return deviations
      const titles = missing.flatMap(({ frame, line }) =>
        frame.type === "send" ? [`- line ${line}: ${Compare.title(frame.message)}`] : []
      )
      return [
        ...deviations,
        new McpError.CassetteDeviation({
          file,
          line: first.line,
          detail: `${missing.length} recorded message${missing.length === 1 ? " was" : "s were"} never sent`,
          diff: titles.slice(0, 20).join("\n")
        })
      ]
    }
  }
}
