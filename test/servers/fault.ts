/**
 * An MCP server that misbehaves as told. Without a fault it is a small, correct
 * stdio server: legacy handshake, `ping`, `tools/list`, `tools/call`; it leaves
 * when its stdin ends.
 *
 *     node fault.ts [fault | fault=value]…
 *
 * Faults (`--help` prints the names; an unknown one exits with 64):
 *
 *   era       modern                    2026-07-28: answers server/discover, refuses initialize
 *             revision=R                the revision the handshake agrees on, whatever was asked
 *             answer=METHOD:JSON        answers METHOD with {"result": …} or {"error": …} from JSON
 *   framing   noise                     text, ANSI colours and JSON-looking log lines around every message
 *             deep                      around every message, JSON that is nested too deeply to be written again
 *             blank, crlf, bom          blank lines, CRLF line ends, a byte order mark at the beginning
 *             split                     every byte in a write of its own, so that characters are cut
 *             endless-line              a line on stdout that never ends
 *   replies   string-id, wrong-id       the id as a string, or 1,000 too high   (all of these: to tools/call only)
 *             duplicate, batch          twice; as an array of one
 *             null-error, no-id-error   an error with id null, or without id, instead
 *   stderr    stderr=BYTES              that much on stderr before anything is read
 *             endless-stderr            a line on stderr that never ends
 *             say=TEXT                  a line on stderr at the beginning
 *             tell                      every message received, as JSON on stderr
 *   end       exit=CODE                 exits at once
 *             exit-on=METHOD:CODE       exits when METHOD arrives, without an answer
 *             die-on=METHOD:SIGNAL      the same by a signal
 *             last-words=METHOD:CODE    answers METHOD and exits at once
 *             hang-on=METHOD            never answers METHOD (`*`: never answers anything)
 *             ignore-eof, ignore-sigterm
 *             close-stdout, close-stdin closes its end of the pipe and lives on
 *             deaf                      never reads stdin
 *   children  child                     starts a process in its group that ignores SIGTERM
 *             child-holds-stdout        the same, holding stdout and stderr open
 *             child-leaves              one that left the group, holding stdout and stderr open
 *   floods    flood=N                   N notifications before each reply
 *   other     mark=TEXT                 nothing; found in the process table, of children too
 *
 * Tools: `echo` (returns its `text`), `received` (every message so far, as JSON
 * text), `giant` {bytes}, `many` {count} (that many log notifications in one
 * write), `progress` {count, unknown?, late?} (progress, then the result; for a
 * token nobody gave, or once more after the result), `slow` {ms} (stops when it
 * is cancelled), `stubborn` {ms} (answers although it was cancelled), `exit`
 * {code} and `die` {signal} (mid-call), `never` (no answer).
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { closeSync, writeSync } from "node:fs"
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises"

interface Arguments {
  readonly text?: string
  readonly bytes?: number
  readonly count?: number
  readonly ms?: number
  readonly code?: number
  readonly signal?: string
  readonly late?: boolean
  readonly unknown?: boolean
}

interface Message {
  readonly id?: string | number
  readonly method: string
  readonly params?: {
    readonly name?: string
    readonly arguments?: Arguments
    readonly protocolVersion?: string
    readonly requestId?: string | number
    readonly _meta?: { readonly progressToken?: string | number }
  }
}

type Reply = { readonly result: unknown } | { readonly error: { readonly code: number; readonly message: string } }

const names = [
  "modern", "revision", "answer", "noise", "deep", "blank", "crlf", "bom", "split", "batch", "endless-line", "string-id",
  "wrong-id", "duplicate", "null-error", "no-id-error", "stderr", "endless-stderr", "say", "tell", "exit", "exit-on",
  "die-on", "last-words", "hang-on", "ignore-eof", "ignore-sigterm", "close-stdout", "close-stdin", "deaf", "child",
  "child-holds-stdout", "child-leaves", "flood", "mark"
] as const

type Fault = typeof names[number]

/** Blocking, unlike process.stdout: nothing is lost when the process exits next. */
const print = (fd: 1 | 2, text: string | Uint8Array) => {
  const bytes = Buffer.from(text)
  for (let written = 0; written < bytes.length;) written += writeSync(fd, bytes, written)
}

if (process.argv.includes("--help")) {
  print(1, names.join("\n") + "\n")
  process.exit(0)
}

const faults = new Map<string, Array<string>>()
for (const argument of process.argv.slice(2)) {
  const [name = "", ...value] = argument.split("=")
  if (!(names as ReadonlyArray<string>).includes(name)) {
    print(2, `unknown fault ${name}\n`)
    process.exit(64)
  }
  faults.set(name, [...faults.get(name) ?? [], value.join("=")])
}

const has = (fault: Fault) => faults.has(fault)
const valuesOf = (fault: Fault) => faults.get(fault) ?? []
/** The value of a `fault=METHOD:value` for this method. */
const forMethod = (fault: Fault, method: string): string | undefined =>
  valuesOf(fault).find((value) => value.startsWith(`${method}:`))?.slice(method.length + 1)

// =============================================================================
// What it writes
// =============================================================================

let writing: Promise<unknown> = Promise.resolve()

const write = (text: string) => {
  if (!has("split")) return print(1, text)
  writing = writing.then(async () => {
    for (const byte of Buffer.from(text)) {
      print(1, Uint8Array.of(byte))
      await nextTurn()
    }
  })
}

const lineEnd = has("crlf") ? "\r\n" : "\n"
let atStart = true

const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`

const writeLine = (value: unknown) => {
  const around = has("noise")
    ? ["Listening on stdio", "\u001b[32minfo\u001b[0m ready", "{\"level\":30,\"msg\":\"pino", ""]
    : has("deep")
    ? ["", deep, `{"jsonrpc":"2.0","error":{"code":1,"message":"","data":${deep}}}`, `{"jsonrpc":"2.0","id":7e9,"result":${deep}}`, ""]
    : has("blank")
    ? ["", "   ", ""]
    : [""]
  const mark = atStart && has("bom") ? "\uFEFF" : ""
  atStart = false
  write(mark + around.join(lineEnd) + JSON.stringify(value) + lineEnd)
}

const notify = (method: string, params: unknown) => writeLine({ jsonrpc: "2.0", method, params })

const log = (data: unknown) => ({ jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data } })

const reply = (id: string | number, method: string, body: Reply) => {
  for (let i = 0; i < Number(valuesOf("flood")[0] ?? 0); i++) writeLine(log(i))
  if (method !== "tools/call") return writeLine({ jsonrpc: "2.0", id, ...body })
  const error = { jsonrpc: "2.0", error: { code: -32600, message: "could not read your id" } }
  if (has("null-error")) return writeLine({ ...error, id: null })
  if (has("no-id-error")) return writeLine(error)
  const message = {
    jsonrpc: "2.0",
    id: has("string-id") ? String(id) : has("wrong-id") ? Number(id) + 1_000 : id,
    ...body
  }
  for (let i = 0; i < (has("duplicate") ? 2 : 1); i++) writeLine(has("batch") ? [message] : message)
}

// =============================================================================
// What it answers
// =============================================================================

const received: Array<Message> = []
const cancelled = new Set<unknown>()

const text = (text: string): Reply => ({
  result: { ...(has("modern") ? { resultType: "complete" } : {}), content: [{ type: "text", text }] }
})

const error = (code: number, message: string): Reply => ({ error: { code, message } })

type Answer = Reply | undefined | Promise<Reply | undefined>

const tools: Record<string, (message: Message, args: Arguments) => Answer> = {
  echo: (_, { text: echoed }) => text(String(echoed)),
  received: () => text(JSON.stringify(received)),
  giant: (_, { bytes = 0 }) => text("x".repeat(bytes)),
  many(_, { count = 0 }) {
    const lines = Array.from({ length: count }, (_, i) => JSON.stringify(log(i)) + lineEnd)
    print(1, lines.join(""))
    return text("done")
  },
  progress(message, { count = 0, late, unknown }) {
    const progressToken = unknown ? "nobody's" : message.params?._meta?.progressToken
    const step = (progress: number) => notify("notifications/progress", { progressToken, progress, total: count })
    for (let i = 1; i <= count; i++) step(i)
    if (late) setImmediate(step, count + 1)
    return text("done")
  },
  async slow({ id }, { ms = 0 }) {
    for (let waited = 0; waited < ms && !cancelled.has(id); waited += 10) await sleep(10)
    return cancelled.has(id) ? undefined : text("done")
  },
  async stubborn(_, { ms }) {
    await sleep(ms)
    return text("done")
  },
  exit: (_, { code }) => process.exit(code),
  die: (_, { signal = "SIGKILL" }) => void process.kill(process.pid, signal),
  never: () => undefined
}

const info = {
  capabilities: { tools: {}, logging: {} },
  serverInfo: { name: "fault", version: "1.0.0" }
}

const methods: Record<string, (message: Message) => Answer> = {
  "initialize": ({ params }) =>
    has("modern")
      ? { error: Object.assign({ code: -32022, message: "Unsupported protocol version" }, { data: { supported: ["2026-07-28"] } }) }
      : { result: { protocolVersion: valuesOf("revision")[0] ?? params?.protocolVersion, ...info } },
  "server/discover": () =>
    has("modern")
      ? { result: { resultType: "complete", supportedVersions: ["2026-07-28"], ...info } }
      : unknownMethod(),
  "ping": () => ({ result: {} }),
  "tools/list": () => ({
    result: {
      ...(has("modern") ? { resultType: "complete" } : {}),
      tools: Object.keys(tools).map((name) => ({ name, inputSchema: { type: "object" } }))
    }
  }),
  "tools/call"(message) {
    const tool = tools[message.params?.name ?? ""]
    return tool === undefined ? error(-32602, "Unknown tool") : tool(message, message.params?.arguments ?? {})
  }
}

const unknownMethod = () => error(-32601, "Method not found")

const onMessage = async (message: Message): Promise<void> => {
  const { id, method } = message
  received.push(message)
  if (has("tell")) print(2, JSON.stringify(message) + "\n")
  if (method === "notifications/cancelled") cancelled.add(message.params?.requestId)

  const exitCode = forMethod("exit-on", method)
  if (exitCode !== undefined) process.exit(Number(exitCode))
  const signal = forMethod("die-on", method)
  if (signal !== undefined) process.kill(process.pid, signal)
  if (id === undefined || valuesOf("hang-on").some((hang) => hang === method || hang === "*")) return

  const canned = forMethod("answer", method)
  const answer = canned === undefined
    ? await (methods[method] ?? unknownMethod)(message)
    : JSON.parse(canned) as Reply
  if (answer !== undefined) reply(id, method, answer)
  const lastWords = forMethod("last-words", method)
  if (lastWords !== undefined) process.exit(Number(lastWords))
}

// =============================================================================
// What it does from the beginning
// =============================================================================

/** Milliseconds after which even the most stubborn one ends: a test that fails must not leave it behind for good. */
const longestLife = 120_000

/** Says when it is ready, because until then a SIGTERM would still end it. */
const child = `
  process.on("SIGTERM", () => {})
  setTimeout(() => {}, ${longestLife})
  process.send("ready", () => process.disconnect())
`

const startChild = async (output: "ignore" | "inherit", detached: boolean) => {
  const marks = valuesOf("mark").map((mark) => `mark=${mark}`)
  const started = spawn(process.execPath, ["-e", child, "--", ...marks], {
    stdio: ["ignore", output, output, "ipc"],
    detached
  })
  await once(started, "message")
  started.unref()
}

if (has("child")) await startChild("ignore", false)
if (has("child-holds-stdout")) await startChild("inherit", false)
if (has("child-leaves")) await startChild("inherit", true)
if (has("ignore-sigterm")) process.on("SIGTERM", () => {})
for (const bytes of valuesOf("stderr")) print(2, "x".repeat(Number(bytes)) + "\n")
for (const line of valuesOf("say")) print(2, line + "\n")
for (const code of valuesOf("exit")) process.exit(Number(code))
if (has("close-stdout")) closeSync(1)
if (has("close-stdin")) closeSync(0)
if (has("ignore-eof") || has("close-stdin") || has("deaf")) setTimeout(() => process.exit(), longestLife)
if (has("endless-line")) for (;;) print(1, "x".repeat(65_536))
if (has("endless-stderr")) setInterval(() => print(2, "x".repeat(65_536)), 0)

if (!has("deaf") && !has("close-stdin")) {
  let buffered = ""
  process.stdin.setEncoding("utf8")
  process.stdin.on("data", (chunk: string) => {
    const lines = (buffered + chunk).split("\n")
    buffered = lines.pop() ?? ""
    for (const line of lines) void onMessage(JSON.parse(line))
  })
  process.stdin.on("end", () => {
    if (!has("ignore-eof")) void writing.then(() => process.exit(0))
  })
}
