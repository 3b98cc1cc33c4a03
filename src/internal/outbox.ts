/**
 * Lines on their way to a byte sink. What is written within one tick is handed
 * over together, and the sink pulls: the writing fiber is resumed in place, not
 * through a queue and the scheduler.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import * as WaterMark from "./waterMark.ts"

export interface Outbox {
  /** Takes a line, without its end, and returns its bytes with it; 0 when the outbox has ended. */
  readonly write: (line: string) => number
  /** `undefined` while there is room for more; see `Link.backpressure`. */
  readonly backpressure: () => Effect.Effect<void> | undefined
  /** Takes no more. What was written still goes out, then the stream ends; nobody waits any longer. */
  readonly end: () => void
  /** To be run once, into the sink. */
  readonly stream: Stream.Stream<Uint8Array>
}

type Batch = Arr.NonEmptyReadonlyArray<Uint8Array>

/** Lines are encoded side by side into slabs of up to this size; larger ones get their own. */
const slabBytes = 32 * 1024

/** Each slab is twice as large as the last: what says little keeps little. */
const firstSlabBytes = 1024

/**
 * Written within one tick, this much is handed over without waiting for its
 * end: the other side begins to work while we still write. Measured.
 */
const eagerBytes = 16 * 1024

const LF = 0x0a

const encoder = new TextEncoder()

/** @param highWaterMark unwritten bytes above which senders wait. */
export const make = (highWaterMark: number): Outbox => {
  const waterMark = WaterMark.make(highWaterMark)
  let slab = new Uint8Array(0)
  /** The part of the slab that is written but not handed over. */
  let start = 0
  let end = 0
  let full: Array<Uint8Array> = []
  /** Bytes since the last time something could have been handed over. */
  let fresh = 0
  /** Bytes handed over: written when the sink asks for more. */
  let handedOver = 0
  let ended = false
  let scheduled = false
  let sink: ((exit: Exit.Exit<Batch, Cause.Done>) => void) | undefined

  const setAside = () => {
    if (end > start) full.push(slab.subarray(start, end))
    start = end
  }

  const encode = (line: string): number => {
    // A UTF-16 unit takes three bytes at most.
    const worst = line.length * 3 + 1
    if (worst > slabBytes) {
      setAside()
      const bytes = encoder.encode(`${line}\n`)
      full.push(bytes)
      return bytes.length
    }
    if (worst > slab.length - end) {
      setAside()
      slab = new Uint8Array(Math.min(slabBytes, Math.max(firstSlabBytes, slab.length * 2, worst)))
      start = end = 0
    }
    const { written } = encoder.encodeInto(line, slab.subarray(end))
    slab[end + written] = LF
    end += written + 1
    return written + 1
  }

  const flush = () => {
    scheduled = false
    fresh = 0
    if (sink === undefined) return
    setAside()
    const [head, ...tail] = full
    if (head === undefined && !ended) return
    const resume = sink
    sink = undefined
    if (head === undefined) return resume(Exit.fail(Cause.Done()))
    full = []
    handedOver = tail.reduce((bytes, part) => bytes + part.length, head.length)
    resume(Exit.succeed([head, ...tail]))
  }

  const schedule = () => {
    if (scheduled) return
    scheduled = true
    queueMicrotask(flush)
  }

  const pull = Effect.callback<Batch, Cause.Done>((resume) => {
    const written = handedOver
    handedOver = 0
    // Lets waiting senders write first, so that what they write goes out now.
    waterMark.fall(written)
    sink = resume
    flush()
    return Effect.sync(() => {
      sink = undefined
    })
  })

  return {
    write(line) {
      if (ended) return 0
      const bytes = encode(line)
      waterMark.rise(bytes)
      fresh += bytes
      if (fresh > eagerBytes) flush()
      else schedule()
      return bytes
    },
    backpressure: waterMark.wait,
    end() {
      ended = true
      waterMark.release()
      schedule()
    },
    stream: Stream.fromPull(Effect.succeed(pull))
  }
}
