/** What can go wrong where there are many servers. */
import * as Schema from "effect/Schema"
import { excerpt, id } from "./shared.ts"

/** All places for a call are taken, and so are those for waiting; or waiting took too long. Nothing was sent. */
export class Overloaded extends Schema.Error<Overloaded>(id("Overloaded"))({
  _tag: Schema.tag("Overloaded"),
  /** Calls in flight on all replicas. */
  inFlight: Schema.Int,
  /** Calls that wait. */
  queued: Schema.Int,
  /** How many may wait. */
  limit: Schema.Int,
  /** How long this call waited, where it could. */
  waitedMillis: Schema.optionalKey(Schema.Number)
}) {
  override get message() {
    const state = `${this.inFlight} calls are in flight and ${this.queued} wait`
    return this.waitedMillis === undefined
      ? `Overloaded: ${state}, which is as many as may; call again later, or raise replicas.max, maxInFlight or maxQueue`
      : `Overloaded: no place became free within ${this.waitedMillis} ms (${state}); raise replicas.max, maxInFlight or the timeout`
  }
}

/** The server could not be connected to, and it is not yet time to try again. Nothing was sent. */
export class ServerUnavailable extends Schema.Error<ServerUnavailable>(id("ServerUnavailable"))({
  _tag: Schema.tag("ServerUnavailable"),
  /** Until the next attempt; absent when there is none before the server is resumed or replaced. */
  retryAfterMillis: Schema.optionalKey(Schema.Number),
  /** Whether it failed so often in a row that it is left alone for a while. */
  circuitOpen: Schema.Boolean,
  /** The tag of the reason it failed for last, and its message. */
  failure: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    const what = this.circuitOpen ? "It failed too often in a row and is left alone" : "It cannot be connected to"
    const when = this.retryAfterMillis === undefined
      ? "resume or replace it once that is mended"
      : `the next attempt is in ${this.retryAfterMillis} ms`
    return `${what}; ${when}. The last failure: ${excerpt(this.detail, 1_000)}`
  }
}

/** The server is configured, but not to be used. */
export class ServerDisabled extends Schema.Error<ServerDisabled>(id("ServerDisabled"))({
  _tag: Schema.tag("ServerDisabled"),
  /** The setting that says so. */
  by: Schema.Literals(["disabled", "allowedServers"])
}) {
  override get message() {
    return this.by === "disabled"
      ? "It is disabled in the config"
      : "It is not one of the allowedServers"
  }
}

/** The server is being closed, removed or replaced, and takes no new calls. Nothing was sent. */
export class ServerDraining extends Schema.Error<ServerDraining>(id("ServerDraining"))({
  _tag: Schema.tag("ServerDraining")
}) {
  override get message() {
    return "It is being closed and takes no new calls"
  }
}

/** No server has this under that name. */
export class UnknownTool extends Schema.Error<UnknownTool>(id("UnknownTool"))({
  _tag: Schema.tag("UnknownTool"),
  kind: Schema.Literals(["tools", "resources", "prompts"]),
  /** As it was asked for: `server__tool`. */
  name: Schema.String
}) {
  override get message() {
    return `There is no "${excerpt(this.name)}" among the ${this.kind} of all servers; a name is SERVER__NAME, as the view lists it`
  }
}

/** No server, or no replica, gave a success. Tells what each of them failed with, in their order. */
export class AllFailed extends Schema.Error<AllFailed>(id("AllFailed"))({
  _tag: Schema.tag("AllFailed"),
  failures: Schema.Array(Schema.Struct({ server: Schema.String, tag: Schema.String, detail: Schema.String }))
}) {
  override get message() {
    return this.failures.length === 0
      ? "There is no server to ask"
      : `All of ${this.failures.length} failed: ${
        this.failures.map(({ detail, server }) => `${server}: ${excerpt(detail)}`).join("; ")
      }`
  }
}
