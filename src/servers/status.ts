/**
 * What a server of many is doing. A status is a value: match it with
 * `Status.match`, compare it with `Status.is`.
 *
 * ```
 * Idle ─────────▶ Connecting ─────────▶ Ready ◀────────┐
 *   ▲               │      │              │ lost       │
 *   │ not wanted    │      │ 401          ▼            │
 *   └───────────────┼──────┼───────── Reconnecting ────┘
 *                   ▼      ▼              │ given up
 *                Failed  NeedsAuthorization
 * ```
 *
 * `Draining` follows any of them when the server is removed, replaced or the
 * runtime closes.
 */
import * as Data from "effect/Data"
import type { McpError } from "../McpError.ts"

export type Status = Data.TaggedEnum<{
  /** Not connected, and nobody wants it to be. The next call connects. */
  Idle: {}
  /** Being connected to for the first time, or again after `Idle` or `Failed`. Calls wait. */
  Connecting: {}
  /** Calls go through: lists are fresh, subscriptions and the log level are told to the server. */
  Ready: {}
  /** The connection was lost. Calls wait for the next attempt. */
  Reconnecting: {
    /** From 1; starts anew after a connection that lasted. */
    readonly attempt: number
    /** When it begins, in milliseconds of the clock; in the past while it is being made. */
    readonly next: number
    /** Why the connection was lost, or the last attempt failed. */
    readonly error: McpError
  }
  /**
   * The server wants credentials it was not given. Calls fail with `error`,
   * whose reason tells where a login begins, if it is one that helps. Goes on
   * when its token is in the `TokenStore`, or when it is resumed.
   */
  NeedsAuthorization: { readonly error: McpError }
  /** It cannot be connected to. Calls fail at once until `next`; the first one after it tries again. */
  Failed: {
    readonly error: McpError
    /** In milliseconds of the clock; `undefined` when nothing but resuming helps. */
    readonly next: number | undefined
  }
  /** No new calls; those in flight may end. */
  Draining: {}
}>

const constructors = Data.taggedEnum<Status>()

export const Idle: Status = constructors.Idle()
export const Connecting: Status = constructors.Connecting()
export const Ready: Status = constructors.Ready()
export const Reconnecting: typeof constructors.Reconnecting = constructors.Reconnecting
export const NeedsAuthorization: typeof constructors.NeedsAuthorization = constructors.NeedsAuthorization
export const Failed: typeof constructors.Failed = constructors.Failed
export const Draining: Status = constructors.Draining()
export const match: typeof constructors.$match = constructors.$match
export const is: typeof constructors.$is = constructors.$is
