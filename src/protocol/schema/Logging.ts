/** What a server writes into the client's log (LG-01 … LG-03). */
import * as Schema from "effect/Schema"
import { type Decoder, decoder, JsonObject } from "./Decoder.ts"

/** All levels, from the least to the most severe. */
export const loggingLevels = [
  "debug",
  "info",
  "notice",
  "warning",
  "error",
  "critical",
  "alert",
  "emergency"
] as const

export const LoggingLevel = Schema.Literals(loggingLevels)
export type LoggingLevel = typeof LoggingLevel.Type

/** The params of `notifications/message`. */
export const LogMessage = Schema.Struct({
  level: LoggingLevel,
  logger: Schema.optionalKey(Schema.String),
  /** Any JSON value; often a string. */
  data: Schema.optionalKey(Schema.Unknown),
  _meta: Schema.optionalKey(JsonObject)
})
export interface LogMessage extends Schema.Schema.Type<typeof LogMessage> {}

export const decodeLogMessage: Decoder<LogMessage> = decoder(LogMessage)
