import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Terminal from "effect/Terminal"
import * as Elicit from "../../src/cli/elicit.ts"
import { Screen } from "../../src/cli/screen.ts"
import * as Style from "../../src/cli/style.ts"
import * as Elicitation from "../../src/Elicitation.ts"
import type * as McpSchema from "../../src/protocol/McpSchema.ts"

type Key = "enter" | "down" | "tab" | "space" | "escape" | { readonly text: string }

const inputs = (keys: ReadonlyArray<Key>): ReadonlyArray<Terminal.UserInput> =>
  keys.flatMap((key) =>
    typeof key === "string"
      ? [{ input: Option.none(), key: { name: key, ctrl: false, meta: false, shift: false } }]
      : Array.from(key.text, (character) => ({
        input: Option.some(character),
        key: { name: character, ctrl: false, meta: false, shift: false }
      }))
  )

/** A person who has typed these keys, at a terminal that remembers what it showed. */
const person = Effect.fnUntraced(function*(...keys: ReadonlyArray<Key>) {
  const typed = yield* Queue.unbounded<Terminal.UserInput, Cause.Done>()
  for (const input of inputs(keys)) {
    // Esc ends the input of one question, as the real terminal does it.
    if (input.key.name === "escape") yield* Queue.end(typed)
    else yield* Queue.offer(typed, input)
  }
  const shown: Array<string> = []
  const show = (text: string) => Effect.sync(() => void shown.push(text))
  const terminal = Terminal.make({
    columns: Effect.succeed(80),
    rows: Effect.succeed(24),
    size: Effect.die("not asked for"),
    readLine: Effect.die("not asked for"),
    readInput: Effect.succeed(typed),
    display: show
  })
  const screen = Screen.of({
    columns: 80,
    style: Style.make(false),
    isInteractive: true,
    draw: undefined,
    print: show,
    note: show,
    status: () => Effect.void,
    withoutStatus: (effect) => effect
  })
  const layer = Elicit.layer.pipe(
    Layer.provide(Layer.mergeAll(
      NodeServices.layer,
      Layer.succeed(Terminal.Terminal, terminal),
      Layer.succeed(Screen, screen)
    ))
  )
  return { layer, shown: () => shown.join("\n") }
})

const schema: McpSchema.ElicitationSchema = {
  type: "object",
  properties: {
    name: { type: "string", title: "Your name", minLength: 2 },
    age: { type: "integer", minimum: 1 },
    news: { type: "boolean", default: true },
    colour: { type: "string", oneOf: [{ const: "r", title: "Red" }, { const: "g", title: "Green" }] },
    days: { type: "array", items: { type: "string", enum: ["mo", "tu"] } }
  },
  required: ["name", "colour"]
}

const form = (request: Partial<Elicitation.FormRequest> = {}) =>
  Elicitation.Elicitation.use(({ form }) => {
    assert(form !== undefined)
    return form({ server: "files", message: "Who are you?", schema, defaults: {}, ...request })
  })

const visit = (url: string) =>
  Elicitation.Elicitation.use((handlers) => {
    assert(handlers.url !== undefined)
    return handlers.url({ server: "files", message: "Please sign in", url })
  })

describe("a form", () => {
  it.effect("can be declined, cancelled, or left with Esc", () =>
    Effect.gen(function*() {
      const answers = yield* Effect.forEach([["down", "enter"], ["down", "down", "enter"], ["escape"]] as const, (keys) =>
        Effect.flatMap(person(...keys), ({ layer }) => Effect.provide(form(), layer)))
      assert.deepStrictEqual(answers, [{ action: "decline" }, { action: "cancel" }, { action: "cancel" }])
    }))

  it.effect("left in the middle gives nothing away", () =>
    Effect.gen(function*() {
      const { layer } = yield* person("enter", { text: "Ada" }, "enter", "escape")
      assert.deepStrictEqual(yield* Effect.provide(form(), layer), { action: "cancel" })
    }))

  it.effect("says which server asks", () =>
    Effect.gen(function*() {
      const { layer, shown } = yield* person("escape")
      yield* Effect.provide(form(), layer)
      assert.include(shown(), "The server \"files\" asks: Who are you?")
    }))

  it.effect("is filled in, one field after another, each with a value of its kind", () =>
    Effect.gen(function*() {
      const { layer } = yield* person(
        "enter",
        { text: "Ada" },
        "enter",
        { text: "36" },
        "enter",
        "enter",
        "down",
        "enter",
        "enter"
      )
      assert.deepStrictEqual(yield* Effect.provide(form(), layer), {
        action: "accept",
        content: { name: "Ada", age: 36, news: true, colour: "g", days: [] }
      })
    }))

  it.effect("leaves out what is optional and not given", () =>
    Effect.gen(function*() {
      const { layer } = yield* person("enter", { text: "Ada" }, "enter", "enter", "tab", "enter", "enter", "enter")
      assert.deepStrictEqual(yield* Effect.provide(form(), layer), {
        action: "accept",
        content: { name: "Ada", news: false, colour: "r", days: [] }
      })
    }))

  it.effect("asks again for a value that does not fit", () =>
    Effect.gen(function*() {
      const { properties: { name, age } } = schema
      assert(name !== undefined && age !== undefined)
      const { layer, shown } = yield* person(
        "enter",
        "enter",
        { text: "A" },
        "enter",
        { text: "da" },
        "enter",
        { text: "x" },
        "enter",
        "escape"
      )
      yield* Effect.provide(form({ schema: { type: "object", properties: { name, age }, required: ["name"] } }), layer)
      assert.match(shown(), /name: .*at least 2/)
      assert.include(shown(), "age: must be a number")
    }))

  it.effect("shows nothing of the server that a terminal would act on", () =>
    Effect.gen(function*() {
      const evil = "\u001b]0;x\u0007\u009b2J"
      const { layer, shown } = yield* person("enter", "escape")
      yield* Effect.provide(
        form({
          message: evil,
          schema: { type: "object", properties: { [evil]: { type: "string", title: evil, description: evil, default: evil } } }
        }),
        layer
      )
      assert.notInclude(shown(), "\u001b]0;")
      assert.notInclude(shown(), "\u009b")
    }))
})

describe("a page to visit", () => {
  it.effect("is shown with its whole address, and never opened", () =>
    Effect.gen(function*() {
      const { layer, shown } = yield* person("enter")
      const url = `https://example.com/${"long/".repeat(100)}?state=1`
      assert.deepStrictEqual(yield* Effect.provide(visit(url), layer), { action: "accept" })
      assert.include(shown(), url)
    }))

  it.effect("shows the host that is meant, however it is written", () =>
    Effect.gen(function*() {
      const { layer, shown } = yield* person("escape")
      assert.deepStrictEqual(yield* Effect.provide(visit("https://аpple.com/"), layer), { action: "cancel" })
      assert.include(shown(), "https://xn--pple-43d.com/")
    }))
})
