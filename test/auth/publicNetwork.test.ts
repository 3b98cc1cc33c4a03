/** What a public server may lead to by a name: looked up where the connection is made. */
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as Layer from "effect/Layer"
import * as PublicNetwork from "../../src/auth/PublicNetwork.ts"
import * as Urls from "../../src/auth/urls.ts"
import * as Wire from "../../src/auth/wire.ts"
import * as NetworkFailure from "../../src/internal/networkFailure.ts"
import * as NodeMcp from "../../src/node.ts"
import * as HttpClients from "../../src/transport/http/HttpClients.ts"
import { serve } from "../support/loopback.ts"

const node = Layer.provideMerge(NodeMcp.layer, ConfigProvider.layer(ConfigProvider.fromEnvRecord({})))
const guarded = Effect.provideService(PublicNetwork.PublicNetwork, true)

const wire = (client: HttpClient.HttpClient, allowPrivateNetwork: boolean) =>
  Effect.provideService(
    Wire.make({ server: new URL("https://mcp.example.com/mcp"), allowPrivateNetwork }),
    HttpClient.HttpClient,
    client
  )

/** A client that finds private addresses behind every name, if it is told to look. */
const looking = (asked: Array<string>) =>
  HttpClient.make((request, url) =>
    Effect.flatMap(PublicNetwork.PublicNetwork, (guarded) => {
      asked.push(`${url.href} ${guarded}`)
      const cause = guarded ? Object.assign(new Error("secret words"), { code: PublicNetwork.refused }) : new Error("secret words")
      return Effect.fail(new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) }))
    })
  )

const get = (client: HttpClient.HttpClient, url: string, allowPrivateNetwork = false) =>
  Effect.flatMap(wire(client, allowPrivateNetwork), (wire) => Effect.flip(Wire.getJson(wire, url)))

describe("a name that leads into a private network", () => {
  it.live("is not connected to on behalf of a public server, by the clients of Node", () =>
    Effect.gen(function*() {
      const { origin, sockets } = yield* serve((_, response) => response.end("inside"))
      const url = origin.replace("127.0.0.1", "localhost")
      for (const client of [yield* HttpClient.HttpClient, yield* HttpClients.get({ tls: {} })]) {
        const before = sockets.length
        const error = yield* Effect.flip(guarded(client.get(url)))
        assert.include(NetworkFailure.codesOf(error), PublicNetwork.refused)
        assert.strictEqual(sockets.length, before)
        // The others may, and what they leave open is not used by those who may not.
        assert.strictEqual(yield* Effect.flatMap(client.get(url), ({ text }) => text), "inside")
        assert.include(NetworkFailure.codesOf(yield* Effect.flip(guarded(client.get(url)))), PublicNetwork.refused)
      }
    }).pipe(Effect.scoped, Effect.provide(node)))

  it.effect("is said to be in one, and how to permit it", () =>
    Effect.gen(function*() {
      const asked: Array<string> = []
      const { detail } = yield* get(looking(asked), "https://as.example.com/x?secret")
      assert.match(detail, /^https:\/\/as.example.com is in a private network.*allowPrivateNetwork/)
      assert.deepStrictEqual(asked, ["https://as.example.com/x?secret true"])
    }))

  it.effect("is not looked at where that is allowed, nor for the server itself", () =>
    Effect.gen(function*() {
      const asked: Array<string> = []
      yield* get(looking(asked), "https://as.example.com/x", true)
      const { detail } = yield* get(looking(asked), "https://mcp.example.com/.well-known/x")
      assert.match(detail, /cannot be reached/)
      assert.deepStrictEqual(asked.map((text) => text.split(" ")[1]), ["false", "false"])
    }))
})

describe("an address", () => {
  const addresses: ReadonlyArray<readonly [string, boolean]> = [
    ["8.8.8.8", true],
    ["2606:4700::1111", true],
    ["64:ff9b::808:808", true],
    ["127.0.0.1", false],
    ["10.0.0.1", false],
    ["100.127.255.255", false],
    ["169.254.169.254", false],
    ["0.0.0.0", false],
    ["255.255.255.255", false],
    ["::1", false],
    ["::ffff:10.0.0.1", false],
    ["::ffff:a00:1", false],
    ["64:ff9b::a00:1", false],
    ["fe80::1%eth0", false],
    ["fd00:ec2::254", false],
    ["fec0::1", false],
    ["2001::1", false],
    ["100::1", false],
    ["nonsense:", false]
  ]
  for (const [address, expected] of addresses) {
    it(`is ${expected ? "" : "not "}public: ${address}`, () => assert.strictEqual(Urls.isPublicAddress(address), expected))
  }
})
