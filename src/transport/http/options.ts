/** What every transport over HTTP can be told. */
import type * as Duration from "effect/Duration"
import type { HttpClient } from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import type * as Redacted from "effect/Redacted"
import type * as Schedule from "effect/Schedule"
import type { McpErrorReason } from "../../McpError.ts"

/**
 * When a request is made again by the transport itself. Only what is safe is:
 * any message that certainly never left (connection refused, name not found),
 * and reading methods and handshakes that were answered 429 or 503 with a
 * `Retry-After`. `tools/call` is never repeated once it may have been delivered.
 * While nothing is agreed with the server, one that cannot be reached is
 * reported at once.
 */
export interface RetryPolicy {
  /** Further tries after the first. Default 2; 0 turns it off. */
  readonly attempts?: number | undefined
  /** Before the first further try; doubles each time. Default 250 milliseconds. */
  readonly baseDelay?: Duration.Input | undefined
  /** Longest wait. A `Retry-After` beyond it is reported instead of waited for. Default 10 seconds. */
  readonly maxDelay?: Duration.Input | undefined
  /** Whether up to half of a delay is taken off at random. Never of a `Retry-After`. Default true. */
  readonly jitter?: boolean | undefined
}

export interface Options {
  /** Absolute, `http:` or `https:`. Its query, fragment and credentials never appear in errors. */
  readonly url: string | Redacted.Redacted<string>
  /** Sent with every request to the origin of `url`, and to no other. They cannot replace the protocol's own headers. */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
  /**
   * Changes the client that requests are made with, such as to add authorization
   * (see `Auth`). An `McpError` that is the cause of a failure is told as it is.
   */
  readonly decorate?: (<R>(client: HttpClient.With<HttpClientError, R>) => HttpClient.With<HttpClientError, R>) | undefined
  /** Longest body or event, in bytes; one that is longer fails its request with `MessageTooLarge`. Default 64 MiB. */
  readonly maxMessageBytes?: number | undefined
  /**
   * Longest silence on an open event stream, comments counting as sound; after
   * it the stream is taken for broken. Default: none, a stream may be silent for ever.
   */
  readonly idleTimeout?: Duration.Input | undefined
  /** How long closing may take to end a session on the server. Default 2 seconds. */
  readonly closeTimeout?: Duration.Input | undefined
  /** Whether 307 and 308 to the same origin are followed (H-14). Others never are. Default `same-origin`. */
  readonly redirects?: "same-origin" | "none" | undefined
  /** Or a schedule of one's own, told each reason; what is safe to repeat stays the same. */
  readonly retry?: RetryPolicy | Schedule.Schedule<unknown, McpErrorReason> | undefined
}
