/**
 * The server over Streamable HTTP, without sessions: `/json` answers with a body, `/sse` with an event stream. Tells the
 * process that forked it its origins, one or as many as `--origins N` says, and ends with it.
 */
import { once } from "node:events"
import { createServer, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"
import { asked, makeAnswers, toolsAsked } from "./answers.ts"

const answers = makeAnswers(toolsAsked())

const serve: RequestListener = (request, response) => {
  if (request.method !== "POST") {
    request.resume()
    response.writeHead(request.method === "DELETE" ? 200 : 405, { "content-length": 0 }).end()
    return
  }
  const chunks: Array<Buffer> = []
  request.on("data", (chunk: Buffer) => chunks.push(chunk))
  request.on("end", () => {
    const replies = answers(Buffer.concat(chunks).toString())
    if (replies.length === 0) {
      response.writeHead(202, { "content-length": 0 }).end()
    } else if (request.url === "/sse") {
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" })
      response.end(replies.map((reply) => `event: message\ndata: ${reply}\n\n`).join(""))
    } else {
      const body = Buffer.from(replies.at(-1) ?? "")
      response.writeHead(200, { "content-type": "application/json", "content-length": body.length }).end(body)
    }
  })
}

const listen = async () => {
  const server = createServer({ keepAliveTimeout: 600_000 }, serve).listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  return `http://127.0.0.1:${port}`
}

process.send?.(await Promise.all(Array.from({ length: asked("--origins", 1) }, listen)))
process.on("disconnect", () => process.exit())
