/** Servers that listen on loopback, for as long as a scope is open. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as ChildProcess from "effect/process/ChildProcess"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { connect, createServer } from "node:net"

const spawn = (command: string, args: ReadonlyArray<string>, env: Record<string, string>) =>
  ChildProcess.make(command, args, { env, extendEnv: true, forceKillAfter: "1 second" })

/** Starts one of the fixtures that announce themselves on stdout. */
export const startFixture = Effect.fnUntraced(function*(file: string, ...args: ReadonlyArray<string>) {
  const child = yield* Effect.orDie(spawn(process.execPath, [file, ...args], {}))
  const origin = yield* Deferred.make<string>()
  const connections = yield* SubscriptionRef.make(0)
  const hear = (line: string) => {
    const count = /^connections (\d+)$/.exec(line)?.[1]
    if (count !== undefined) return SubscriptionRef.set(connections, Number(count))
    return /^(http|ws|tcp|unix):\/\//.test(line) ? Deferred.succeed(origin, line) : Effect.void
  }
  yield* child.stdout.pipe(
    Stream.decodeText,
    Stream.splitLines,
    Stream.runForEach(hear),
    Effect.ignore,
    Effect.forkScoped
  )
  yield* Effect.forkScoped(Effect.ignore(Stream.runDrain(child.stderr)))
  return {
    origin: yield* Deferred.await(origin),
    /** Connections that are open now. */
    connections: SubscriptionRef.get(connections),
    /** Ends when no connection is open. */
    deserted: SubscriptionRef.changes(connections).pipe(
      Stream.filter((count) => count === 0),
      Stream.runHead
    ),
    kill: Effect.ignore(child.kill({ killSignal: "SIGKILL" }))
  }
})

/** A port that nothing listens on. */
export const freePort: Effect.Effect<number> = Effect.callback((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" ? address?.port : undefined
    server.close(() => resume(port === undefined ? Effect.die(new Error("No port is free")) : Effect.succeed(port)))
  })
})

const isListening = (port: number) =>
  Effect.callback<void, Error>((resume) => {
    const socket = connect(port, "127.0.0.1")
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.void)
    })
    socket.once("error", (error) => resume(Effect.fail(error)))
  })

/** Starts a program that was told its port, and waits until it listens there. */
export const startOn = Effect.fnUntraced(function*(
  port: number,
  command: string,
  args: ReadonlyArray<string>,
  env: Record<string, string> = {}
) {
  const child = yield* Effect.orDie(spawn(command, args, env))
  yield* Effect.forkScoped(Effect.ignore(Stream.runDrain(child.all)))
  yield* isListening(port).pipe(Effect.retry(Schedule.spaced("20 millis")), Effect.timeout("20 seconds"), Effect.orDie)
  return `http://127.0.0.1:${port}`
})
