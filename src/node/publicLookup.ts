/** Looking names up, without what only this network can reach. */
import { lookup } from "node:dns"
import type { LookupFunction } from "node:net"
import { refused } from "../auth/PublicNetwork.ts"
import * as Urls from "../auth/urls.ts"

/** Only public addresses are connected to; a name that has none cannot be looked up. */
export const publicLookup: LookupFunction = (hostname, options, callback) =>
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return callback(error, [])
    const open = addresses.filter(({ address }) => Urls.isPublicAddress(address))
    const [first] = open
    if (first === undefined) return callback(Object.assign(new Error(`${hostname} is in a private network`), { code: refused }), [])
    return options.all === true ? callback(null, open) : callback(null, first.address, first.family)
  })
