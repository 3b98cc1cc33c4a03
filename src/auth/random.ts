/**
 * What nobody may guess: states, verifiers, ids of proofs. From the
 * `SecureRandom` of the context where there is one, so that tests can know it.
 */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Option from "effect/Option"

/** 256 bits, as 43 characters. */
export const secret: Effect.Effect<string> = Effect.flatMap(
  Effect.serviceOption(SecureRandom.SecureRandom),
  Option.match({
    onNone: () => Effect.sync(() => crypto.getRandomValues(new Uint8Array(32))),
    onSome: (random) => random.randomBytes(32)
  })
).pipe(Effect.map((bytes) => Base64Url.encode(bytes)))
