/**
 * A mock server behind real pipes: a child process that copies its stdin and
 * stdout to and from a socket of this program. It begins with a secret, so that
 * nothing else on this machine can talk to the mock.
 */
import * as Effect from "effect/Effect"
import * as McpError from "../../McpError.ts"
import * as JsonRpc from "../../protocol/JsonRpc.ts"
import type { Transport } from "../../Transport.ts"

const method = "notifications/mcp-connect/relay"

/** Runs in any Node: the port is its argument, the secret its environment. */
const program = [
  `const { connect } = require("node:net")`,
  `const socket = connect(Number(process.argv[1]), "127.0.0.1", () => {`,
  `  const params = { secret: process.env.MOCK_SERVER_SECRET }`,
  `  socket.write(JSON.stringify({ jsonrpc: "2.0", method: ${JSON.stringify(method)}, params }) + "\\n")`,
  `  process.stdin.pipe(socket).pipe(process.stdout)`,
  `})`,
  `socket.on("error", (error) => { console.error(error.message); process.exitCode = 1 })`,
  `socket.on("close", () => process.exit())`
].join("\n")

/** The config entry that starts the child. */
export const entry = (options: { readonly node: string; readonly port: number; readonly secret: string }): JsonRpc.JsonObject => ({
  command: options.node,
  args: ["--eval", program, String(options.port)],
  env: { MOCK_SERVER_SECRET: options.secret }
})

/** The binding, for those whose first message has the secret. */
export const guarded = (binding: Transport["Service"], secret: string): Transport["Service"] => ({
  ...binding,
  open: Effect.fnUntraced(function*(receiver) {
    const link = yield* binding.open(receiver)
    let admitted = false
    return {
      ...link,
      send: (message, options) => {
        if (admitted) return link.send(message, options)
        admitted = "method" in message && message.method === method && message.params?.secret === secret
        if (!admitted) receiver.onClose(new McpError.ConnectionClosed({ by: "server", detail: "it is not the relay" }))
        return 0
      }
    }
  })
})
