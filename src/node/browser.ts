/** Logins with the browser of this machine. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { spawn } from "node:child_process"
import { createServer } from "node:http"
import { Authorize, NotAuthorized } from "../auth/Authorize.ts"
import * as Loopback from "../auth/loopback.ts"
import { codesOf } from "../internal/networkFailure.ts"

/** The system's own way to show a page, as a program and its arguments: a URL is a stranger's text and no shell sees it. */
const opener = (url: string): readonly [command: string, args: ReadonlyArray<string>] => {
  switch (process.platform) {
    case "darwin":
      return ["open", [url]]
    case "win32":
      return ["rundll32", ["url.dll,FileProtocolHandler", url]]
    default:
      return ["xdg-open", [url]]
  }
}

/** Shows a page in the browser of this machine. */
export const open = ({ href }: URL): Effect.Effect<void, NotAuthorized> =>
  Effect.callback((resume) => {
    const [command, args] = opener(href)
    // Lives on without this program, and says nothing on its terminal.
    const child = spawn(command, args, { stdio: "ignore", detached: true })
    child.once("spawn", () => resume(Effect.void))
    child.once("error", () => resume(Effect.fail(new NotAuthorized({ detail: `no browser can be opened: ${command} cannot be started` }))))
    child.unref()
  })

const listenOnLoopback: Loopback.Options["listen"] = Effect.fnUntraced(function*(port) {
  const NodeHttpServer = yield* Effect.promise(() => import("@effect/platform-node/NodeHttpServer"))
  const server = createServer()
  const listening = yield* NodeHttpServer.make(() => server, { port, host: "127.0.0.1" }).pipe(
    Effect.mapError((error) =>
      new NotAuthorized({
        detail: `port ${port} of this machine cannot be listened at${
          codesOf(error).includes("EADDRINUSE") ? ": another program does, perhaps another login" : ""
        }`
      })
    )
  )
  // Browsers hold connections in reserve; the page they were sent is away by then.
  const closeAll = Effect.delay(Effect.sync(() => server.closeAllConnections()), "500 millis")
  yield* Effect.addFinalizer(() => Effect.forkDetach(closeAll))
  return listening
})

/** What can be chosen about logins. */
export type BrowserOptions = Partial<Omit<Loopback.Options, "listen">>

/** See `NodeMcp.layerBrowser`. */
export const layerBrowser = (options: BrowserOptions = {}): Layer.Layer<never> =>
  Layer.succeed(Authorize, Loopback.make({ open, ...options, listen: listenOnLoopback }))
