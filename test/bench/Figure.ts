/** What a figure of the benchmark is made of. */
import type { Address, Client, Session, Transport } from "./clients/Client.ts"

/** How thorough a run is: `minimal` only shows that everything works, with the first case of each figure. */
export type Mode = "full" | "quick" | "minimal"

/** What was measured, by the id of the metric. */
export type Values = Readonly<Record<string, number>>

/** One client in its process, as a figure sees it. */
export interface Subject {
  readonly client: Client
  readonly address: Address
  /** All of the server's, where it has more than one. */
  readonly addresses: ReadonlyArray<Address>
  readonly mode: Mode
  /** A connection that is kept from one measurement to the next, opened with the first one. */
  readonly session: () => Promise<Session>
}

/** One thing to measure, by each client in its own process. */
export interface Case {
  /** Also how it is shown. */
  readonly id: string
  /** Run by the client's process. Gives nothing when it is nothing the client can do; rejects when the client fails at it. */
  readonly measure: (subject: Subject) => Promise<Values | undefined>
}

export interface Metric {
  readonly id: string
  /** The head of its column. */
  readonly title: string
  readonly show: (value: number) => string
  /** Whether its ratio to the limit means something. Default true. */
  readonly ratio?: boolean
  /** Whether the largest value of all rounds counts, not the one in the middle. Default false. */
  readonly worst?: boolean
}

/** What mcp-connect is to reach. */
export interface Target {
  /** Default: all of the figure. */
  readonly transports?: ReadonlyArray<Transport>
  readonly case: string
  readonly metric: string
  /** Which of ours. Default: mcp-connect in both eras. */
  readonly client?: string
  /** The client it is compared with; without one, the value itself counts. */
  readonly of?: string
  readonly atMost?: number
  readonly atLeast?: number
}

/** A row of the README's table, for each transport. */
export interface Headline {
  readonly title: string
  readonly case: string
  readonly metric: string
}

/** What became of one client in one case: medians over the rounds, or why there are none. */
export interface Result {
  readonly transport?: Transport
  readonly case: string
  readonly client: string
  readonly values?: Values
  /** What they come from. */
  readonly rounds?: ReadonlyArray<Values>
  readonly failure?: string
}

interface Described {
  readonly name: string
  /** Left out of a quick run. */
  readonly slow?: boolean
  readonly title: string
  readonly metrics: ReadonlyArray<Metric>
  readonly targets: ReadonlyArray<Target>
  /** What the README tells. Default: nothing. */
  readonly headlines?: ReadonlyArray<Headline>
}

/** What is to be run. */
export interface Choice {
  readonly mode: Mode
  readonly transports: ReadonlyArray<Transport>
  /** The clients that are to take part. Default: all. */
  readonly only?: ReadonlyArray<string> | undefined
  /** The directory for profiles of the clients' processes. */
  readonly cpuProf?: string | undefined
  /** When all is to be done, by `performance.now()`: what a comparison does not need, the next ones have. */
  readonly until: number
  /** Told what is being done now. */
  readonly onStep: (step: string) => void
}

/** Clients compared with each other, in turns. */
export interface Comparison extends Described {
  readonly transports: ReadonlyArray<Transport>
  /** The clients that take part. Default: all but the variants. */
  readonly clients?: ReadonlyArray<string>
  /** Arguments for the servers, such as `--tools 200`. */
  readonly server?: ReadonlyArray<string>
  /** Whether a client and its server share one processor core. */
  readonly oneCore?: boolean
  /** Whether every measurement has a process of its own. */
  readonly fresh?: boolean
  /** How often each case is measured at most, besides once to warm up. */
  readonly rounds: (mode: Mode) => number
  /** Its part of the time, next to the other figures. Default 1. */
  readonly weight?: number
  readonly cases: (mode: Mode) => ReadonlyArray<Case>
}

/** A figure that measures in a way of its own. */
export interface Measurement extends Described {
  readonly results: (choice: Choice) => Promise<ReadonlyArray<Result>>
}

export type Figure = Comparison | Measurement

/** What came of one figure, over one transport where it has some. */
export interface Report {
  readonly figure: Figure
  readonly results: ReadonlyArray<Result>
}
