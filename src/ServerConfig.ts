/**
 * One server in a config: the tagged union `Stdio | Http | WebSocket | Socket`,
 * its Schema, and what becomes of it at use.
 *
 * Of a decoded entry, whatever reaches the server (command, arguments, `env`,
 * files, URL, headers) is a template: `${NAME}`, `${NAME:-default}`; see
 * `config/Template.ts`. The environment is read by {@link resolve}, when a
 * connection is made, so that a config can be decoded, shown and written back
 * without it.
 *
 * Canonical JSON, which is what encoding gives: `type`, `command` or `url`, the
 * fields below under their own names, times as numbers of **milliseconds**, and
 * unknown keys as they came.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Authorization from "./config/Authorization.ts"
import type { DialectName } from "./config/Dialects.ts"
import * as Dialects from "./config/Dialects.ts"
import * as Draft from "./config/Draft.ts"
import * as Rules from "./config/Rules.ts"
import * as Supervision from "./config/Supervision.ts"
import * as Template from "./config/Template.ts"
import { Timeout, Wait } from "./config/Time.ts"
import type { ConfigIssue } from "./McpError.ts"
import * as Revision from "./protocol/Revision.ts"

export type { DialectName } from "./config/Dialects.ts"
export type { ResolvedAuthorization } from "./config/Authorization.ts"
export type { Text } from "./config/Expander.ts"
export { reveal } from "./internal/reveal.ts"
export {
  resolve,
  type Resolved,
  type ResolvedCommon,
  type ResolvedHttp,
  type ResolvedSocket,
  type ResolvedStdio,
  type ResolvedWebSocket,
  type ResolveOptions
} from "./config/Resolve.ts"

/**
 * The template that stands for a literal text, for a program that builds
 * entries itself: `escape("${HOME}")` is `"$${HOME}"`.
 */
export const escape: (literal: string) => string = Template.escape

// =============================================================================
// Fields
// =============================================================================

const text = (...rules: ReadonlyArray<Rules.Rule>) =>
  Schema.String.check(Schema.makeFilter(Rules.all(Rules.noNul, ...rules)))

const AnyText = text()
const Name = text(Rules.notBlank)

/** What can be said of a template now: everything, where nothing is left to expand. */
const whenLiteral = (rule: Rules.Rule): Rules.Rule => (template) => {
  const [part = "", ...others] = Template.parse(template)
  return others.length === 0 && typeof part === "string" ? rule(part) : undefined
}

const secrets = (name: Rules.Rule, value: Rules.Rule) =>
  Schema.Record(Schema.String, Schema.RedactedFromValue(text(value))).check(
    Schema.makeFilter((record) =>
      Object.keys(record).flatMap((key) => {
        const problem = name(key)
        return problem === undefined ? [] : [{ path: [key], issue: problem }]
      })
    )
  )

const Bytes = Schema.Int.check(Schema.isGreaterThan(0))

const Tls = Schema.Struct({
  /** The certificates to trust, and no others: a PEM file. */
  ca: Schema.optionalKey(Name),
  /** This client's certificate, with its chain: a PEM file. */
  cert: Schema.optionalKey(Name),
  /** Its private key: a PEM file. */
  key: Schema.optionalKey(Name),
  /** Trusts whoever answers. Told loudly whenever a connection is opened. */
  skipVerify: Schema.optionalKey(Schema.Boolean)
}).check(
  Schema.makeFilter(({ cert, key }) =>
    cert !== undefined && key === undefined
      ? { path: ["cert"], issue: "Is of no use without \"key\"" }
      : key !== undefined && cert === undefined
      ? { path: ["key"], issue: "Is of no use without \"cert\"" }
      : undefined
  )
)

const noItems = Effect.succeed<ReadonlyArray<string>>([])
const noEntries = Effect.succeed({})

const common = {
  /** Not to be connected to. */
  disabled: Schema.optionalKey(Schema.Boolean),
  /** The program cannot do without this server. */
  required: Schema.optionalKey(Schema.Boolean),
  description: Schema.optionalKey(AnyText),
  /** How long one request may go without an answer or progress. */
  timeout: Schema.optionalKey(Timeout),
  /** How long one request may take in all. */
  maxTotal: Schema.optionalKey(Timeout),
  /** How long it may take until the server is ready. */
  startupTimeout: Schema.optionalKey(Timeout),
  /** When given, the only tools that may be seen and called. */
  allowedTools: Schema.optionalKey(Schema.Array(Name)),
  /** Tools that may not. */
  blockedTools: Schema.optionalKey(Schema.Array(Name)),
  /** Speaks this revision and no other. */
  protocolVersion: Schema.optionalKey(Schema.Literals(Revision.all)),
  /** Where the negotiation begins. */
  protocolEra: Schema.optionalKey(Schema.Literals(["auto", "modern", "legacy"])),
  ...Supervision.fields,
  /** Keys of other clients, kept to be given back. They have no effect. */
  extra: Schema.Record(Schema.String, Schema.Unknown).pipe(Schema.withConstructorDefault(noEntries))
}

const headers = secrets(Rules.headerName, Rules.headerValue).pipe(Schema.withConstructorDefault(noEntries))

/**
 * A server that is a program, spoken to over its stdin and stdout.
 *
 * ```ts
 * new ServerConfig.Stdio({ command: "npx", args: ["-y", "@modelcontextprotocol/server-memory"] })
 * ```
 */
export class Stdio extends Schema.TaggedClass<Stdio>("mcp-connect/ServerConfig/Stdio")("Stdio", {
  command: Name,
  args: Schema.Array(AnyText).pipe(Schema.withConstructorDefault(noItems)),
  /** Variables for the program, over those it inherits. */
  env: secrets(Rules.variableName, Rules.noNul).pipe(Schema.withConstructorDefault(noEntries)),
  /** A file of `NAME=value` lines, relative to the config file. */
  envFile: Schema.optionalKey(Name),
  /** Names of variables that the program gets as they are here, where they are set. */
  passEnv: Schema.Array(text(Rules.variableName)).pipe(Schema.withConstructorDefault(noItems)),
  /** Relative to the config file. */
  cwd: Schema.optionalKey(Name),
  /** How long to wait after closing stdin, after SIGTERM and after SIGKILL (S-08). */
  shutdown: Schema.optionalKey(
    Schema.Struct({
      stdin: Schema.optionalKey(Wait),
      terminate: Schema.optionalKey(Wait),
      kill: Schema.optionalKey(Wait)
    })
  ),
  /** The longest message that is accepted from the program, in bytes. */
  maxMessageBytes: Schema.optionalKey(Bytes),
  ...common
}) {}

/**
 * A server reached over HTTP; over a unix domain socket with a URL such as
 * `http+unix://%2Frun%2Fmcp.sock/mcp`, which has the percent-encoded path of
 * the socket in the place of the host.
 */
export class Http extends Schema.TaggedClass<Http>("mcp-connect/ServerConfig/Http")("Http", {
  url: text(Rules.notBlank, whenLiteral(Rules.url(Rules.httpProtocols))),
  headers,
  /** Which of the two HTTP transports to speak, where the config says. */
  transport: Schema.optionalKey(Schema.Literals(["streamable-http", "sse"])),
  /** The name of a variable: its value is sent as a bearer token. */
  bearerTokenEnv: Schema.optionalKey(text(Rules.variableName)),
  /**
   * How tokens are got; `false` for not at all. Absent: a user is asked when the
   * server wants a token, unless `headers` or `bearerTokenEnv` show who we are.
   */
  auth: Schema.optionalKey(Authorization.Authorization),
  /** Certificates, as files relative to the config file. */
  tls: Schema.optionalKey(Tls),
  /** The URL of a proxy, or `false` for none. Absent: what the environment says. */
  proxy: Schema.optionalKey(
    Schema.Union([Schema.Literal(false), Schema.RedactedFromValue(text(Rules.notBlank, whenLiteral(Rules.proxy)))])
  ),
  /** How often and when what is safe to repeat is sent again. */
  retry: Schema.optionalKey(Schema.Struct({
    /** After the first. */
    attempts: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
    /** Before the first of them; doubles each time. */
    baseDelay: Schema.optionalKey(Wait),
    maxDelay: Schema.optionalKey(Wait),
    /** Whether delays are shortened at random. */
    jitter: Schema.optionalKey(Schema.Boolean)
  })),
  /** The longest silence of an event stream, after which it counts as broken. */
  idleTimeout: Schema.optionalKey(Timeout),
  /** The longest message that is accepted from the server, in bytes. */
  maxMessageBytes: Schema.optionalKey(Bytes),
  /** Whether redirects within the server's origin are followed. */
  redirects: Schema.optionalKey(Schema.Literals(["same-origin", "none"])),
  ...common
}) {}

/** A server reached over a WebSocket. */
export class WebSocket extends Schema.TaggedClass<WebSocket>("mcp-connect/ServerConfig/WebSocket")("WebSocket", {
  url: text(Rules.notBlank, whenLiteral(Rules.url(Rules.webSocketProtocols))),
  headers,
  /** The name of a variable: its value is sent as a bearer token. */
  bearerTokenEnv: Schema.optionalKey(text(Rules.variableName)),
  /** How tokens for the upgrade are got; as over HTTP. */
  auth: Schema.optionalKey(Authorization.Authorization),
  /** Certificates, as files relative to the config file. */
  tls: Schema.optionalKey(Tls),
  /** Whether the server must agree to the subprotocol `mcp`. */
  requireSubprotocol: Schema.optionalKey(Schema.Boolean),
  /** Whether to offer permessage-deflate. */
  compression: Schema.optionalKey(Schema.Boolean),
  /** How often the server is pinged, and how long it may then be silent; `false` for never. */
  ping: Schema.optionalKey(Schema.Union([
    Schema.Literal(false),
    Schema.Struct({
      interval: Schema.optionalKey(Timeout),
      timeout: Schema.optionalKey(Timeout)
    })
  ])),
  /** How long the closing handshake may take. */
  closeTimeout: Schema.optionalKey(Wait),
  /** The longest message that is accepted from the server, in bytes. */
  maxMessageBytes: Schema.optionalKey(Bytes),
  ...common
}) {}

/** A server on a plain socket, a JSON message per line: `tcp://host:port` or `unix:///path`. */
export class Socket extends Schema.TaggedClass<Socket>("mcp-connect/ServerConfig/Socket")("Socket", {
  url: text(Rules.notBlank, whenLiteral(Rules.url(Rules.socketProtocols))),
  /** How long the server may take to close its side. */
  closeTimeout: Schema.optionalKey(Wait),
  /** The longest message that is accepted from the server, in bytes. */
  maxMessageBytes: Schema.optionalKey(Bytes),
  ...common
}) {}

// =============================================================================
// Decoding and encoding
// =============================================================================

export type ServerConfig = Stdio | Http | WebSocket | Socket

const Fields = Schema.Union([Stdio, Http, WebSocket, Socket])

// Unknown keys of the entry itself are in `extra` before the fields are decoded.
const decodeFields = Schema.decodeUnknownResult(Fields, { errors: "all", onExcessProperty: "error" })
const encodeFields = Schema.encodeSync(Fields)
const toIssues = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => issue._tag === "UnexpectedKey" ? "Unknown key" : SchemaIssue.defaultLeafHook(issue)
})

/** An entry, and the keys of its document that have no effect. */
export interface Decoded {
  readonly config: ServerConfig
  readonly unused: ReadonlyArray<ConfigIssue>
}

/**
 * Decodes one entry, as its document writes it in a dialect (by default this
 * library's own). Fails with everything that is wrong with it, at the keys its
 * author used. Never throws, and never quotes a value.
 *
 * ```ts
 * ServerConfig.decode({ command: ["npx", "-y", "some-server"], timeout: 30 }, { dialect: "cline" })
 * // Result.succeed({ config: Stdio { command: "npx", timeout: 30 seconds, … }, unused: [] })
 * ```
 */
export const decode = (
  entry: unknown,
  options?: { readonly dialect?: DialectName | undefined }
): Result.Result<Decoded, ReadonlyArray<ConfigIssue>> => {
  const draft = Draft.make(entry, Dialects.byName(options?.dialect ?? "mcp-connect"))
  if (draft.fields["_tag"] === undefined) return Result.fail(draft.issues)
  const decoded = decodeFields(draft.fields)
  if (Result.isSuccess(decoded)) {
    return draft.issues.length > 0
      ? Result.fail(draft.issues)
      : Result.succeed({ config: decoded.success, unused: draft.unused })
  }
  return Result.fail([
    ...draft.issues,
    ...toIssues(decoded.failure.issue).issues.map(({ message, path = [] }) => ({
      path: draft.origin(path.map((key) => typeof key === "number" ? key : String(key))),
      message
    }))
  ])
}

const kinds = { Stdio: "stdio", Http: "http", WebSocket: "ws", Socket: "socket" } as const

/** Fields whose absence means that they are empty. */
const emptyByDefault = ["args", "env", "passEnv", "headers"]

/**
 * The canonical JSON of an entry. Secrets are revealed: this is what a config
 * file holds. See {@link redacted} for what may be shown.
 */
export const encode = (config: ServerConfig): Record<string, unknown> => {
  const { _tag, extra, transport, ...fields } = { transport: undefined, ...encodeFields(config) }
  const canonical = { type: transport ?? kinds[_tag], ...fields }
  return Object.fromEntries([
    ...Object.entries(canonical).filter(([key, value]) =>
      !emptyByDefault.includes(key) || Object.keys(value).length > 0
    ),
    ...Object.entries(extra).filter(([key]) => !Object.hasOwn(canonical, key))
  ])
}

/**
 * Schema of one entry, from and to its JSON. Decoding accepts every key that
 * {@link decode} knows, read in this library's own dialect; encoding gives the
 * canonical form, and decoding that again is the identity.
 *
 * ```ts
 * Schema.decodeUnknownSync(ServerConfig.ServerConfig)({ url: "https://example.com/mcp" })
 * // Http { url: "https://example.com/mcp", … }
 * ```
 */
export const ServerConfig: Schema.Codec<ServerConfig, unknown> = Schema.Unknown.pipe(
  Schema.decodeTo(
    Schema.toType(Fields),
    SchemaTransformation.transformEffect({
      decode: (entry) =>
        Result.match(decode(entry), {
          onSuccess: ({ config }) => Effect.succeed(config),
          onFailure: (issues) => Effect.fail(toSchemaIssue(issues))
        }),
      encode: (config) => Effect.succeed<unknown>(encode(config))
    })
  )
)

const toSchemaIssue = (issues: ReadonlyArray<ConfigIssue>): SchemaIssue.Issue => {
  const [first, ...others] = issues.map(({ message, path }) =>
    new SchemaIssue.Pointer(path, new SchemaIssue.InvalidValue({ message }))
  )
  return first === undefined
    ? new SchemaIssue.InvalidValue(undefined)
    : new SchemaIssue.Composite(Schema.Unknown.ast, [first, ...others])
}

// =============================================================================
// Display
// =============================================================================

const hidden = "<redacted>"

const masked = (values: unknown): unknown =>
  Predicate.isReadonlyObject(values)
    ? Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Template.mask(String(value))]))
    : values

/**
 * The canonical JSON of an entry, fit to be shown: values of `env` and headers
 * are hidden except for the `${NAME}` in them, so are the query of a URL, the
 * credentials for a proxy, and everything unknown that could hold a secret.
 */
export const redacted = (config: ServerConfig): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(encode(config)).map(([key, value]) => [
      key,
      Object.hasOwn(config.extra, key)
        ? (typeof value === "boolean" || typeof value === "number" ? value : hidden)
        : key === "env" || key === "headers"
        ? masked(value)
        : key === "auth"
        ? Authorization.masked(value)
        : key === "url"
        ? String(value).replace(/\?.*$/s, `?${hidden}`)
        : key === "proxy" && typeof value === "string"
        ? value.replace(/\/\/.*@/s, `//${hidden}@`)
        : value
    ])
  )
