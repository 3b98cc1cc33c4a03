/** Leads the person at the terminal to a page where they log in. */
import * as Effect from "effect/Effect"
import type * as Duration from "effect/Duration"
import * as Layer from "effect/Layer"
import { layerPaste, NotAuthorized } from "../auth/Authorize.ts"
import * as Browser from "../node/browser.ts"
import { Screen } from "./screen.ts"
import * as Stdin from "./stdin.ts"
import { oneLine } from "./text.ts"

interface Options {
  /** How long a user may take. Default 5 minutes. */
  readonly timeout?: Duration.Duration | undefined
}

/** With the browser of this machine. The page is shown as text as well: the browser may be another one's, or none. */
export const browser = (options: Options = {}): Layer.Layer<never, never, Screen> =>
  Layer.unwrap(Effect.map(Screen, ({ note, status }) =>
    Browser.layerBrowser({
      ...options,
      open: (url, { server }) =>
        Effect.gen(function*() {
          yield* note(`Log in to ${oneLine(server)} in your browser. If it does not open, visit this page:\n  ${url.href}`)
          yield* Effect.catch(Browser.open(url), ({ detail }) => Effect.logWarning(detail))
          yield* status("waiting for the login")
        })
    })))

/** With a browser elsewhere, whose last address is typed in here. */
export const paste = (options: Options = {}): Layer.Layer<never, never, Screen | Stdin.Environment> =>
  Layer.unwrap(Effect.gen(function*() {
    const { note } = yield* Screen
    const context = yield* Effect.context<Stdin.Environment>()
    return layerPaste((url, { server }) =>
      note(
        `Log in to ${oneLine(server)} on this page:\n  ${url}\n` +
          "Then paste the whole address of the page your browser ends at, though it shows an error:"
      ).pipe(
        Effect.andThen(Stdin.readLine),
        Effect.provideContext(context),
        Effect.mapError(() => new NotAuthorized({ detail: "stdin cannot be read" })),
        Effect.timeoutOrElse({
          duration: options.timeout ?? "5 minutes",
          orElse: () => Effect.fail(new NotAuthorized({ detail: "nobody has logged in in time" }))
        })
      )
    )
  }))
