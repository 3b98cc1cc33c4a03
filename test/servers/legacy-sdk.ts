/**
 * A server made with the official TypeScript SDK v1. It speaks the revisions with a handshake, 2024-11-05 to 2025-11-25,
 * and answers `server/discover` with "method not found".
 *
 * Without arguments it speaks over stdio. `--http` makes it listen on a free port, which it prints, for Streamable HTTP
 * with `sessions` (the default), with sessions and plain `json` answers, or `stateless`; `--http sse` for HTTP+SSE.
 * `--ws`, `--tcp` and `--unix PATH` make it listen for WebSockets and for plain sockets.
 * What a tool asks or tells comes with its call; `ping` and what changed come on the stream of the session.
 *
 * Tools
 * - `echo {text}`: the text.
 * - `add {a, b}`: `{sum}`, structured, with an output schema.
 * - `fail {message}`: a result with `isError`.
 * - `slow {label, steps, millis}`: reports progress after each step of so many milliseconds; stops when cancelled.
 * - `running`: `{labels}` of the `slow` calls that are not done; `cancelled`: `{labels}` of the `slow` calls that were cancelled.
 * - `ask {question}`: asks the user for a `name` and an `excited` flag (default false), and greets.
 * - `ask_url {url}`: asks the user to visit a URL, tells that they have been there, and what they answered.
 * - `needs_url {url}`: the first time fails with error -32042, which names the URL to visit; works from then on.
 * - `sample {prompt}`: asks the client's model.
 * - `roots`: `{uris}` of the client's roots; `roots_changes`: `{count}` of the changes it was told of.
 * - `ping`: pings the client.
 * - `log {level, text}`: sends a log message, if the level was asked for.
 * - `touch {uri}`: tells that a resource was updated, if it is subscribed to.
 * - `toggle {kind}`: adds or removes a `tool`, `prompt` or `resource` named `extra`, so that its list changes.
 * - `die`: kills the server. Except over HTTP: `say {text}` sends the text in place of a message; `stall` makes it read no more.
 *
 * Resources: `memo://1` to `memo://5`, listed two a page; `memo://binary`; the template `memo://{name}` with completion.
 * Prompts: `greet {name, style?}` with completion of `style`.
 */
import { completable } from "@modelcontextprotocol/sdk/server/completable.js"
import { McpServer, ResourceTemplate } from "@modelcontextprotocol/sdk/server/mcp.js"
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js"
import {
  ErrorCode,
  type JSONRPCMessage,
  ListResourcesRequestSchema,
  McpError,
  RootsListChangedNotificationSchema,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
  UrlElicitationRequiredError
} from "@modelcontextprotocol/sdk/types.js"
import { randomUUID } from "node:crypto"
import type { RequestListener } from "node:http"
import { setTimeout } from "node:timers/promises"
import * as z from "zod"
import * as Channel from "./channel.ts"
import * as Http from "./http.ts"

const text = (value: string) => ({ content: [{ type: "text" as const, text: value }] })

const structured = (value: Record<string, unknown>) => ({ ...text(JSON.stringify(value)), structuredContent: value })

/** Of all sessions. */
const running = new Set<string>()
const cancelled: Array<string> = []

const make = (channel?: Channel.Channel): McpServer => {
  const server = new McpServer(
    { name: "legacy-sdk", version: "1.2.3", title: "Legacy SDK fixture" },
    {
      instructions: "A fixture: every tool is harmless.",
      capabilities: { logging: {}, completions: {}, resources: { subscribe: true, listChanged: true } }
    }
  )

  const protocol = server.server

  // Tools

  server.registerTool(
    "echo",
    { title: "Echo", description: "Returns the text", inputSchema: { text: z.string() }, annotations: { readOnlyHint: true } },
    (args) => text(args.text)
  )

  server.registerTool(
    "add",
    {
      description: "Adds two numbers",
      inputSchema: { a: z.number(), b: z.number() },
      outputSchema: { sum: z.number() }
    },
    ({ a, b }) => structured({ sum: a + b })
  )

  server.registerTool(
    "fail",
    { description: "Fails", inputSchema: { message: z.string() } },
    ({ message }) => ({ ...text(message), isError: true })
  )

  server.registerTool(
    "slow",
    {
      description: "Takes its time",
      inputSchema: { label: z.string(), steps: z.number().int(), millis: z.number().int() }
    },
    async ({ label, millis, steps }, extra) => {
      const progressToken = extra._meta?.progressToken
      running.add(label)
      try {
        for (let progress = 1; progress <= steps; progress++) {
          await setTimeout(millis, undefined, { signal: extra.signal })
          if (progressToken !== undefined) {
            await extra.sendNotification({
              method: "notifications/progress",
              params: { progressToken, progress, total: steps, message: `${label}: step ${progress}` }
            })
          }
        }
      } catch {
        cancelled.push(label)
      } finally {
        running.delete(label)
      }
      return text(`${label}: done`)
    }
  )

  server.registerTool(
    "running",
    { description: "Which slow calls are running", outputSchema: { labels: z.array(z.string()) } },
    () => structured({ labels: [...running] })
  )

  server.registerTool(
    "cancelled",
    { description: "Which slow calls were cancelled", outputSchema: { labels: z.array(z.string()) } },
    () => structured({ labels: cancelled })
  )

  server.registerTool(
    "ask",
    { description: "Asks for a name", inputSchema: { question: z.string() } },
    async ({ question }, { requestId }) => {
      const answer = await protocol.elicitInput({
        message: question,
        requestedSchema: {
          type: "object",
          properties: {
            name: { type: "string", title: "Name", minLength: 1 },
            excited: { type: "boolean", default: false }
          },
          required: ["name"]
        }
      }, { relatedRequestId: requestId })
      if (answer.action !== "accept") return text(`No name: ${answer.action}`)
      return text(`Hello ${answer.content?.name}${answer.content?.excited === true ? "!" : "."}`)
    }
  )

  server.registerTool(
    "ask_url",
    { description: "Asks to visit a URL", inputSchema: { url: z.string() } },
    async ({ url }, { requestId }) => {
      const elicitationId = randomUUID()
      const answer = await protocol.elicitInput(
        { mode: "url", message: "Please sign in", url, elicitationId },
        { relatedRequestId: requestId }
      )
      await protocol.createElicitationCompletionNotifier(elicitationId)()
      return text(`Visit: ${answer.action}`)
    }
  )

  const visited = new Set<string>()

  server.registerTool(
    "needs_url",
    { description: "Needs a visit to a URL first", inputSchema: { url: z.string() } },
    ({ url }) => {
      if (visited.has(url)) return text("Visited")
      visited.add(url)
      throw new UrlElicitationRequiredError([
        { mode: "url", message: "Please sign in", url, elicitationId: "needs-url-1" }
      ])
    }
  )

  server.registerTool(
    "sample",
    { description: "Asks the client's model", inputSchema: { prompt: z.string() } },
    async ({ prompt }, { requestId }) => {
      const answer = await protocol.createMessage({
        messages: [{ role: "user", content: { type: "text", text: prompt } }],
        maxTokens: 100
      }, { relatedRequestId: requestId })
      return text(`${answer.model}: ${JSON.stringify(answer.content)}`)
    }
  )

  server.registerTool(
    "roots",
    { description: "Lists the client's roots", outputSchema: { uris: z.array(z.string()) } },
    async ({ requestId }) => {
      const { roots } = await protocol.listRoots({}, { relatedRequestId: requestId })
      return structured({ uris: roots.map((root) => root.uri) })
    }
  )

  let rootsChanges = 0
  protocol.setNotificationHandler(RootsListChangedNotificationSchema, () => {
    rootsChanges++
  })

  server.registerTool(
    "roots_changes",
    { description: "How often the roots changed", outputSchema: { count: z.number() } },
    () => structured({ count: rootsChanges })
  )

  server.registerTool("ping", { description: "Pings the client" }, async () => {
    await protocol.ping()
    return text("pong")
  })

  const level = z.enum(["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"])

  server.registerTool(
    "log",
    { description: "Sends a log message", inputSchema: { level, text: z.string() } },
    async (args, { sessionId }) => {
      await server.sendLoggingMessage({ level: args.level, data: args.text, logger: "fixture" }, sessionId)
      return text("logged")
    }
  )

  const subscribed = new Set<string>()

  server.registerTool(
    "touch",
    { description: "Tells that a resource was updated", inputSchema: { uri: z.string() } },
    async ({ uri }) => {
      if (subscribed.has(uri)) await protocol.sendResourceUpdated({ uri })
      return text("touched")
    }
  )

  const extras = new Map<string, { remove: () => void }>()
  const addExtra = {
    tool: () => server.registerTool("extra", { description: "Comes and goes" }, () => text("extra")),
    prompt: () => server.registerPrompt("extra", { description: "Comes and goes" }, () => greeting("extra")),
    resource: () => server.registerResource("extra", "memo://extra", {}, (uri) => memo(uri.href))
  }

  server.registerTool(
    "toggle",
    { description: "Makes a list change", inputSchema: { kind: z.enum(["tool", "prompt", "resource"]) } },
    ({ kind }) => {
      const extra = extras.get(kind)
      if (extra === undefined) {
        extras.set(kind, addExtra[kind]())
        return text("added")
      }
      extra.remove()
      extras.delete(kind)
      return text("removed")
    }
  )

  server.registerTool("die", { description: "Kills the server" }, () => Channel.die())

  if (channel !== undefined) {
    server.registerTool("say", { description: "Sends any text", inputSchema: { text: z.string() } }, (args) => {
      channel.say(args.text)
      return text("said")
    })

    server.registerTool("stall", { description: "Reads no more" }, () => {
      channel.stall()
      return text("stalled")
    })
  }

  // Resources

  const memo = (uri: string) => ({ contents: [{ uri, mimeType: "text/plain", text: `This is ${uri}` }] })

  const names = ["1", "2", "3", "4", "5"]

  for (const name of names) {
    server.registerResource(`memo ${name}`, `memo://${name}`, { mimeType: "text/plain", size: 16 }, (uri) => memo(uri.href))
  }

  server.registerResource("binary", "memo://binary", { mimeType: "application/octet-stream" }, (uri) => ({
    contents: [{ uri: uri.href, mimeType: "application/octet-stream", blob: Buffer.from([0, 1, 254, 255]).toString("base64") }]
  }))

  const resourceNotFound = -32002

  server.registerResource(
    "memo by name",
    new ResourceTemplate("memo://{name}", {
      list: undefined,
      complete: { name: (value) => names.filter((name) => name.startsWith(value)) }
    }),
    { mimeType: "text/plain" },
    (uri, { name }) => {
      if (name === "missing") throw new McpError(resourceNotFound, `No such memo: ${uri.href}`)
      return memo(uri.href)
    }
  )

  // The SDK has neither pages nor subscriptions of its own.
  protocol.setRequestHandler(ListResourcesRequestSchema, ({ params }) => {
    const all = [...names, "binary", ...(extras.has("resource") ? ["extra"] : [])]
    const start = Number(params?.cursor ?? 0)
    if (!(start >= 0 && start < all.length)) throw new McpError(ErrorCode.InvalidParams, "Invalid cursor")
    const resources = all.slice(start, start + 2).map((name) => ({ name: `memo ${name}`, uri: `memo://${name}` }))
    return start + 2 < all.length ? { resources, nextCursor: String(start + 2) } : { resources }
  })

  protocol.setRequestHandler(SubscribeRequestSchema, ({ params }) => {
    subscribed.add(params.uri)
    return {}
  })

  protocol.setRequestHandler(UnsubscribeRequestSchema, ({ params }) => {
    subscribed.delete(params.uri)
    return {}
  })

  // Prompts

  const greeting = (value: string) => ({ messages: [{ role: "user" as const, content: { type: "text" as const, text: value } }] })

  const styles = ["formal", "friendly", "funny"]

  server.registerPrompt(
    "greet",
    {
      description: "Greets someone",
      argsSchema: {
        name: z.string(),
        style: completable(z.string().optional(), (value) => styles.filter((style) => style.startsWith(value ?? "")))
      }
    },
    ({ name, style }) => greeting(`Greet ${name}${style === undefined ? "" : `, ${style}`}`)
  )

  return server
}

const overHttp: Record<string, RequestListener> = {
  sessions: Http.sessions(() => make(), { json: false }),
  json: Http.sessions(() => make(), { json: true }),
  stateless: Http.stateless(() => make()),
  sse: Http.sse(() => make())
}

const [way, argument = "sessions"] = process.argv.slice(2)

if (way === "--http") Http.serve(overHttp[argument] ?? Http.refuse)
else if (way === undefined) void make(Channel.stdio).connect(new StdioServerTransport())
else Channel.listen<JSONRPCMessage>(way, argument, (channel) => void make(channel).connect(channel))
