/**
 * One client of the benchmark over one transport, in a process of its own: what another one leaves in the heap and in the
 * compiler would otherwise count against it. Measures what the process that forked it asks for, and ends with it; so do
 * its servers.
 *
 *   contestant.ts <client> <transport> <mode>
 */
import { type ChildProcess, fork, spawnSync } from "node:child_process"
import { subscribe } from "node:diagnostics_channel"
import { once } from "node:events"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { clients } from "./clients/all.ts"
import { type Address, type Client, type Session, transports } from "./clients/Client.ts"
import type { Mode, Subject, Values } from "./Figure.ts"
import { figures } from "./figures/all.ts"

/** What to measure; without one, to end. */
export interface Order {
  readonly figure?: string
  readonly case?: string
  /** Whether this process and its servers have to share one processor core. */
  readonly oneCore?: boolean
}

/** Neither when it was nothing the client can do. */
export interface Answer {
  readonly values?: Values | undefined
  readonly failure?: string
}

const [name = "", transport, mode] = process.argv.slice(2)
const server = (file: string) => join(import.meta.dirname, "servers", file)

/** Starts a server, unless it is the client who does: it may have several origins. */
const serve = async (args: ReadonlyArray<string>): Promise<readonly [Address, ...Array<Address>]> => {
  const known = transports.find((each) => each === transport)
  if (known === undefined) throw new Error(`No such transport: ${transport}`)
  if (known === "stdio") return [{ transport: known, command: process.execPath, args: [server("stdio.ts"), ...args] }]
  const child = fork(server(known === "ws" ? "ws.ts" : "http.ts"), args, { execArgv: [] })
  const [origins] = await once(child, "message")
  const [first, ...others]: [string, ...Array<string>] = origins
  const at = (origin: string): Address => ({ transport: known, url: known === "ws" ? origin : `${origin}/${known}` })
  return [at(first), ...others.map(at)]
}

/** The servers, whoever started them. */
const servers = new Set<ChildProcess>()
subscribe("child_process", (message) => {
  const { process: child } = message as { readonly process: ChildProcess }
  servers.add(child)
  child.once("exit", () => servers.delete(child))
})

let cores = "all"

/** Binds everything that runs here to one processor core, or no longer. */
const bind = (oneCore: boolean) => {
  const wanted = oneCore ? "0" : "all"
  if (wanted === cores) return
  cores = wanted
  const list = oneCore ? "0" : `0-${availableParallelism() - 1}`
  for (const pid of [process.pid, ...[...servers].map(({ pid }) => pid)]) {
    spawnSync("taskset", ["--all-tasks", "--cpu-list", "--pid", list, String(pid)])
  }
}

const loadClient = async (): Promise<Client> => {
  const client = await clients[name]?.load()
  if (client === undefined) throw new Error(`No such client: ${name}`)
  return client
}

/** One subject for each way servers are started. */
const subjects = new Map<string, Promise<Subject>>()

const makeSubject = async (client: Client, args: ReadonlyArray<string>): Promise<Subject> => {
  const addresses = await serve(args)
  const [address] = addresses
  let session: Promise<Session> | undefined
  return { client, address, addresses, mode: mode as Mode, session: () => session ??= client.connect(address) }
}

const subjectFor = (client: Client, args: ReadonlyArray<string> = []): Promise<Subject> => {
  const key = args.join(" ")
  const subject = subjects.get(key) ?? makeSubject(client, args)
  subjects.set(key, subject)
  return subject
}

const measure = async (client: Client, order: Order): Promise<Values | undefined> => {
  const figure = (await figures[order.figure ?? ""]?.())?.figure
  if (figure === undefined || !("cases" in figure)) throw new Error(`No such figure: ${order.figure}`)
  const subject = await subjectFor(client, figure.server)
  const asked = figure.cases(subject.mode).find(({ id }) => id === order.case)
  if (asked === undefined) throw new Error(`No such case: ${order.case}`)
  if (order.oneCore === true || cores !== "all") {
    // What is to be bound has to run.
    await subject.session()
    bind(order.oneCore === true)
  }
  return asked.measure(subject)
}

const send = (answer: Answer) => {
  if (process.connected) process.send?.(answer)
}

const explain = (error: unknown): Answer => ({ failure: error instanceof Error ? error.message : String(error) })

process.on("disconnect", () => process.exit())

try {
  const client = await loadClient()
  process.on("message", (order: Order) => {
    if (order.figure === undefined) process.exit()
    measure(client, order).then((values) => send({ values }), (error) => send(explain(error)))
  })
  send({})
} catch (error) {
  send(explain(error))
}
