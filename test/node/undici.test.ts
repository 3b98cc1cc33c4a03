import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { once } from "node:events"
import { createServer, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"
import * as NodeMcp from "../../src/node.ts"
import * as Scoped from "../../src/transport/http/scoped.ts"

/** The URL of a server. */
const serve = (listener: RequestListener) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = createServer(listener).listen(0, "127.0.0.1")
      await once(server, "listening")
      return server
    }),
    (server) => Effect.sync(() => server.close().closeAllConnections())
  ).pipe(Effect.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/`))

/** Asks as a transport does. */
const get = (url: string) =>
  Effect.flatMap(HttpClient.HttpClient, (client) => Scoped.make(client).get(url)).pipe(
    Effect.provideService(HttpClient.TracerDisabledWhen, () => true)
  )

const ask = (listener: RequestListener) => Effect.flatMap(serve(listener), get)

const live = (name: string, test: Effect.Effect<void, unknown, Scope.Scope | HttpClient.HttpClient>) =>
  it.live(name, () => test.pipe(Effect.scoped, Effect.provide(NodeMcp.layer)))

const read = (response: HttpClientResponse) => Stream.runFold(response.stream, () => 0, (bytes, chunk) => bytes + chunk.length)

describe("a request of a transport", () => {
  live("is broken off when its scope closes, though nobody read its answer", Effect.gen(function*() {
    const closed = yield* Deferred.make<void>()
    const url = yield* serve((_, response) => {
      response.on("close", () => Deferred.doneUnsafe(closed, Effect.void)).write("the beginning")
    })
    assert.strictEqual((yield* Effect.scoped(get(url))).status, 200)
    yield* Deferred.await(closed)
  }))

  live("fails when the body breaks off", Effect.gen(function*() {
    const response = yield* ask((_, response) => {
      response.write("the beginning", () => response.destroy())
    })
    assert.strictEqual((yield* Effect.flip(read(response))).reason._tag, "DecodeError")
  }))

  live("lets the server wait while nobody reads the body, and go on when somebody does", Effect.gen(function*() {
    const size = 256 * 1024 * 1024
    const piece = Buffer.alloc(1024 * 1024)
    const full = yield* Deferred.make<void>()
    let written = 0
    const response = yield* ask((_, response) => {
      const write = () => {
        while (written < size) {
          written += piece.length
          if (!response.write(piece)) break
        }
        if (written === size) {
          response.end()
          return
        }
        // A tenth of a second without room: more than this the system does not take, nor the reader.
        const stuck = setTimeout(() => Deferred.doneUnsafe(full, Effect.void), 100)
        response.once("drain", () => {
          clearTimeout(stuck)
          write()
        })
      }
      write()
    })
    yield* Deferred.await(full)
    assert.isBelow(written, size / 4)
    assert.strictEqual(yield* read(response), size)
  }))

  live("gives all of a body that is longer than what is read ahead", Effect.gen(function*() {
    const size = 32 * 1024 * 1024
    const response = yield* ask((_, response) => response.end(Buffer.alloc(size)))
    assert.strictEqual(yield* read(response), size)
  }))

  live("gives the body in every form, as often as it is asked for", Effect.gen(function*() {
    const response = yield* ask((_, response) => {
      response.setHeader("set-cookie", ["a=1", "b=2"])
      response.end(`\uFEFF{"a":"ü"}`)
    })
    assert.strictEqual(yield* response.text, `{"a":"ü"}`)
    assert.deepStrictEqual(yield* response.json, { a: "ü" })
    assert.strictEqual((yield* response.arrayBuffer).byteLength, 13)
    assert.deepStrictEqual(Object.keys(response.cookies.cookies), ["a", "b"])
  }))

  live("holds the server back while nobody reads", Effect.gen(function*() {
    const chunk = Buffer.alloc(64 * 1024)
    const size = 512 * chunk.length
    const stalled = yield* Deferred.make<number>()
    const response = yield* ask((_, response) => {
      let left = 512
      const write = () => {
        let room = true
        while (left > 0 && room) {
          left -= 1
          room = response.write(chunk)
        }
        if (left === 0) response.end()
      }
      // What the system holds for both ends fills up first. Nothing drained for that long is a stand-still.
      let quiet: NodeJS.Timeout | undefined
      const settle = () => {
        clearTimeout(quiet)
        quiet = setTimeout(() => Deferred.doneUnsafe(stalled, Effect.succeed((512 - left) * chunk.length)), 300)
      }
      response.on("drain", () => {
        settle()
        write()
      })
      settle()
      write()
    })
    assert.isBelow(yield* Deferred.await(stalled), size)
    assert.strictEqual(yield* read(response), size)
  }))
})
