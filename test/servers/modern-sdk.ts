/**
 * A server made with the official TypeScript SDK v2. It speaks 2026-07-28 and, unless it is started with `--modern-only`,
 * also the revisions before it.
 *
 * Without `--http` it speaks over stdio. `--http` makes it listen on a free port, which it prints; it answers with an event
 * stream where it has something to tell (`auto`, the default), always (`sse`) or never (`json`). Over HTTP the older
 * revisions are without sessions. `--ws`, `--tcp` and `--unix PATH` make it listen for WebSockets and for plain sockets.
 *
 * Tools
 * - `echo {text}`: the text.
 * - `add {a, b}`: `{sum}`, structured, with an output schema.
 * - `fail {message}`: a result with `isError`.
 * - `slow {label, steps, millis}`: reports progress after each step of so many milliseconds; stops when cancelled.
 * - `running`: `{labels}` of the `slow` calls that are not done; `cancelled`: `{labels}` of the `slow` calls that were cancelled.
 * - `ask {question}`: asks the user for a `name` and an `excited` flag (default false), and greets.
 * - `ask_url {url}`: asks the user to visit a URL, and tells what they answered.
 * - `ask_twice`: two rounds, the first answer travelling in the request state.
 * - `sample {prompt}`: asks the client's model.
 * - `roots`: `{uris}` of the client's roots.
 * - `ask_all`: one round with an elicitation, a sampling and a roots request.
 * - `log {level, text}`: sends a log message.
 * - `touch {uri}`: tells subscribers that a resource was updated.
 * - `toggle {kind}`: adds or removes a `tool`, `prompt` or `resource` named `extra`, so that its list changes.
 * - `die`: kills the server. Except over HTTP: `say {text}` sends the text in place of a message; `stall` makes it read no more.
 *
 * Resources: `memo://1` to `memo://5`, listed two a page; `memo://binary`; the template `memo://{name}` with completion.
 * Prompts: `greet {name, style?}` with completion of `style`. Lists may be cached for a minute.
 */
import { getRequestListener } from "@hono/node-server"
import {
  acceptedContent,
  completable,
  createMcpHandler,
  inputRequired,
  inputResponse,
  type JSONRPCMessage,
  McpServer,
  type McpServerFactory,
  ProtocolError,
  ProtocolErrorCode,
  ResourceTemplate,
  type ServerNotifier
} from "@modelcontextprotocol/server"
import { serveStdio } from "@modelcontextprotocol/server/stdio"
import { setTimeout } from "node:timers/promises"
import * as z from "zod"
import * as Channel from "./channel.ts"
import * as Http from "./http.ts"

const text = (value: string) => ({ content: [{ type: "text" as const, text: value }] })

const structured = (value: Record<string, unknown>) => ({ ...text(JSON.stringify(value)), structuredContent: value })

/** Of all requests: over HTTP each has a server of its own. */
const running = new Set<string>()
const cancelled: Array<string> = []
const present = new Set<"tool" | "prompt" | "resource">()

/** Tells those who listen; over HTTP they do so in another request. */
let notifier: ServerNotifier | undefined

const make = (channel?: Channel.Channel): McpServerFactory => ({ era }) => {
  const server = new McpServer(
    { name: "modern-sdk", version: "1.2.3", title: "Modern SDK fixture" },
    {
      instructions: "A fixture: every tool is harmless.",
      capabilities: {
        logging: {},
        completions: {},
        tools: { listChanged: true },
        prompts: { listChanged: true },
        // A handshake's `resources/subscribe` is not in the SDK, a modern client's `subscriptions/listen` is.
        resources: { listChanged: true, subscribe: era === "modern" }
      },
      cacheHints: {
        "tools/list": { ttlMs: 60_000, cacheScope: "public" },
        "prompts/list": { ttlMs: 60_000, cacheScope: "public" },
        "resources/list": { ttlMs: 60_000, cacheScope: "private" },
        "resources/read": { ttlMs: 0, cacheScope: "private" }
      }
    }
  )

  // Tools

  server.registerTool(
    "echo",
    { title: "Echo", description: "Returns the text", inputSchema: z.object({ text: z.string() }), annotations: { readOnlyHint: true } },
    (args) => text(args.text)
  )

  server.registerTool(
    "add",
    {
      description: "Adds two numbers",
      inputSchema: z.object({ a: z.number(), b: z.number() }),
      outputSchema: z.object({ sum: z.number() })
    },
    ({ a, b }) => structured({ sum: a + b })
  )

  server.registerTool(
    "fail",
    { description: "Fails", inputSchema: z.object({ message: z.string() }) },
    ({ message }) => ({ ...text(message), isError: true })
  )

  server.registerTool(
    "slow",
    {
      description: "Takes its time",
      inputSchema: z.object({ label: z.string(), steps: z.number().int(), millis: z.number().int() })
    },
    async ({ label, millis, steps }, { mcpReq }) => {
      const progressToken = mcpReq._meta?.progressToken
      running.add(label)
      try {
        for (let progress = 1; progress <= steps; progress++) {
          await setTimeout(millis, undefined, { signal: mcpReq.signal })
          if (progressToken !== undefined) {
            await mcpReq.notify({
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
    { description: "Which slow calls are running", outputSchema: z.object({ labels: z.array(z.string()) }) },
    () => structured({ labels: [...running] })
  )

  server.registerTool(
    "cancelled",
    { description: "Which slow calls were cancelled", outputSchema: z.object({ labels: z.array(z.string()) }) },
    () => structured({ labels: cancelled })
  )

  server.registerTool(
    "ask",
    { description: "Asks for a name", inputSchema: z.object({ question: z.string() }) },
    ({ question }, { mcpReq }) => {
      const answer = inputResponse(mcpReq.inputResponses, "name")
      if (answer.kind !== "elicit") {
        return inputRequired({
          inputRequests: {
            name: inputRequired.elicit({
              message: question,
              requestedSchema: {
                type: "object",
                properties: {
                  name: { type: "string", title: "Name", minLength: 1 },
                  excited: { type: "boolean", default: false }
                },
                required: ["name"]
              }
            })
          }
        })
      }
      if (answer.action !== "accept") return text(`No name: ${answer.action}`)
      return text(`Hello ${answer.content?.name}${answer.content?.excited === true ? "!" : "."}`)
    }
  )

  server.registerTool(
    "ask_url",
    { description: "Asks to visit a URL", inputSchema: z.object({ url: z.string() }) },
    ({ url }, { mcpReq }) => {
      const answer = inputResponse(mcpReq.inputResponses, "visit")
      return answer.kind === "elicit"
        ? text(`Visit: ${answer.action}`)
        : inputRequired({ inputRequests: { visit: inputRequired.elicitUrl({ message: "Please sign in", url }) } })
    }
  )

  server.registerTool("ask_twice", { description: "Asks in two rounds" }, ({ mcpReq }) => {
    const question = (property: "first" | "second") =>
      inputRequired.elicit({
        message: `Your ${property} name?`,
        requestedSchema: { type: "object", properties: { [property]: { type: "string" } }, required: [property] }
      })
    const first = acceptedContent<{ first: string }>(mcpReq.inputResponses, "first")
    const second = acceptedContent<{ second: string }>(mcpReq.inputResponses, "second")
    if (second !== undefined) return text(`${mcpReq.requestState()} ${second.second}`)
    if (first !== undefined) return inputRequired({ inputRequests: { second: question("second") }, requestState: first.first })
    return inputRequired({ inputRequests: { first: question("first") } })
  })

  const sampling = (prompt: string) =>
    inputRequired.createMessage({ messages: [{ role: "user", content: { type: "text", text: prompt } }], maxTokens: 100 })

  server.registerTool(
    "sample",
    { description: "Asks the client's model", inputSchema: z.object({ prompt: z.string() }) },
    ({ prompt }, { mcpReq }) => {
      const answer = inputResponse(mcpReq.inputResponses, "sample")
      return answer.kind === "sampling"
        ? text(`${answer.result.model}: ${JSON.stringify(answer.result.content)}`)
        : inputRequired({ inputRequests: { sample: sampling(prompt) } })
    }
  )

  server.registerTool(
    "roots",
    { description: "Lists the client's roots", outputSchema: z.object({ uris: z.array(z.string()) }) },
    ({ mcpReq }) => {
      const answer = inputResponse(mcpReq.inputResponses, "roots")
      return answer.kind === "roots"
        ? structured({ uris: answer.roots.map((root) => root.uri) })
        : inputRequired({ inputRequests: { roots: inputRequired.listRoots() } })
    }
  )

  server.registerTool("ask_all", { description: "Asks everything in one round" }, ({ mcpReq }) => {
    const kinds = ["name", "sample", "roots"].map((key) => inputResponse(mcpReq.inputResponses, key).kind)
    if (!kinds.includes("missing")) return text(kinds.join(", "))
    return inputRequired({
      inputRequests: {
        name: inputRequired.elicit({
          message: "Your name?",
          requestedSchema: { type: "object", properties: { name: { type: "string" } }, required: ["name"] }
        }),
        sample: sampling("Say hi"),
        roots: inputRequired.listRoots()
      },
      requestState: "all"
    })
  })

  const level = z.enum(["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"])

  server.registerTool(
    "log",
    { description: "Sends a log message", inputSchema: z.object({ level, text: z.string() }) },
    async (args, { mcpReq }) => {
      await mcpReq.log(args.level, args.text, "fixture")
      return text("logged")
    }
  )

  server.registerTool(
    "touch",
    { description: "Tells that a resource was updated", inputSchema: z.object({ uri: z.string() }) },
    async ({ uri }) => {
      if (notifier === undefined) await server.server.sendResourceUpdated({ uri })
      else notifier.resourceUpdated(uri)
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
    { description: "Makes a list change", inputSchema: z.object({ kind: z.enum(["tool", "prompt", "resource"]) }) },
    ({ kind }) => {
      const extra = extras.get(kind)
      notifier?.[`${kind}sChanged`]()
      if (extra === undefined) {
        present.add(kind)
        extras.set(kind, addExtra[kind]())
        return text("added")
      }
      present.delete(kind)
      extra.remove()
      extras.delete(kind)
      return text("removed")
    }
  )

  server.registerTool("die", { description: "Kills the server" }, () => Channel.die())

  if (channel !== undefined) {
    server.registerTool("say", { description: "Sends any text", inputSchema: z.object({ text: z.string() }) }, (args) => {
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

  server.registerResource(
    "memo by name",
    new ResourceTemplate("memo://{name}", {
      list: undefined,
      complete: { name: (value) => names.filter((name) => name.startsWith(value)) }
    }),
    { mimeType: "text/plain" },
    (uri, { name }) => {
      if (name === "missing") throw new ProtocolError(ProtocolErrorCode.InvalidParams, `No such memo: ${uri.href}`)
      return memo(uri.href)
    }
  )

  // The SDK has no pages of its own: this takes the place of its handler.
  server.server.setRequestHandler("resources/list", ({ params }) => {
    const all = [...names, "binary", ...(extras.has("resource") ? ["extra"] : [])]
    const start = Number(params?.cursor ?? 0)
    if (!(start >= 0 && start < all.length)) throw new ProtocolError(ProtocolErrorCode.InvalidParams, "Invalid cursor")
    const resources = all.slice(start, start + 2).map((name) => ({ name: `memo ${name}`, uri: `memo://${name}` }))
    return start + 2 < all.length ? { resources, nextCursor: String(start + 2) } : { resources }
  })

  // Prompts

  const greeting = (value: string) => ({ messages: [{ role: "user" as const, content: { type: "text" as const, text: value } }] })

  const styles = ["formal", "friendly", "funny"]

  server.registerPrompt(
    "greet",
    {
      description: "Greets someone",
      argsSchema: z.object({
        name: z.string(),
        style: completable(z.string(), (value) => styles.filter((style) => style.startsWith(value))).optional()
      })
    },
    ({ name, style }) => greeting(`Greet ${name}${style === undefined ? "" : `, ${style}`}`)
  )

  for (const kind of present) extras.set(kind, addExtra[kind]())

  return server
}

const [way, argument = ""] = process.argv.slice(2).filter((argument) => argument !== "--modern-only")
const modernOnly = process.argv.includes("--modern-only")
const legacy = modernOnly ? "reject" : "serve"

if (way === "--http") {
  const responseMode = argument === "sse" || argument === "json" ? argument : "auto"
  const handler = createMcpHandler(make(), { legacy: modernOnly ? "reject" : "stateless", responseMode })
  notifier = handler.notify
  Http.serve(getRequestListener((request) => handler.fetch(request)))
} else if (way === undefined) {
  serveStdio(make(Channel.stdio), { legacy })
} else {
  Channel.listen<JSONRPCMessage>(way, argument, (channel) => void serveStdio(make(channel), { legacy, transport: channel }))
}
