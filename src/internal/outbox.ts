/**
 * Lines on their way to a byte sink. What is written within one tick is handed
 * over together, and the sink asks: it is called in place, not through a queue
 * and the scheduler.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { WaterMark } from "./waterMark.ts"

export type Batch = Arr.NonEmptyReadonlyArray<Uint8Array>

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

const noSlab = new Uint8Array(0)

export class Outbox {
  private readonly waterMark: WaterMark
  private slab: Uint8Array<ArrayBuffer> = noSlab
  /** The part of the slab that is written but not handed over. */
  private from = 0
  private to = 0
  private full: Array<Uint8Array> = []
  /** Bytes since the last time something could have been handed over. */
  private fresh = 0
  /** Bytes handed over: written when the sink asks for more. */
  private handedOver = 0
  private ended = false
  private scheduled = false
  private sink: ((batch: Batch | undefined) => void) | undefined

  /** @param highWaterMark unwritten bytes above which senders wait. */
  constructor(highWaterMark: number) {
    this.waterMark = new WaterMark(highWaterMark)
  }

  /** Takes a line, without its end, and returns its bytes with it; 0 when the outbox has ended. */
  write(line: string): number {
    if (this.ended) return 0
    const bytes = this.encode(line)
    this.waterMark.rise(bytes)
    this.fresh += bytes
    if (this.fresh > eagerBytes) this.flush()
    else this.schedule()
    return bytes
  }

  /** `undefined` while there is room for more; see `Link.backpressure`. */
  backpressure(): Effect.Effect<void> | undefined {
    return this.waterMark.wait()
  }

  /** Takes no more. What was written still goes out, then there is nothing left to take; nobody waits any longer. */
  end(): void {
    this.ended = true
    this.waterMark.release()
    this.schedule()
  }

  /**
   * Gives the sink the next batch once there is one, and `undefined` after the
   * last. To ask again says that the one before is written.
   */
  take(sink: (batch: Batch | undefined) => void): void {
    const written = this.handedOver
    this.handedOver = 0
    // Lets waiting senders write first, so that what they write goes out now.
    this.waterMark.fall(written)
    this.sink = sink
    this.flush()
  }

  /** The same as a stream, to be run once. */
  get stream(): Stream.Stream<Uint8Array> {
    return Stream.fromPull(Effect.succeed(Effect.callback<Batch, Cause.Done>((resume) => {
      this.take((batch) => resume(batch === undefined ? Exit.fail(Cause.Done()) : Exit.succeed(batch)))
      return Effect.sync(() => {
        this.sink = undefined
      })
    })))
  }

  private setAside(): void {
    if (this.to > this.from) this.full.push(this.slab.subarray(this.from, this.to))
    this.from = this.to
  }

  private encode(line: string): number {
    // A UTF-16 unit takes three bytes at most.
    const worst = line.length * 3 + 1
    if (worst > slabBytes) {
      this.setAside()
      const bytes = encoder.encode(`${line}\n`)
      this.full.push(bytes)
      return bytes.length
    }
    if (worst > this.slab.length - this.to) {
      this.setAside()
      this.slab = new Uint8Array(Math.min(slabBytes, Math.max(firstSlabBytes, this.slab.length * 2, worst)))
      this.from = this.to = 0
    }
    const { written } = encoder.encodeInto(line, this.slab.subarray(this.to))
    this.slab[this.to + written] = LF
    this.to += written + 1
    return written + 1
  }

  private flush(): void {
    this.scheduled = false
    this.fresh = 0
    const sink = this.sink
    if (sink === undefined) return
    this.setAside()
    const [head, ...tail] = this.full
    if (head === undefined && !this.ended) return
    this.sink = undefined
    if (head === undefined) return sink(undefined)
    this.full = []
    this.handedOver = tail.reduce((bytes, part) => bytes + part.length, head.length)
    sink([head, ...tail])
  }

  private schedule(): void {
    if (this.scheduled) return
    this.scheduled = true
    queueMicrotask(() => this.flush())
  }
}
