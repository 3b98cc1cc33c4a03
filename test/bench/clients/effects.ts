/** Callers made of Effects: what crosses over to promises is each measurement, not each call. */
import * as Effect from "effect/Effect"
import type { Echo, Session } from "./Client.ts"

export const effectful = <E>(
  run: <A>(effect: Effect.Effect<A, E>) => Promise<A>,
  call: (args: Echo) => Effect.Effect<unknown, E>
): Pick<Session, "call" | "calls" | "timed"> => ({
  call: (args) => run(call(args)),
  calls: (concurrency, count, args) => {
    let left = count
    const caller = Effect.whileLoop({ while: () => left-- > 0, body: () => call(args), step: () => {} })
    return run(Effect.forEach(Array.from({ length: concurrency }), () => caller, { concurrency: "unbounded", discard: true }))
  },
  timed: (count, args) => {
    const times: Array<number> = []
    let start = 0
    const caller = Effect.whileLoop({
      while: () => times.length < count,
      body: () => {
        start = performance.now()
        return call(args)
      },
      step: () => {
        times.push((performance.now() - start) * 1000)
      }
    })
    return run(Effect.as(caller, times))
  }
})
