/**
 * Where a client may be sent by what servers tell it (A-25, A-45, A-75): over
 * TLS, except on this machine, and from a public server never into a private
 * network. Names are judged as they are written; see `PublicNetwork` for what they
 * lead to.
 */
import { quoted } from "./Problem.ts"

export interface Policy {
  /** The server everything is for, which the user has chosen. */
  readonly server: URL
  /** Whether its documents may lead into private networks. */
  readonly allowPrivateNetwork: boolean
}

/** The numbers of an address that `URL` has brought to its normal form. */
const ipv4 = (host: string): number | undefined => {
  const parts = /^(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(host)?.slice(1).map(Number)
  return parts?.reduce((number, part) => number * 256 + part, 0)
}

const ipv6 = (host: string): ReadonlyArray<number> | undefined => {
  if (!host.startsWith("[")) return undefined
  const [head = "", tail] = host.slice(1, -1).split("::")
  const groups = (text: string) => text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16))
  if (tail === undefined) return groups(head)
  const [before, after] = [groups(head), groups(tail)]
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after]
}

type Range = readonly [from: string, bits: number]

/** Not reachable from everywhere: IANA's special-purpose registry, without what is only reserved for documents. */
const privateRanges: ReadonlyArray<Range> = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["224.0.0.0", 3]
]

const within = (address: number, [from, bits]: Range): boolean =>
  Math.floor(address / 2 ** (32 - bits)) === Math.floor((ipv4(from) ?? 0) / 2 ** (32 - bits))

type Reach = "loopback" | "private" | "public"

const reachOfIpv4 = (address: number): Reach =>
  within(address, ["127.0.0.0", 8]) ? "loopback" : privateRanges.some((range) => within(address, range)) ? "private" : "public"

const reachOfIpv6 = (groups: ReadonlyArray<number>): Reach => {
  const [first = 0, , , , , sixth = 0, seventh = 0, eighth = 0] = groups
  const last = seventh * 65_536 + eighth
  const zeros = (count: number) => groups.slice(0, count).every((group) => group === 0)
  if (zeros(7)) return eighth === 1 ? "loopback" : "private"
  // Addresses of IPv4 in other clothes: mapped, compatible, translated (NAT64), 6to4.
  if (zeros(5) && (sixth === 0xffff || sixth === 0)) return reachOfIpv4(last)
  if (zeros(4) && groups[4] === 0xffff && sixth === 0) return reachOfIpv4(last)
  if (first === 0x64 && groups[1] === 0xff9b) return groups[2] === 0 ? reachOfIpv4(last) : "private"
  if (first === 0x2002) return reachOfIpv4((groups[1] ?? 0) * 65_536 + (groups[2] ?? 0))
  // What is given out to everybody, without what is the protocols' own, such as Teredo.
  return (first & 0xe000) === 0x2000 && !(first === 0x2001 && (groups[1] ?? 0) < 0x200) ? "public" : "private"
}

/** From where the host of a URL can be reached, as far as its name tells. */
export const reach = ({ hostname }: URL): Reach => {
  const host = hostname.toLowerCase().replace(/\.$/, "")
  const v4 = ipv4(host)
  if (v4 !== undefined) return reachOfIpv4(v4)
  const v6 = ipv6(host)
  if (v6 !== undefined) return reachOfIpv6(v6)
  if (host === "localhost" || host.endsWith(".localhost")) return "loopback"
  return /(?:^|\.)(?:local|internal|intranet|lan|home\.arpa)$/.test(host) || !host.includes(".") ? "private" : "public"
}

/** Whether everybody can reach an address, as a lookup gives it. One that cannot be read counts as private. */
export const isPublicAddress = (address: string): boolean => {
  const url = URL.parse(`http://${address.includes(":") ? `[${address}]` : address}/`)
  return url !== null && reach(url) === "public"
}

/** A URL fit to be told: queries may hold keys. */
export const shown = (text: string): string => {
  const url = URL.parse(text)
  return url === null ? text : `${url.origin}${url.pathname}`
}

/** Longer ones lead nowhere, and would be told in errors. */
const maxLength = 4_096

/** The URL, or what is wrong with it. Credentials in it are refused: they would go somewhere nobody chose. */
export const check = (text: string, { allowPrivateNetwork, server }: Policy): URL | string => {
  if (text.length > maxLength) return "expected a shorter URL"
  const url = URL.parse(text)
  if (url === null) return "expected an absolute URL"
  const shown = quoted(`${url.origin === "null" ? url.protocol : url.origin}`)
  if (url.protocol !== "https:" && url.protocol !== "http:") return `${shown} is neither https: nor http:`
  if (url.username !== "" || url.password !== "") return `the URL at ${shown} has credentials in it`
  const to = reach(url)
  if (url.protocol === "http:" && to !== "loopback") return `${shown} is not https:`
  return to !== "public" && isGuarded(url, { allowPrivateNetwork, server }) ? inPrivate(url) : url
}

/** Whether a URL may lead to public addresses only. The server's own host is where the user wants to go. */
export const isGuarded = (url: URL, { allowPrivateNetwork, server }: Policy): boolean =>
  !allowPrivateNetwork && reach(server) === "public" && url.hostname !== server.hostname

export const inPrivate = ({ origin }: URL): string =>
  `${quoted(origin)} is in a private network, where a public server may not lead; allowPrivateNetwork in "auth" permits it`
