import * as NodeChildProcessSpawner from "@effect/platform-node/NodeChildProcessSpawner"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import type * as Diagnostic from "../../src/Diagnostic.ts"
import type * as McpError from "../../src/McpError.ts"
import * as NodeMcp from "../../src/node.ts"
import * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import type { Link, Receiver } from "../../src/Transport.ts"
import * as StdioTransport from "../../src/transport/StdioTransport.ts"

export const serverFile = (name: string): string => fileURLToPath(new URL(`../servers/${name}`, import.meta.url))

/** The program that misbehaves as told; see its header. */
export const fault = (...faults: ReadonlyArray<string>): StdioTransport.Options => ({
  command: process.execPath,
  args: [serverFile("fault.ts"), ...faults],
  env: { PATH: process.env.PATH ?? "" }
})

/** Processes alive with this text in their arguments, zombies left out. */
export const processesWith = (text: string): ReadonlyArray<string> =>
  execFileSync("ps", ["-A", "-o", "pid=,stat=,args="], { encoding: "utf8" })
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line.includes(text) && !/^\d+\s+Z/.test(line))

/** What the fault server sends, without the parts that no test looks at. */
export interface Incoming {
  readonly id?: JsonRpc.RequestId
  readonly params: { readonly data: unknown }
  readonly result: { readonly content: ReadonlyArray<{ readonly text: string }> }
}

/** A receiver that can be waited on. */
const makeReceiver = Effect.gen(function*() {
  const messages = yield* Queue.unbounded<{ readonly value: Incoming; readonly bytes: number }>()
  const diagnostics = yield* Queue.unbounded<Diagnostic.Diagnostic>()
  const closed = yield* Deferred.make<McpError.McpErrorReason>()
  const afterClose: Array<unknown> = []
  const receiver: Receiver = {
    onMessage(value, bytes) {
      if (Deferred.isDoneUnsafe(closed)) afterClose.push(value)
      Queue.offerUnsafe(messages, { value: value as Incoming, bytes })
    },
    onFailure: () => {},
    onDiagnostic: (diagnostic) => Queue.offerUnsafe(diagnostics, diagnostic),
    onClose(reason) {
      if (Deferred.isDoneUnsafe(closed)) afterClose.push(reason)
      Deferred.doneUnsafe(closed, Effect.succeed(reason))
    }
  }
  return {
    receiver,
    messages,
    diagnostics,
    /** The reason the link closed for. */
    closed: Deferred.await(closed),
    /** What came although the link was closed. */
    afterClose,
    /** The next message. */
    next: Effect.map(Queue.take(messages), ({ value }) => value)
  }
})

const openLink = Effect.fnUntraced(function*(options: StdioTransport.Options) {
  const receiving = yield* makeReceiver
  const transport = yield* StdioTransport.make(options)
  const link = yield* transport.open(receiving.receiver)
  return { ...receiving, link }
})

/** Opens a link to a server and gives the receiver with it. */
export const open = (options: StdioTransport.Options) => Effect.provide(openLink(options), NodeMcp.layer)

/** The same through a spawner that has nothing but streams. */
export const openOverStreams = (options: StdioTransport.Options) =>
  Effect.provide(openLink(options), Layer.provideMerge(NodeChildProcessSpawner.layer, NodeMcp.layer))

let nextId = 1

/** Calls a tool of the fault server; the id is the result. */
export const call = (link: Link, name: string, args: JsonRpc.JsonObject = {}): number => {
  const id = nextId++
  link.send(JsonRpc.request(id, "tools/call", { name, arguments: args }))
  return id
}
