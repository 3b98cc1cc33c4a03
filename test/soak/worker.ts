/**
 * A server that works, waits for nobody and starts fast: plain Node, no SDK, revision 2025-11-25, one request after the
 * other. Its tools return `{ text, pid }`, text being what they were given: `echo`, `spin {millis}`, which keeps a core
 * busy, and `die {code | signal}`, which returns nothing.
 */
interface Arguments {
  readonly text?: string
  readonly millis?: number
  readonly code?: number
  readonly signal?: NodeJS.Signals
}

interface Request {
  readonly id?: number | string
  readonly method: string
  readonly params?: { readonly name?: string; readonly arguments?: Arguments }
}

const tools = ["echo", "spin", "die"].map((name) => ({ name, inputSchema: { type: "object" } }))

const call = (name: string | undefined, { code = 0, millis = 0, signal, text = "" }: Arguments) => {
  if (name === "spin") {
    const { system, user } = process.cpuUsage()
    for (let used = 0; used < millis * 1_000;) {
      const now = process.cpuUsage()
      used = now.system + now.user - system - user
    }
  }
  if (name === "die") {
    if (signal === undefined) process.exit(code)
    process.kill(process.pid, signal)
  }
  const structuredContent = { text, pid: process.pid }
  return { content: [{ type: "text", text: JSON.stringify(structuredContent) }], structuredContent }
}

const answer = ({ method, params }: Request): { readonly result: unknown } | { readonly error: unknown } => {
  switch (method) {
    case "tools/call":
      return { result: call(params?.name, params?.arguments ?? {}) }
    case "tools/list":
      return { result: { tools } }
    case "ping":
      return { result: {} }
    case "initialize":
      return { result: { protocolVersion: "2025-11-25", capabilities: { tools: {} }, serverInfo: { name: "worker", version: "1.0.0" } } }
  }
  return { error: { code: -32601, message: "Method not found" } }
}

let rest = ""

process.stdin.setEncoding("utf8").on("data", (chunk: string) => {
  const lines = (rest + chunk).split("\n")
  rest = lines.pop() ?? ""
  for (const line of lines) {
    const request: Request = JSON.parse(line)
    if (request.id !== undefined) process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", id: request.id, ...answer(request) })}\n`)
  }
})
