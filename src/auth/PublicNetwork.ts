/**
 * Whether requests may only go to addresses that everybody can reach. What a
 * name leads to is known where connections are made: a client that heeds this
 * looks at the very address it connects to, so that nothing can change in
 * between. The clients of `NodeMcp.layer` do, except behind a proxy, which looks
 * names up by itself; for others names are taken as they are written.
 */
import * as Context from "effect/Context"

/** Set for what a public server leads to; not for requests to the server itself, which the user has chosen. */
export const PublicNetwork: Context.Reference<boolean> = Context.Reference<boolean>("mcp-connect/PublicNetwork", {
  defaultValue: () => false
})

/** The code of the failure of a client that found none but private addresses. */
export const refused = "ERR_PRIVATE_ADDRESS"
