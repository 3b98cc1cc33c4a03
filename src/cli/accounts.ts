/** From the name of a server to what is kept for it. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type * as Account from "../auth/Account.ts"
import * as Entry from "../auth/entry.ts"
import * as McpConfig from "../McpConfig.ts"
import * as McpError from "../McpError.ts"
import * as HttpClients from "../transport/http/HttpClients.ts"
import * as Connect from "./connect.ts"
import * as Exit from "./exit.ts"

/** The entry of that name. */
export const entry = Effect.fnUntraced(function*(name: string) {
  return yield* McpConfig.get(yield* Connect.config, name)
})

/** How tokens for an entry are got; `undefined` for one that needs none or has its own. */
export const options = Effect.fnUntraced(function*(entry: McpConfig.Entry) {
  const config = yield* McpConfig.resolve(entry)
  const options = Entry.optionsOf(config)
  return options === undefined || (config._tag !== "Http" && config._tag !== "WebSocket") ? undefined : { config, options }
})

/** Runs what is for an account, on the way the server is reached. */
export const use = Effect.fnUntraced(function*<A, R>(
  entry: McpConfig.Entry,
  run: (options: Account.Options) => Effect.Effect<A, McpError.McpError, R>
) {
  const found = yield* options(entry)
  if (found === undefined) {
    return yield* Exit.usage(
      `There is no login to "${entry.name}": ${
        entry.config._tag === "Http" || entry.config._tag === "WebSocket"
          ? "its entry says by itself who you are"
          : "only servers over HTTP and WebSocket have one"
      }`
    )
  }
  const client = yield* HttpClients.get(found.config)
  return yield* run({ ...found.options, headers: found.config.headers }).pipe(
    Effect.provideService(HttpClient.HttpClient, client),
    Effect.mapError(({ reason }) => McpError.make(reason, entry.name))
  )
})

export const toJson = (server: string, { clientId, expiresAt, issuer, principal, renewable, resource, scopes }: Account.Account): unknown => ({
  server,
  issuer,
  resource,
  principal,
  clientId,
  scopes,
  expiresAt: expiresAt === undefined ? null : DateTime.formatIso(DateTime.makeUnsafe(expiresAt)),
  renewable
})
