/**
 * A program that shares its tokens with others: `node sharer.ts URL DIRECTORY ROUNDS`. Asks the server who it is, again and
 * again, ten requests at a time, and prints each answer; nobody is there to log in.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { FileTokenStore } from "../../src/auth/index.ts"
import { McpClient, McpConfig } from "../../src/index.ts"
import * as NodeMcp from "../../src/node.ts"

const [url = "", directory = "", rounds = "1"] = process.argv.slice(2)

Effect.gen(function*() {
  const config = yield* McpConfig.fromValue({ mcpServers: { shared: { url } } })
  const client = yield* McpClient.fromConfig(yield* McpConfig.get(config, "shared"))
  for (let round = 0; round < Number(rounds); round += 1) {
    const answers = yield* Effect.forEach(Array.from({ length: 10 }), () => client.callToolOrFail("whoami"), { concurrency: "unbounded" })
    for (const { content } of answers) yield* Console.log(content.map((part) => part.type === "text" ? part.text : "").join(""))
    yield* Effect.sleep("300 millis")
  }
}).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(FileTokenStore.layer(directory), NodeMcp.layer)), NodeRuntime.runMain)
