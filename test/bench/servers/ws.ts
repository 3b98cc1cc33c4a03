/**
 * The server over WebSocket: a frame for each message, one write for all that one turn answers. Tells the process that
 * forked it its address, and ends with it.
 */
import type { AddressInfo } from "node:net"
import { WebSocketServer } from "ws"
import { makeAnswers, toolsAsked } from "./answers.ts"

const answers = makeAnswers(toolsAsked())

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  perMessageDeflate: false,
  handleProtocols: (offered) => offered.has("mcp") ? "mcp" : false
})

server.on("connection", (webSocket, { socket }) => {
  let corked = false
  webSocket.on("message", (data) => {
    if (!corked) {
      corked = true
      socket.cork()
      process.nextTick(() => {
        corked = false
        socket.uncork()
      })
    }
    for (const answer of answers(data.toString())) webSocket.send(answer)
  })
})

server.on("listening", () => {
  const { port } = server.address() as AddressInfo
  process.send?.([`ws://127.0.0.1:${port}`])
})
process.on("disconnect", () => process.exit())
