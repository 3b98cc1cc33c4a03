/** What a client has to be able to do to take part in the benchmark. */

/** `json` and `sse` are Streamable HTTP, with the two ways to answer. */
export type Transport = "stdio" | "json" | "sse" | "ws"

export const transports: ReadonlyArray<Transport> = ["stdio", "json", "sse", "ws"]

/** How the server is reached: a program to start, or a URL. */
export type Address =
  | { readonly transport: "stdio"; readonly command: string; readonly args: ReadonlyArray<string> }
  | { readonly transport: "json" | "sse" | "ws"; readonly url: string }

/** Arguments of `echo`. */
export type Echo = {
  readonly text?: string
  readonly bytes?: number
}

export interface ProgressSeen {
  readonly received: number
  /** Those that came after the result. */
  readonly late: number
  /** Until the result came. */
  readonly seconds: number
}

/** One connection. */
export interface Session {
  /** Calls `echo` and gives what the client gives for its result. */
  readonly call: (args: Echo) => Promise<unknown>
  /** Keeps `concurrency` calls of `echo` in flight until `count` were made. */
  readonly calls: (concurrency: number, count: number, args: Echo) => Promise<void>
  /** Makes so many calls of `echo` one after the other, and tells how many microseconds each took. */
  readonly timed: (count: number, args: Echo) => Promise<ReadonlyArray<number>>
  /** Lists the tools, and tells how many there are. */
  readonly list: () => Promise<number>
  /** Calls `progress`; absent where the client has no way to hear of it. */
  readonly progress?: (count: number) => Promise<ProgressSeen>
  readonly close: () => Promise<void>
}

export interface Client {
  readonly connect: (address: Address) => Promise<Session>
  /** Calls each of so many servers in turn, where a client has a way of its own to keep many. */
  readonly fleet?: (count: number, address: Address) => Promise<Pick<Session, "calls">>
}

/** The `calls` of a client whose calls are promises: each caller makes the next call when its last one is done. */
export const callers = (call: Session["call"]): Session["calls"] => async (concurrency, count, args) => {
  let left = count
  const caller = async () => {
    while (left-- > 0) await call(args)
  }
  await Promise.all(Array.from({ length: concurrency }, caller))
}

/** The `timed` of a client whose calls are promises. */
export const stopwatch = (call: Session["call"]): Session["timed"] => async (count, args) => {
  const times: Array<number> = []
  for (let index = 0; index < count; index++) {
    const start = performance.now()
    await call(args)
    times.push((performance.now() - start) * 1000)
  }
  return times
}

/**
 * Progress of one call, seen through a callback. What comes late is waited for a little: a client that loses the race
 * between a notification and the result that follows it in the same chunk delivers it within a few turns, or never.
 */
export const watchProgress = async (call: (onProgress: () => void) => Promise<unknown>): Promise<ProgressSeen> => {
  let received = 0
  let late = 0
  let done = false
  const start = performance.now()
  await call(() => {
    if (done) late++
    else received++
  })
  done = true
  const seconds = (performance.now() - start) / 1000
  await new Promise((resolve) => setTimeout(resolve, 20))
  return { received, late, seconds }
}
