import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Account from "../../auth/Account.ts"
import * as Accounts from "../accounts.ts"
import * as Exit from "../exit.ts"
import * as Flags from "../flags.ts"
import * as Login from "../login.ts"
import { Screen } from "../screen.ts"
import { json } from "../text.ts"

const server = Argument.String("server").pipe(Argument.withDescription("Name of a server in the config"))

export const login = Command.make("login", {
  server,
  scopes: Flag.String("scope").pipe(
    Flag.withDescription("Also ask for this scope, beside those the server and the config name; may be given several times"),
    Flag.atLeast(0)
  ),
  paste: Flag.Boolean("paste").pipe(
    Flag.withDescription("Open nothing and listen nowhere: show the page, and read the address the browser ends at from stdin"),
    Flag.withoutNegation,
    Flag.withDefault(false)
  )
}, Exit.reporting(Effect.fnUntraced(function*({ paste, scopes, server }) {
  const { print, status } = yield* Screen
  const entry = yield* Accounts.entry(server)
  const timeout = Option.getOrUndefined(yield* Flags.timeout)
  yield* status(`asking ${server} how to log in`)
  const account = yield* Accounts.use(entry, (options) => Account.login({ ...options, scopes: [...options.scopes ?? [], ...scopes] })).pipe(
    Effect.provide(paste ? Login.paste({ timeout }) : Login.browser({ timeout })),
    Effect.mapError((error) => error instanceof Exit.Failure ? error : Exit.fromMcpError(error, "unreachable")),
    Effect.ensuring(status(""))
  )
  if (yield* Flags.json) return yield* print(json(Accounts.toJson(server, account)))
  yield* Effect.logInfo(`logged in to ${server} at ${account.issuer}`)
}, Effect.scoped))).pipe(
  Command.withDescription(
    "Log in to a server, in the browser; --timeout is how long you may take, 5m by default. " +
      "All commands use the token, which is kept in files that only you can read"
  ),
  Command.withShortDescription("Log in to a server")
)

export const logout = Command.make("logout", { server }, Exit.reporting(Effect.fnUntraced(function*({ server }) {
  const revoked = yield* Accounts.use(yield* Accounts.entry(server), Account.logout)
  yield* revoked === undefined
    ? Effect.logInfo(`nobody is logged in to ${server}`)
    : revoked
    ? Effect.logInfo(`logged out of ${server}`)
    : Effect.logWarning(`the token for ${server} is removed here, but its authorization server has not taken it back`)
}, Effect.scoped))).pipe(
  Command.withDescription("Log out of a server: its authorization server takes the tokens back, where it can, and they are removed here"),
  Command.withShortDescription("Log out of a server")
)
