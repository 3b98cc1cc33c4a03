/** When what a program sends is what was recorded, and how the difference is told. */
import * as JsonRpc from "../../protocol/JsonRpc.ts"
import * as Redaction from "../../recording/redaction.ts"

/** Members of `_meta` that are another each time. */
const volatile: ReadonlySet<string> = new Set(["progressToken", "traceparent", "tracestate", "baggage"])

const clientInfo = "io.modelcontextprotocol/clientInfo"

const without = (object: JsonRpc.JsonObject, omitted: (key: string) => boolean): JsonRpc.JsonObject =>
  Object.fromEntries(Object.entries(object).filter(([key]) => !omitted(key)))

const withoutVersion = (info: unknown): unknown =>
  JsonRpc.isJsonObject(info) ? without(info, (key) => key === "version") : info

const prune = (value: unknown, ignored: ReadonlySet<string>): unknown =>
  Array.isArray(value)
    ? value.map((item) => prune(item, ignored))
    : JsonRpc.isJsonObject(value)
    ? Object.fromEntries(
      Object.entries(value).filter(([key]) => !ignored.has(key)).map(([key, member]) => [key, prune(member, ignored)])
    )
    : value

const paramsOf = (method: string, params: JsonRpc.JsonObject, ignored: ReadonlySet<string>): JsonRpc.JsonObject => {
  const { _meta, ...rest } = params
  const meta = JsonRpc.isJsonObject(_meta) ? without(_meta, (key) => volatile.has(key)) : {}
  const stable = {
    ...rest,
    ...(method === "initialize" ? { clientInfo: withoutVersion(rest.clientInfo) } : {}),
    ...(Object.keys(meta).length === 0
      ? {}
      : { _meta: clientInfo in meta ? { ...meta, [clientInfo]: withoutVersion(meta[clientInfo]) } : meta })
  }
  return prune(stable, ignored) as JsonRpc.JsonObject
}

/** What of a message has to be the same in a replay: not its id, and nothing that is another each time. */
export const essence = (message: JsonRpc.Message, ignored: ReadonlySet<string>): JsonRpc.JsonObject => {
  // As on the wire: what is in a message may say itself how it is written.
  const written: JsonRpc.Message = JSON.parse(JSON.stringify(message))
  if ("method" in written) {
    const params = paramsOf(written.method, written.params ?? {}, ignored)
    return { method: written.method, ...(Object.keys(params).length === 0 ? {} : { params }) }
  }
  return JsonRpc.isFailure(written)
    ? { error: { code: written.error.code } }
    : { result: prune(written.result, ignored) }
}

/** Whether a text fits one in which parts are hidden. */
const fits = (recorded: string, text: string): boolean => {
  const [first = "", ...rest] = recorded.split(Redaction.mark)
  const last = rest.pop()
  if (last === undefined) return recorded === text
  if (!text.startsWith(first) || !text.endsWith(last)) return false
  let at = first.length
  for (const part of rest) {
    const found = text.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return at <= text.length - last.length
}

/** Whether a value is the recorded one; anything may be in place of what was hidden. */
export const isSame = (recorded: unknown, value: unknown): boolean => {
  if (typeof recorded === "string" && typeof value === "string") return fits(recorded, value)
  if (Array.isArray(recorded)) {
    return Array.isArray(value) && recorded.length === value.length &&
      recorded.every((item, index) => isSame(item, value[index]))
  }
  if (JsonRpc.isJsonObject(recorded)) {
    if (!JsonRpc.isJsonObject(value)) return false
    const keys = Object.keys(recorded)
    return keys.length === Object.keys(value).length &&
      keys.every((key) => Object.hasOwn(value, key) && isSame(recorded[key], value[key]))
  }
  return recorded === value
}

/** Most lines of a difference that are shown. */
const longest = 60

/** Unchanged lines around a difference. */
const around = 3

const linesOf = (value: unknown): ReadonlyArray<string> => JSON.stringify(value, sorted, 2).split("\n")

/** Members in one order, so that only what differs is shown. */
const sorted = (_key: string, value: unknown): unknown =>
  JsonRpc.isJsonObject(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1))
    : value

/** The difference, line by line: `-` was expected, `+` came. */
export const diff = (recorded: unknown, value: unknown): string => {
  const expected = linesOf(recorded)
  const actual = linesOf(value)
  const shortest = Math.min(expected.length, actual.length)
  let before = 0
  while (before < shortest && expected[before] === actual[before]) before += 1
  let after = 0
  while (after < shortest - before && expected.at(-1 - after) === actual.at(-1 - after)) after += 1
  const lines = [
    ...expected.slice(Math.max(0, before - around), before).map((line) => `  ${line}`),
    ...expected.slice(before, expected.length - after).map((line) => `- ${line}`),
    ...actual.slice(before, actual.length - after).map((line) => `+ ${line}`),
    ...expected.slice(expected.length - after, expected.length - after + around).map((line) => `  ${line}`)
  ]
  return lines.length <= longest ? lines.join("\n") : [...lines.slice(0, longest), "  …"].join("\n")
}

/** A message in a few words. */
export const title = (message: JsonRpc.Message): string => {
  if (!("method" in message)) return `a reply to the server's request ${JSON.stringify(message.id ?? null)}`
  const { name, uri } = message.params ?? {}
  const subject = typeof name === "string" ? name : typeof uri === "string" ? uri : undefined
  return subject === undefined ? message.method : `${message.method} ${JSON.stringify(subject)}`
}
