/** On whose behalf a server is connected to, and what that changes in its entry. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as McpConfig from "../McpConfig.ts"
import * as McpError from "../McpError.ts"
import * as ServerConfig from "../ServerConfig.ts"

/**
 * A user or a tenant. Connections are shared by those who have the same `id`
 * and the same secrets, and by nobody else.
 */
export interface Principal {
  readonly id: string
  /** Variables of a program, over those of its entry. As they are: nothing in them is expanded. */
  readonly env?: Readonly<Record<string, Redacted.Redacted<string>>> | undefined
  /** Headers of a server reached by URL, over those of its entry. */
  readonly headers?: Readonly<Record<string, Redacted.Redacted<string>>> | undefined
}

const revealed = (secrets: Principal["env"] = {}) =>
  Object.entries(secrets).map(([name, value]) => [name, Redacted.value(value)]).sort()

/** Equal for principals that may share. Holds their secrets. */
export const keyOf = (principal: Principal | undefined): string =>
  principal === undefined ? "" : JSON.stringify([principal.id, revealed(principal.env), revealed(principal.headers)])

const literal = (secrets: Principal["env"] = {}) =>
  Object.fromEntries(
    Object.entries(secrets).map(([name, value]) => [name, Redacted.make(ServerConfig.escape(Redacted.value(value)))])
  )

/** The entry as it is for a principal. Fails with `InvalidConfig` when it has no place for the principal's secrets. */
export const apply = (
  entry: McpConfig.Entry,
  principal: Principal | undefined
): Effect.Effect<McpConfig.Entry, McpError.McpError> =>
  Effect.suspend(() => {
    if (principal === undefined) return Effect.succeed(entry)
    const { config, name } = entry
    const misplaced = (field: string) =>
      Effect.fail(McpError.make(
        new McpError.InvalidConfig({
          source: entry.source,
          issues: [{ path: [name], message: `Has no ${field}, which the principal "${principal.id}" brings` }]
        }),
        name
      ))
    if (config._tag === "Stdio") {
      return principal.headers === undefined
        ? Effect.succeed({
          ...entry,
          config: new ServerConfig.Stdio({ ...config, env: { ...config.env, ...literal(principal.env) } })
        })
        : misplaced("headers")
    }
    if (principal.env !== undefined) return misplaced("env")
    switch (config._tag) {
      case "Http":
        return Effect.succeed({
          ...entry,
          config: new ServerConfig.Http({ ...config, headers: withHeaders(config.headers, principal.headers) })
        })
      case "WebSocket":
        return Effect.succeed({
          ...entry,
          config: new ServerConfig.WebSocket({ ...config, headers: withHeaders(config.headers, principal.headers) })
        })
      default:
        return principal.headers === undefined ? Effect.succeed(entry) : misplaced("headers")
    }
  })

/** Names of headers have no case. */
const withHeaders = (headers: NonNullable<Principal["headers"]>, own: Principal["headers"] = {}) => {
  const replaced = new Set(Object.keys(own).map((name) => name.toLowerCase()))
  return {
    ...Object.fromEntries(Object.entries(headers).filter(([name]) => !replaced.has(name.toLowerCase()))),
    ...literal(own)
  }
}
