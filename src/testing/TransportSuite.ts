/**
 * What every server does for every client, however it is reached: one suite of
 * tests for any transport, with the real client on it. The library's own
 * transports are held to the same. Apart from the other testing tools, because
 * it registers its tests with vitest.
 */
import { layer as shared } from "@effect/vitest"
import type * as Layer from "effect/Layer"
import type { Transport } from "../Transport.ts"
import * as Calls from "./suite/calls.ts"
import type { Capabilities } from "./suite/capabilities.ts"
import * as Ends from "./suite/ends.ts"
import { fixture } from "./suite/fixture.ts"
import { prover } from "./suite/prover.ts"
import * as Server from "./suite/server.ts"

export type { Capabilities, Faults, Feature } from "./suite/capabilities.ts"

/**
 * Registers the suite, as `describe` does. `layer` gives a `Transport` to a
 * server with the fixture below; it is built once and shared by all tests but
 * those that break the server, which get one of their own.
 *
 * The clock is the real one, and nothing waits for time to pass: what a test
 * waits for is told by the server.
 *
 * The fixture is a contract. {@link fixture} serves it by a constructor of
 * `MockServer`, such as `MockServer.layerTransport`; any other server will do
 * that has it:
 *
 * - instructions `A fixture: every tool is harmless.`
 * - tools: `echo {text}` gives the text; `add {a, b}` gives `{sum}`, structured
 *   and with an output schema; `fail {message}` a result with `isError`;
 *   `slow {label, steps, millis}` tells progress 1, 2, … after each step of so
 *   many milliseconds, gives `LABEL: done`, stops when cancelled; `running` and
 *   `cancelled` give the `{labels}` of such `slow` calls of all clients;
 *   `ask {question}` asks for a form with `name` and gives `Hello NAME.`;
 *   `sample {prompt}` gives `MODEL: CONTENT as JSON`; `roots` gives `{uris}`,
 *   structured; `log {level, text}` logs; `touch {uri}` tells that a resource was
 *   updated; `toggle {kind}` adds or removes a `tool`, `prompt` or `resource`
 *   named `extra`, so that its list changes
 * - resources, two a page: `memo://1` to `memo://5` with the text
 *   `This is memo://N`; `memo://binary` with the bytes 00 01 fe ff; the template
 *   `memo://{name}`, with an error for `memo://missing`
 * - prompt `greet {name, style?}`: `Greet NAME, STYLE`; `style` completes to
 *   formal, friendly and funny
 *
 * **Example**
 *
 * ```ts
 * TransportSuite("my transport", TransportSuite.fixture(MockServer.layerTransport), {
 *   revision: "2026-07-28",
 *   faults: { dies: () => Effect.flatMap(MockServer.MockServer, (server) => server.disconnect()) }
 * })
 * ```
 */
export const TransportSuite: {
  <R, E>(name: string, layer: Layer.Layer<R | Transport, E>, capabilities: Capabilities<R>): void
  readonly fixture: typeof fixture
} = Object.assign(
  <R, E>(name: string, layer: Layer.Layer<R | Transport, E>, capabilities: Capabilities<R>): void => {
    shared(layer, { excludeTestServices: true, timeout: "60 seconds" })(name, (it) => {
      const proves = prover(it.effect, layer, capabilities)
      Calls.register(proves, capabilities)
      Server.register(proves, capabilities)
      Ends.register(proves, capabilities)
    })
  },
  { fixture }
)
