/** Bodies of answers, read no further than they are wanted. */
import * as Effect from "effect/Effect"
import type * as HttpClientError from "effect/http/HttpClientError"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Answer } from "./scoped.ts"

export interface Text {
  readonly text: string
  readonly bytes: number
  /** There was more than wanted. */
  readonly cut?: boolean
}

export const isSuccess = ({ status }: HttpClientResponse): boolean => status >= 200 && status < 300

/** The media type of a body: without parameters, in lower case (H-03). */
export const mediaType = (response: HttpClientResponse): string =>
  (response.headers["content-type"]?.split(";", 1)[0] ?? "").trim().toLowerCase()

/** The length a body is sure to have, because HTTP frames it by that; `undefined` for one that may turn out longer. */
const lengthOf = ({ headers }: HttpClientResponse): number | undefined => {
  const length = headers["content-length"]
  return length !== undefined && /^\d+$/.test(length) && headers["content-encoding"] === undefined ? Number(length) : undefined
}

/** All of a body that is here already, and not longer than `max`. */
export const whole = (response: Answer, max: number): Text | undefined => {
  const text = response.whole?.()
  return text === undefined || text.bytes > max ? undefined : text
}

/** Reads at most `max` bytes as text. What is left unread is cancelled. */
export const read = (response: HttpClientResponse, max: number): Effect.Effect<Text, HttpClientError.HttpClientError> => {
  const bytes = lengthOf(response)
  return bytes === undefined || bytes > max
    ? readPieces(response, max)
    : Effect.map(response.text, (text) => ({ text, bytes }))
}

/** Bodies of accepted messages are not looked at, only read away so that the connection can be used again. */
const drainBytes = 64 * 1024
const drainTime = "1 second"

/** Reads a body away, as far as that does not take long. */
export const drain = (response: Answer): Effect.Effect<void> =>
  whole(response, drainBytes) === undefined
    ? Effect.asVoid(Effect.timeoutOption(Effect.exit(read(response, drainBytes)), drainTime))
    : Effect.void

const readPieces = Effect.fnUntraced(function*(
  response: HttpClientResponse,
  max: number
): Effect.fn.Return<Text, HttpClientError.HttpClientError, Scope.Scope> {
  const decoder = new TextDecoder()
  const pull = yield* Stream.toPull(response.stream)
  let text = ""
  let bytes = 0
  const next = Effect.map(pull, (chunks) => {
    for (const chunk of chunks) {
      text += decoder.decode(bytes + chunk.length > max ? chunk.subarray(0, max - bytes) : chunk, { stream: true })
      bytes += chunk.length
      if (bytes > max) return false
    }
    return true
  })
  let more = true
  while (more) more = yield* Pull.catchDone(next, () => Effect.succeed(false))
  return { text: text + decoder.decode(), bytes, cut: bytes > max }
}, Effect.scoped)
