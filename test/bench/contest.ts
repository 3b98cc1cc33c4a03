/** Runs comparisons: each client in its process, in turns, so that what else the machine does meets all of them. */
import { spawn, spawnSync } from "node:child_process"
import { join } from "node:path"
import { clients } from "./clients/all.ts"
import type { Transport } from "./clients/Client.ts"
import type { Answer, Order } from "./contestant.ts"
import type { Choice, Comparison, Metric, Mode, Result, Values } from "./Figure.ts"
import { median } from "./figures/measure.ts"
import { limit } from "./table.ts"

/** Longest time for one measurement, or a start. */
const patience: Readonly<Record<Mode, number>> = { full: 60_000, quick: 20_000, minimal: 20_000 }

/** For saying goodbye to the server. */
const lingerTime = 2_000

const program = join(import.meta.dirname, "contestant.ts")

/** Whether a process can be bound to one processor core. */
export const canPin: boolean = process.platform === "linux" && spawnSync("taskset", ["-c", "0", "true"]).status === 0

interface Contestant {
  readonly ready: Promise<Answer>
  readonly order: (order: Order) => Promise<Answer>
  readonly end: () => Promise<void>
}

/** Starts one; whatever happens to it is an answer. */
const start = ([command = "", ...args]: ReadonlyArray<string>, millis: number): Contestant => {
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "pipe", "ipc"] })
  const gone = new Promise<void>((resolve) => child.once("close", () => resolve()))
  let stderr = ""
  let ended: string | undefined
  let settle: ((answer: Answer) => void) | undefined

  const end = (failure: string) => {
    ended ??= failure
    settle?.({ failure: ended })
  }
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-2_000)
  })
  child.on("message", (answer: Answer) => settle?.(answer))
  child.on("error", ({ message }) => end(message))
  child.on("close", (code, signal) => end(/^\w*Error.*$/m.exec(stderr)?.[0] ?? `the process ended: ${signal ?? code}`))

  const answer = () =>
    new Promise<Answer>((resolve) => {
      const timer = setTimeout(() => {
        end(`no answer within ${millis / 1000} s`)
        child.kill("SIGKILL")
      }, millis)
      settle = (answer) => {
        clearTimeout(timer)
        settle = undefined
        resolve(answer)
      }
      if (ended !== undefined) settle({ failure: ended })
    })

  return {
    ready: answer(),
    order: (order) => {
      const answered = answer()
      if (ended === undefined) child.send(order, () => {})
      return answered
    },
    end: async () => {
      const timer = setTimeout(() => child.kill("SIGKILL"), lingerTime)
      if (child.connected) child.send({} satisfies Order, () => {})
      await gone
      clearTimeout(timer)
    }
  }
}

/** The processes for one transport; each is kept for the figures that can share it. */
const makeProcesses = (transport: Transport, { cpuProf, mode }: Choice) => {
  const running = new Map<string, Contestant>()

  const stop = async (client: string) => {
    const contestant = running.get(client)
    running.delete(client)
    await contestant?.end()
  }

  const commandFor = (client: string) => {
    const profile = cpuProf === undefined
      ? []
      : ["--cpu-prof", `--cpu-prof-dir=${cpuProf}`, `--cpu-prof-name=${transport}-${client}.cpuprofile`]
    return [process.execPath, "--expose-gc", ...profile, program, client, transport, mode]
  }

  const isFresh = ({ fresh }: Comparison) => fresh === true && mode !== "minimal"

  /** The process that is there, or a new one. */
  const prepare = async (figure: Comparison, client: string): Promise<Contestant> => {
    const present = running.get(client)
    if (present !== undefined && !isFresh(figure)) return present
    await stop(client)
    const contestant = start(commandFor(client), patience[mode])
    running.set(client, contestant)
    await contestant.ready
    return contestant
  }

  return {
    prepare,
    measure: async (figure: Comparison, client: string, caseId: string): Promise<Answer> => {
      const contestant = await prepare(figure, client)
      const { failure } = await contestant.ready
      if (failure !== undefined) {
        await stop(client)
        return { failure }
      }
      const answer = await contestant.order({ figure: figure.name, case: caseId, oneCore: figure.oneCore === true && canPin })
      if (answer.failure !== undefined || isFresh(figure)) await stop(client)
      return answer
    },
    end: () => Promise.all([...running.keys()].map(stop))
  }
}

type Processes = ReturnType<typeof makeProcesses>

/** What counts of all rounds. */
const summary = (metrics: ReadonlyArray<Metric>, taken: ReadonlyArray<Values>): Values =>
  Object.fromEntries(metrics.map(({ id, worst }) => {
    const values = taken.map((values) => values[id] ?? Number.NaN)
    return [id, worst === true ? Math.max(...values) : median(values)]
  }))

/** What mcp-connect is compared with by a target over this transport, besides the limit. */
const isRival = (figure: Comparison, transport: Transport, client: string) =>
  client !== limit && figure.targets.some(({ of, transports }) => of === client && (transports === undefined || transports.includes(transport)))

/** Those who take part and can, in the order they are shown: in a quick run those whom the targets are about. */
const contestantsOf = (figure: Comparison, transport: Transport, { mode, only }: Choice) => {
  const field = figure.clients ?? Object.keys(clients).filter((name) => clients[name]?.variant !== true)
  const isWanted = (client: string) =>
    only?.includes(client) ?? (mode !== "quick" || ["raw-2026", "mcp-connect"].includes(client) || isRival(figure, transport, client))
  return field.filter((name) => isWanted(name) && clients[name]?.transports.includes(transport) === true)
}

/** Rounds for those whom no target is about. */
const guestRounds = 2

/** Rounds for the others, even if time is short. */
const leastRounds = 2

/** What each client made of each case; without what a warm-up round measured. */
const compare = async (figure: Comparison, transport: Transport, processes: Processes, choice: Choice, until: number) => {
  const results: Array<Result> = []
  const contestants = contestantsOf(figure, transport, choice)
  const rounds = figure.rounds(choice.mode)
  const all = figure.cases(choice.mode)
  const cases = choice.mode === "minimal" ? all.slice(0, 1) : all
  choice.onStep(`${transport}: ${figure.name}`)
  // All cores start them.
  if (figure.fresh !== true) await Promise.all(contestants.map((client) => processes.prepare(figure, client)))
  for (const [index, { id }] of cases.entries()) {
    const taken = new Map<string, Array<Values>>(contestants.map((client) => [client, []]))
    const failures = new Map<string, string>()
    const begin = performance.now()
    const end = begin + (until - begin) / (cases.length - index)
    // A new process has nothing to warm up.
    for (let round = figure.fresh === true && rounds > 0 ? 1 : 0; round <= rounds; round++) {
      if (round > leastRounds && performance.now() >= end) break
      for (const [client, values] of taken) {
        if (failures.has(client)) continue
        if (round > guestRounds && !/^(raw|mcp-connect)/.test(client) && !isRival(figure, transport, client)) continue
        choice.onStep(`${transport}: ${figure.name}, ${id}, round ${round} of ${rounds}, ${client}`)
        const answer = await processes.measure(figure, client, id)
        if (answer.failure !== undefined) failures.set(client, answer.failure)
        else if (answer.values === undefined) taken.delete(client)
        else if (round > 0 || rounds === 0) values.push(answer.values)
      }
    }
    for (const [client, values] of taken) {
      const failure = failures.get(client)
      const what = failure === undefined ? { values: summary(figure.metrics, values), rounds: values } : { failure }
      results.push({ transport, case: id, client, ...what })
    }
  }
  return results
}

/** One transport after the other, and for each all the figures. */
export const compareAll = async (
  figures: ReadonlyArray<Comparison>,
  choice: Choice,
  onResults: (figure: Comparison, results: ReadonlyArray<Result>) => void
): Promise<void> => {
  const on = (transport: Transport) => figures.filter(({ transports }) => transports.includes(transport))
  const weightOf = ({ weight = 1 }: Comparison) => weight
  let left = choice.transports.flatMap(on).reduce((sum, figure) => sum + weightOf(figure), 0)
  for (const transport of choice.transports) {
    const processes = makeProcesses(transport, choice)
    for (const figure of on(transport)) {
      const begin = performance.now()
      const until = begin + (choice.until - begin) * weightOf(figure) / left
      left -= weightOf(figure)
      onResults(figure, await compare(figure, transport, processes, choice, until))
    }
    await processes.end()
  }
}
