/**
 * Finds out which revision to speak with a server: a pure state machine that
 * is told what came back and says what to do next. Client requirements,
 * sections 5 to 5.3.
 *
 * Modern servers are asked with `server/discover` (the probe), legacy servers
 * with `initialize` (the handshake). Whatever is not positive evidence for a
 * modern server leads to the handshake: no single error code decides (V-24).
 * Over HTTP a failure may instead be an outage or a missing authorization,
 * which say nothing about the era and end the negotiation (V-36, V-37), and a
 * handshake may have a second chance over an older transport (V-35).
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import { excerptOfJson } from "../internal/plainText.ts"
import { type HttpStatus, type McpErrorReason, NegotiationFailed } from "../McpError.ts"
import { ErrorCode, type ErrorObject, isJsonObject, type JsonObject } from "./JsonRpc.ts"
import { decodeDiscoverResult, decodeInitializeResult, type Server, serverOf } from "./McpSchema.ts"
import * as Revision from "./Revision.ts"

/** What is known of a server before asking it. */
export interface Preference {
  /** Exactly this revision, or failure. */
  readonly pin?: Revision.Revision | undefined
  /**
   * Where to begin. `auto`: with the probe. `modern`: with the probe, and
   * silence is slowness rather than a legacy server. `legacy`: with the
   * handshake, without a probe. Default `auto`.
   */
  readonly preset?: "auto" | "modern" | "legacy" | undefined
}

/** What matters of how a server is reached. */
export interface Way {
  /** Whether each message is a request of its own: then a link cannot be spoilt by a probe, and silence is an outage. */
  readonly http?: boolean | undefined
  /** Whether there is HTTP+SSE to fall back to. */
  readonly fallback?: boolean | undefined
}

/** What came of a step. */
export type Evidence = Data.TaggedEnum<{
  Answered: { readonly result: unknown }
  Rejected: { readonly error: ErrorObject }
  /** No answer within this time. */
  Silence: { readonly millis: number }
  /** The link ended before an answer. */
  Exited: { readonly reason: McpErrorReason }
  /** HTTP brought no answer: a status that is no success, a body that is no message, an outage. */
  Refused: { readonly reason: McpErrorReason }
}>

const evidence = Data.taggedEnum<Evidence>()

export const Answered: typeof evidence.Answered = evidence.Answered
export const Rejected: typeof evidence.Rejected = evidence.Rejected
export const Silence: typeof evidence.Silence = evidence.Silence
export const Exited: typeof evidence.Exited = evidence.Exited
export const Refused: typeof evidence.Refused = evidence.Refused

/** What was tried, and what came of it in one line. */
export type Attempt = NegotiationFailed["attempts"][number]

interface Learned {
  readonly server: Server
  /** The result as it came. */
  readonly result: JsonObject
  /** Everything that was tried, the last of it with success. */
  readonly attempts: ReadonlyArray<Attempt>
  /** Whether it may be remembered: not when the server might have been a modern one, had it been asked or heard. */
  readonly lasting: boolean
}

/** What to speak with the server. */
export type Verdict =
  | Learned & { readonly era: "modern"; readonly revision: Revision.ModernRevision; readonly how: "probe" }
  | Learned & { readonly era: "legacy"; readonly revision: Revision.LegacyRevision; readonly how: "handshake" }

/** What to do next. */
export type Step =
  /** Send `server/discover` with this id; ids differ, so that a late answer to an earlier probe is told apart (V-27). */
  | { readonly _tag: "Probe"; readonly revision: Revision.ModernRevision; readonly id: string }
  /** Send `initialize`. */
  | {
    readonly _tag: "Handshake"
    readonly revision: Revision.LegacyRevision
    /** Over a new link, to a new process. */
    readonly fresh: boolean
    /** Over HTTP+SSE instead; stays so until the end. */
    readonly fallback: boolean
  }
  | { readonly _tag: "Settled"; readonly verdict: Verdict }
  | { readonly _tag: "Failed"; readonly reason: McpErrorReason }

/** Where a negotiation is. Read `step`, do it, and tell `next` what came of it. */
export interface State {
  readonly step: Step
  readonly preference: Preference
  readonly http: boolean
  readonly attempts: ReadonlyArray<Attempt>
  /** Probes sent. */
  readonly probes: number
  /** Whether all probes so far were met with silence or an outage, so that another one could still tell something. */
  readonly probesUnheard: boolean
  /** Whether no handshake may follow: a modern revision is pinned, or the server named one we speak (V-05). */
  readonly onlyModern: boolean
  /** Whether a probe has gone over the present link. */
  readonly soiled: boolean
  /** Whether a handshake has gone over a link that had seen no probe. */
  readonly triedClean: boolean
  /**
   * HTTP+SSE: `never` without such a transport, or when the server has shown to
   * speak JSON-RPC by POST; `possible` until a handshake is refused in the way
   * that makes it `due` (V-35); `using` it from then on.
   */
  readonly fallback: "never" | "possible" | "due" | "using"
}

/** Begins a negotiation. */
export const start = (preference: Preference, way: Way = {}): State => {
  const { pin, preset } = preference
  const state: State = {
    step: { _tag: "Probe", revision: Revision.modern[0], id: probeId(1) },
    preference,
    http: way.http === true,
    attempts: [],
    probes: 0,
    probesUnheard: true,
    onlyModern: pin !== undefined && Revision.isModern(pin),
    soiled: false,
    triedClean: false,
    fallback: way.fallback === true ? "possible" : "never"
  }
  if (pin !== undefined) return Revision.isModern(pin) ? probe(state, pin) : handshake(state, pin, false)
  return preset === "legacy" ? handshake(state, Revision.legacy[0], false) : probe(state, Revision.modern[0])
}

/**
 * What to do after the present step had this result. It always ends: there are
 * at most two probes, and one handshake for each legacy revision and one more,
 * be it over a fresh link or over HTTP+SSE. What is settled or failed stays so.
 */
export const next = (state: State, evidence: Evidence): State => {
  const { step } = state
  switch (step._tag) {
    case "Probe":
      return afterProbe(noted(state, "server/discover", step.revision, evidence), step.revision, evidence)
    case "Handshake":
      return afterHandshake(noted(state, "initialize", step.revision, evidence), step.revision, evidence)
    default:
      return state
  }
}

// =============================================================================
// Probe
// =============================================================================

const afterProbe = (state: State, revision: Revision.ModernRevision, evidence: Evidence): State => {
  switch (evidence._tag) {
    case "Answered": {
      const discovered = decodeDiscoverResult(evidence.result)
      return Result.isFailure(discovered) || !isJsonObject(evidence.result)
        ? notModern(state, false)
        : discoveredAs(state, discovered.success.supportedVersions, evidence.result)
    }
    case "Rejected":
      return afterRejectedProbe(state, evidence.error)
    case "Silence":
      if (!state.onlyModern && state.preference.preset !== "modern") return notModern(state, false)
      return state.probes < 2 ? probe(state, revision) : failed(state, tooSlow)
    case "Exited":
      return state.onlyModern ? failedWith(state, evidence.reason) : notModern(state, true)
    case "Refused":
      return afterRefusedProbe(state, evidence.reason)
  }
}

const discoveredAs = (state: State, theirs: ReadonlyArray<string>, result: JsonObject): State => {
  const revision = Revision.newestMutual(acceptable(state), theirs)
  if (revision !== undefined) return settled(state, { era: "modern", how: "probe", revision, ...learned(state, result) })
  return theirs.length === 0 ? notModern(state, false) : orLegacy(state, theirs)
}

const afterRejectedProbe = (state: State, error: ErrorObject): State => {
  switch (error.code) {
    case ErrorCode.UnsupportedProtocolVersion: {
      const theirs = supportedVersions(error)
      if (theirs.length === 0) return notModern(state, false)
      // It may well be the version just sent (V-06); a common modern version rules out the handshake (V-05).
      const revision = Revision.newestMutual(acceptable(state), theirs)
      if (revision === undefined) return orLegacy(state, theirs)
      return state.probes < 2
        ? { ...probe(state, revision), onlyModern: true }
        : failed(state, "the server rejects a revision it says it supports", theirs)
    }
    case ErrorCode.HeaderMismatch:
    case ErrorCode.MissingRequiredClientCapability: {
      const required = isJsonObject(error.data) && isJsonObject(error.data.requiredCapabilities)
        ? Object.keys(error.data.requiredCapabilities)
        : []
      // A modern server, whatever it misses (V-23): the handshake would only hide its reason.
      return failed(
        state,
        required.length === 0
          ? "the server is a modern one but refuses to describe itself"
          : `the server requires the client capabilities ${bounded(required).join(", ")}; provide handlers for them`
      )
    }
    default:
      return notModern(state, false)
  }
}

const afterRefusedProbe = (state: State, reason: McpErrorReason): State => {
  const error = recognised(reason)
  // Such an error is no answer of HTTP+SSE, even when it leads to a handshake (V-33).
  if (error !== undefined) return afterRejectedProbe({ ...state, fallback: "never" }, error)
  switch (kindOf(reason)) {
    case "legacy":
      return notModern(state, false)
    case "broken":
      // Some legacy servers break on a method they do not know, and shake hands all the same. The status proves no era
      // (V-37): it is the answer to the handshake that does, and what was concluded this way is not remembered.
      return state.onlyModern || state.preference.preset === "modern" ? failedWith(state, reason) : notModern(state, false)
    case "outage":
      return failedWith(state, reason)
  }
}

/** No modern revision in common: a legacy one that the server named, or failure (V-22, V-06). */
const orLegacy = (state: State, theirs: ReadonlyArray<string>): State => {
  const revision = state.onlyModern ? undefined : Revision.newestMutual(Revision.legacy, theirs)
  return revision === undefined ? failed(state, disagreement(state, theirs), theirs) : shakeHands(state, revision, false)
}

/** Nothing says that the server is modern (V-24 … V-26). */
const notModern = (state: State, fresh: boolean): State =>
  state.onlyModern ? failed(state, disagreement(state, [])) : shakeHands(state, Revision.legacy[0], fresh)

/**
 * Tries a legacy revision that was not tried yet, or tries once more over a
 * fresh link: some servers refuse a handshake only because a probe came first.
 */
const shakeHands = (state: State, revision: Revision.LegacyRevision, fresh: boolean): State => {
  const tried = state.attempts.some((attempt) => attempt.method === "initialize" && attempt.revision === revision)
  return tried ? lastResort(state, revision, []) : handshake(state, revision, fresh)
}

/** One more handshake, where there is another way to make it: HTTP+SSE, or a link that has seen no probe. */
const lastResort = (state: State, revision: Revision.LegacyRevision, theirs: ReadonlyArray<string>): State => {
  if (state.fallback === "due") return handshake({ ...state, fallback: "using" }, revision, true)
  return state.triedClean ? failed(state, disagreement(state, theirs), theirs) : handshake(state, revision, true)
}

// =============================================================================
// Handshake
// =============================================================================

const afterHandshake = (state: State, revision: Revision.LegacyRevision, evidence: Evidence): State => {
  switch (evidence._tag) {
    case "Answered": {
      const initialized = decodeInitializeResult(evidence.result)
      return Result.isFailure(initialized) || !isJsonObject(evidence.result)
        ? failed(state, "initialize was answered with something else than its result")
        : agreed(state, initialized.success.protocolVersion, evidence.result)
    }
    case "Rejected":
      return afterRejectedHandshake(state, revision, evidence.error)
    case "Silence":
      return failed(state, tooSlow)
    case "Exited":
      // A server may die of the probe only after having answered it (V-26).
      if (!state.triedClean) return handshake(state, revision, true)
      return state.fallback === "using" ? failed(state, nowhere) : failedWith(state, evidence.reason)
    case "Refused":
      return afterRefusedHandshake(state, revision, evidence.reason)
  }
}

const afterRefusedHandshake = (state: State, revision: Revision.LegacyRevision, reason: McpErrorReason): State => {
  if (isUnauthorized(reason)) return failedWith(state, reason)
  // The story of all attempts, not only of the last and least likely of them.
  if (state.fallback === "using") return failed(state, nowhere)
  const error = recognised(reason)
  if (error !== undefined) return afterRejectedHandshake({ ...state, fallback: "never" }, revision, error)
  switch (kindOf(reason)) {
    case "legacy": {
      const refused = reason._tag === "HttpStatus" ? reason : undefined
      const due = state.fallback === "possible" && refused !== undefined && meansFallback.includes(refused.status)
      return afterRejectedHandshake(due ? { ...state, fallback: "due" } : state, revision, refused?.error)
    }
    case "broken":
    case "outage":
      return failedWith(state, reason)
  }
}

/** The server chose a revision; a session is never run in a modern one (V-51, V-52). */
const agreed = (state: State, revision: string, result: JsonObject): State => {
  const { pin } = state.preference
  if (Revision.isLegacy(revision) && (pin === undefined || pin === revision)) {
    return settled(state, { era: "legacy", how: "handshake", revision, ...learned(state, result) })
  }
  return Revision.isModern(revision) && mayProbe(state)
    ? probe(state, revision)
    : failed(state, disagreement(state, [revision]), [revision])
}

const afterRejectedHandshake = (
  state: State,
  revision: Revision.LegacyRevision,
  error: ErrorObject | undefined
): State => {
  const theirs = error === undefined ? [] : supportedVersions(error)
  if (state.preference.pin !== undefined) return lastResort(state, revision, theirs)
  const mutual = Revision.newestMutual(Revision.legacy, theirs)
  // The rejection may name what the server would accept (V-53).
  if (mutual !== undefined && mutual !== revision) return shakeHands(state, mutual, false)
  if (mayProbe(state)) return probe(state, Revision.newestMutual(Revision.modern, theirs) ?? Revision.modern[0])
  return lastResort(state, revision, theirs)
}

/** A refused handshake leaves one chance for the other era (V-09), unless a probe was heard before (V-26). */
const mayProbe = (state: State): boolean =>
  state.preference.pin === undefined && state.probesUnheard && state.probes < 2 && state.fallback !== "using"

// =============================================================================
// HTTP
// =============================================================================

/** The statuses to `initialize` by which a server of HTTP+SSE is recognised (V-35). */
const meansFallback: ReadonlyArray<number> = [400, 404, 405]

const isUnauthorized = (reason: McpErrorReason): boolean =>
  reason._tag === "HttpStatus" && (reason.status === 401 || reason.status === 403)

/** The errors by which a server is known to speak JSON-RPC at this URL, whatever the status (V-32, V-33). */
const recognised = (reason: McpErrorReason): ErrorObject | undefined => {
  if (reason._tag !== "HttpStatus" || isUnauthorized(reason)) return undefined
  switch (reason.error?.code) {
    case ErrorCode.HeaderMismatch:
    case ErrorCode.MissingRequiredClientCapability:
    case ErrorCode.UnsupportedProtocolVersion:
    case ErrorCode.MethodNotFound:
      return reason.error
    default:
      return undefined
  }
}

/**
 * What it says about a server that HTTP brought no answer. `legacy`: it does
 * not understand the request (V-34, V-38, V-39). `broken`: it failed, or
 * something before it did. `outage`: nothing, as it was not reached or does not
 * want to be asked now (V-36, V-37).
 */
const kindOf = (reason: McpErrorReason): "legacy" | "broken" | "outage" => {
  if (reason._tag === "InvalidResponse") return "legacy"
  if (reason._tag !== "HttpStatus" || isUnauthorized(reason)) return "outage"
  if (reason.status >= 500) return "broken"
  return reason.status < 400 || reason.status === 408 || reason.status === 429 ? "outage" : "legacy"
}

// =============================================================================
// Internal
// =============================================================================

const probeId = (nth: number): string => `server-discover-probe-${nth}`

const probe = (state: State, revision: Revision.ModernRevision): State => ({
  ...state,
  step: { _tag: "Probe", revision, id: probeId(state.probes + 1) },
  probes: state.probes + 1,
  soiled: !state.http
})

const handshake = (state: State, revision: Revision.LegacyRevision, fresh: boolean): State => {
  const soiled = state.soiled && !fresh
  const step: Step = { _tag: "Handshake", revision, fresh, fallback: state.fallback === "using" }
  return { ...state, step, soiled, triedClean: state.triedClean || !soiled }
}

const settled = (state: State, verdict: Verdict): State => ({ ...state, step: { _tag: "Settled", verdict } })

const failedWith = (state: State, reason: McpErrorReason): State => ({ ...state, step: { _tag: "Failed", reason } })

const failed = (state: State, detail: string, serverRevisions: ReadonlyArray<string> = []): State =>
  failedWith(state, new NegotiationFailed({ detail, serverRevisions: bounded(serverRevisions), attempts: state.attempts }))

const learned = (state: State, result: JsonObject): Learned => ({
  server: serverOf(result),
  result,
  attempts: state.attempts,
  lasting: !state.probesUnheard
})

/** Writes down what a step led to. */
const noted = (state: State, method: string, revision: string, evidence: Evidence): State => ({
  ...state,
  attempts: [...state.attempts, {
    method,
    revision,
    outcome: state.fallback === "using" ? `over HTTP+SSE: ${outcome(evidence)}` : outcome(evidence)
  }],
  probesUnheard: state.probesUnheard && (method === "initialize" || !isHeard(evidence))
})

const isHeard = (evidence: Evidence): boolean =>
  evidence._tag === "Refused"
    ? recognised(evidence.reason) !== undefined || kindOf(evidence.reason) === "legacy"
    : evidence._tag !== "Silence"

const outcome = (evidence: Evidence): string => {
  switch (evidence._tag) {
    case "Answered": {
      const { protocolVersion, supportedVersions } = isJsonObject(evidence.result) ? evidence.result : {}
      const named = supportedVersions ?? protocolVersion
      return named === undefined ? "an answer that names no revision" : `answered ${excerpt(excerptOfJson(named, 200))}`
    }
    case "Rejected":
      return `error ${evidence.error.code}: ${excerpt(evidence.error.message)}`
    case "Silence":
      return `no answer within ${evidence.millis} ms`
    case "Exited":
      return excerpt(evidence.reason.message)
    case "Refused":
      return evidence.reason._tag === "HttpStatus" ? status(evidence.reason) : excerpt(evidence.reason.message)
  }
}

const status = ({ body, error, status, verb }: HttpStatus): string =>
  excerpt(`status ${status} to ${verb}${
    error === undefined ? (body === "" ? "" : `: ${body}`) : `, error ${error.code}: ${error.message}`
  }`)

const tooSlow = "the server does not answer; if it is only slow, give it more time"

const nowhere = "no server of this protocol was found, neither by Streamable HTTP nor by HTTP+SSE; check the URL"

const disagreement = (state: State, theirs: ReadonlyArray<string>): string => {
  const { pin } = state.preference
  const ours = pin === undefined
    ? `this client speaks ${Revision.all.join(", ")}`
    : `the config pins ${pin}; without the pin a common revision is looked for`
  return theirs.length === 0
    ? `the server does not accept what it was offered; ${ours}`
    : `the server speaks ${bounded(theirs).join(", ")}; ${ours}`
}

/** The modern revisions that may be settled on. */
const acceptable = ({ preference: { pin } }: State): ReadonlyArray<Revision.ModernRevision> =>
  Revision.modern.filter((revision) => pin === undefined || revision === pin)

/** The revisions an error names; none when they are missing or malformed (V-06, V-53). */
const supportedVersions = (error: ErrorObject): ReadonlyArray<string> => {
  const supported = isJsonObject(error.data) ? error.data.supported : undefined
  return Array.isArray(supported) && supported.every((version) => typeof version === "string") ? supported : []
}

const excerpt = (text: string): string => {
  const line = text.replace(/\s+/g, " ").trim()
  return line.length <= 200 ? line : `${line.slice(0, 200)}…`
}

const bounded = (revisions: ReadonlyArray<string>): ReadonlyArray<string> => revisions.slice(0, 10).map(excerpt)
