/** Clients whose requests end with the scope they are made in. */
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import type * as Scope from "effect/Scope"

export type Scoped = HttpClient.HttpClient.With<HttpClientError, Scope.Scope>

const known = new WeakMap<HttpClient.HttpClient, Scoped>()

/**
 * Tells what to use in place of `HttpClient.withScope(client)`, which costs
 * every request an `AbortController` and, when its scope closes, an error that
 * nobody sees. It has to do the same.
 */
export const register = (client: HttpClient.HttpClient, scoped: Scoped): HttpClient.HttpClient => {
  known.set(client, scoped)
  return client
}

/** `HttpClient.withScope`, or what a platform registered instead. */
export const make = (client: HttpClient.HttpClient): Scoped => known.get(client) ?? HttpClient.withScope(client)
