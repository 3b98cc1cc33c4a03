/**
 * What the servers of the benchmark answer, whatever carries it: plain Node, no MCP library, and what is long is written
 * once and kept, so that a benchmark measures its client. Speaks every revision: shakes hands, and can be discovered.
 *
 * Tools: `echo {text?, bytes?}` gives back the text, or that many bytes of it; `progress {count}` tells its progress that
 * often and is done; the others are only there to be listed.
 */
interface Request {
  readonly id?: number | string
  readonly method?: string
  readonly params?: {
    readonly protocolVersion?: string
    readonly name?: string
    readonly arguments?: { readonly text?: string; readonly bytes?: number; readonly count?: number }
    readonly _meta?: { readonly progressToken?: number | string; readonly [modernVersion]?: string }
  }
}

/** Whether it shakes hands only. */
const legacy = process.argv.includes("--legacy")

/** In `_meta` of each request since 2026-07-28. */
const modernVersion = "io.modelcontextprotocol/protocolVersion"

const capabilities = JSON.stringify({ tools: {} })
const serverInfo = JSON.stringify({ name: "bench", version: "1.0.0" })

const echo = {
  name: "echo",
  description: "Gives back what it is given",
  inputSchema: { type: "object", properties: { text: { type: "string" }, bytes: { type: "integer" } } }
}

const progress = {
  name: "progress",
  description: "Tells its progress, then is done",
  inputSchema: { type: "object", properties: { count: { type: "integer" } }, required: ["count"] }
}

const other = (index: number) => ({
  name: `tool_${index}`,
  description: `Looks for records of kind ${index} that match a query, the best first, and tells how many there are`,
  inputSchema: {
    type: "object",
    properties: {
      query: { type: "string", description: "Words that must occur" },
      limit: { type: "integer", minimum: 1, maximum: 100, description: "Most records wanted" },
      order: { type: "string", enum: ["newest", "oldest", "best"], description: "Which come first" }
    },
    required: ["query"]
  }
})

/** Makes a value once for each key. */
const once = <K, A>(make: (key: K) => A) => {
  const made = new Map<K, A>()
  return (key: K) => {
    const known = made.get(key) ?? make(key)
    made.set(key, known)
    return known
  }
}

const filling = once((bytes: number) => `"${"x".repeat(bytes)}"`)

/** The notifications before the result, all but their token. */
const steps = once((count: number) =>
  Array.from({ length: count }, (_, index) => `,"progress":${index + 1},"total":${count}}}`)
)

/** Answers one message, as text: with nothing, with a reply, or with notifications and a reply. */
export const makeAnswers = (tools: number): (message: string) => ReadonlyArray<string> => {
  const listed = JSON.stringify([echo, progress, ...Array.from({ length: Math.max(0, tools - 2) }, (_, index) => other(index))])

  return (message) => {
    const { id, method, params }: Request = JSON.parse(message)
    if (id === undefined) return []
    const head = `{"jsonrpc":"2.0","id":${JSON.stringify(id)},`
    const complete = params?._meta?.[modernVersion] === undefined ? "" : `"resultType":"complete",`
    switch (method) {
      case "tools/call": {
        const args = params?.arguments
        if (params?.name === "progress") {
          const token = params._meta?.progressToken
          const said = token === undefined
            ? []
            : steps(args?.count ?? 0).map((step) =>
              `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":${JSON.stringify(token)}${step}`
            )
          return [...said, `${head}"result":{${complete}"content":[{"type":"text","text":"done"}]}}`]
        }
        const text = args?.bytes === undefined ? JSON.stringify(args?.text ?? "") : filling(args.bytes)
        return [`${head}"result":{${complete}"content":[{"type":"text","text":${text}}]}}`]
      }
      case "tools/list":
        return [`${head}"result":{${complete}"tools":${listed}}}`]
      case "initialize": {
        const version = JSON.stringify(params?.protocolVersion)
        return [`${head}"result":{"protocolVersion":${version},"capabilities":${capabilities},"serverInfo":${serverInfo}}}`]
      }
      case "server/discover":
        if (legacy) break
        return [`${head}"result":{${complete}"supportedVersions":["2026-07-28"],"capabilities":${capabilities},"ttlMs":0,"cacheScope":"private"}}`]
      case "ping":
        return [`${head}"result":{}}`]
    }
    return [`${head}"error":{"code":-32601,"message":"Method not found"}}`]
  }
}

/** A number given as an option. */
export const numberAsked = (option: string, otherwise: number): number => {
  const index = process.argv.indexOf(option)
  return index === -1 ? otherwise : Number(process.argv[index + 1])
}

/** How many tools to list. */
export const toolsAsked = (): number => numberAsked("--tools", 2)
