/** How authorization can fail. */
import * as Schema from "effect/Schema"
import { excerpt, id } from "./shared.ts"

const advice = {
  discovery: "it cannot be found out from whom",
  registration: "this client is not registered; a clientId in \"auth\" of its entry makes it so",
  authorization: "it was not given",
  token: "no token was issued",
  store: "tokens cannot be kept",
  request: "it does not accept what it was given"
}

/** The server wants authorization, and it could not be had. */
export class Unauthorized extends Schema.Error<Unauthorized>(id("Unauthorized"))({
  _tag: Schema.tag("Unauthorized"),
  /** The server that is not opened: origin and path. */
  url: Schema.String,
  /** What failed: finding out who gives tokens, becoming its client, asking the user, getting a token, keeping it, or using it. */
  stage: Schema.Literals(["discovery", "registration", "authorization", "token", "store", "request"]),
  detail: Schema.String,
  /** The error code of the authorization server, such as `invalid_grant`. */
  code: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return `${this.url} wants authorization, but ${advice[this.stage]}: ${excerpt(this.detail, 600)}`
  }
}

/** Somebody has to log in, and nobody here is asked to: provide an `Authorize` that does, such as `NodeMcp.layerBrowser`. */
export class NeedsAuthorization extends Schema.Error<NeedsAuthorization>(id("NeedsAuthorization"))({
  _tag: Schema.tag("NeedsAuthorization"),
  /** The server: origin and path. */
  url: Schema.String,
  /** Where the login begins. Good for one attempt of the one who asked for it. */
  authorizationUrl: Schema.String,
  /** What one call needs beyond the authorization there is, which goes on for the others. */
  scopes: Schema.optionalKey(Schema.Array(Schema.String))
}) {
  override get message() {
    const wider = this.scopes === undefined || this.scopes.length === 0 ? "" : ` with more scopes (${excerpt(this.scopes.join(" "))})`
    return `${this.url} needs a login${wider}, at ${URL.parse(this.authorizationUrl)?.origin ?? "an unknown place"}`
  }
}

/** The authorization that was given does not allow this, and a wider one was not to be had. */
export class Forbidden extends Schema.Error<Forbidden>(id("Forbidden"))({
  _tag: Schema.tag("Forbidden"),
  /** The server: origin and path. */
  url: Schema.String,
  /** What the server asks for. */
  scopes: Schema.Array(Schema.String),
  detail: Schema.String
}) {
  override get message() {
    const wanted = this.scopes.length === 0 ? "" : ` (scopes: ${excerpt(this.scopes.join(" "))})`
    return `${this.url} does not allow this${wanted}: ${excerpt(this.detail)}`
  }
}
