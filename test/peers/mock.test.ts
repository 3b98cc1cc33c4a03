import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NodeMcp from "../../src/node.ts"
import * as MockServer from "../../src/testing/MockServer.ts"
import { TransportSuite } from "../../src/testing/TransportSuite.ts"

const dies = () => Effect.flatMap(MockServer.MockServer, (server) => server.disconnect())

const memory = (era: "modern" | "legacy") =>
  TransportSuite.fixture((declaration, options) => MockServer.layerTransport(declaration, { ...options, era }))

TransportSuite("the mock server in memory, modern", memory("modern"), { revision: "2026-07-28", faults: { dies } })
TransportSuite("the mock server in memory, legacy", memory("legacy"), { revision: "2025-11-25", faults: { dies } })

const platform = Layer.mergeAll(NodeMcp.layer, NodeMcp.layerHttpServer(), NodeMcp.layerSocketServer({ port: 0 }))

const capabilities = { revision: "2026-07-28" } as const

TransportSuite(
  "the mock server over HTTP",
  TransportSuite.fixture((declaration, options) => MockServer.layerHttp(declaration, options).pipe(Layer.provide(platform))),
  capabilities
)

TransportSuite(
  "the mock server over a WebSocket",
  TransportSuite.fixture((declaration, options) => MockServer.layerWebSocket(declaration, options).pipe(Layer.provide(platform))),
  capabilities
)

TransportSuite(
  "the mock server over stdio",
  TransportSuite.fixture((declaration, options) =>
    MockServer.layerStdio(declaration, { ...options, node: process.execPath }).pipe(Layer.provide(platform))
  ),
  capabilities
)
