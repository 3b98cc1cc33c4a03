/** A browser on this machine, and a server on loopback that it is sent back to (RFC 8252). */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import type * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Scope from "effect/Scope"
import { type Authorize, NotAuthorized, type Question } from "./Authorize.ts"

export interface Options {
  /** Shows the user the page. Not through a shell: the URL is a stranger's. */
  readonly open: (url: URL, question: Question) => Effect.Effect<void, NotAuthorized>
  /** A server on this port of the loopback interface; 0 for any that is free. */
  readonly listen: (port: number) => Effect.Effect<HttpServer.HttpServer["Service"], NotAuthorized, Scope.Scope>
  /** How long the user may take. Default 5 minutes. */
  readonly timeout?: Duration.Input | undefined
}

const page = (title: string, text: string, status: number): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(
    `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title}</title><style>body{font:1.1rem/1.5 system-ui;margin:20vh auto;max-width:32rem;padding:0 1rem}</style>
<h1>${title}</h1><p>${text}</p></html>
`,
    {
      status,
      contentType: "text/html; charset=utf-8",
      headers: {
        // The address of this page has the code in it.
        "cache-control": "no-store",
        connection: "close",
        "referrer-policy": "no-referrer",
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"
      }
    }
  )

const done = page("You are logged in", "The program that asked has what it needs. You can close this page.", 200)
const refused = page("You are not logged in", "The login was refused or failed. The program that asked says more.", 200)
const unknown = page("This is not a login in progress", "It has ended, or was begun by somebody else. Start it again.", 400)
const absent = page("There is nothing here", "This is only for coming back from a login.", 404)

/** Where to listen: the loopback URI of the config, or any free port. */
const place = (redirectUri: string | undefined): { readonly host: string; readonly port: number; readonly path: string } | undefined => {
  if (redirectUri === undefined) return { host: "127.0.0.1", port: 0, path: "/callback" }
  const url = URL.parse(redirectUri)
  if (url === null || url.protocol !== "http:" || (url.hostname !== "127.0.0.1" && url.hostname !== "localhost")) return undefined
  return { host: url.hostname, port: Number(url.port || "80"), path: url.pathname }
}

/** Asks by way of a browser. Only one answer is taken, and only one that carries the state of the question. */
export const make = ({ listen, open, timeout = "5 minutes" }: Options): Authorize => ({
  begin: Effect.fnUntraced(function*(question) {
    const where = place(question.redirectUri)
    if (where === undefined) {
      return yield* new NotAuthorized({ detail: "expected a redirectUri of this machine, such as http://127.0.0.1:33418/callback" })
    }
    const server = yield* listen(where.port)
    const port = server.address._tag === "UnixPathAddress" ? where.port : server.address.port
    const redirectUri = question.redirectUri ?? `http://${where.host}:${port}${where.path}`
    const answer = yield* Deferred.make<URL>()
    let expected: string | undefined
    const answering = Effect.map(HttpServerRequest.HttpServerRequest, (request) => {
      const url = URL.parse(request.url, redirectUri)
      if (request.method !== "GET" || url === null || url.pathname !== where.path) return absent
      if (expected === undefined || url.searchParams.get("state") !== expected) return unknown
      expected = undefined
      Deferred.doneUnsafe(answer, Effect.succeed(new URL(url.pathname + url.search, redirectUri)))
      return url.searchParams.has("error") ? refused : done
    })
    // A span would tell the code.
    yield* Effect.provideService(server.serve(answering), HttpMiddleware.TracerDisabledWhen, () => true)
    return {
      redirectUri,
      ask: (url, state) =>
        Effect.suspend(() => {
          expected = state
          return Effect.andThen(open(url, question), Deferred.await(answer))
        }).pipe(Effect.timeoutOrElse({
          duration: timeout,
          orElse: () => Effect.fail(new NotAuthorized({ detail: "nobody has logged in in time" }))
        }))
    }
  })
})
