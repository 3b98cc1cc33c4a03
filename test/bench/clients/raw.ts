/**
 * The limit: what one would write by hand who wanted nothing but speed. JSON and a Map, all that is sent in one turn in
 * one write, undici's `dispatch`, `ws`. No deadlines, no cancellation, no errors, no checks. Connects with the exchanges
 * that every client needs to know what its server can do: the handshake, or since 2026-07-28 `server/discover`.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { connect as dial } from "node:net"
import { Pool } from "undici"
import { WebSocket } from "ws"
import { type Address, callers, type Client, type Session, stopwatch, watchProgress } from "./Client.ts"

interface Message {
  readonly id?: number
  readonly result?: { readonly tools?: ReadonlyArray<unknown> }
  readonly params?: { readonly progressToken?: number }
}

/** How a request goes out, and what ends the connection. */
interface Wire {
  /** `subject`: the tool, else the method. */
  readonly send: (message: string, subject: string) => void
  readonly notify: (message: string) => Promise<void> | void
  readonly close: () => Promise<void>
}

const clientInfo = { name: "raw", version: "1.0.0" }

const initialize = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo }

/** What every request has to say since 2026-07-28, which has no handshake. */
const meta = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientInfo": clientInfo,
  "io.modelcontextprotocol/clientCapabilities": {}
}

const open = async (modern: boolean, connect: (receive: (message: Message) => void) => Promise<Wire>): Promise<Session> => {
  const pending = new Map<number, (result: Message["result"]) => void>()
  const listening = new Map<number, () => void>()
  let nextId = 0

  const wire = await connect((message) => {
    if (message.id === undefined) {
      const token = message.params?.progressToken
      if (token !== undefined) listening.get(token)?.()
      return
    }
    pending.get(message.id)?.(message.result)
    pending.delete(message.id)
  })

  const request = (method: string, params?: { readonly name?: string; readonly [key: string]: unknown }) =>
    new Promise<Message["result"]>((resolve) => {
      const id = nextId++
      pending.set(id, resolve)
      wire.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }), params?.name ?? method)
    })

  if (modern) {
    await request("server/discover", { _meta: meta })
  } else {
    await request("initialize", initialize)
    await wire.notify(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
  }

  const call: Session["call"] = modern
    ? (args) => request("tools/call", { name: "echo", arguments: args, _meta: meta })
    : (args) => request("tools/call", { name: "echo", arguments: args })
  return {
    call,
    calls: callers(call),
    timed: stopwatch(call),
    list: async () => (await request("tools/list", modern ? { _meta: meta } : undefined))?.tools?.length ?? 0,
    progress: (count) =>
      watchProgress((onProgress) => {
        const progressToken = nextId
        listening.set(progressToken, onProgress)
        return request("tools/call", { name: "progress", arguments: { count }, _meta: modern ? { ...meta, progressToken } : { progressToken } })
      }),
    close: wire.close
  }
}

/** Runs a function once at the end of the turn in which it was asked for. */
const atEndOfTurn = (run: () => void) => {
  let asked = false
  const turn = () => {
    asked = false
    run()
  }
  return () => {
    if (asked) return
    asked = true
    process.nextTick(turn)
  }
}

/** Calls back with each line, searching each chunk once. */
const splitter = (found: (line: string) => void) => {
  let parts: Array<string> = []
  return (chunk: string) => {
    let start = 0
    for (let end = chunk.indexOf("\n"); end !== -1; end = chunk.indexOf("\n", start)) {
      const piece = chunk.slice(start, end)
      if (parts.length === 0) {
        found(piece)
      } else {
        parts.push(piece)
        found(parts.join(""))
        parts = []
      }
      start = end + 1
    }
    if (start < chunk.length) parts.push(start === 0 ? chunk : chunk.slice(start))
  }
}

const exited = (child: ChildProcess) => new Promise<void>((resolve) => child.once("exit", () => resolve()))

const stdio = (modern: boolean, { args, command }: Extract<Address, { transport: "stdio" }>) =>
  open(modern, async (receive) => {
    const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] })
    let out = ""
    const flush = atEndOfTurn(() => {
      child.stdin.write(out)
      out = ""
    })
    child.stdout.setEncoding("utf8").on("data", splitter((line) => receive(JSON.parse(line))))
    const send = (message: string) => {
      out += `${message}\n`
      flush()
    }
    return {
      send,
      notify: send,
      close: () => {
        const gone = exited(child)
        child.stdin.end()
        return gone
      }
    }
  })

const always = { "content-type": "application/json", accept: "application/json, text/event-stream" }

const legacyHeaders = { ...always, "mcp-protocol-version": initialize.protocolVersion }

const modernVersion = { ...always, "mcp-protocol-version": meta["io.modelcontextprotocol/protocolVersion"] }

const modernHeaders: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "server/discover": { ...modernVersion, "mcp-method": "server/discover" },
  "tools/list": { ...modernVersion, "mcp-method": "tools/list" },
  echo: { ...modernVersion, "mcp-method": "tools/call", "mcp-name": "echo" },
  progress: { ...modernVersion, "mcp-method": "tools/call", "mcp-name": "progress" }
}

const pools = new Map<string, Pool>()

/** Its sockets are kept for the next connection to the same origin, as all other clients do. */
const poolOf = (origin: string) => {
  const pool = pools.get(origin) ?? new Pool(origin, { bodyTimeout: 0, headersTimeout: 0 })
  pools.set(origin, pool)
  return pool
}

const http = (modern: boolean, url: string, sse: boolean) =>
  open(modern, async (receive) => {
    const { origin, pathname } = new URL(url)
    const pool = poolOf(origin)

    const json = (done: () => void) => {
      let first: Buffer | undefined
      let rest: Array<Buffer> | undefined
      return {
        onRequestStart() {},
        onResponseStart() {},
        onResponseData(_: unknown, chunk: Buffer) {
          if (first === undefined) first = chunk
          else (rest ??= [first]).push(chunk)
        },
        onResponseEnd() {
          const body = rest === undefined ? first : Buffer.concat(rest)
          if (body !== undefined) receive(JSON.parse(body.toString()))
          done()
        },
        onResponseError() {}
      }
    }

    const events = (done: () => void) => {
      const decoder = new TextDecoder()
      const split = splitter((line) => {
        if (line.startsWith("data: ")) receive(JSON.parse(line.slice(6)))
      })
      return {
        onRequestStart() {},
        onResponseStart() {},
        onResponseData(_: unknown, chunk: Buffer) {
          split(decoder.decode(chunk, { stream: true }))
        },
        onResponseEnd: done,
        onResponseError() {}
      }
    }

    const post = (body: string, headers: Readonly<Record<string, string>> = {}, done = () => {}) =>
      pool.dispatch({ path: pathname, method: "POST", headers, body }, sse ? events(done) : json(done))

    return {
      send: (message, subject) => {
        post(message, modern ? modernHeaders[subject] : legacyHeaders)
      },
      notify: async (message) => {
        await new Promise<void>((resolve) => post(message, legacyHeaders, resolve))
        pool.dispatch({ path: pathname, method: "GET", headers: legacyHeaders }, events(() => {}))
      },
      close: async () => {}
    }
  })

const ws = (modern: boolean, url: string) =>
  open(modern, async (receive) => {
    const { hostname, port } = new URL(url)
    const socket = dial({ host: hostname, port: Number(port), noDelay: true })
    const webSocket = new WebSocket(url, "mcp", { perMessageDeflate: false, createConnection: () => socket })
    webSocket.on("message", (data) => receive(JSON.parse(data.toString())))
    await once(webSocket, "open")
    let corked = false
    const uncork = atEndOfTurn(() => {
      corked = false
      socket.uncork()
    })
    const send = (message: string) => {
      if (!corked) {
        corked = true
        socket.cork()
        uncork()
      }
      webSocket.send(message)
    }
    return {
      send,
      notify: send,
      close: async () => {
        const closed = once(webSocket, "close")
        webSocket.close()
        await closed
      }
    }
  })

const make = (modern: boolean): Client => ({
  connect: (address) => {
    if (address.transport === "stdio") return stdio(modern, address)
    return address.transport === "ws" ? ws(modern, address.url) : http(modern, address.url, address.transport === "sse")
  }
})

/** In the revision that the other clients speak. */
export const legacy: Client = make(false)

/** In the revision that says with each request what the handshake used to say. */
export const modern: Client = make(true)
