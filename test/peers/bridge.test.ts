import { describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as SocketServer from "effect/socket/SocketServer"
import * as Bridge from "../../src/bridge/Bridge.ts"
import * as NodeMcp from "../../src/node.ts"
import { TransportSuite } from "../../src/testing/TransportSuite.ts"
import { Transport } from "../../src/Transport.ts"
import { connectTo, everything, faults, fixture, handlers, live, npm, transportTo } from "./behaviour.ts"

/** A server over stdio, started by each session of a bridge. */
const program = (...args: ReadonlyArray<string>) =>
  Effect.map(
    Layer.build(transportTo(Effect.succeed({ command: process.execPath, args }))),
    (context) => Effect.provideContext(Transport, context)
  ).pipe(Effect.flatten)

/** Where a bridge serves it. */
const bridged = Effect.fnUntraced(function*(...args: ReadonlyArray<string>) {
  const server = yield* Layer.build(NodeMcp.layerHttpServer())
  const serving = Bridge.http({ servers: { peer: yield* program(...args) } })
  const [endpoint] = yield* Effect.provideContext(serving, server)
  return endpoint ?? (yield* Effect.die(new Error("The bridge serves nothing")))
})

const onSocket = Effect.fnUntraced(function*(...args: ReadonlyArray<string>) {
  const server = yield* Layer.build(NodeMcp.layerSocketServer({ port: 0 }))
  yield* Effect.provideContext(Effect.flatMap(program(...args), (binding) => Bridge.socket(binding)), server)
  const { address } = yield* Effect.provideContext(SocketServer.SocketServer, server)
  return NetAddress.isInetAddress(address) ? `tcp://127.0.0.1:${address.port}` : `unix://${address.path}`
})

const sdks = [
  { name: "modern-sdk", revision: "2026-07-28" },
  { name: "legacy-sdk", revision: "2025-11-25" }
] as const

for (const { name, revision } of sdks) {
  const ways = {
    "HTTP": Effect.map(bridged(fixture(name)), ({ http }) => http),
    "a WebSocket": Effect.map(bridged(fixture(name)), ({ websocket }) => websocket),
    "TCP": onSocket(fixture(name))
  }
  for (const [way, url] of Object.entries(ways)) {
    TransportSuite(
      `the official SDK's stdio server (${name}) behind the bridge, over ${way}`,
      transportTo(Effect.map(url, (url) => ({ url }))),
      // Over HTTP the bridge lives on, and answers for the server that has died.
      { revision, faults: way === "HTTP" ? {} : { dies: faults.dies } }
    )
  }
}

describe("server-everything from npm behind the bridge", () => {
  for (const way of ["http", "websocket"] as const) {
    live(`does over ${way} what it does over stdio`, Effect.gen(function*() {
      const endpoint = yield* bridged(npm("server-everything"), "stdio")
      yield* everything(yield* Effect.provide(connectTo({ url: endpoint[way] }), handlers))
    }))
  }
})
