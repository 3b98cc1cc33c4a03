/** Arguments that come from another program. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import { fstatSync } from "node:fs"

/** Everything on stdin, as text. */
export const read = Stdio.Stdio.use(({ stdin }) => Stream.mkString(Stream.decodeText(stdin)))

/** What reading takes. */
export type Environment = Stdio.Stdio

/** The next line on stdin; what there is if it ends without one. */
export const readLine = Stdio.Stdio.use(({ stdin }) =>
  stdin.pipe(
    Stream.decodeText,
    Stream.splitLines,
    Stream.runHead,
    Effect.map(Option.getOrElse(() => ""))
  )
)

/** Whether stdin comes from a pipe or a file of a shell; a program that starts this one has to say `-`. */
export const isPiped: Effect.Effect<boolean> = Effect.try(() => {
  const stdin = fstatSync(0)
  return stdin.isFIFO() || stdin.isFile()
}).pipe(
  // There may be no stdin at all.
  Effect.orElseSucceed(() => false)
)
