/** Counts what happens to the connections of many servers. Calls are counted by their clients. */
import type * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import type { Status } from "./status.ts"

const status = Metric.gauge("mcp.server.status", {
  description: "How many of a server are in the status: one, and one for each principal"
})
const connects = Metric.counter("mcp.server.connects", { description: "Times a server became ready", incremental: true })
const reconnects = Metric.counter("mcp.server.reconnects", {
  description: "Times it became ready again after its connection was lost",
  incremental: true
})
const failures = Metric.counter("mcp.server.failures", {
  description: "Connections lost, and attempts that failed",
  incremental: true
})

/** Counts one transition of a server; it comes from nowhere, and goes there. */
export const count = (
  server: string,
  context: Context.Context<never>,
  before: Status | undefined,
  now: Status | undefined
): void => {
  const ofServer = { "mcp.server": server }
  const add = (metric: Metric.Counter<number>) => Metric.withAttributes(metric, ofServer).updateUnsafe(1, context)
  const mark = ({ _tag }: Status, by: 1 | -1) =>
    Metric.withAttributes(status, { ...ofServer, "mcp.server.status": _tag }).modifyUnsafe(by, context)
  if (before !== undefined) mark(before, -1)
  if (now !== undefined) mark(now, 1)
  switch (now?._tag) {
    case "Ready":
      add(connects)
      if (before?._tag === "Reconnecting") add(reconnects)
      break
    case "Reconnecting":
    case "Failed":
    case "NeedsAuthorization":
      add(failures)
  }
}
