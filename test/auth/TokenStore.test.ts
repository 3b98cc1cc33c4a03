import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Redacted from "effect/Redacted"
import type { Credential } from "../../src/auth/Credential.ts"
import * as TokenStore from "../../src/auth/TokenStore.ts"

const key = { issuer: "https://as.example.com", resource: "https://mcp.example.com/mcp", principal: "" }

const credential = (token: string, refresh?: string): Credential => ({
  accessToken: Redacted.make(token),
  type: "bearer",
  issuedAt: 0,
  clientId: "client",
  requested: "",
  ...(refresh === undefined ? {} : { refreshToken: Redacted.make(refresh) })
})

/** Two programs over the same values, the second of which has taken the first for dead. */
const stopped = (meanwhile: Credential | undefined) =>
  Effect.gen(function*() {
    const values = yield* KeyValueStore.KeyValueStore
    const [first, second] = [TokenStore.make(values), TokenStore.make(values)]
    yield* first.modify(key, (_, save) => save(credential("old", "r0")))
    yield* first.modify(key, (_, save) =>
      Effect.andThen(second.modify(key, (_, save) => save(meanwhile)), save(credential("new", "r1"))))
    const kept = yield* first.get(key)
    return kept === undefined
      ? undefined
      : [Redacted.value(kept.accessToken), kept.refreshToken === undefined ? undefined : Redacted.value(kept.refreshToken)]
  }).pipe(Effect.provide(KeyValueStore.layerMemory))

describe("a rotated token of a program that was stopped while it refreshed", () => {
  it.effect("is kept when another one has only found the old one spent", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* stopped(credential("old")), ["new", "r1"])
    }))

  it.effect("does not destroy what another one has got meanwhile", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* stopped(credential("other", "r2")), ["other", "r2"])
    }))

  it.effect("does not bring back what was removed", () =>
    Effect.gen(function*() {
      assert.isUndefined(yield* stopped(undefined))
    }))
})
