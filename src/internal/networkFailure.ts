/** What the platform's codes for a failed connection mean, in words to act on. */
import * as Predicate from "effect/Predicate"

/** Failures that come before a request can have left, and what they mean. */
const meanings: ReadonlyMap<string, string> = new Map([
  ["ECONNREFUSED", "the connection was refused"],
  ["EHOSTUNREACH", "there is no route to the host"],
  ["ENETUNREACH", "there is no route to its network"],
  ["EHOSTDOWN", "the host is down"],
  ["EADDRNOTAVAIL", "there is no local address to connect from"],
  ["ENOTFOUND", "the name of the host is unknown"],
  ["EAI_AGAIN", "the name of the host could not be looked up"],
  ["EAI_FAIL", "the name of the host could not be looked up"],
  ["ENOENT", "there is no such socket"],
  ["EACCES", "the socket may not be opened"],
  ["UND_ERR_CONNECT_TIMEOUT", "connecting took too long"],
  ["UND_ERR_ABORTED", "the proxy refused to connect to it"],
  ["ERR_PROXY_INVALID_CONFIG", "HTTP_PROXY or HTTPS_PROXY is not the URL of a proxy"],
  ["CERT_HAS_EXPIRED", "its certificate has expired"],
  ["CERT_NOT_YET_VALID", "its certificate is not valid yet"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "its certificate is self-signed"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "a certificate in its chain is self-signed"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "its certificate cannot be verified"],
  ["UNABLE_TO_GET_ISSUER_CERT", "the issuer of its certificate is unknown"],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "the issuer of its certificate is unknown"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "its certificate is for another host"],
  ["ERR_SSL_WRONG_VERSION_NUMBER", "it does not speak TLS"],
  ["ERR_SSL_PACKET_LENGTH_TOO_LONG", "it does not speak TLS"]
])

/** Codes of a failure and of what caused it; the innermost is the most exact. */
export const codesOf = (error: unknown): ReadonlyArray<string> => {
  const codes: Array<string> = []
  for (let cause = error, depth = 0; cause !== undefined && depth < 8; depth++) {
    if (Predicate.hasProperty(cause, "code") && typeof cause.code === "string") codes.push(cause.code)
    cause = Predicate.hasProperty(cause, "cause") ? cause.cause : undefined
  }
  return codes
}

/** Why nothing can have reached the server; `undefined` where something may have. */
export const undelivered = (error: unknown): string | undefined => {
  const known = codesOf(error).find((code) => meanings.has(code))
  return known === undefined ? undefined : `${meanings.get(known)} (${known})`
}
