/** An HTTP server that misbehaves as its path says: `/html`, `/endless-event`, … Each request is recorded. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { gzipSync } from "node:zlib"

export interface Recorded {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage["headers"]
  readonly body: string
  /** Whether the client closed the stream before the answer was complete. */
  aborted: boolean
  /** Whether the answer went out completely. */
  finished: boolean
  /** The client's end of the connection. */
  readonly port: number | undefined
}

interface Exchange {
  readonly recorded: Recorded
  readonly response: ServerResponse
  readonly id: unknown
  /** The URL of the same server under another name of the host: another origin. */
  readonly elsewhere: string
}

type Behaviour = (exchange: Exchange) => void

const answer = (id: unknown, value: unknown = {}) => JSON.stringify({ jsonrpc: "2.0", id, result: value })

const failure = (id: unknown, code: number, message: string) => JSON.stringify({ jsonrpc: "2.0", id, error: { code, message } })

const reply = (status: number, headers: Record<string, string>, body = ""): Behaviour => ({ response }) => {
  response.writeHead(status, headers).end(body)
}

const asJson = { "content-type": "application/json" }
const asEvents = { "content-type": "text/event-stream" }

const behaviours: Readonly<Record<string, Behaviour>> = {
  "/json": ({ id, response }) => response.writeHead(200, { "content-type": "Application/JSON; charset=UTF-8" }).end(answer(id)),
  "/sse": ({ id, response }) =>
    response.writeHead(200, { "content-type": "TEXT/Event-Stream;charset=utf-8" }).end(`data: ${answer(id)}\n\n`),
  "/gzip": ({ id, response }) => response.writeHead(200, { ...asJson, "content-encoding": "gzip" }).end(gzipSync(answer(id))),
  "/html": reply(200, { "content-type": "text/html" }, "<h1>Sign in</h1>"),
  "/empty": reply(200, {}),
  "/accepted": reply(202, {}),
  "/accepted-null": reply(202, asJson, "null"),
  "/no-content": reply(204, {}),
  "/not-json": reply(200, asJson, "{\"jsonrpc\":"),
  "/array": ({ id, response }) => response.writeHead(200, asJson).end(`[${answer(id)}]`),
  "/other-id": reply(200, asJson, answer("somebody else's")),
  "/unauthorized": reply(401, asJson, failure(null, -32000, "Unauthorized")),
  "/unknown-method": ({ id, response }) => response.writeHead(404, asJson).end(failure(id, -32601, "no such method")),
  "/busy": reply(503, { "retry-after": "120" }, "later"),
  "/large-failure": reply(500, { "content-type": "text/plain" }, "x".repeat(1024 * 1024)),
  "/endless-failure": ({ response }) => {
    response.writeHead(500, { "content-type": "text/plain" })
    const write = () => {
      while (!response.destroyed && response.write("x".repeat(16 * 1024))) continue
    }
    response.on("drain", write)
    write()
  },
  "/silent": () => {},
  "/no-end": ({ response }) => {
    response.writeHead(200, asEvents)
    response.write(": there\n\n")
  },
  "/no-answer": ({ response }) =>
    response.writeHead(200, asEvents).end(`data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}\n\n`),
  "/answer-without-end": ({ id, response }) => {
    response.writeHead(200, asEvents)
    response.write(`data: ${answer(id)}\n\n`)
  },
  "/endless-event": ({ response }) => {
    response.writeHead(200, asEvents).write("data: ")
    const write = () => {
      while (!response.destroyed && response.write("x".repeat(16 * 1024))) continue
    }
    response.on("drain", write)
    write()
  },
  "/cut-event": ({ id, response }) => {
    response.writeHead(200, asEvents)
    response.write(`data: ${answer(id).slice(0, 10)}`, () => response.destroy())
  },
  "/cut-json": ({ id, response }) => {
    response.writeHead(200, { ...asJson, "content-length": "1000" })
    response.write(answer(id), () => response.destroy())
  },
  "/hang-up": ({ response }) => response.destroy(),
  "/byte-by-byte": ({ id, response }) => {
    response.writeHead(200, asEvents)
    const bytes = Buffer.from(`\ufeff: é\r\nevent: message\rdata: {"jsonrpc":"2.0",\r\ndata:"id":${JSON.stringify(id)},"result":{"text":"世界"}}\n\r\n`)
    const write = (at: number) => {
      if (at === bytes.length) response.end()
      else response.write(bytes.subarray(at, at + 1), () => setImmediate(write, at + 1))
    }
    write(0)
  },
  "/redirect-same-origin": reply(308, { location: "/json?then=yes" }),
  "/redirect-loop": reply(307, { location: "/redirect-loop" }),
  "/redirect-to-get": reply(302, { location: "/json" }),
  "/redirect-elsewhere": ({ elsewhere, response }) => response.writeHead(307, { location: `${elsewhere}/json` }).end()
}

export interface FaultServer {
  /** Without a slash at its end. */
  readonly url: string
  readonly requests: ReadonlyArray<Recorded>
  readonly close: () => Promise<void>
}

export const start = (): Promise<FaultServer> =>
  new Promise((resolve) => {
    const requests: Array<Recorded> = []
    const server = createServer((request, response) => {
      let body = ""
      request.setEncoding("utf8").on("data", (text: string) => {
        body += text
      }).on("end", () => {
        const { pathname } = new URL(request.url ?? "/", "http://localhost")
        const recorded: Recorded = {
          method: request.method ?? "",
          path: request.url ?? "",
          headers: request.headers,
          body,
          aborted: false,
          finished: false,
          port: request.socket.remotePort
        }
        requests.push(recorded)
        response.on("error", () => {}).on("close", () => {
          recorded.finished = response.writableFinished
          recorded.aborted = !recorded.finished
        })
        const id: unknown = body === "" ? undefined : JSON.parse(body).id
        const behaviour = behaviours[pathname] ?? reply(404, {}, "no such fault")
        behaviour({ recorded, response, id, elsewhere: `http://localhost:${port}` })
      })
    })
    let port = 0
    server.listen(0, "127.0.0.1", () => {
      port = (server.address() as AddressInfo).port
      resolve({
        url: `http://127.0.0.1:${port}`,
        requests,
        close: () =>
          new Promise((resolve) => {
            server.close(() => resolve())
            server.closeAllConnections()
          })
      })
    })
  })
