/** What the fixtures have in common that speak over one channel: stdio, a WebSocket, a plain socket. */
import { createServer as createHttpServer } from "node:http"
import { createServer, type Socket } from "node:net"
import { type WebSocket, WebSocketServer } from "ws"
import { announced } from "./http.ts"

/** What can be done to a channel besides speaking MCP over it. */
export interface Channel {
  /** Sends this text in the place of a message. */
  readonly say: (text: string) => void
  /** Reads no more. */
  readonly stall: () => void
}

export const stdio: Channel = {
  say: (text) => process.stdout.write(`${text}\n`),
  stall: () => {
    process.stdin.pause()
    // It would not be alive without anything to wait for.
    setInterval(() => {}, 60_000)
  }
}

/** Without a last word. */
export const die = (): never => {
  process.kill(process.pid, "SIGKILL")
  throw new Error("Still here")
}

/** What both SDKs take for a transport: messages as text, each whole. */
export class TextTransport<Message> implements Channel {
  onmessage?: (message: Message) => void
  onclose?: () => void
  onerror?: (error: Error) => void
  readonly say: (text: string) => void
  readonly stall: () => void
  readonly #end: () => void

  constructor(channel: Channel & { readonly end: () => void }) {
    this.say = channel.say
    this.stall = channel.stall
    this.#end = channel.end
  }

  async start(): Promise<void> {}

  async send(message: Message): Promise<void> {
    this.say(JSON.stringify(message))
  }

  async close(): Promise<void> {
    this.#end()
  }

  receive(text: string): void {
    this.onmessage?.(JSON.parse(text))
  }
}

type Accept<Message> = (transport: TextTransport<Message>) => void

/** A message per line. */
const overSocket = <Message>(accept: Accept<Message>) => (socket: Socket): void => {
  const transport = new TextTransport<Message>({
    say: (text) => socket.write(`${text}\n`),
    stall: () => void socket.pause(),
    end: () => socket.end()
  })
  let rest = ""
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = chunk.split("\n")
    lines[0] = rest + lines[0]
    rest = lines.pop() ?? ""
    for (const line of lines) transport.receive(line)
  })
  socket.on("error", () => {})
  socket.on("close", () => transport.onclose?.())
  accept(transport)
}

/** A message per frame. */
const overWebSocket = <Message>(accept: Accept<Message>) => (socket: WebSocket): void => {
  const transport = new TextTransport<Message>({
    say: (text) => socket.send(text),
    stall: () => socket.pause(),
    end: () => socket.close()
  })
  socket.on("message", (data) => transport.receive(String(data)))
  socket.on("error", () => {})
  socket.on("close", () => transport.onclose?.())
  accept(transport)
}

/** Listens on loopback, `--ws` or `--tcp`, or `--unix` at a path. */
export const listen = <Message>(way: string, path: string, accept: Accept<Message>): void => {
  if (way === "--ws") {
    const http = createHttpServer()
    const server = new WebSocketServer({ server: http, handleProtocols: (offered) => offered.has("mcp") ? "mcp" : false })
    server.on("connection", overWebSocket(accept))
    announced(http, "ws").listen(0, "127.0.0.1")
    return
  }
  const server = createServer(overSocket(accept))
  if (way === "--tcp") announced(server, "tcp").listen(0, "127.0.0.1")
  else announced(server, "unix").listen(path)
}
