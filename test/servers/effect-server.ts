/**
 * A server made with Effect's own `McpServer`, over stdio or, with `--http`, over HTTP on a port it prints. It speaks all
 * five revisions.
 *
 * - tools: `echo {text}`: the text; `add {a, b}`: `{sum}`, structured; `wait {millis}`: takes so long, and can be interrupted
 * - resource: `effect://about`; template `effect://fiber/{id}`, with a number and completion
 * - prompt: `explain {topic}`, with completion
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeStdio from "@effect/platform-node/NodeStdio"
import * as McpProtocol from "effect/ai/McpProtocol"
import * as McpSchema from "effect/ai/McpSchema"
import * as McpServer from "effect/ai/McpServer"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import { createServer } from "node:http"
import { announced } from "./http.ts"

const toolkit = Toolkit.make(
  Tool.make("echo", {
    description: "Returns the text",
    parameters: Schema.Struct({ text: Schema.String }),
    success: Schema.String
  }),
  Tool.make("add", {
    description: "Adds two numbers",
    parameters: Schema.Struct({ a: Schema.Finite, b: Schema.Finite }),
    success: Schema.Struct({ sum: Schema.Finite })
  }),
  Tool.make("wait", {
    description: "Takes its time",
    parameters: Schema.Struct({ millis: Schema.Finite }),
    success: Schema.String
  })
)

const tools = McpServer.toolkit(toolkit).pipe(
  Layer.provide(toolkit.toLayer({
    echo: ({ text }) => Effect.succeed(text),
    add: ({ a, b }) => Effect.succeed({ sum: a + b }),
    wait: ({ millis }) => Effect.as(Effect.sleep(millis), "waited")
  }))
)

const about = McpServer.resource({
  uri: "effect://about",
  name: "about",
  mimeType: "text/plain",
  content: Effect.succeed("An Effect server")
})

const fiber = McpServer.resource`effect://fiber/${McpSchema.param("id", Schema.FiniteFromString)}`({
  name: "fiber",
  completion: { id: () => Effect.succeed([1, 2, 3]) },
  content: (_uri, id) => Effect.succeed(`Fiber number ${id}`)
})

const explain = McpServer.prompt({
  name: "explain",
  description: "Explains a topic",
  parameters: { topic: Schema.String },
  completion: { topic: () => Effect.succeed(["fibers", "layers"]) },
  content: ({ topic }) => Effect.succeed(`Explain ${topic}`)
})

const options = {
  name: "effect-server",
  version: "1.2.3",
  instructions: "A fixture: every tool is harmless.",
  protocols: [
    McpProtocol.v2026_07_28,
    McpProtocol.v2025_11_25,
    McpProtocol.v2025_06_18,
    McpProtocol.v2025_03_26,
    McpProtocol.v2024_11_05
  ],
  registrations: Layer.mergeAll(tools, about, fiber, explain)
} as const

const overStdio = McpServer.layerStdio(options).pipe(Layer.provide(NodeStdio.layer))

const overHttp = HttpRouter.serve(McpServer.layerHttp({ ...options, path: "/mcp" }), { disableLogger: true, disableListenLog: true }).pipe(
  Layer.provide(NodeHttpServer.layer(() => announced(createServer()), { host: "127.0.0.1", port: 0 }))
)

const launch = <A, E>(layer: Layer.Layer<A, E>) =>
  layer.pipe(Layer.provide(Layer.succeed(Logger.LogToStderr, true)), Layer.launch, NodeRuntime.runMain)

if (process.argv.includes("--http")) launch(overHttp)
else launch(overStdio)
