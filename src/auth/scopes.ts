/** Sets of scopes, which OAuth writes as one text (A-60 … A-67). */

export type Scopes = ReadonlySet<string>

export const none: Scopes = new Set()

/** Longer texts are cut: they would go into URLs, which servers take up to about this length. */
const maxLength = 4_096

/** Only what RFC 6749 allows: most of these come from servers, and are told in errors. */
const isScope = (scope: string): boolean => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope)

export const parse = (text: string | undefined): Scopes => {
  const scopes = (text ?? "").slice(0, maxLength + 1).split(/\s+/)
  // The last may have been cut.
  return new Set((text !== undefined && text.length > maxLength ? scopes.slice(0, -1) : scopes).filter(isScope))
}

export const union = (...all: ReadonlyArray<Scopes>): Scopes => new Set(all.flatMap((scopes) => [...scopes]))

export const includes = (scopes: Scopes, wanted: Scopes): boolean => [...wanted].every((scope) => scopes.has(scope))

/** `undefined` for none: then the parameter is left out. */
export const format = (scopes: Scopes): string | undefined => scopes.size === 0 ? undefined : [...scopes].join(" ")

/**
 * What to ask for: what was asked for before and what is needed now; without a
 * word from the server or the config, everything the resource knows.
 */
export const select = (sources: {
  readonly configured: Scopes
  readonly before: Scopes
  readonly challenged: Scopes
  readonly resource: Scopes
}): Scopes => {
  const told = union(sources.configured, sources.before, sources.challenged)
  return told.size > 0 ? told : sources.resource
}

/** With the scope that refresh tokens are asked for by, where the server knows it. */
export const withOfflineAccess = (scopes: Scopes, known: ReadonlyArray<string> | undefined): Scopes =>
  scopes.size > 0 && known?.includes("offline_access") === true ? union(scopes, parse("offline_access")) : scopes
