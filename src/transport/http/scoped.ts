/** Clients whose requests end with the scope they are made in, and what a platform has that is less than a client. */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import type { HttpMethod } from "effect/http/HttpMethod"
import * as Scope from "effect/Scope"

export type Scoped = HttpClient.HttpClient.With<HttpClientError, Scope.Scope>

/** All that a request of a transport consists of. */
export interface Request {
  readonly method: HttpMethod
  readonly url: URL
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | undefined
}

export const toHttp = ({ body, headers, method, url }: Request): HttpClientRequest.HttpClientRequest =>
  HttpClientRequest.make(method)(url.href, {
    headers,
    body: body === undefined ? HttpBody.empty : HttpBody.uint8Array(body, headers["content-type"])
  })

/** An answer, of which some platforms know whether it is complete. */
export interface Answer extends HttpClientResponse {
  /** The body, if all of it is here. */
  readonly whole?: () => { readonly text: string; readonly bytes: number } | undefined
}

/** The beginning of an answer, or why there is none. */
export type Head = Exit.Exit<Answer, HttpClientError>

/**
 * Makes a request at once. `answered` is called later, unless the request is
 * given up before: what is returned does that, and breaks off an answer that
 * is not read to its end.
 */
export type Start = (request: Request, answered: (head: Head) => void) => () => void

/** An answer as long as the scope is open. */
export const run = (start: Start, request: Request): Effect.Effect<HttpClientResponse, HttpClientError, Scope.Scope> =>
  Effect.flatMap(Effect.scope, (scope) => {
    let giveUp: (() => void) | undefined
    return Effect.andThen(
      Scope.addFinalizer(scope, Effect.sync(() => giveUp?.())),
      Effect.callback<HttpClientResponse, HttpClientError>((resume) => {
        giveUp = start(request, resume)
      })
    )
  })

export interface Registered {
  /**
   * Used in place of `HttpClient.withScope(client)`, which costs every request
   * an `AbortController` and, when its scope closes, an error that nobody sees.
   * It has to do the same.
   */
  readonly scoped: Scoped
  /** The shortest way there is for that request, and for the others of the same fiber. */
  readonly start: (request: Request) => Effect.Effect<Start | undefined, HttpClientError>
}

/** What a decorated client would do with one request. */
export interface Addition {
  readonly headers: Readonly<Record<string, string>>
  /** Whether the client would not take this answer: the request is then made again, through it. */
  readonly refuses: (answer: Answer) => boolean
}

/** `undefined` while the client would have to wait for something first. */
export type Shortcut = (url: URL) => Addition | undefined

export type Decorate = (client: Scoped) => Scoped

export const nothing: Addition = { headers: {}, refuses: () => false }

const none: Shortcut = () => nothing

const shortcuts = new WeakMap<Decorate, Shortcut>()

/** Tells what decorating a client comes down to where nothing has to be waited for. */
export const registerShortcut = <D extends Decorate>(decorate: D, shortcut: Shortcut): D => {
  shortcuts.set(decorate, shortcut)
  return decorate
}

/** `undefined` where each request has to go through the client that is decorated. */
export const shortcut = (decorate: Decorate | undefined): Shortcut | undefined =>
  decorate === undefined ? none : shortcuts.get(decorate)

const known = new WeakMap<HttpClient.HttpClient, Registered>()

/** Tells what a platform has for transports. */
export const register = (client: HttpClient.HttpClient, registered: Registered): HttpClient.HttpClient => {
  known.set(client, registered)
  return client
}

/** `HttpClient.withScope`, or what a platform registered instead. */
export const make = (client: HttpClient.HttpClient): Scoped => known.get(client)?.scoped ?? HttpClient.withScope(client)

/** `undefined` where the client is all there is. */
export const start = (client: HttpClient.HttpClient, request: Request): ReturnType<Registered["start"]> =>
  known.get(client)?.start(request) ?? Effect.undefined
