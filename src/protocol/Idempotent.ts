/** Requests that may be made twice without harm: they change nothing, or nothing more the second time. */
const methods: ReadonlySet<string> = new Set([
  "completion/complete",
  "initialize",
  "logging/setLevel",
  "ping",
  "prompts/get",
  "prompts/list",
  "resources/list",
  "resources/read",
  "resources/subscribe",
  "resources/templates/list",
  "resources/unsubscribe",
  "server/discover",
  "tools/list"
])

export const isIdempotent = (method: string): boolean => methods.has(method)
