import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { afterEach, vi } from "vitest"
import { Authorize } from "../../src/auth/Authorize.ts"
import * as NodeMcp from "../../src/node.ts"
import { serve } from "../support/loopback.ts"

afterEach(() => vi.unstubAllEnvs())

const begin = (redirectUri?: string) =>
  Effect.flatMap(Authorize, ({ begin }) => begin({ server: "https://mcp.example.com", redirectUri, principal: undefined }))

const run = <A, E>(test: Effect.Effect<A, E, Layer.Success<typeof NodeServices.layer> | import("effect/Scope").Scope>, timeout = "10 seconds" as const) =>
  test.pipe(Effect.scoped, Effect.provide(Layer.merge(NodeServices.layer, NodeMcp.layerBrowser({ timeout }))))

describe("the system's browser", () => {
  it.live("is given the URL as one argument that no shell has seen", () =>
    run(Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      yield* fs.writeFileString(`${directory}/xdg-open`, `#!/bin/sh\nprintf '%s|' "$#" "$@" > ${directory}/told.new && mv ${directory}/told.new ${directory}/told\n`, { mode: 0o755 })
      vi.stubEnv("PATH", `${directory}:/usr/bin:/bin`)
      const { ask, redirectUri } = yield* begin()
      const url = new URL("https://as.example.com/authorize?a=b&c='$(touch%20x)`y`;z|q")
      const answer = yield* Effect.forkChild(ask(url, "right"), { startImmediately: true })
      const told = yield* Effect.retry(fs.readFileString(`${directory}/told`), Schedule.spaced("20 millis"))
      assert.strictEqual(told, `1|${url.href}|`)
      const page = yield* Effect.promise(() => fetch(`${redirectUri}?code=x&state=right`))
      assert.strictEqual(page.status, 200)
      assert.strictEqual(page.headers.get("referrer-policy"), "no-referrer")
      assert.strictEqual((yield* Fiber.join(answer)).searchParams.get("code"), "x")
    })))

  it.live("that is not there is told", () => {
    vi.stubEnv("PATH", "/nowhere")
    return run(Effect.gen(function*() {
      const { ask } = yield* begin()
      const error = yield* Effect.flip(ask(new URL("https://as.example.com/"), "state"))
      assert.match(error._tag === "NotAuthorized" ? error.detail : "", /no browser can be opened/)
    }))
  })

  it.live("cannot be sent back to a port that is taken, or to another machine", () =>
    run(Effect.gen(function*() {
      const taken = yield* serve((_request, response) => response.end())
      assert.match((yield* Effect.flip(begin(`${taken.origin}/callback`))).detail, /port \d+ of this machine cannot be listened at: another program does/)
      for (const uri of ["https://example.com/callback", "http://10.0.0.1/callback", "nonsense"]) {
        assert.match((yield* Effect.flip(begin(uri))).detail, /expected a redirectUri of this machine/)
      }
    })))
})
