/**
 * Effect's own MCP modules (`effect/ai`) and this library, joined: our
 * transports under their client, their transports under ours, and their server
 * in the same program as our client.
 */
import type * as EffectClient from "effect/ai/McpClient"
import * as EffectClientModule from "effect/ai/McpClient"
import * as EffectError from "effect/ai/McpClientError"
import type * as EffectSchema from "effect/ai/McpSchema"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberMap from "effect/FiberMap"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import type * as RpcMessage from "effect/rpc/RpcMessage"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as RpcServer from "effect/rpc/RpcServer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Connection from "../Connection.ts"
import * as Diagnostic from "../Diagnostic.ts"
import * as McpError from "../McpError.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import * as ParamHeaders from "../protocol/ParamHeaders.ts"
import { type Binding, Transport } from "../Transport.ts"
import * as InMemoryTransport from "../transport/InMemoryTransport.ts"

// =============================================================================
// Their server, our client
// =============================================================================

const serialization = RpcSerialization.jsonRpc()

/**
 * An Effect `McpServer` of this program as a transport: no process, no socket,
 * every message still JSON. Each link is a client of its own of one server. All
 * eras of its `protocols` can be spoken, and what the server sends by itself
 * (progress, log lines, changes, elicitation) arrives as over stdio. A client
 * that closes its link ends what it has asked for.
 *
 * **Example**
 *
 * ```ts
 * const server = McpServer.layer({ name: "greeter", version: "1.0.0", protocols: [McpProtocol.v2026_07_28], registrations: Layer.empty })
 * const client = McpClient.layer().pipe(Layer.provide(EffectMcp.layerServer(server)))
 * ```
 */
export const layerServer = <A, E, R>(
  server: Layer.Layer<A, E, R>
): Layer.Layer<A | Transport, E, Exclude<R, RpcServer.Protocol | Transport>> => {
  const link = Layer.effectContext(Effect.gen(function*() {
    const clients = new Map<number, InMemoryTransport.Peer>()
    const parser = serialization.makeUnsafe()
    const disconnects = yield* Queue.sliding<number>(1_024)
    let nextClient = 0
    let write: (client: number, message: RpcMessage.FromClientEncoded) => Effect.Effect<void> = () => Effect.void
    const protocol = yield* RpcServer.Protocol.make((writeRequest) =>
      Effect.sync(() => {
        write = writeRequest
        return {
          disconnects,
          send: (client, response) => {
            const text = parser.encode(response)
            return typeof text === "string" ? clients.get(client)?.send(JSON.parse(text)) ?? Effect.void : Effect.void
          },
          end: () => Effect.void,
          clientIds: Effect.sync(() => new Set(clients.keys())),
          initialMessage: Effect.succeed(Option.none()),
          supportsAck: false,
          supportsTransferables: false,
          supportsSpanPropagation: false,
          supportsNotifications: true,
          codecFor: serialization.codecFor
        }
      })
    )
    const binding = yield* InMemoryTransport.make((peer) =>
      Effect.gen(function*() {
        const client = nextClient++
        clients.set(client, peer)
        yield* Effect.addFinalizer(() => {
          clients.delete(client)
          return Effect.andThen(write(client, { _tag: "Eof" }), Queue.offer(disconnects, client))
        })
        // Of the session: a message may need those before it to be read.
        const messages = serialization.makeUnsafe()
        yield* Stream.runForEach(peer.incoming, (message) =>
          Effect.forEach(
            messages.decode(JSON.stringify(message)) as ReadonlyArray<RpcMessage.FromClientEncoded>,
            (decoded) => write(client, decoded),
            { discard: true }
          ))
      })
    )
    return Context.make(Transport, binding).pipe(Context.add(RpcServer.Protocol, protocol))
  }))
  return Layer.provideMerge(server, link)
}

// =============================================================================
// Our transports, their client
// =============================================================================

/** What an error of ours is called there. Its message stays, and the error itself as the cause where there is room. */
const toEffectError = (error: McpError.McpError): EffectError.McpClientError => {
  const { message, reason } = error
  switch (reason._tag) {
    case "HttpStatus":
      return failure(
        new EffectError.HttpError({
          status: reason.status,
          code: reason.error?.code,
          data: reason.error?.data,
          description: reason.error?.message ?? reason.body
        })
      )
    case "RequestTimeout":
      return failure(new EffectError.TimeoutError({ operation: reason.method }))
    case "SessionExpired":
      return failure(new EffectError.ClosedError({ sessionExpired: true, description: message }))
    case "MessageTooLarge":
      return failure(new EffectError.LimitError({ description: message }))
    case "Unsupported":
    case "UnsupportedTransport":
      return failure(new EffectError.UnsupportedError({ description: message }))
    case "InvalidArguments":
      return failure(new EffectError.ValidationError({ description: message, cause: error }))
    case "InvalidResponse":
      return failure(new EffectError.ProtocolError({ description: message, cause: error }))
    case "InvalidConfig":
    case "UnsetVariables":
      return failure(new EffectError.ConfigurationError({ description: message, cause: error }))
    case "ConnectionClosed":
      return failure(
        reason.by === "client"
          ? new EffectError.ClosedError({ description: message })
          : new EffectError.TransportError({ description: message, cause: error })
      )
    default:
      return failure(new EffectError.TransportError({ description: message, cause: error }))
  }
}

const failure = (reason: EffectError.McpClientErrorReason) => new EffectError.McpClientError({ reason })

/** Their client has deadlines of its own. */
const withoutDeadline: Connection.Limits = { timeout: Duration.infinity, maxTotal: Duration.infinity }

/**
 * Our transport, opened for the client of `effect/ai`, for as long as the scope
 * is open. Interrupting a request gives it up as the binding does it. That
 * client knows one revision, which `protocol` names and no other is tried, and
 * has no place for what the server sends by itself: notifications are dropped,
 * `ping` is answered, and other requests of the server are refused.
 *
 * **Example**
 *
 * ```ts
 * const client = Layer.effect(EffectClient.McpClient, EffectClient.make({ name: "app", version: "1.0.0" })).pipe(
 *   Layer.provide(EffectMcp.layerToEffect({ protocol: McpProtocol.v2025_11_25 })),
 *   Layer.provide(WebSocketTransport.layer({ url: "ws://127.0.0.1:3000/mcp" }))
 * )
 * ```
 */
export const toEffect = Effect.fnUntraced(function*(
  options: { readonly protocol: EffectClient.Transport["protocol"] }
): Effect.fn.Return<EffectClient.Transport, EffectError.McpClientError, Scope.Scope | Transport> {
  const { protocol } = options
  const revision: EffectClient.ProtocolVersion = protocol.protocolVersion
  const stateless = revision === "2026-07-28"
  const transport = yield* Transport
  const connection = yield* Effect.mapError(
    Connection.make({
      server: transport.kind,
      transport,
      limits: withoutDeadline,
      handlers: {
        onNotification: () => {},
        onDiagnostic: () => {},
        onRequest: ({ method }) =>
          method === "ping"
            ? Effect.succeed({})
            : Effect.fail({ code: JsonRpc.ErrorCode.MethodNotFound, message: `Not supported: ${method}` })
      }
    }),
    toEffectError
  )
  const agree = Effect.sync(() => connection.agreed({ revision, stateless, batches: false }))
  if (stateless) yield* agree
  const mirrored = stateless && transport.http === true
  return {
    "~effect/ai/McpClient/Transport": "~effect/ai/McpClient/Transport",
    protocol,
    isCallable: (tool) => !mirrored || Result.isSuccess(ParamHeaders.compile(tool.inputSchema)),
    notify: ({ method, params }) => Effect.mapError(connection.notify(method, params), toEffectError),
    request: ({ id, method, params }, tool) => {
      const compiled = mirrored && tool !== undefined ? ParamHeaders.compile(tool.inputSchema) : undefined
      const args = params?.arguments
      const headers = compiled !== undefined && Result.isSuccess(compiled)
        ? compiled.success.headers(JsonRpc.isJsonObject(args) ? args : undefined)
        : undefined
      return connection.request(method, params, { cancellable: method !== "initialize", send: { headers } }).pipe(
        Effect.tap(() => method === "initialize" ? agree : Effect.void),
        Effect.map((result): EffectSchema.JsonRpcResponse => ({ jsonrpc: "2.0", id, result })),
        Effect.catch((error) =>
          error.reason._tag === "RemoteError"
            ? Effect.succeed(answer(id, error.reason))
            : Effect.fail(toEffectError(error))
        )
      )
    }
  }
})

const answer = (id: JsonRpc.RequestId, { code, data, detail }: McpError.RemoteError): EffectSchema.JsonRpcResponse => ({
  jsonrpc: "2.0",
  id,
  error: { code, message: detail, ...(data === undefined ? {} : { data }) }
})

/** A layer of {@link toEffect}. */
export const layerToEffect = (
  options: { readonly protocol: EffectClient.Transport["protocol"] }
): Layer.Layer<EffectClient.Transport, EffectError.McpClientError, Transport> =>
  Layer.effect(EffectClientModule.Transport, toEffect(options))

// =============================================================================
// Their transports, our client
// =============================================================================

/** What a request of a transport of theirs failed for. */
const fromEffectError = (method: string, { reason }: EffectError.McpClientError): McpError.McpErrorReason => {
  const detail = reason.message
  switch (reason._tag) {
    case "HttpError":
      return new McpError.HttpStatus({
        verb: "POST",
        url: "the endpoint",
        status: reason.status,
        body: reason.description ?? "",
        ...(reason.code === undefined ? {} : {
          error: {
            code: reason.code,
            message: reason.description ?? "",
            ...(reason.data === undefined ? {} : { data: reason.data })
          }
        })
      })
    case "TransportError":
    case "ClosedError":
    case "TimeoutError":
      return new McpError.ConnectionClosed({ by: "server", detail })
    case "UnsupportedError":
    case "ConfigurationError":
      return new McpError.Unsupported({ method, detail })
    case "ValidationError":
      return new McpError.InvalidArguments({ method, detail })
    default:
      return new McpError.InvalidResponse({ method, detail })
  }
}

/**
 * A transport of `effect/ai` as one of ours. It is opened already, so opening
 * and closing a link do nothing to it: its scope is the one it was made in.
 * Giving a request up interrupts it there, and it tells the server.
 *
 * It carries requests and notifications of the client, and their answers.
 * Progress, log lines, changes and requests of the server do not come through,
 * and neither do the headers of single calls. It speaks one revision, so pin it:
 * `McpClient.layer({ negotiation: { pin: "2025-11-25" } })`. The link ends with
 * `ConnectionClosed` when the transport says that it is closed; any other
 * failure is the request's own.
 *
 * **Example**
 *
 * ```ts
 * const client = McpClient.layer({ negotiation: { pin: "2026-07-28" } }).pipe(
 *   Layer.provide(EffectMcp.layerFromEffect),
 *   Layer.provide(Layer.effect(EffectClient.Transport, EffectClient.http({ url: "https://example.com/mcp", protocol: McpProtocol.v2026_07_28 })))
 * )
 * ```
 */
export const fromEffect = (transport: EffectClient.Transport): Binding => ({
  kind: "effect",
  network: "other",
  open: Effect.fnUntraced(function*(receiver) {
    const fibers = yield* FiberMap.make<JsonRpc.RequestId | symbol>()
    const run = yield* FiberMap.runtime(fibers)()
    const encoder = new TextEncoder()
    let open = true
    // A request must not overtake what was said before it, such as the end of the handshake.
    let notified: Fiber.Fiber<void> | undefined
    const close = (reason: McpError.McpErrorReason) => {
      if (!open) return
      open = false
      receiver.onClose(reason)
    }
    const inOrder = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> => {
      const before = notified
      return before === undefined ? effect : Effect.andThen(Fiber.await(before), effect)
    }
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => close(McpError.scopeClosed))
    )
    return {
      send: (message) => {
        const text = JSON.stringify(message)
        if (!open || !("method" in message)) return 0
        const ended = (error: EffectError.McpClientError): McpError.McpErrorReason => {
          const reason = fromEffectError(message.method, error)
          if (error.reason._tag === "ClosedError") close(reason)
          return reason
        }
        if ("id" in message) {
          const { id } = message
          run(id, inOrder(transport.request(message)).pipe(Effect.match({
            onSuccess: (response) => {
              if (open) receiver.onMessage(response, encoder.encode(JSON.stringify(response)).length)
            },
            onFailure: (error) => {
              const reason = ended(error)
              if (open) receiver.onFailure(id, reason)
            }
          })))
        } else {
          notified = run(Symbol(message.method), inOrder(transport.notify(message)).pipe(Effect.match({
            onSuccess: () => {},
            onFailure: (error) => {
              const { message: detail } = ended(error)
              if (open) receiver.onDiagnostic(Diagnostic.Warning({ detail }))
            }
          })))
        }
        return encoder.encode(text).length
      },
      backpressure: () => undefined,
      abandon: (id) => {
        const fiber = FiberMap.getUnsafe(fibers, id)
        if (Option.isSome(fiber)) fiber.value.interruptUnsafe()
      }
    }
  })
})

/** A layer of {@link fromEffect}. */
export const layerFromEffect: Layer.Layer<Transport, never, EffectClient.Transport> = Layer.effect(
  Transport,
  Effect.map(EffectClientModule.Transport, fromEffect)
)
