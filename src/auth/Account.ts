/**
 * Logging in and out of one server, apart from its use: what the commands
 * `login`, `logout` and `whoami` do.
 *
 * ```ts
 * const who = yield* Account.login({ url: "https://example.com/mcp" })
 * yield* Console.log(`logged in at ${who.issuer}`)
 * ```
 */
import * as Effect from "effect/Effect"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import { undelivered } from "../internal/networkFailure.ts"
import * as McpError from "../McpError.ts"
import * as Challenge from "./challenge.ts"
import type { Credential } from "./Credential.ts"
import { Problem } from "./Problem.ts"
import * as Scopes from "./scopes.ts"
import * as Source from "./source.ts"
import type { Key } from "./TokenStore.ts"
import * as Wire from "./wire.ts"

export interface Options extends Source.Options {
  /** What its requests carry besides, where a server wants more of those who ask how to log in. It is sent to that server only. */
  readonly headers?: Readonly<Record<string, Redacted.Redacted<string>>> | undefined
}

/** What is kept for a server. No token is among it. */
export interface Account {
  readonly issuer: string
  /** The identifier the token is for. */
  readonly resource: string
  /** Empty for nobody in particular. */
  readonly principal: string
  /** As the client is known to the issuer. */
  readonly clientId: string
  readonly scopes: ReadonlyArray<string>
  /** Milliseconds since 1970; absent where the issuer does not say. */
  readonly expiresAt?: number
  /** Whether it is renewed without asking anybody. */
  readonly renewable: boolean
}

const toAccount = (source: Source.Source, key: Key, credential: Credential): Account => ({
  ...key,
  clientId: credential.clientId,
  scopes: [...Scopes.parse(credential.granted ?? credential.requested)],
  ...(credential.expiresAt === undefined ? {} : { expiresAt: credential.expiresAt }),
  renewable: source.isRenewable(credential)
})

/** How a server asks for authorization: for what is asked of it first, or what is sent to it. */
const challenge = Effect.fnUntraced(function*({ server, shown }: Source.Source, own: Options["headers"] = {}) {
  // What is open for events is closed again.
  const client = HttpClient.withScope(yield* HttpClient.HttpClient)
  const headers = { accept: "application/json, text/event-stream", ...Record.map(own, Redacted.value) }
  const requests = [
    HttpClientRequest.get(server.href, { headers }),
    HttpClientRequest.post(server.href, { headers, body: HttpBody.text("{}", "application/json") })
  ]
  for (const request of requests) {
    const wanted = yield* client.execute(request).pipe(
      Effect.map(({ headers, status }) => status === 401 || status === 403 ? Challenge.wanted(headers["www-authenticate"]) : undefined),
      Effect.timeoutOrElse({ duration: "30 seconds", orElse: () => Effect.fail(undefined) }),
      Effect.mapError((error) => {
        const known = undelivered(error)
        return McpError.make(
          new McpError.Unreachable({ url: shown, delivered: known === undefined, detail: known ?? "it does not answer" })
        )
      }),
      Effect.scoped,
      Wire.quietly
    )
    if (wanted !== undefined) return wanted
  }
  return Challenge.wanted(undefined)
})

/**
 * Gets a new token, whatever is there: asks the user by `Authorize`, or does
 * what the grant does instead. Fails with `NeedsAuthorization` where nobody
 * asks, with `Unauthorized`, which has the reason, or with `Unreachable`. An
 * interrupted login leaves what was there.
 */
export const login = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<Account, McpError.McpError, HttpClient.HttpClient> {
  const source = yield* Source.make(options)
  const wanted = yield* challenge(source, options.headers)
  return yield* Effect.gen(function*() {
    const rejected = yield* source.load
    const outcome = yield* source.obtain({ rejected, wanted, refreshable: false })
    const kept = yield* source.kept
    if (outcome !== undefined && kept !== undefined) return toAccount(source, kept.key, outcome.credential)
    return yield* new Problem({ stage: "discovery", detail: "it has nothing of OAuth, or wants no login" })
  }).pipe(Effect.mapError((error) => McpError.make(Source.toReason(source, error))))
})

/**
 * Takes tokens back where the authorization server can, and removes them; the
 * registration of the client stays. `undefined` when there is nothing to
 * remove, else whether they were taken back. Fails with `Unauthorized` when the
 * store cannot be used.
 */
export const logout = Effect.fnUntraced(function*(
  options: Source.Options
): Effect.fn.Return<boolean | undefined, McpError.McpError, HttpClient.HttpClient> {
  const source = yield* Source.make(options)
  return yield* Effect.mapError(source.end, (error) => McpError.make(Source.toReason(source, error)))
})

/** What is kept for a server; asks nobody. Fails with `Unauthorized` when the store cannot be used. */
export const find = Effect.fnUntraced(function*(
  options: Source.Options
): Effect.fn.Return<Account | undefined, McpError.McpError, HttpClient.HttpClient> {
  const source = yield* Source.make(options)
  const kept = yield* Effect.mapError(source.kept, (error) => McpError.make(Source.toReason(source, error)))
  return kept === undefined ? undefined : toAccount(source, kept.key, kept.credential)
})
