/**
 * Asks the person at the terminal what a server wants to know: fills in its
 * forms, and asks before they visit a page. Who asks is always said (EL-05);
 * a page is never opened from here, its whole address is shown (EL-06).
 */
import * as Prompt from "effect/cli/Prompt"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import * as Elicitation from "../Elicitation.ts"
import * as ElicitationForm from "../protocol/ElicitationForm.ts"
import type * as McpSchema from "../protocol/McpSchema.ts"
import { Screen } from "./screen.ts"
import { oneLine, safe } from "./text.ts"

type Action = Elicitation.UrlAnswer["action"]

const choose = (accept: string) =>
  Prompt.Select<Action>({
    message: "What do you want to do?",
    choices: [
      { title: accept, value: "accept" },
      { title: "Decline", value: "decline" },
      { title: "Cancel", value: "cancel", description: "decide nothing now; Esc does the same" }
    ]
  })

/** What is wrong with the value of one field, as a failure. */
const check = (schema: McpSchema.ElicitationSchema, { name, required }: ElicitationForm.Field) => {
  const properties = Object.fromEntries(Object.entries(schema.properties).filter(([key]) => key === name))
  const alone: McpSchema.ElicitationSchema = { type: "object", properties, required: required ? [name] : [] }
  return (value: McpSchema.FieldValue | undefined): Effect.Effect<void, string> => {
    const [problem] = ElicitationForm.validate(alone, value === undefined ? {} : { [name]: value })
    return problem === undefined ? Effect.void : Effect.fail(oneLine(problem))
  }
}

/** The question for one field. Its answer is `undefined` where the field is left out. */
const ask = (schema: McpSchema.ElicitationSchema, field: ElicitationForm.Field): Prompt.Prompt<McpSchema.FieldValue | undefined> => {
  const { description, kind, required } = field
  const message = oneLine(field.title) +
    (description === undefined ? "" : ` (${oneLine(description)})`) +
    (required || kind._tag === "Boolean" ? "" : " [optional]")
  const validate = check(schema, field)
  const choices = (given: ReadonlyArray<ElicitationForm.Choice>, selected: (value: string) => boolean) =>
    given.map(({ title, value }) => ({ title: oneLine(title), value, selected: selected(value) }))
  /** A line of text, read as a value; nothing typed is no answer. */
  const typed = <A extends McpSchema.FieldValue>(read: (text: string) => A) =>
    Prompt.String({
      message,
      ...(field.default === undefined ? {} : { default: safe(String(field.default)) }),
      validate: (text) => Effect.as(validate(text === "" ? undefined : read(text)), text)
    }).pipe(Prompt.map((text) => text === "" ? undefined : read(text)))
  switch (kind._tag) {
    case "Text":
      return typed((text) => text)
    case "Number":
      return typed(Number)
    case "Boolean":
      return Prompt.Toggle({ message, initial: field.default === true, active: "yes", inactive: "no" })
    case "One": {
      const none = required ? [] : [{ title: "(none)", value: undefined }]
      return Prompt.Select<string | undefined>({
        message,
        choices: [...none, ...choices(kind.choices, (value) => value === field.default)]
      })
    }
    case "Many": {
      const chosen = Array.isArray(field.default) ? field.default : []
      return Prompt.MultiSelect({
        message,
        choices: choices(kind.choices, (value) => chosen.includes(value)),
        ...(kind.minItems === undefined ? {} : { min: kind.minItems }),
        ...(kind.maxItems === undefined ? {} : { max: kind.maxItems })
      })
    }
  }
}

/** Answers servers by asking, one question at a time. */
export const layer: Layer.Layer<Elicitation.Elicitation, never, Screen | Prompt.Environment> = Layer.effect(
  Elicitation.Elicitation,
  Effect.gen(function*() {
    const { print, style, withoutStatus } = yield* Screen
    const context = yield* Effect.context<Prompt.Environment>()
    const turn = yield* Semaphore.make(1)

    /** Esc, or a terminal that is gone, decides nothing. */
    const asking = <A>(question: Effect.Effect<A, unknown, Prompt.Environment>) =>
      question.pipe(
        Effect.catch(() => Effect.as(Effect.ignore(print("")), { action: "cancel" as const })),
        withoutStatus,
        Semaphore.withPermits(turn, 1),
        Effect.provideContext(context)
      )
    const introduce = (server: string, message: string) =>
      print(`${style.bold(`The server "${oneLine(server)}" asks:`)} ${safe(message)}`)

    return {
      form: ({ message, schema, server }) =>
        asking(Effect.gen(function*() {
          yield* introduce(server, message)
          const action = yield* choose("Answer")
          if (action !== "accept") return { action }
          const answers = yield* Effect.forEach(ElicitationForm.fields(schema), (field) =>
            Effect.map(ask(schema, field), (value) => [field.name, value] as const))
          return { action, content: Object.fromEntries(answers.filter(([, value]) => value !== undefined)) }
        })),
      url: ({ message, server, url }) =>
        asking(Effect.gen(function*() {
          const address = new URL(url).href
          yield* introduce(server, message)
          yield* print(`It wants you to visit this page:\n  ${address}`)
          const action = yield* choose("Visit it")
          if (action === "accept") yield* print(`Open it in your browser: ${address}`)
          return { action }
        }))
    }
  })
)
