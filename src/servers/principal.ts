/** On whose behalf a server is connected to, and what that changes in its entry. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Struct from "effect/Struct"
import * as Authorization from "../config/Authorization.ts"
import type * as McpConfig from "../McpConfig.ts"
import * as McpError from "../McpError.ts"
import * as ServerConfig from "../ServerConfig.ts"

/**
 * A user or a tenant. Connections are shared by those who have the same `id`
 * and the same secrets, and by nobody else; nor are OAuth tokens, unless the
 * entry names in `auth.principal` whose they are.
 */
export interface Principal {
  readonly id: string
  /** Variables of a program, over those of its entry. As they are: nothing in them is expanded. */
  readonly env?: Readonly<Record<string, Redacted.Redacted<string>>> | undefined
  /** Headers of a server reached by URL, over those of its entry and its `bearerTokenEnv`. */
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

const toIssues = SchemaIssue.makeFormatterStandardSchemaV1()

/** The entry as it is for a principal. Fails with `InvalidConfig` when it has no place for the principal's secrets. */
export const apply = (
  entry: McpConfig.Entry,
  principal: Principal | undefined
): Effect.Effect<McpConfig.Entry, McpError.McpError> =>
  Effect.suspend(() => {
    if (principal === undefined) return Effect.succeed(entry)
    const { config, name } = entry
    const refuse = (issues: ReadonlyArray<McpError.ConfigIssue>) =>
      McpError.make(new McpError.InvalidConfig({ source: `the principal ${JSON.stringify(principal.id)}`, issues }), name)
    const misplaced = (field: string) =>
      Effect.fail(refuse([{ path: [name], message: `Has no ${field}, which the principal brings` }]))
    const make = (config: Effect.Effect<ServerConfig.ServerConfig, SchemaIssue.Issue>) =>
      Effect.mapBoth(config, {
        onSuccess: (config) => ({ ...entry, config }),
        onFailure: (issue) =>
          refuse(toIssues(issue).issues.map(({ message, path = [] }) => ({ path: [name, ...path.map(String)], message })))
      })
    if (config._tag === "Stdio") {
      return principal.headers === undefined
        ? make(ServerConfig.Stdio.makeEffect({ ...config, env: { ...config.env, ...literal(principal.env) } }))
        : misplaced("headers")
    }
    if (principal.env !== undefined) return misplaced("env")
    switch (config._tag) {
      case "Http":
        return make(ServerConfig.Http.makeEffect(remote(config, principal)))
      case "WebSocket":
        return make(ServerConfig.WebSocket.makeEffect(remote(config, principal)))
      default:
        return principal.headers === undefined ? Effect.succeed(entry) : misplaced("headers")
    }
  })

const remote = <Config extends ServerConfig.Http | ServerConfig.WebSocket>(config: Config, principal: Principal) => {
  const headers = withHeaders(config.headers, principal.headers)
  const auth = Authorization.choose(config.auth, headers)
  const brings = Object.keys(principal.headers ?? {}).some((name) => name.toLowerCase() === "authorization")
  return {
    ...(brings ? Struct.omit(config, ["bearerTokenEnv"]) : config),
    headers,
    auth: auth && { principal: ServerConfig.escape(principal.id), ...auth }
  }
}

/** Names of headers have no case. */
const withHeaders = (headers: NonNullable<Principal["headers"]>, own: Principal["headers"] = {}) => {
  const replaced = new Set(Object.keys(own).map((name) => name.toLowerCase()))
  return {
    ...Object.fromEntries(Object.entries(headers).filter(([name]) => !replaced.has(name.toLowerCase()))),
    ...literal(own)
  }
}
