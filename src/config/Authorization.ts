/**
 * The `auth` of an entry: how tokens for a server over HTTP are got. Its texts
 * are templates, and its secrets `Redacted`.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import { reveal } from "../internal/reveal.ts"
import * as McpError from "../McpError.ts"
import * as Expander from "./Expander.ts"
import * as File from "./File.ts"
import * as Rules from "./Rules.ts"
import * as Template from "./Template.ts"

const Text = Schema.String.check(Schema.makeFilter(Rules.all(Rules.noNul, Rules.notBlank)))
const Secret = Schema.RedactedFromValue(Text)

/** Ways to a token, by the name a config has for them. */
const types = ["authorization_code", "client_credentials", "enterprise_managed", "workload_identity"] as const
type Type = (typeof types)[number]

const Idp = Schema.Struct({
  tokenEndpoint: Text,
  clientId: Text,
  clientSecret: Schema.optionalKey(Secret),
  /** What the identity provider gave for the user. */
  subjectToken: Schema.optionalKey(Secret),
  /** A file that has it, read for each token. */
  subjectTokenFile: Schema.optionalKey(Text),
  /** Default: an ID token. */
  subjectTokenType: Schema.optionalKey(Text)
})

const fields = {
  type: Schema.optionalKey(Schema.Literals(types)),
  clientId: Schema.optionalKey(Text),
  clientSecret: Schema.optionalKey(Secret),
  /** The `https:` URL of a document about the client, which is its id where servers support that. */
  clientMetadataUrl: Schema.optionalKey(Text),
  /** How the client calls itself where it registers. */
  clientName: Schema.optionalKey(Text),
  /** Where the browser is sent back to. */
  redirectUri: Schema.optionalKey(Text),
  /** PKCS #8 in PEM, or a JWK. */
  privateKey: Schema.optionalKey(Secret),
  privateKeyFile: Schema.optionalKey(Text),
  algorithm: Schema.optionalKey(Text),
  keyId: Schema.optionalKey(Text),
  idp: Schema.optionalKey(Idp),
  /** What the platform says of the workload. */
  assertion: Schema.optionalKey(Secret),
  /** A file that has it, read for each token. */
  assertionFile: Schema.optionalKey(Text),
  scopes: Schema.optionalKey(Schema.Array(Text)),
  issuer: Schema.optionalKey(Text),
  principal: Schema.optionalKey(Text),
  dpop: Schema.optionalKey(Schema.Boolean),
  allowPrivateNetwork: Schema.optionalKey(Schema.Boolean)
}

type Field = keyof typeof fields

/** What each way can do with, beside what all can. */
const uses: Readonly<Record<Type, ReadonlyArray<Field>>> = {
  authorization_code: [
    "clientId",
    "clientSecret",
    "privateKey",
    "privateKeyFile",
    "algorithm",
    "keyId",
    "clientMetadataUrl",
    "clientName",
    "redirectUri"
  ],
  client_credentials: ["clientId", "clientSecret", "privateKey", "privateKeyFile", "algorithm", "keyId"],
  enterprise_managed: ["clientId", "clientSecret", "privateKey", "privateKeyFile", "algorithm", "keyId", "idp"],
  workload_identity: ["clientId", "assertion", "assertionFile"]
}

/** What each way cannot do without: one of each list. */
const needs: Readonly<Record<Type, ReadonlyArray<ReadonlyArray<Field>>>> = {
  authorization_code: [],
  client_credentials: [["clientId"], ["clientSecret", "privateKey", "privateKeyFile"]],
  enterprise_managed: [["clientId"], ["idp"]],
  workload_identity: [["assertion", "assertionFile"]]
}

const common: ReadonlySet<string> = new Set(["type", "scopes", "issuer", "principal", "dpop", "allowPrivateNetwork"])

const quote = (names: ReadonlyArray<string>) => names.map((name) => `"${name}"`).join(" or ")

/** Of two that say the same only one. */
const either = (auth: object, one: string, other: string) =>
  one in auth && other in auth ? [{ path: [other], issue: `There is also "${one}": expected only one of them` }] : []

const Grant = Schema.Struct(fields).check(
  Schema.makeFilter((auth) => {
    const { type = "authorization_code" } = auth
    return [
      ...Object.keys(auth).flatMap((name) =>
        common.has(name) || uses[type].some((used) => used === name) ? [] : [{ path: [name], issue: `Is of no use with type ${type}` }]
      ),
      ...needs[type].flatMap((names) =>
        names.some((name) => auth[name] !== undefined) ? [] : [{ path: [], issue: `Expected ${quote(names)} with type ${type}` }]
      ),
      ...either(auth, "privateKey", "privateKeyFile"),
      ...either(auth, "assertion", "assertionFile"),
      ...either(auth.idp ?? {}, "subjectToken", "subjectTokenFile").map(({ issue, path }) => ({ path: ["idp", ...path], issue })),
      ...(auth.idp === undefined || auth.idp.subjectToken !== undefined || auth.idp.subjectTokenFile !== undefined
        ? []
        : [{ path: ["idp"], issue: "Expected \"subjectToken\" or \"subjectTokenFile\"" }])
    ]
  })
)

/** `false`: none is got. */
export const Authorization = Schema.Union([Schema.Literal(false), Grant])
export type Authorization = typeof Authorization.Type

const secrets: ReadonlySet<string> = new Set(["clientSecret", "privateKey", "assertion", "subjectToken"])

/** The JSON of it, fit to be shown. */
export const masked = (value: unknown): unknown =>
  Predicate.isReadonlyObject(value) && !Array.isArray(value)
    ? Object.fromEntries(
      Object.entries(value).map(([name, item]) => [name, secrets.has(name) ? Template.mask(String(item)) : masked(item)])
    )
    : value

// =============================================================================
// Resolving
// =============================================================================

type Assertion = Effect.Effect<Redacted.Redacted<string>, McpError.McpError>

/** With its templates expanded, its key read, and its files ready to be. */
export interface ResolvedAuthorization {
  readonly type: Type
  readonly clientId?: string
  readonly clientSecret?: Redacted.Redacted<string>
  readonly clientMetadataUrl?: string
  readonly clientName?: string
  readonly redirectUri?: string
  readonly privateKey?: {
    readonly key: Redacted.Redacted<string>
    readonly algorithm?: string
    readonly keyId?: string
  }
  readonly idp?: {
    readonly tokenEndpoint: string
    readonly clientId: string
    readonly clientSecret?: Redacted.Redacted<string>
    readonly subjectToken: Assertion
    readonly subjectTokenType?: string
  }
  readonly assertion?: Assertion
  readonly scopes?: ReadonlyArray<string>
  readonly issuer?: string
  readonly principal?: string
  readonly dpop?: boolean
  readonly allowPrivateNetwork?: boolean
}

/** Expands whatever of these is there. */
const texts = Effect.fnUntraced(function*<const Name extends string>(
  at: Expander.Field,
  values: { readonly [_ in Name]?: string },
  names: ReadonlyArray<Name>,
  expander: Expander.Expander
) {
  const expanded: { [_ in Name]?: string } = {}
  for (const name of names) {
    const template = values[name]
    if (template !== undefined) expanded[name] = reveal(yield* expander.expand([...at, name], template, Rules.notBlank))
  }
  return expanded
})

const secret = Effect.fnUntraced(function*(at: Expander.Field, template: Redacted.Redacted<string>, expander: Expander.Expander) {
  return Redacted.make(reveal(yield* expander.expand(at, Redacted.value(template), Rules.notBlank)))
})

/** From the config itself, or from a file each time. */
const assertion = Effect.fnUntraced(function*(
  at: Expander.Field,
  value: Redacted.Redacted<string> | undefined,
  file: string | undefined,
  expander: Expander.Expander
) {
  if (value !== undefined) return { read: Effect.succeed(yield* secret(at, value, expander)) }
  const fileSystem = yield* FileSystem.FileSystem
  const name = file === undefined ? undefined : yield* expander.expandPath([...at.slice(0, -1), `${at.at(-1)}File`], file)
  return {
    read: File.read(name ?? "").pipe(
      Effect.mapBoth({ onSuccess: (text) => Redacted.make(text.trim()), onFailure: (reason) => McpError.make(reason) }),
      Effect.provideService(FileSystem.FileSystem, fileSystem)
    )
  }
})

const privateKey = Effect.fnUntraced(function*(auth: typeof Grant.Type, expander: Expander.Expander) {
  const more = yield* texts(["auth"], auth, ["algorithm", "keyId"], expander)
  if (auth.privateKey !== undefined) return { key: yield* secret(["auth", "privateKey"], auth.privateKey, expander), ...more }
  if (auth.privateKeyFile === undefined) return undefined
  const name = yield* expander.expandPath(["auth", "privateKeyFile"], auth.privateKeyFile)
  if (name === undefined) return undefined
  const contents = yield* Effect.result(File.read(name))
  if (Result.isSuccess(contents)) return { key: Redacted.make(contents.success), ...more }
  expander.problems.unreadable.push(contents.failure)
  return undefined
})

export const resolve = Effect.fnUntraced(function*(
  auth: typeof Grant.Type,
  expander: Expander.Expander
): Effect.fn.Return<ResolvedAuthorization, never, FileSystem.FileSystem> {
  const at = ["auth"]
  const { idp } = auth
  const scopes: Array<string> = []
  for (const [index, scope] of (auth.scopes ?? []).entries()) {
    scopes.push(reveal(yield* expander.expand(["auth", "scopes", index], scope, Rules.notBlank)))
  }
  const key = yield* privateKey(auth, expander)
  const clientSecret = auth.clientSecret === undefined
    ? undefined
    : yield* secret(["auth", "clientSecret"], auth.clientSecret, expander)
  const idpSecret = idp?.clientSecret === undefined
    ? undefined
    : yield* secret(["auth", "idp", "clientSecret"], idp.clientSecret, expander)
  return {
    type: auth.type ?? "authorization_code",
    ...Struct.pick(auth, ["dpop", "allowPrivateNetwork"]),
    ...yield* texts(at, auth, ["clientId", "clientMetadataUrl", "clientName", "redirectUri", "issuer", "principal"], expander),
    ...(auth.scopes === undefined ? {} : { scopes }),
    ...(clientSecret === undefined ? {} : { clientSecret }),
    ...(key === undefined ? {} : { privateKey: key }),
    ...(idp === undefined ? {} : {
      idp: {
        tokenEndpoint: "",
        clientId: "",
        ...yield* texts(["auth", "idp"], idp, ["tokenEndpoint", "clientId", "subjectTokenType"], expander),
        ...(idpSecret === undefined ? {} : { clientSecret: idpSecret }),
        subjectToken: (yield* assertion(["auth", "idp", "subjectToken"], idp.subjectToken, idp.subjectTokenFile, expander)).read
      }
    }),
    ...(auth.assertion === undefined && auth.assertionFile === undefined
      ? {}
      : { assertion: (yield* assertion(["auth", "assertion"], auth.assertion, auth.assertionFile, expander)).read })
  }
})

/** Headers by which users show who they are, whatever a server calls them. */
const showsWhoWeAre = /(?:^|[-_])(?:authorization|auth|api-?key|apikey|key|token|secret)$/i

/** How tokens are got beside these headers. An `Authorization` among them always wins; other keys unless the entry says more. */
export const choose = (auth: Authorization | undefined, headers: Readonly<Record<string, unknown>>): Authorization => {
  const names = Object.keys(headers)
  return names.some((name) => name.toLowerCase() === "authorization")
    ? false
    : auth ?? (names.some((name) => showsWhoWeAre.test(name)) ? false : {})
}
