/** Servers over HTTP and WebSocket in this process, one handler behind them all, for soaks with many servers. */
import * as Effect from "effect/Effect"
import * as Bridge from "../../src/bridge/Bridge.ts"
import * as MockServer from "../../src/testing/MockServer.ts"

export const ways = ["stdio", "modern", "legacy", "websocket"] as const
export type Way = (typeof ways)[number]

/** Starts to listen, for as long as the scope is open, and gives the entry of a server by its number and the way to it. */
export const listen = Effect.fnUntraced(function*(count: number) {
  const binding = yield* MockServer.binding({ tools: { echo: ({ text }) => Effect.succeed(String(text)) } })
  const names = Array.from({ length: count }, (_, index) => `s${index}`)
  const endpoints = yield* Bridge.http({
    servers: Object.fromEntries(names.map((name) => [name, binding])),
    maxSessions: 10 * count
  })
  return (index: number, way: Exclude<Way, "stdio">): Readonly<Record<string, unknown>> => {
    const endpoint = endpoints[index % endpoints.length]
    switch (way) {
      case "modern":
        return { url: endpoint?.http, protocolEra: "modern" }
      case "legacy":
        return { url: endpoint?.http, protocolEra: "legacy" }
      case "websocket":
        return { url: endpoint?.websocket }
    }
  }
})
