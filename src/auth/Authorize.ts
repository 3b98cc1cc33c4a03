/**
 * How a user is asked: somebody leads them to a URL and brings back the URL
 * their browser was sent to. By default nobody does; then a server that wants a
 * login fails with `NeedsAuthorization`, which has the URL.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"

/** Why there is no answer. */
export class NotAuthorized extends Data.TaggedError("NotAuthorized")<{
  readonly detail: string
}> {}

/** Nobody is here to ask. */
export class Unattended extends Data.TaggedError("Unattended")<{}> {}

export interface Question {
  /** The server that wants the login: origin and path. */
  readonly server: string
  /** Where the config wants the answer to come back to. */
  readonly redirectUri: string | undefined
  /** Whose login it is; `undefined` for nobody in particular. */
  readonly principal: string | undefined
}

/** Ready to hear the answer. */
export interface Listening {
  /** Where the browser is sent back to; known, and listened at, before the authorization server is told. */
  readonly redirectUri: string
  /**
   * Leads the user to `url`, and gives the URL they were sent back to. An
   * answer with another state is none.
   */
  readonly ask: (url: URL, state: string) => Effect.Effect<URL, NotAuthorized | Unattended>
}

export interface Authorize {
  /** Gets ready. What it takes is released with the scope, once the answer is there. */
  readonly begin: (question: Question) => Effect.Effect<Listening, NotAuthorized, Scope.Scope>
}

const withoutPort = "http://127.0.0.1/callback"

/** The user has to go to the URL by themselves. */
export const nobody: Authorize = {
  begin: ({ redirectUri = withoutPort }) => Effect.succeed({ redirectUri, ask: () => Effect.fail(new Unattended()) })
}

/** Who asks the user. Default: nobody. */
export const Authorize: Context.Reference<Authorize> = Context.Reference<Authorize>("mcp-connect/Authorize", {
  defaultValue: () => nobody
})

/** The answer in what a user pasted, if it is one to this question. */
const read = (text: string, state: string): Effect.Effect<URL, NotAuthorized> => {
  const url = URL.parse(text.trim())
  return url === null
    ? Effect.fail(new NotAuthorized({ detail: "expected the whole URL of the page the browser ended at" }))
    : url.searchParams.get("state") !== state
    ? Effect.fail(new NotAuthorized({ detail: "the URL is not the answer to this login; start it again" }))
    : Effect.succeed(url)
}

/**
 * For places without a browser: shows the URL, and takes the one that a browser
 * elsewhere was sent back to, where nothing has to listen.
 *
 * ```ts
 * const Paste = Authorize.layerPaste((url) => Effect.andThen(Console.log(`Open ${url}`), readLine))
 * ```
 */
export const layerPaste = (
  prompt: (url: string, question: Question) => Effect.Effect<string, NotAuthorized>
): Layer.Layer<never> =>
  Layer.succeed(Authorize, {
    begin: (question) =>
      Effect.succeed({
        redirectUri: question.redirectUri ?? withoutPort,
        ask: (url, state) => Effect.flatMap(prompt(url.href, question), (text) => read(text, state))
      })
  })
