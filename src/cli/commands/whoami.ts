import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Account from "../../auth/Account.ts"
import * as McpConfig from "../../McpConfig.ts"
import * as Accounts from "../accounts.ts"
import * as Connect from "../connect.ts"
import * as Exit from "../exit.ts"
import * as Flags from "../flags.ts"
import * as Login from "../advice.ts"
import { Screen } from "../screen.ts"
import * as Table from "../table.ts"
import { json, seconds } from "../text.ts"

interface Found {
  readonly server: string
  readonly account: Account.Account
}

const columns: ReadonlyArray<Table.Column> = [
  { title: "NAME", keep: true },
  { title: "ISSUER", keep: true },
  { title: "SCOPES" },
  { title: "EXPIRES" },
  { title: "PRINCIPAL" }
]

const expiry = ({ expiresAt, renewable }: Account.Account, now: number): string =>
  expiresAt === undefined ? "–" : expiresAt > now ? `in ${seconds(expiresAt - now)}` : renewable ? "is renewed" : "expired"

const ofOne = Effect.fnUntraced(function*(server: string) {
  const account = yield* Accounts.use(yield* Accounts.entry(server), Account.find)
  if (account !== undefined) return [{ server, account }]
  return yield* new Exit.Failure({ reason: "unauthorized", message: `Nobody is logged in to "${server}"; log in with: ${Login.command(server)}` })
})

/** Those that cannot be looked at, as with variables that are not set, are told and left out. */
const ofAll = Effect.gen(function*() {
  const config = yield* Connect.config
  const found: Array<Found> = []
  for (const entry of McpConfig.enabled(config)) {
    if (entry.config._tag !== "Http" && entry.config._tag !== "WebSocket") continue
    const account = yield* Effect.gen(function*() {
      return (yield* Accounts.options(entry)) === undefined ? undefined : yield* Accounts.use(entry, Account.find)
    }).pipe(Effect.catch(({ message }) => Effect.as(Effect.logWarning(message), undefined)))
    if (account !== undefined) found.push({ server: entry.name, account })
  }
  return found
})

export const whoami = Command.make("whoami", {
  server: Argument.String("server").pipe(
    Argument.withDescription("Name of a server in the config. Default: all of them"),
    Argument.optional
  )
}, Exit.reporting(Effect.fnUntraced(function*({ server }) {
  const { columns: room, print, style } = yield* Screen
  const name = Option.getOrUndefined(server)
  const found: ReadonlyArray<Found> = name === undefined ? yield* ofAll : yield* ofOne(name)
  if (yield* Flags.json) return yield* print(json(found.map(({ account, server }) => Accounts.toJson(server, account))))
  if (found.length === 0) return yield* Effect.logInfo("nobody is logged in to any of the servers")
  const now = yield* Clock.currentTimeMillis
  const rows = found.map(({ account, server }) => ({
    cells: [server, account.issuer, account.scopes.join(" "), expiry(account, now), account.principal]
  }))
  yield* print(Table.render(columns, rows, { room, heading: style.bold }))
}, Effect.scoped))).pipe(
  Command.withDescription("Show to which servers you are logged in: where, with which scopes, for how long. Never shows a token, and connects to nothing"),
  Command.withShortDescription("Show to which servers you are logged in")
)
