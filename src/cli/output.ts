/** Results on their way out: shown, as JSON, or to a file. */
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Exit from "./exit.ts"
import * as Flags from "./flags.ts"
import type { Binary } from "./render.ts"
import { Screen } from "./screen.ts"
import { bytes, json } from "./text.ts"

export const flag = Flag.String("output").pipe(
  Flag.withAlias("o"),
  Flag.withMetavar("FILE"),
  Flag.withDescription("Save what is not text to this file (the second to FILE-2), or else the text exactly as it came"),
  Flag.optional
)

/** A result in every form it may be wanted in. */
export interface Result {
  readonly value: unknown
  readonly text: string
  readonly binaries: ReadonlyArray<Binary>
  /** For a person, `safe`. */
  readonly shown: string
}

const save = Effect.fnUntraced(function*(file: string, { binaries, text }: Result) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { dir, ext, name } = path.parse(file)
  const contents = binaries.length === 0 ? [Buffer.from(text)] : binaries.map(({ base64 }) => Buffer.from(base64, "base64"))
  for (const [index, data] of contents.entries()) {
    const target = index === 0 ? file : path.join(dir, `${name}-${index + 1}${ext}`)
    yield* Effect.mapError(fs.writeFile(target, data), ({ message }) =>
      new Exit.Failure({ reason: "failed", message: `Cannot save to ${target}: ${message}` }))
    yield* Effect.logInfo(`saved ${target} (${bytes(data.length)})`)
  }
})

/** Gives a result as the flags ask for it. A text that is safe in a file is not shown again. */
export const give = Effect.fnUntraced(function*(file: Option.Option<string>, result: Result) {
  const { print } = yield* Screen
  const saving = yield* Effect.exit(Option.isSome(file) ? save(file.value, result) : Effect.void)
  const isInFile = Option.isSome(file) && result.binaries.length === 0 && saving._tag === "Success"
  if (yield* Flags.json) {
    yield* print(json(result.value))
  } else {
    if (!isInFile) yield* print(result.shown)
    if (Option.isNone(file) && result.binaries.length > 0) yield* Effect.logInfo("--output FILE saves what is not text")
  }
  return yield* saving
})
