/** The server that the behaviour suite talks to, as a declaration. Every tool is harmless. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { loggingLevels } from "../../protocol/McpSchema.ts"
import * as MockServer from "../MockServer.ts"

const names = ["1", "2", "3", "4", "5"]
const styles = ["formal", "friendly", "funny"]
const Labels = Schema.Struct({ labels: Schema.Array(Schema.String) })
const nothing = Schema.Struct({})

/** What comes and goes. */
const extras = {
  tool: { add: { tools: { extra: () => Effect.succeed("extra") } }, remove: { tools: { extra: undefined } } },
  prompt: { add: { prompts: { extra: () => Effect.succeed("extra") } }, remove: { prompts: { extra: undefined } } },
  resource: {
    add: { resources: { "memo://extra": "This is memo://extra" } },
    remove: { resources: { "memo://extra": undefined } }
  }
}

const make = () => {
  const running = new Set<string>()
  const cancelled: Array<string> = []
  const present = new Set<keyof typeof extras>()
  let server: MockServer.MockServer["Service"] | undefined
  const act = <A>(use: (server: MockServer.MockServer["Service"]) => Effect.Effect<A>) =>
    Effect.suspend(() => server === undefined ? Effect.die(new Error("The fixture is not served yet")) : use(server))

  const declaration = {
    instructions: "A fixture: every tool is harmless.",
    tools: {
      echo: MockServer.tool({
        description: "Returns the text",
        input: Schema.Struct({ text: Schema.String }),
        run: ({ text }) => Effect.succeed(text)
      }),
      add: MockServer.tool({
        description: "Adds two numbers",
        input: Schema.Struct({ a: Schema.Finite, b: Schema.Finite }),
        output: Schema.Struct({ sum: Schema.Finite }),
        run: ({ a, b }) => Effect.succeed({ sum: a + b })
      }),
      fail: MockServer.tool({
        description: "Fails",
        input: Schema.Struct({ message: Schema.String }),
        run: ({ message }) => Effect.fail(message)
      }),
      slow: MockServer.tool({
        description: "Takes its time",
        input: Schema.Struct({ label: Schema.String, steps: Schema.Int, millis: Schema.Int }),
        run: ({ label, millis, steps }, call) =>
          Effect.gen(function*() {
            running.add(label)
            for (let progress = 1; progress <= steps; progress++) {
              yield* Effect.sleep(Duration.millis(millis))
              yield* call.progress({ progress, total: steps, message: `${label}: step ${progress}` })
            }
            return `${label}: done`
          }).pipe(
            Effect.onInterrupt(() => Effect.sync(() => cancelled.push(label))),
            Effect.ensuring(Effect.sync(() => running.delete(label)))
          )
      }),
      running: MockServer.tool({
        description: "Which slow calls are running",
        input: nothing,
        output: Labels,
        run: () => Effect.sync(() => ({ labels: [...running] }))
      }),
      cancelled: MockServer.tool({
        description: "Which slow calls were cancelled",
        input: nothing,
        output: Labels,
        run: () => Effect.sync(() => ({ labels: [...cancelled] }))
      }),
      ask: MockServer.tool({
        description: "Asks for a name",
        input: Schema.Struct({ question: Schema.String }),
        run: ({ question }, call) =>
          Effect.map(
            call.elicit({ message: question, schema: Schema.Struct({ name: Schema.String }) }),
            (answer) => answer.action === "accept" ? `Hello ${answer.content.name}.` : `No name: ${answer.action}`
          )
      }),
      sample: MockServer.tool({
        description: "Asks the client's model",
        input: Schema.Struct({ prompt: Schema.String }),
        run: ({ prompt }, call) =>
          Effect.map(
            call.sample({ messages: [{ role: "user", content: { type: "text", text: prompt } }], maxTokens: 100 }),
            ({ content, model }) => `${model}: ${JSON.stringify(content)}`
          )
      }),
      roots: MockServer.tool({
        description: "Lists the client's roots",
        input: nothing,
        output: Schema.Struct({ uris: Schema.Array(Schema.String) }),
        run: (_, call) => Effect.map(call.roots, (roots) => ({ uris: roots.map(({ uri }) => uri) }))
      }),
      log: MockServer.tool({
        description: "Sends a log message",
        input: Schema.Struct({ level: Schema.Literals(loggingLevels), text: Schema.String }),
        run: ({ level, text }, call) => Effect.as(call.log(level, text, "fixture"), "logged")
      }),
      touch: MockServer.tool({
        description: "Tells that a resource was updated",
        input: Schema.Struct({ uri: Schema.String }),
        run: ({ uri }) => Effect.as(act((server) => server.resourceUpdated(uri)), "touched")
      }),
      toggle: MockServer.tool({
        description: "Makes a list change",
        input: Schema.Struct({ kind: Schema.Literals(["tool", "prompt", "resource"]) }),
        run: ({ kind }) =>
          Effect.suspend(() => {
            const added = !present.delete(kind)
            if (added) present.add(kind)
            return Effect.as(
              act((server) => server.update(added ? extras[kind].add : extras[kind].remove)),
              added ? "added" : "removed"
            )
          })
      })
    },
    resources: {
      ...Object.fromEntries(names.map((name) => [`memo://${name}`, `This is memo://${name}`])),
      "memo://binary": () => Effect.succeed([{ uri: "memo://binary", blob: "AAH+/w==" }])
    },
    templates: {
      "memo://{name}": {
        read: ({ name = "" }) =>
          name === "missing"
            ? Effect.fail(new MockServer.JsonRpcError({ code: -32602, message: "No such memo" }))
            : Effect.succeed(`This is memo://${name}`),
        complete: { name: (value) => Effect.succeed(names.filter((name) => name.startsWith(value))) }
      }
    },
    prompts: {
      greet: {
        description: "Greets someone",
        arguments: [{ name: "name", required: true }, { name: "style" }],
        get: ({ name, style }) => Effect.succeed(`Greet ${name}${style === undefined ? "" : `, ${style}`}`),
        complete: { style: (value) => Effect.succeed(styles.filter((style) => style.startsWith(value))) }
      }
    }
  } satisfies MockServer.Declaration

  return {
    declaration: declaration as MockServer.Declaration,
    attach: (made: MockServer.MockServer["Service"]) => {
      server = made
    }
  }
}

/** Serves the fixture by a constructor of `MockServer`; see `TransportSuite.fixture`. */
export const fixture = <A, E, R>(
  serve: (declaration: MockServer.Declaration, options: MockServer.Options) => Layer.Layer<A | MockServer.MockServer, E, R>
): Layer.Layer<A | MockServer.MockServer, E, R> =>
  Layer.unwrap(Effect.sync(() => {
    const { attach, declaration } = make()
    const attached = Layer.effectDiscard(Effect.map(MockServer.MockServer, attach))
    return Layer.provideMerge(attached, serve(declaration, { pageSize: 2 }))
  }))
