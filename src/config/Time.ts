/** Times in a config: numbers of milliseconds, or text such as "30 seconds". */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"

const time = (accepts: (duration: Duration.Duration) => boolean, limit: string) => {
  const expected = `Expected a time ${limit}: a number (milliseconds), or text such as "30 seconds"`
  return Schema.Union([Schema.Finite, Schema.String]).annotate({ message: expected }).pipe(
    Schema.decodeTo(
      Schema.Duration,
      SchemaTransformation.transformEffect({
        decode: (input) => {
          // Of the texts that Duration understands, only `<number> <unit>` can be accepted: the others are infinite.
          const duration = Duration.fromInput(input as Duration.Input)
          return duration._tag === "Some" && Duration.isFinite(duration.value) && accepts(duration.value)
            ? Effect.succeed(Duration.millis(Math.ceil(Duration.toMillis(duration.value))))
            : Effect.fail(new SchemaIssue.InvalidValue({ message: expected }))
        },
        encode: (duration) => Effect.succeed(Duration.toMillis(duration))
      })
    )
  )
}

export const Timeout = time(Duration.isPositive, "greater than zero")
export const Wait = time((duration) => !Duration.isNegative(duration), "of zero or more")
