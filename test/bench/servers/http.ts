/**
 * The server over Streamable HTTP, without sessions: `/json` answers with a body, `/sse` with an event stream. Tells the
 * process that forked it its origins, one or as many as `--origins N` says, and ends with it. With `--hang-up` a socket
 * ends with a list of tools, or what is refused: who connects next needs a new one.
 */
import { once } from "node:events"
import { createServer, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"
import { makeAnswers, numberAsked, toolsAsked } from "./answers.ts"

const answers = makeAnswers(toolsAsked())
const last = process.argv.includes("--hang-up") ? { connection: "close" } : {}

const serve: RequestListener = (request, response) => {
  if (request.method !== "POST") {
    request.resume()
    response.writeHead(request.method === "DELETE" ? 200 : 405, { "content-length": 0, ...last }).end()
    return
  }
  const chunks: Array<Buffer> = []
  request.on("data", (chunk: Buffer) => chunks.push(chunk))
  request.on("end", () => {
    const asked = Buffer.concat(chunks).toString()
    const replies = answers(asked)
    if (replies.length === 0) {
      response.writeHead(202, { "content-length": 0 }).end()
    } else if (request.url === "/sse") {
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" })
      response.end(replies.map((reply) => `event: message\ndata: ${reply}\n\n`).join(""))
    } else {
      const body = Buffer.from(replies.at(-1) ?? "")
      response.writeHead(200, {
        "content-type": "application/json",
        "content-length": body.length,
        ...(asked.includes(`"tools/list"`) ? last : {})
      }).end(body)
    }
  })
}

const listen = async () => {
  const server = createServer({ keepAliveTimeout: 600_000 }, serve).listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  return `http://127.0.0.1:${port}`
}

process.send?.(await Promise.all(Array.from({ length: numberAsked("--origins", 1) }, listen)))
process.on("disconnect", () => process.exit())
