import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Authorize from "../../src/auth/Authorize.ts"
import { layerBrowser } from "../../src/node/browser.ts"

describe("the place a login comes back to", () => {
  it.live("takes one answer to its own question, and shows nothing that strangers write", () => {
    const opened = Deferred.makeUnsafe<void>()
    return Effect.gen(function*() {
      const { begin } = yield* Authorize.Authorize
      const { ask, redirectUri } = yield* begin({ server: "https://mcp.example.com/mcp", redirectUri: undefined, principal: undefined })
      const login = yield* Effect.forkChild(ask(new URL("https://as.example.com/authorize"), "state"), { startImmediately: true })
      yield* Deferred.await(opened)
      const visit = (url: string, method = "GET") =>
        Effect.promise(async () => {
          const response = await fetch(url, { method, redirect: "manual" })
          return { status: response.status, location: response.headers.get("location"), text: await response.text() }
        })
      const script = encodeURIComponent("<script>alert(1)</script>")
      const strangers = [
        [redirectUri, "GET", 400],
        [`${redirectUri}?state=guess&code=x&error_description=${script}`, "GET", 400],
        [`${redirectUri}?state=state&code=x`, "POST", 404],
        [`${new URL("/elsewhere", redirectUri).href}?state=state&code=x`, "GET", 404]
      ] as const
      for (const [url, method, status] of strangers) {
        const answer = yield* visit(url, method)
        assert.deepStrictEqual([answer.status, answer.location], [status, null], url)
        assert.notInclude(answer.text, "alert")
      }
      const flood = yield* Effect.forEach(Array.from({ length: 50 }), () => visit(`${redirectUri}?state=flood`), { concurrency: 10 })
      assert.isTrue(flood.every(({ status }) => status === 400))
      const answer = yield* visit(`${redirectUri}?state=state&error=access_denied&error_description=${script}&next=https://evil.example`)
      assert.deepStrictEqual([answer.status, answer.location], [200, null])
      assert.notInclude(answer.text, "alert")
      assert.strictEqual((yield* visit(`${redirectUri}?state=state&code=second`)).status, 400)
      assert.strictEqual((yield* Fiber.join(login)).searchParams.get("error"), "access_denied")
    }).pipe(Effect.scoped, Effect.provide(layerBrowser({ open: () => Effect.asVoid(Deferred.succeed(opened, void 0)) })))
  })
})
