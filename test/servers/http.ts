/** What the fixtures have in common that are reached over HTTP. */
import type { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js"
import { SSEServerTransport } from "@modelcontextprotocol/sdk/server/sse.js"
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js"
import { randomUUID } from "node:crypto"
import { createServer, type RequestListener } from "node:http"
import type { Server } from "node:net"

/** Makes a server say on stdout where it listens (`http://127.0.0.1:PORT`, `unix:///PATH`), then how many connections it has whenever that changes (`connections N`). */
export const announced = <S extends Server>(server: S, scheme = "http"): S => {
  let connections = 0
  const tell = (change: number) => console.log(`connections ${connections += change}`)
  server.on("listening", () => {
    const address = server.address()
    console.log(`${scheme}://${typeof address === "object" ? `127.0.0.1:${address?.port}` : address}`)
  })
  server.on("connection", (socket) => {
    tell(1)
    socket.on("close", () => tell(-1))
  })
  return server
}

export const serve = (listener: RequestListener): void => {
  announced(createServer(listener)).listen(0, "127.0.0.1")
}

export const refuse: RequestListener = (_request, response) => {
  response.writeHead(404, { "content-type": "text/plain" }).end("Not found")
}

/** Streamable HTTP with a session per client; answers as event streams or as plain JSON. */
export const sessions = (make: () => McpServer, options: { readonly json: boolean }): RequestListener => {
  const transports = new Map<string, StreamableHTTPServerTransport>()
  const begin = async () => {
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      enableJsonResponse: options.json,
      onsessioninitialized: (id) => void transports.set(id, transport),
      onsessionclosed: (id) => void transports.delete(id)
    })
    await make().connect(transport)
    return transport
  }
  return async (request, response) => {
    const id = request.headers["mcp-session-id"]
    const transport = typeof id === "string" ? transports.get(id) : await begin()
    return transport === undefined ? refuse(request, response) : transport.handleRequest(request, response)
  }
}

/** Streamable HTTP without sessions: a server per request, ended with its connection. */
export const stateless = (make: () => McpServer): RequestListener => async (request, response) => {
  if (request.method !== "POST") {
    response.writeHead(405, { allow: "POST" }).end()
    return
  }
  const transport = new StreamableHTTPServerTransport({})
  response.on("close", () => void transport.close())
  await make().connect(transport)
  await transport.handleRequest(request, response)
}

/** HTTP+SSE of 2024-11-05: events on `GET /sse`, messages to `POST /messages`. */
export const sse = (make: () => McpServer): RequestListener => {
  const transports = new Map<string, SSEServerTransport>()
  return async (request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost")
    if (request.method === "GET" && url.pathname === "/sse") {
      const transport = new SSEServerTransport("/messages", response)
      transports.set(transport.sessionId, transport)
      response.on("close", () => transports.delete(transport.sessionId))
      return make().connect(transport)
    }
    const transport = transports.get(url.searchParams.get("sessionId") ?? "")
    return request.method === "POST" && url.pathname === "/messages" && transport !== undefined
      ? transport.handlePostMessage(request, response)
      : refuse(request, response)
  }
}
