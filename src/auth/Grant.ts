/** Ways to a token: what is different between them, as data. */
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type { McpError } from "../McpError.ts"
import type { PrivateKey } from "./clientAuth.ts"
import * as Urls from "./urls.ts"

/** A token of somebody else's; asked for each time, as it may be a new one. */
export type Assertion = Redacted.Redacted<string> | Effect.Effect<Redacted.Redacted<string>, McpError>

interface Credentials {
  readonly clientId: string
  readonly clientSecret?: Redacted.Redacted<string> | undefined
  readonly privateKey?: PrivateKey | undefined
}

export type Grant = Data.TaggedEnum<{
  /** A user agrees, in a browser. */
  AuthorizationCode: {
    /** Of a client that was registered by hand. */
    readonly clientId?: string | undefined
    readonly clientSecret?: Redacted.Redacted<string> | undefined
    readonly privateKey?: PrivateKey | undefined
    /** The `https:` URL of a document about this client, which is its id where servers support that. */
    readonly clientMetadataUrl?: string | undefined
    /** How the client calls itself where it registers. */
    readonly clientName?: string | undefined
    /** Where the browser is to be sent back to: with a port of its own choice, by default. */
    readonly redirectUri?: string | undefined
  }
  /** A service speaks for itself. */
  ClientCredentials: Credentials
  /** An employee, whose company's identity provider agrees in their stead (ID-JAG). */
  EnterpriseManaged: Credentials & {
    readonly idp: {
      readonly tokenEndpoint: string
      readonly clientId: string
      readonly clientSecret?: Redacted.Redacted<string> | undefined
      readonly subjectToken: Assertion
      /** Default: an ID token. */
      readonly subjectTokenType?: string | undefined
    }
  }
  /** A workload shows what its platform says of it (RFC 7523). */
  WorkloadIdentity: {
    readonly clientId?: string | undefined
    readonly assertion: Assertion
  }
}>

export const Grant = Data.taggedEnum<Grant>()

const isClientId = (url: URL | null): boolean =>
  url !== null && url.protocol === "https:" && url.pathname !== "/" && url.hash === "" && url.username === "" && url.password === ""

/** To a program on this machine: over loopback, or by a scheme of its own, which has a dot to be told from those of everybody (RFC 8252). */
const isRedirect = (url: URL | null): boolean =>
  url !== null && url.hash === "" &&
  (url.protocol === "https:" || (url.protocol === "http:" ? Urls.reach(url) === "loopback" : url.protocol.includes(".")))

/** What is wrong with the URLs of a grant. */
export const issues = (grant: Grant): ReadonlyArray<{ readonly path: ReadonlyArray<string>; readonly message: string }> => {
  if (grant._tag !== "AuthorizationCode") return []
  const { clientMetadataUrl, redirectUri } = grant
  return [
    ...(clientMetadataUrl === undefined || isClientId(URL.parse(clientMetadataUrl))
      ? []
      : [{ path: ["auth", "clientMetadataUrl"], message: "expected an https: URL with a path" }]),
    ...(redirectUri === undefined || isRedirect(URL.parse(redirectUri))
      ? []
      : [{ path: ["auth", "redirectUri"], message: "expected an https: URL, one of this machine, or one with a scheme such as com.example.app:" }])
  ]
}
