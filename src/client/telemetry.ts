/**
 * One span and one set of metrics per call, at the public edge, named as
 * OpenTelemetry's conventions for MCP name them.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Tracer from "effect/Tracer"
import type { Traffic } from "../Connection.ts"
import type * as McpError from "../McpError.ts"
import type { Trace } from "../protocol/Dialect.ts"

/** Seconds, the conventions' own buckets. */
const duration = Metric.histogram("mcp.client.operation.duration", {
  description: "Seconds from asking to the end of a call",
  boundaries: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300]
})
const calls = Metric.counter("mcp.client.calls", { description: "Calls that ended", incremental: true })
const failures = Metric.counter("mcp.client.failures", { description: "Calls that failed", incremental: true })
const inFlight = Metric.gauge("mcp.client.in_flight", { description: "Calls waiting for their answer" })
const sent = Metric.counter("mcp.client.sent_bytes", { description: "Bytes sent", incremental: true })
const received = Metric.counter("mcp.client.received_bytes", { description: "Bytes received", incremental: true })
const stray = Metric.counter("mcp.client.stray_replies", {
  description: "Replies that came late, twice, or to no request",
  incremental: true
})

/** What a call is aimed at: the attribute that names it, and its value. */
export interface Target {
  readonly attribute: "gen_ai.tool.name" | "gen_ai.prompt.name" | "mcp.resource.uri"
  readonly value: string
}

export interface Telemetry {
  /** Observes one call. `use` gets the trace context to send along, when there is a span. */
  readonly observe: <A, E extends McpError.McpError, R>(
    method: string,
    target: Target | undefined,
    use: (trace: Trace | undefined) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
}

const traceOf = (span: Tracer.Span): Trace | undefined =>
  /^[0-9a-f]{32}$/.test(span.traceId) && /^[0-9a-f]{16}$/.test(span.spanId)
    ? { traceparent: `00-${span.traceId}-${span.spanId}-${span.sampled ? "01" : "00"}` }
    : undefined

/** There are few tools and prompts, but any number of resources: those would make as many names. */
const nameOf = (method: string, target: Target | undefined): string =>
  target === undefined || target.attribute === "mcp.resource.uri" ? method : `${method} ${target.value}`

/** The default tracer keeps no spans: without one above, a span would be made for nobody. */
const isTraced = (context: Context.Context<never>): boolean =>
  Context.get(context, Tracer.Tracer) !== Tracer.nativeTracer ||
  Context.getOrUndefined(context, Tracer.ParentSpan) !== undefined

const errorAttributes = (error: McpError.McpError): Record<string, unknown> =>
  error.reason._tag === "RemoteError"
    ? { "error.type": String(error.reason.code), "rpc.response.status_code": String(error.reason.code) }
    : { "error.type": error.reason._tag }

export const make = (options: {
  readonly server: string
  readonly revision: string
  readonly network: string
  readonly spans: boolean
  readonly inFlightUnsafe: () => number
  readonly trafficUnsafe: () => Traffic
}): Telemetry => {
  const { inFlightUnsafe, server, trafficUnsafe } = options
  const ofServer = { "mcp.server": server }
  const gauge = Metric.withAttributes(inFlight, ofServer)
  const sentBytes = Metric.withAttributes(sent, ofServer)
  const receivedBytes = Metric.withAttributes(received, ofServer)
  const strayReplies = Metric.withAttributes(stray, ofServer)
  const perMethod = new Map<string, {
    readonly duration: Metric.Metric<number, unknown>
    readonly calls: Metric.Metric<number, unknown>
    readonly failures: Metric.Metric<number, unknown>
  }>()
  const metricsOf = (method: string) => {
    let metrics = perMethod.get(method)
    if (metrics === undefined) {
      const attributes = { ...ofServer, "mcp.method.name": method }
      perMethod.set(method, metrics = {
        duration: Metric.withAttributes(duration, attributes),
        calls: Metric.withAttributes(calls, attributes),
        failures: Metric.withAttributes(failures, attributes)
      })
    }
    return metrics
  }
  let counted: Traffic = { sentBytes: 0, receivedBytes: 0, strayReplies: 0 }

  /** Counting happens on the way out of every call, so it is plain code, not effects. */
  const count = (method: string, seconds: number, failed: boolean, context: Context.Context<never>) => {
    const metrics = metricsOf(method)
    metrics.duration.updateUnsafe(seconds, context)
    metrics.calls.updateUnsafe(1, context)
    if (failed) metrics.failures.updateUnsafe(1, context)
    const traffic = trafficUnsafe()
    sentBytes.updateUnsafe(traffic.sentBytes - counted.sentBytes, context)
    receivedBytes.updateUnsafe(traffic.receivedBytes - counted.receivedBytes, context)
    if (traffic.strayReplies > counted.strayReplies) {
      strayReplies.updateUnsafe(traffic.strayReplies - counted.strayReplies, context)
    }
    gauge.updateUnsafe(inFlightUnsafe(), context)
    counted = traffic
  }

  const measure = <A, E, R>(method: string, context: Context.Context<never>, effect: Effect.Effect<A, E, R>) => {
    const clock = Context.get(context, Clock.Clock)
    const start = clock.currentTimeMillisUnsafe()
    return Effect.onExit(effect, (exit) => {
      count(method, (clock.currentTimeMillisUnsafe() - start) / 1_000, Exit.isFailure(exit), context)
      return Effect.void
    })
  }

  return {
    observe: (method, target, use) =>
      Effect.withFiber(({ context }) => {
        if (!options.spans || !isTraced(context)) return measure(method, context, use(undefined))
        const span = Effect.useSpan(nameOf(method, target), {
          kind: "client",
          attributes: {
            "mcp.method.name": method,
            "mcp.protocol.version": options.revision,
            "mcp.server": server,
            "network.transport": options.network,
            ...(target === undefined ? undefined : { [target.attribute]: target.value }),
            ...(method === "tools/call" ? { "gen_ai.operation.name": "execute_tool" } : undefined)
          }
        }, (span) =>
          Effect.tapError(use(traceOf(span)), (error) =>
            Effect.sync(() => {
              for (const [name, value] of Object.entries(errorAttributes(error))) span.attribute(name, value)
            })))
        return measure(method, context, span)
      })
  }
}
