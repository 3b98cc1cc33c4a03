/** What a server did that it should not, or did not do. */
import * as Schema from "effect/Schema"
import { excerpt, id, lastWords, tail } from "./shared.ts"

/** No protocol revision could be agreed. Tells every attempt and its answer. */
export class NegotiationFailed extends Schema.Error<NegotiationFailed>(id("NegotiationFailed"))({
  _tag: Schema.tag("NegotiationFailed"),
  detail: Schema.String,
  /** Revisions the server named, if it named any. */
  serverRevisions: Schema.Array(Schema.String),
  attempts: Schema.Array(Schema.Struct({
    method: Schema.String,
    revision: Schema.String,
    /** What came back, in one line. */
    outcome: Schema.String
  })),
  ...lastWords
}) {
  override get message() {
    const attempts = this.attempts.map(({ method, outcome, revision }) => `${method} (${revision}): ${outcome}`)
    return `No common protocol revision: ${this.detail}${attempts.length === 0 ? "" : `. Tried ${attempts.join("; ")}`}${
      tail(this.stderr)
    }`
  }
}

/** The server answered a request with a JSON-RPC error. */
export class RemoteError extends Schema.Error<RemoteError>(id("RemoteError"))({
  _tag: Schema.tag("RemoteError"),
  method: Schema.String,
  code: Schema.Int,
  detail: Schema.String,
  data: Schema.optionalKey(Schema.Unknown)
}) {
  override get message() {
    return `${this.method} was answered with error ${this.code}: ${excerpt(this.detail, 1_000)}`
  }
}

/** The server answered, but with something the protocol does not allow. */
export class InvalidResponse extends Schema.Error<InvalidResponse>(id("InvalidResponse"))({
  _tag: Schema.tag("InvalidResponse"),
  method: Schema.String,
  /** What was expected and what came, with the path inside the result. */
  detail: Schema.String
}) {
  override get message() {
    return `Invalid response to ${this.method}: ${this.detail}`
  }
}

/** No answer in time. The request was cancelled on the server. */
export class RequestTimeout extends Schema.Error<RequestTimeout>(id("RequestTimeout"))({
  _tag: Schema.tag("RequestTimeout"),
  method: Schema.String,
  /** `idle`: nothing heard for that long. `total`: the maximum total time is used up. `startup`: the server never got ready. */
  limit: Schema.Literals(["idle", "total", "startup"]),
  millis: Schema.Number,
  ...lastWords
}) {
  override get message() {
    const what = {
      idle: `had no answer or progress within ${this.millis} ms; raise timeout`,
      total: `did not end within its maximum of ${this.millis} ms; raise maxTotal`,
      startup: `had no answer within the ${this.millis} ms for the start; raise startupTimeout`
    }[this.limit]
    return `${this.method} ${what} if the server is just slow${tail(this.stderr)}`
  }
}

/** The server, in the revision spoken with it, does not have this. */
export class Unsupported extends Schema.Error<Unsupported>(id("Unsupported"))({
  _tag: Schema.tag("Unsupported"),
  method: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `${this.method} is not supported: ${this.detail}`
  }
}

/** A list does not end: a cursor came twice, or there are too many pages. */
export class PaginationLoop extends Schema.Error<PaginationLoop>(id("PaginationLoop"))({
  _tag: Schema.tag("PaginationLoop"),
  method: Schema.String,
  pages: Schema.Int,
  kind: Schema.Literals(["RepeatedCursor", "TooManyPages"])
}) {
  override get message() {
    return this.kind === "RepeatedCursor"
      ? `${this.method} gave the same cursor again after ${this.pages} pages`
      : `${this.method} has more than ${this.pages} pages; raise maxPages if this is expected`
  }
}
