/**
 * The legacy era, 2024-11-05 to 2025-11-25: a handshake opens a session in
 * which both sides may send requests, and changes arrive unasked.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Diagnostic from "../Diagnostic.ts"
import * as McpError from "../McpError.ts"
import type { Client, Consent, Dialect, Interest, Metadata, Subscriptions, Wire } from "./Dialect.ts"
import * as JsonRpc from "./JsonRpc.ts"
import * as McpSchema from "./McpSchema.ts"
import * as ResultType from "./ResultType.ts"
import * as Revision from "./Revision.ts"

/** The parameters of `initialize` (L-01). */
export const initializeParams = (revision: Revision.LegacyRevision, client: Client): JsonRpc.JsonObject => ({
  protocolVersion: revision,
  capabilities: declared(revision, client.capabilities),
  clientInfo: client.info
})

/** The ways to ask the user that the revision knows; where there is but one, it has no name (L-04). */
const declared = (
  revision: Revision.LegacyRevision,
  { elicitation, ...capabilities }: McpSchema.ClientCapabilities
): McpSchema.ClientCapabilities => {
  const modes = Revision.features(revision).elicitation
  if (elicitation === undefined || modes.length > 1) {
    return elicitation === undefined ? capabilities : { ...capabilities, elicitation }
  }
  return elicitation.form === undefined || modes.length === 0 ? capabilities : { ...capabilities, elicitation: {} }
}

/** Speaks a legacy revision with a server that has answered `initialize`. */
export const make = (options: {
  readonly revision: Revision.LegacyRevision
  readonly client: Client
  readonly server: McpSchema.Server
}): Dialect => {
  const { client, revision, server } = options
  let logLevel: McpSchema.LoggingLevel | undefined

  /** Nothing of the modern `_meta` goes to a legacy server (M-13). */
  const decorate = (params: JsonRpc.JsonObject | undefined, metadata: Metadata): JsonRpc.JsonObject => ({
    ...params,
    _meta: { ...metadata.custom, ...metadata.trace, progressToken: metadata.progressToken }
  })

  const lacks = (method: string) => Revision.lacks(revision, server.capabilities, method)
  /** Fails when the server cannot be asked this. */
  const need = (method: string) =>
    Effect.suspend(() => {
      const detail = lacks(method)
      return detail === undefined ? Effect.void : Effect.fail(McpError.make(new McpError.Unsupported({ method, detail })))
    })

  return {
    era: "legacy",
    stateless: false,
    revision,
    server,
    acceptsBatches: Revision.hasBatches(revision),
    completionContext: Revision.features(revision).completionContext,
    paramHeaders: false,
    answersRequests: true,
    lacks,
    decorate,
    interpret: (method, result) => ResultType.interpret(method, result, "legacy"),
    consents: (error) => error.code === JsonRpc.ErrorCode.UrlElicitationRequired ? consentsIn(error.data) : undefined,
    renew: Effect.fnUntraced(function*(wire: Wire) {
      const method = "initialize"
      const result = yield* wire.request(method, () => initializeParams(revision, client), { cancellable: false })
      const initialized = McpSchema.decodeInitializeResult(result)
      const fail = (detail: string) => Effect.fail(McpError.make(new McpError.InvalidResponse({ method, detail })))
      if (Result.isFailure(initialized)) return yield* fail(initialized.failure)
      // A connection speaks one revision from beginning to end.
      const { protocolVersion } = initialized.success
      if (protocolVersion !== revision) return yield* fail(`the server now speaks ${protocolVersion}; connect again`)
    }),
    begin: (wire) =>
      Effect.andThen(
        wire.notify("notifications/initialized"),
        Effect.suspend(() =>
          logLevel === undefined
            ? Effect.void
            : unlessRefused(wire, wire.request("logging/setLevel", () => ({ level: logLevel })))
        )
      ),
    rootsChanged: (wire) => wire.notify("notifications/roots/list_changed"),
    ping: (wire) => Effect.asVoid(wire.request("ping", () => undefined)),
    setLogLevel: (wire, level) =>
      Effect.andThen(need("logging/setLevel"), wire.request("logging/setLevel", () => ({ level }))).pipe(
        Effect.andThen(Effect.sync(() => {
          logLevel = level
        }))
      ),
    subscriptions: (wire) => Effect.sync(() => subscriptions(wire, need("resources/subscribe")))
  }
}

/** A new session without something the old one had is better than none. */
const unlessRefused = (wire: Wire, request: Effect.Effect<unknown, McpError.McpError>): Effect.Effect<void, McpError.McpError> =>
  Effect.catchReason(Effect.asVoid(request), "McpError", "RemoteError", (reason) =>
    Effect.sync(() => wire.onDiagnostic(Diagnostic.Warning({ detail: `the new session lacks something: ${reason.message}` }))))

/** The pages named by error -32042; `undefined` when it does not name them as it should. */
const consentsIn = (data: unknown): ReadonlyArray<Consent> | undefined => {
  const elicitations = JsonRpc.isJsonObject(data) ? data.elicitations : undefined
  if (!Array.isArray(elicitations) || elicitations.length === 0) return undefined
  const consents = elicitations.flatMap((params) =>
    JsonRpc.isJsonObject(params) && params.mode === "url" && typeof params.elicitationId === "string"
      ? [{ id: params.elicitationId, params }]
      : []
  )
  return consents.length === elicitations.length ? consents : undefined
}

/** List changes come by themselves; single resources are subscribed to one by one. */
const subscriptions = (wire: Wire, supported: Effect.Effect<void, McpError.McpError>): Subscriptions => {
  const subscribed = new Set<string>()
  return {
    update: Effect.fnUntraced(function*(interest: Interest) {
      for (const uri of interest.uris) {
        if (subscribed.has(uri)) continue
        yield* supported
        yield* wire.request("resources/subscribe", () => ({ uri }))
        subscribed.add(uri)
      }
      for (const uri of subscribed) {
        if (interest.uris.includes(uri)) continue
        subscribed.delete(uri)
        // Nobody listens any more, so a server that cannot unsubscribe does no harm.
        yield* Effect.catch(wire.request("resources/unsubscribe", () => ({ uri })), (error) =>
          Effect.sync(() => wire.onDiagnostic(Diagnostic.Warning({ detail: error.reason.message }))))
      }
    }),
    renew: (wire) =>
      Effect.forEach([...subscribed], (uri) =>
        unlessRefused(wire, wire.request("resources/subscribe", () => ({ uri }))), { discard: true }),
    receive: () => true
  }
}
