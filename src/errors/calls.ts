/** How a single call can fail. */
import * as Schema from "effect/Schema"
import { excerpt, id } from "./shared.ts"

/** The arguments of a call cannot be written as JSON: they hold a BigInt, a cycle, or the like. Nothing was sent. */
export class InvalidArguments extends Schema.Error<InvalidArguments>(id("InvalidArguments"))({
  _tag: Schema.tag("InvalidArguments"),
  method: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `The arguments of ${this.method} cannot be written as JSON: ${this.detail}`
  }
}

/** A tool reported failure (`isError`) and the caller asked for failures to be typed. */
export class ToolFailed extends Schema.Error<ToolFailed>(id("ToolFailed"))({
  _tag: Schema.tag("ToolFailed"),
  tool: Schema.String,
  /** The tool's text, joined. */
  text: Schema.String,
  /** The result as it came. */
  result: Schema.Unknown
}) {
  override get message() {
    return `The tool "${this.tool}" failed: ${excerpt(this.text, 1_000)}`
  }
}

/** The config does not allow this tool. */
export class ToolNotAllowed extends Schema.Error<ToolNotAllowed>(id("ToolNotAllowed"))({
  _tag: Schema.tag("ToolNotAllowed"),
  tool: Schema.String
}) {
  override get message() {
    return `The config does not allow the tool "${this.tool}"; see allowedTools and blockedTools`
  }
}

/** A tool's structured result does not fit its output schema, or the Schema the caller gave. */
export class InvalidToolResult extends Schema.Error<InvalidToolResult>(id("InvalidToolResult"))({
  _tag: Schema.tag("InvalidToolResult"),
  tool: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `The result of the tool "${this.tool}" is not what was declared: ${this.detail}`
  }
}

/** The server asked for input (elicitation, sampling, roots) that was not given, so the call cannot go on. */
export class InputRefused extends Schema.Error<InputRefused>(id("InputRefused"))({
  _tag: Schema.tag("InputRefused"),
  /** What the server asked: `elicitation/create`, `sampling/createMessage`, `roots/list`. */
  request: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `The server's ${this.request} was not answered: ${this.detail}`
  }
}
