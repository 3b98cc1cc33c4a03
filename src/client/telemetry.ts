/**
 * One span and one set of metrics per call, at the public edge, named as
 * OpenTelemetry's conventions for MCP name them.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import type { Traffic } from "../Connection.ts"
import type * as McpError from "../McpError.ts"
import type { Trace } from "../protocol/Dialect.ts"

type Attributes = Readonly<Record<string, string>>

/** What is measured of one server. */
const ofServer = (attributes: Attributes) => ({
  inFlight: Metric.gauge("mcp.client.in_flight", { description: "Calls waiting for their answer", attributes }),
  sent: Metric.counter("mcp.client.sent_bytes", { description: "Bytes sent", incremental: true, attributes }),
  received: Metric.counter("mcp.client.received_bytes", { description: "Bytes received", incremental: true, attributes }),
  stray: Metric.counter("mcp.client.stray_replies", {
    description: "Replies that came late, twice, or to no request",
    incremental: true,
    attributes
  })
})

/** What is measured of one of its methods. */
const ofMethod = (attributes: Attributes) => ({
  /** The conventions' own buckets. */
  duration: Metric.histogram("mcp.client.operation.duration", {
    description: "Seconds from asking to the end of a call",
    boundaries: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300],
    attributes
  }),
  calls: Metric.counter("mcp.client.calls", { description: "Calls that ended", incremental: true, attributes }),
  failures: Metric.counter("mcp.client.failures", { description: "Calls that failed", incremental: true, attributes }),
  /** Not yet published. */
  ended: 0,
  failed: 0
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

const traceOf = ({ sampled, spanId, traceId }: Tracer.Span): Trace | undefined => {
  const traceparent = `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`
  return /^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/.test(traceparent) ? { traceparent } : undefined
}

/** There are few tools and prompts, but any number of resources: those would make as many names. */
const nameOf = (method: string, target: Target | undefined): string =>
  target === undefined || target.attribute === "mcp.resource.uri" ? method : `${method} ${target.value}`

/** The default tracer keeps no spans: without one above, a span would be made for nobody. */
const isTraced = (context: Context.Context<never>): boolean =>
  Context.get(context, Tracer.Tracer) !== Tracer.nativeTracer ||
  Context.getOrUndefined(context, Tracer.ParentSpan) !== undefined

const describeError = (span: Tracer.Span, { reason }: McpError.McpError) => {
  if (reason._tag !== "RemoteError") return span.attribute("error.type", reason._tag)
  span.attribute("error.type", String(reason.code))
  span.attribute("rpc.response.status_code", String(reason.code))
}

export const make = (options: {
  readonly server: string
  readonly revision: string
  readonly network: string
  readonly spans: boolean
  readonly inFlightUnsafe: () => number
  readonly trafficUnsafe: () => Traffic
}): Telemetry => {
  const { inFlightUnsafe, server, trafficUnsafe } = options
  const attributes = { "mcp.server": server }
  const metrics = ofServer(attributes)
  const perMethod = new Map<string, ReturnType<typeof ofMethod>>()
  const metricsOf = (method: string) => {
    let known = perMethod.get(method)
    if (known === undefined) perMethod.set(method, known = ofMethod({ ...attributes, "mcp.method.name": method }))
    return known
  }
  const spanOptions = (method: string): Tracer.SpanOptionsNoTrace => ({
    kind: "client",
    attributes: {
      "mcp.method.name": method,
      "mcp.protocol.version": options.revision,
      "mcp.server": server,
      "network.transport": options.network,
      ...(method === "tools/call" ? { "gen_ai.operation.name": "execute_tool" } : undefined)
    }
  })
  let counted: Traffic = { sentBytes: 0, receivedBytes: 0, strayReplies: 0 }
  /** Whose metrics get what was counted in this turn. */
  let turn: Context.Context<never> | undefined
  let scheduled = false

  const publish = () => {
    if (turn === undefined) return
    const context = turn
    turn = undefined
    for (const method of perMethod.values()) {
      if (method.ended > 0) method.calls.updateUnsafe(method.ended, context)
      if (method.failed > 0) method.failures.updateUnsafe(method.failed, context)
      method.ended = method.failed = 0
    }
    const traffic = trafficUnsafe()
    metrics.sent.updateUnsafe(traffic.sentBytes - counted.sentBytes, context)
    metrics.received.updateUnsafe(traffic.receivedBytes - counted.receivedBytes, context)
    if (traffic.strayReplies > counted.strayReplies) {
      metrics.stray.updateUnsafe(traffic.strayReplies - counted.strayReplies, context)
    }
    metrics.inFlight.updateUnsafe(inFlightUnsafe(), context)
    counted = traffic
  }

  /** Where calls have begun in this turn that are not counted yet. */
  let begun: Context.Context<never> | undefined
  const publishBegun = () => {
    if (begun !== undefined) metrics.inFlight.updateUnsafe(inFlightUnsafe(), begun)
    begun = undefined
  }

  const publishAtEndOfTurn = () => {
    scheduled = false
    publish()
  }

  /** Counting happens on the way out of every call, so it is plain code, not effects. */
  const count = (method: string, seconds: number, failed: boolean, context: Context.Context<never>) => {
    // Another caller may have another registry.
    if (turn !== context) publish()
    turn = context
    const known = metricsOf(method)
    known.duration.updateUnsafe(seconds, context)
    known.ended += 1
    if (failed) known.failed += 1
    // While others are on their way, once a turn is often enough.
    if (inFlightUnsafe() === 0) return publish()
    if (scheduled) return
    scheduled = true
    queueMicrotask(publishAtEndOfTurn)
  }

  const measure = <A, E extends McpError.McpError, R>(
    method: string,
    context: Context.Context<never>,
    span: Tracer.Span | undefined,
    effect: Effect.Effect<A, E, R>
  ) => {
    const clock = Context.get(context, Clock.Clock)
    const start = clock.currentTimeMillisUnsafe()
    if (begun === undefined) queueMicrotask(publishBegun)
    begun = context
    return Effect.onExitPrimitive(effect, (exit) => {
      count(method, (clock.currentTimeMillisUnsafe() - start) / 1_000, Exit.isFailure(exit), context)
      const error = span === undefined ? Option.none() : Exit.findErrorOption(exit)
      if (span !== undefined && Option.isSome(error)) describeError(span, error.value)
      return undefined
    }, true)
  }

  return {
    observe: (method, target, use) =>
      Effect.withFiber(({ context }) => {
        if (!options.spans || !isTraced(context)) return measure(method, context, undefined, use(undefined))
        return Effect.useSpan(nameOf(method, target), spanOptions(method), (span) => {
          if (target !== undefined) span.attribute(target.attribute, target.value)
          return measure(method, context, span, use(traceOf(span)))
        })
      })
  }
}
