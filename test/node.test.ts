import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import { execFileSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http"
import { connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { afterAll, beforeAll } from "vitest"
import { WebSocketServer } from "ws"
import * as McpConfig from "../src/McpConfig.ts"
import * as McpError from "../src/McpError.ts"
import * as NodeMcp from "../src/node.ts"
import { fromConfig } from "../src/transport/fromConfig.ts"
import * as HttpClients from "../src/transport/http/HttpClients.ts"
import { serve } from "./support/loopback.ts"
import { makeReceiver } from "./support/receiver.ts"

// A certificate authority, a server's and a client's certificate by it, and another authority.
const directory = mkdtempSync(join(tmpdir(), "mcp-connect-tls-"))
const file = (name: string) => join(directory, name)
const pem = (name: string) => readFileSync(file(name), "utf8")

beforeAll(() => {
  const openssl = (...args: ReadonlyArray<string>) => execFileSync("openssl", args, { cwd: directory, stdio: "pipe" })
  const request = (name: string, ...args: ReadonlyArray<string>) =>
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", `${name}.key`, "-subj", `/CN=${name}`, ...args)
  for (const ca of ["ca", "other"]) request(ca, "-x509", "-days", "2", "-out", `${ca}.pem`)
  writeFileSync(file("san"), "subjectAltName=IP:127.0.0.1,IP:127.0.0.2")
  for (const name of ["server", "client"]) {
    request(name, "-out", `${name}.csr`)
    openssl("x509", "-req", "-in", `${name}.csr`, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san", "-out", `${name}.pem`)
  }
  writeFileSync(file("garbage.pem"), "not a certificate")
})
afterAll(() => rmSync(directory, { recursive: true }))

const serverTls = () => ({ cert: pem("server.pem"), key: pem("server.key") })

/** Node with this environment and no other. */
const node = (options: NodeMcp.HttpOptions = {}, env: Record<string, string> = {}) =>
  Layer.provideMerge(NodeMcp.layerOptions(options), ConfigProvider.layer(ConfigProvider.fromEnvRecord(env)))

const hello: RequestListener = (request, response) => response.end(`hello from ${request.url}`)

/** What is answered to a GET by the client of these options. */
const get = (url: string, options: HttpClients.ConnectionOptions = {}) =>
  Effect.scoped(Effect.gen(function*() {
    const client = yield* HttpClients.get(options)
    const response = yield* client.get(url)
    return yield* response.text
  }))

const codeOf = ({ reason }: HttpClientError): unknown =>
  "cause" in reason ? Reflect.get(Object(reason.cause), "code") : undefined

/** Why a GET failed: the code of the platform. */
const failure = (...args: Parameters<typeof get>) =>
  Effect.map(Effect.flip(get(...args)), (error) => error._tag === "McpError" ? error.reason : codeOf(error))

/** A proxy that forwards, and notes what was asked of it. */
const serveProxy = Effect.gen(function*() {
  const seen: Array<string> = []
  const tunnels: Array<Socket> = []
  const note = (request: IncomingMessage) => {
    const { "proxy-authorization": authorization = "nobody" } = request.headers
    seen.push(`${request.method} ${request.url} by ${authorization}`)
  }
  const proxy = yield* serve((request, response) => {
    note(request)
    response.end("hello from the proxy")
  })
  proxy.server.on("connect", (request: IncomingMessage, socket: Socket) => {
    note(request)
    const [host, port] = (request.url ?? "").split(":")
    const target = connect(Number(port), host)
    tunnels.push(target)
    target.on("error", () => socket.destroy())
    socket.on("error", () => target.destroy())
    socket.on("close", () => target.destroy())
    target.on("connect", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n")
      socket.pipe(target).pipe(socket)
    })
  })
  yield* Effect.addFinalizer(() => Effect.sync(() => tunnels.forEach((socket) => socket.destroy())))
  return { ...proxy, seen }
})

/** Opens the transport of an entry and gives what the receiver hears. */
const openEntry = Effect.fnUntraced(function*(entry: Record<string, unknown>) {
  const config = yield* McpConfig.fromValue({ mcpServers: { files: { type: "sse", ...entry } } }, { directory })
  const resolved = yield* McpConfig.resolve(yield* McpConfig.get(config, "files"))
  const receiving = yield* makeReceiver
  const binding = yield* fromConfig("files", resolved)
  yield* binding.open(receiving.receiver)
  return { ...receiving, binding }
})

const events = (_: IncomingMessage, response: ServerResponse) => {
  response.writeHead(200, { "content-type": "text/event-stream" }).write("event: endpoint\ndata: /messages\n\n")
}

/** Why an entry cannot be reached, and whether something may have been delivered. */
const unreachable = (entry: Record<string, unknown>) =>
  Effect.map(Effect.flip(Effect.scoped(openEntry(entry))), ({ reason }) =>
    reason._tag === "Unreachable" ? `${reason.delivered}: ${reason.detail}` : reason.message)

describe("NodeMcp.layer: proxies", () => {
  it.live("the proxies of the environment are used, in either case, and not for this machine or NO_PROXY", () =>
    Effect.gen(function*() {
      const proxy = yield* serveProxy
      const local = new URL((yield* serve(hello)).origin)
      const outside = `${(yield* serve(hello, { listen: { host: "127.0.0.2" } })).origin}/mcp?a=b`
      for (const name of ["HTTP_PROXY", "http_proxy"]) {
        const told = yield* get(outside).pipe(Effect.provide(node({}, { [name]: proxy.origin.replace("http://", "http://me:secret@") })))
        assert.strictEqual(told, "hello from the proxy")
      }
      const credentials = Buffer.from("me:secret").toString("base64")
      assert.deepStrictEqual(proxy.seen.splice(0), [
        `GET ${outside} by Basic ${credentials}`,
        `GET ${outside} by Basic ${credentials}`
      ])
      const env = { HTTP_PROXY: proxy.origin }
      for (const host of ["127.0.0.1", "localhost"]) {
        assert.strictEqual(yield* get(`http://${host}:${local.port}/a`).pipe(Effect.provide(node({}, env))), "hello from /a")
      }
      const excepted = node({}, { ...env, NO_PROXY: "example.com, 127.0.0.2" })
      assert.strictEqual(yield* get(outside).pipe(Effect.provide(excepted)), "hello from /mcp?a=b")
      assert.deepStrictEqual(proxy.seen, [])
    }).pipe(Effect.scoped))

  it.live("an https server is reached through a tunnel, its certificate checked at the other end", () =>
    Effect.gen(function*() {
      const proxy = yield* serveProxy
      const { origin } = yield* serve(hello, { tls: serverTls(), listen: { host: "127.0.0.2" } })
      const env = { HTTPS_PROXY: proxy.origin.replace("http://", "") }
      const trusted = yield* get(`${origin}/a`, { tls: { ca: pem("ca.pem") } }).pipe(Effect.provide(node({}, env)))
      assert.strictEqual(trusted, "hello from /a")
      assert.deepStrictEqual(proxy.seen, [`CONNECT ${origin.replace("https://", "")} by nobody`])
      const untrusted = yield* failure(`${origin}/a`, { tls: { ca: pem("other.pem") } }).pipe(Effect.provide(node({}, env)))
      assert.strictEqual(untrusted, "UNABLE_TO_VERIFY_LEAF_SIGNATURE")
    }).pipe(Effect.scoped))

  it.live("a proxy that refuses the tunnel is told as such", () =>
    Effect.gen(function*() {
      const proxy = yield* serve(hello)
      proxy.server.on("connect", (_, socket: Socket) => socket.end("HTTP/1.1 403 Forbidden\r\n\r\n"))
      const told = yield* unreachable({ url: "https://127.0.0.1:9", proxy: proxy.origin })
      assert.strictEqual(told, "false: the proxy refused to connect to it (UND_ERR_ABORTED)")
    }).pipe(Effect.scoped, Effect.provide(node())))

  it.live("the proxy of an entry is for every host, and `false` is none", () =>
    Effect.gen(function*() {
      const proxy = yield* serveProxy
      const { origin } = yield* serve(hello, { listen: { host: "127.0.0.2" } })
      const local = yield* serve(hello)
      const env = { HTTP_PROXY: proxy.origin, NO_PROXY: "*" }
      const through = yield* get(`${local.origin}/a`, { proxy: Redacted.make(proxy.origin) }).pipe(Effect.provide(node({}, env)))
      assert.strictEqual(through, "hello from the proxy")
      const direct = yield* get(`${origin}/a`, { proxy: false }).pipe(Effect.provide(node({}, { HTTP_PROXY: proxy.origin })))
      assert.strictEqual(direct, "hello from /a")
      assert.deepStrictEqual(proxy.seen, [`GET ${local.origin}/a by nobody`])
    }).pipe(Effect.scoped))

  it.live("the proxy of the layer stands in for the environment", () =>
    Effect.gen(function*() {
      const proxy = yield* serveProxy
      const { origin } = yield* serve(hello, { listen: { host: "127.0.0.2" } })
      const env = { HTTP_PROXY: proxy.origin }
      assert.strictEqual(yield* get(origin).pipe(Effect.provide(node({ proxy: proxy.origin }))), "hello from the proxy")
      assert.strictEqual(yield* get(origin).pipe(Effect.provide(node({ proxy: "none" }, env))), "hello from /")
      assert.strictEqual(yield* get(origin).pipe(Effect.provide(node({ proxy: "environment" }, env))), "hello from the proxy")
    }).pipe(Effect.scoped))

  it.live("a variable that is no proxy fails the requests that would need it, and names itself without its value", () =>
    Effect.gen(function*() {
      for (const proxy of ["ftp://s3cr3t", "http://", "http://me:s3cr3t%@proxy"]) {
        const broken = node({}, { HTTP_PROXY: proxy })
        assert.strictEqual(yield* failure("http://127.0.0.1:9/").pipe(Effect.provide(broken)), "ERR_PROXY_INVALID_CONFIG")
        const told = yield* unreachable({ url: "http://127.0.0.1:9" }).pipe(Effect.provide(broken))
        assert.include(told, "false: HTTP_PROXY or HTTPS_PROXY is not the URL of a proxy")
      }
      const env = { HTTP_PROXY: "ftp://s3cr3t" }
      const reason = yield* failure("https://127.0.0.1:9/", { tls: {} }).pipe(Effect.provide(node({}, env)))
      assert.deepStrictEqual(
        reason,
        new McpError.InvalidConfig({
          source: "environment",
          issues: [{ path: ["HTTP_PROXY"], message: "Expected the URL of a proxy: http://host:port or https://host:port, its credentials percent-encoded" }]
        })
      )
      assert.strictEqual(yield* failure("http://127.0.0.1:9/", { proxy: false }).pipe(Effect.provide(node({}, env))), "ECONNREFUSED")
    }))
})

describe("NodeMcp.layer: connections", () => {
  it.live("a server on a unix domain socket is reached by the path of the socket", () =>
    Effect.gen(function*() {
      const path = join(directory, "mcp.sock")
      yield* serve((request, response) => response.end(`${request.headers.host} ${request.url}`), { listen: { path } })
      const env = { HTTP_PROXY: "http://127.0.0.1:9" }
      const told = yield* get("http://localhost/mcp", { socketPath: path }).pipe(Effect.provide(node({}, env)))
      assert.strictEqual(told, "localhost /mcp")
      const gone = yield* failure("http://localhost/mcp", { socketPath: `${path}.gone` }).pipe(Effect.provide(node()))
      assert.strictEqual(gone, "ENOENT")
    }).pipe(Effect.scoped))

  it.live("no more connections are made than allowed", () =>
    Effect.gen(function*() {
      const { origin, sockets } = yield* serve(hello)
      const requests = Effect.all(Array.from({ length: 8 }, () => get(origin)), { concurrency: "unbounded" })
      yield* Effect.provide(requests, node({ connections: 2 }))
      assert.lengthOf(sockets, 2)
    }).pipe(Effect.scoped))

  it.live("a connection that is not in use is closed after the time for it", () =>
    Effect.gen(function*() {
      const { origin, server, sockets } = yield* serve(hello)
      server.keepAliveTimeout = 0
      yield* Effect.gen(function*() {
        yield* get(origin)
        const [socket] = sockets
        assert.isDefined(socket)
        yield* Effect.timeout(Effect.promise(() => once(socket, "close")), "3500 millis")
      }).pipe(Effect.provide(node({ keepAlive: "50 millis" })))
    }).pipe(Effect.scoped))

  it.live("all connections are closed with the layer, also those in use", () =>
    Effect.gen(function*() {
      const { origin, sockets } = yield* serve((_, response) => void response.writeHead(200).write("forever"))
      yield* Effect.gen(function*() {
        const client = yield* HttpClient.HttpClient
        yield* client.get(origin)
      }).pipe(Effect.provide(node()))
      const [socket] = sockets
      assert.isDefined(socket)
      if (!socket.closed) yield* Effect.promise(() => once(socket, "close"))
    }).pipe(Effect.scoped))

  it.effect("equal options share a client for as long as one of them is in use", () =>
    Effect.gen(function*() {
      const tls = { ca: pem("ca.pem"), key: Redacted.make(pem("client.key")), cert: pem("client.pem") }
      const again = { ...tls, key: Redacted.make(pem("client.key")) }
      const first = yield* HttpClients.get({ tls })
      assert.strictEqual(yield* HttpClients.get({ tls: again }), first)
      assert.notStrictEqual(yield* HttpClients.get({ tls: { ca: tls.ca } }), first)
      assert.notStrictEqual(yield* HttpClients.get({ tls, proxy: false }), first)
    }).pipe(Effect.scoped, Effect.provide(node({}, { HTTP_PROXY: "http://127.0.0.1:9" }))))

  it.live("a body that comes compressed although nobody asked is read", () =>
    Effect.gen(function*() {
      const asked: Array<string | undefined> = []
      const { origin } = yield* serve((request, response) => {
        asked.push(request.headers["accept-encoding"]?.toString())
        if (request.url === "/none") response.writeHead(204, { "content-encoding": "gzip" }).end()
        else response.writeHead(200, { "content-encoding": "GZIP" }).end(gzipSync("hello"))
      })
      assert.strictEqual(yield* get(origin).pipe(Effect.provide(node())), "hello")
      assert.strictEqual(yield* get(`${origin}/none`).pipe(Effect.provide(node())), "")
      assert.deepStrictEqual(asked, [undefined, undefined])
    }).pipe(Effect.scoped))
})

describe("NodeMcp.layer: TLS of an entry", () => {
  it.live("a certificate by an authority that is not trusted is told as such", () =>
    Effect.gen(function*() {
      const { origin } = yield* serve(events, { tls: serverTls() })
      const told = "false: its certificate cannot be verified (UNABLE_TO_VERIFY_LEAF_SIGNATURE)"
      assert.strictEqual(yield* unreachable({ url: origin }), told)
      assert.strictEqual(yield* unreachable({ url: origin, tls: { ca: "other.pem" } }), told)
      assert.strictEqual(
        yield* unreachable({ url: origin.replace("127.0.0.1", "localhost"), tls: { ca: "ca.pem" } }),
        "false: its certificate is for another host (ERR_TLS_CERT_ALTNAME_INVALID)"
      )
    }).pipe(Effect.scoped, Effect.provide(node())))

  it.live("with its authority and a certificate for the client, which the server wants, it is opened", () =>
    Effect.gen(function*() {
      const { origin } = yield* serve(events, {
        tls: { ...serverTls(), ca: pem("ca.pem"), requestCert: true, rejectUnauthorized: true }
      })
      yield* openEntry({ url: origin, tls: { ca: "ca.pem", cert: "client.pem", key: "client.key" } })
      const anonymous = yield* unreachable({ url: origin, tls: { ca: "ca.pem" } })
      assert.notInclude(anonymous, "text/event-stream")
    }).pipe(Effect.scoped, Effect.provide(node())))

  it.live("a WebSocket is opened, or not, by the same certificates", () =>
    Effect.gen(function*() {
      const { origin, server } = yield* serve(hello, {
        tls: { ...serverTls(), ca: pem("ca.pem"), requestCert: true, rejectUnauthorized: true }
      })
      yield* Effect.sync(() => new WebSocketServer({ server }))
      const url = origin.replace("https:", "wss:")
      yield* openEntry({ type: "ws", url, tls: { ca: "ca.pem", cert: "client.pem", key: "client.key" } })
      assert.strictEqual(
        yield* unreachable({ type: "ws", url }),
        "false: a certificate in its chain is self-signed (SELF_SIGNED_CERT_IN_CHAIN)"
      )
      const { reason } = yield* Effect.flip(openEntry({ type: "ws", url, tls: { ca: "garbage.pem" } }))
      assert.strictEqual(reason._tag, "InvalidConfig")
    }).pipe(Effect.scoped, Effect.provide(node())))

  it.live("a certificate that is not verified is warned of whenever it is opened, in the log too", () =>
    Effect.gen(function*() {
      const logged: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => void logged.push(`${logLevel} ${message}`))
      const { origin } = yield* serve(events, { tls: serverTls() })
      for (let times = 1; times <= 2; times++) {
        const { diagnostics } = yield* Effect.provide(
          openEntry({ url: origin, tls: { skipVerify: true } }),
          Logger.layer([logger])
        )
        const diagnostic = yield* Queue.take(diagnostics)
        assert.isTrue(diagnostic._tag === "Warning" && diagnostic.detail.includes("tls.skipVerify"))
        assert.lengthOf(logged, times)
        assert.match(logged[0] ?? "", /^Warn .*tls\.skipVerify/)
      }
    }).pipe(Effect.scoped, Effect.provide(node())))

  it.live("files that hold no certificate, or not the key to it, are told before anything is sent", () =>
    Effect.gen(function*() {
      const issue = (tls: unknown) =>
        Effect.map(Effect.flip(Effect.scoped(openEntry({ url: "https://127.0.0.1:9", tls }))), (error) =>
          error.reason._tag === "InvalidConfig" ? error.reason.issues.map(({ path }) => path.join(".")) : error.message)
      assert.deepStrictEqual(yield* issue({ ca: "garbage.pem" }), ["tls.ca"])
      assert.deepStrictEqual(yield* issue({ ca: "client.key" }), ["tls.ca"])
      assert.deepStrictEqual(yield* issue({ cert: "garbage.pem", key: "client.key" }), ["tls.cert"])
      assert.deepStrictEqual(yield* issue({ cert: "client.pem", key: "server.key" }), ["tls.cert"])
      assert.strictEqual(
        yield* issue({ ca: "missing.pem" }),
        `Server "files": Cannot read the config file ${file("missing.pem")}: it does not exist`
      )
    }).pipe(Effect.provide(node())))

  it.live("an entry with a unix domain socket has an endpoint of its own", () =>
    Effect.gen(function*() {
      const path = join(directory, "sse.sock")
      yield* serve(events, { listen: { path } })
      const { binding } = yield* openEntry({ url: `http+unix://${encodeURIComponent(path)}/sse` })
      assert.strictEqual(binding.endpoint, `unix:${path}:http://localhost/sse`)
    }).pipe(Effect.scoped, Effect.provide(node())))
})

describe("HttpClients without a platform", () => {
  it.effect("an entry that asks for nothing uses the client of the context; any other says what is missing", () =>
    Effect.gen(function*() {
      const client = HttpClient.make(() => Effect.die("not to be used"))
      const plain = HttpClients.get({}).pipe(Effect.provideService(HttpClient.HttpClient, client))
      assert.strictEqual(yield* plain, client)
      for (const options of [{ proxy: false } as const, { socketPath: "/x" }, { tls: {} }]) {
        const { reason } = yield* HttpClients.get(options).pipe(Effect.provideService(HttpClient.HttpClient, client), Effect.flip)
        assert.strictEqual(reason._tag, "UnsupportedTransport")
        assert.include(reason.message, "NodeMcp.layer")
      }
    }).pipe(Effect.scoped))
})
