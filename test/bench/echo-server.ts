/**
 * The least server there can be, so that a benchmark measures its client: plain Node, no SDK, one write per chunk read.
 * It answers the handshake and, with `--modern`, also `server/discover`. Its one tool, `echo {text?, bytes?}`, returns
 * the text, or that many bytes of it.
 */
const revision = "2026-07-28"
const capabilities = { tools: {} }
const serverInfo = { name: "echo", version: "1.0.0" }

const fillings = new Map<number, string>()

const filling = (bytes: number) => {
  const known = fillings.get(bytes) ?? "x".repeat(bytes)
  fillings.set(bytes, known)
  return known
}

interface Request {
  readonly id?: number | string
  readonly method: string
  readonly params?: { readonly protocolVersion?: string; readonly arguments?: { readonly text?: string; readonly bytes?: number } }
}

const answer = ({ method, params }: Request): { readonly result: unknown } | { readonly error: unknown } => {
  switch (method) {
    case "tools/call": {
      const args = params?.arguments
      const text = args?.bytes === undefined ? args?.text : filling(args.bytes)
      return { result: { resultType: "complete", content: [{ type: "text", text }] } }
    }
    case "tools/list":
      return { result: { resultType: "complete", tools: [{ name: "echo", inputSchema: { type: "object" } }] } }
    case "initialize":
      return { result: { protocolVersion: params?.protocolVersion, capabilities, serverInfo } }
    case "server/discover":
      if (!process.argv.includes("--modern")) break
      return { result: { resultType: "complete", supportedVersions: [revision], capabilities } }
  }
  return { error: { code: -32601, message: "Method not found" } }
}

let rest = ""

process.stdin.setEncoding("utf8").on("data", (chunk: string) => {
  const lines = (rest + chunk).split("\n")
  rest = lines.pop() ?? ""
  let out = ""
  for (const line of lines) {
    const request: Request = JSON.parse(line)
    if (request.id !== undefined) out += `${JSON.stringify({ jsonrpc: "2.0", id: request.id, ...answer(request) })}\n`
  }
  if (out !== "") process.stdout.write(out)
})
