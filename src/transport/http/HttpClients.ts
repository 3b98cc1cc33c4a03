/**
 * Clients for servers that are not reached by the platform's own ways: with
 * certificates or a proxy of their own, or over a unix domain socket. An
 * `HttpClient` has no word for these; the platform's layer does it.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as McpError from "../../McpError.ts"

/** How one server is reached. Contents of files, not their names. */
export interface ConnectionOptions {
  readonly tls?: {
    /** The certificates to trust, and no others, as PEM. */
    readonly ca?: string
    /** This client's certificate and what leads to it, as PEM. */
    readonly cert?: string
    /** Its private key, as PEM. */
    readonly key?: Redacted.Redacted<string>
    /** Trusts whoever answers. */
    readonly skipVerify?: boolean
  }
  /** The URL of a proxy for every request, or `false` for none. Absent: the platform's own way. */
  readonly proxy?: Redacted.Redacted<string> | false
  readonly socketPath?: string
}

export interface Service {
  /**
   * A client, for as long as the scope is open. Those with the same options
   * share their connections. Fails with `InvalidConfig`, which says what is
   * wrong with certificates or proxy.
   */
  readonly for: (options: ConnectionOptions) => Effect.Effect<HttpClient.HttpClient, McpError.McpError, Scope.Scope>
}

/**
 * What makes such clients; `NodeMcp.layer` brings it. Without one, such servers
 * fail with `UnsupportedTransport`, and all others use the `HttpClient` of the
 * context.
 */
export const HttpClients: Context.Reference<Service> = Context.Reference<Service>("mcp-connect/HttpClients", {
  defaultValue: () => ({
    for: () =>
      Effect.fail(McpError.make(
        new McpError.UnsupportedTransport({
          transport: "http",
          detail: "certificates, a proxy or a unix domain socket of its own need the platform: provide NodeMcp.layer"
        })
      ))
  })
})

/** The client for these options: that of the context, where it will do. */
export const get = Effect.fnUntraced(function*(
  { proxy, socketPath, tls }: ConnectionOptions
): Effect.fn.Return<HttpClient.HttpClient, McpError.McpError, HttpClient.HttpClient | Scope.Scope> {
  if (proxy === undefined && socketPath === undefined && tls === undefined) return yield* HttpClient.HttpClient
  const clients = yield* HttpClients
  return yield* clients.for({
    ...(proxy === undefined ? {} : { proxy }),
    ...(socketPath === undefined ? {} : { socketPath }),
    ...(tls === undefined ? {} : { tls })
  })
})
