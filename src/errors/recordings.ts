/** What can be wrong with a recording and its replay. */
import * as Schema from "effect/Schema"
import { id } from "./shared.ts"

/** A recording of a server's traffic cannot be read or written. */
export class InvalidCassette extends Schema.Error<InvalidCassette>(id("InvalidCassette"))({
  _tag: Schema.tag("InvalidCassette"),
  file: Schema.String,
  /** The line that is wrong, from 1, where it is one. */
  line: Schema.optionalKey(Schema.Int),
  detail: Schema.String
}) {
  override get message() {
    return `The cassette ${this.file}${this.line === undefined ? "" : `:${this.line}`} cannot be used: ${this.detail}`
  }
}

/** The program does something else than what was recorded. Record again if this is what it should do now. */
export class CassetteDeviation extends Schema.Error<CassetteDeviation>(id("CassetteDeviation"))({
  _tag: Schema.tag("CassetteDeviation"),
  file: Schema.String,
  /** The line that was to come next, where there is one. */
  line: Schema.optionalKey(Schema.Int),
  detail: Schema.String,
  /** What was expected (`-`) and what came (`+`), line by line; empty where there is nothing to compare. */
  diff: Schema.String
}) {
  override get message() {
    return `The program deviates from ${this.file}${this.line === undefined ? "" : `:${this.line}`}: ${this.detail}${
      this.diff === "" ? "" : `\n${this.diff}`
    }`
  }
}
