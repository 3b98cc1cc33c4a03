/**
 * The `WWW-Authenticate` header (A-02; RFC 9110, 11.6.1): several challenges in
 * one header, each with parameters that are tokens or quoted. What cannot be
 * read is passed over, never guessed.
 */

export interface Challenge {
  /** In lower case. */
  readonly scheme: string
  /** Names in lower case. Of a parameter that comes twice, the first. */
  readonly parameters: ReadonlyMap<string, string>
}

/** Of longer headers the rest is not read: quotes that never close make reading slow. */
const maxLength = 4_096

const start = /[\s,]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?=[\s,]|$)[ \t]*/y
const parameter = /[\s,]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+\-.^_`|~0-9A-Za-z:/?@]+)(?=[\s,]|$))/y
const token68 = /[ \t]*[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))/y

const at = (pattern: RegExp, header: string, index: number): RegExpExecArray | null => {
  pattern.lastIndex = index
  return pattern.exec(header)
}

/** Every challenge of the header, in order. Never throws. */
export const parse = (header: string | undefined): ReadonlyArray<Challenge> => {
  const text = (header ?? "").slice(0, maxLength)
  const challenges: Array<Challenge> = []
  let index = 0
  while (index < text.length) {
    const scheme = at(start, text, index)
    if (scheme === null || scheme[1] === undefined) {
      // Not a challenge: goes on behind the next comma.
      const comma = text.indexOf(",", index + 1)
      if (comma === -1) break
      index = comma
      continue
    }
    index += scheme[0].length
    const parameters = new Map<string, string>()
    for (let found = at(parameter, text, index); found !== null; found = at(parameter, text, index)) {
      const [all, name = "", quoted, plain = ""] = found
      index += all.length
      const key = name.toLowerCase()
      if (!parameters.has(key)) parameters.set(key, quoted === undefined ? plain : quoted.replace(/\\(.)/g, "$1"))
    }
    if (parameters.size === 0) index += at(token68, text, index)?.[0].length ?? 0
    challenges.push({ scheme: scheme[1].toLowerCase(), parameters })
  }
  return challenges
}

/** What of it matters to a client of OAuth: the parameters of the first challenge that is for bearers or DPoP. */
export interface Wanted {
  readonly resourceMetadata?: string
  readonly scope?: string
  readonly error?: string
  /** Whether a challenge asks for proof of possession. */
  readonly dpop: boolean
}

export const wanted = (header: string | undefined): Wanted => {
  const challenges = parse(header).filter(({ scheme }) => scheme === "bearer" || scheme === "dpop")
  const first = (name: string) => challenges.find(({ parameters }) => parameters.has(name))?.parameters.get(name)
  const [resourceMetadata, scope, error] = [first("resource_metadata"), first("scope"), first("error")]
  return {
    ...(resourceMetadata === undefined ? {} : { resourceMetadata }),
    ...(scope === undefined ? {} : { scope }),
    ...(error === undefined ? {} : { error }),
    dpop: challenges.some(({ scheme }) => scheme === "dpop")
  }
}
