/** The protocol's revisions, and what each of them has. */
import type { ServerCapabilities } from "./schema/Discovery.ts"

/** 2026-07-28 and later: no handshake, no session, metadata on every request. */
export const modern = ["2026-07-28"] as const

/** Revisions that begin with the `initialize` handshake, newest first. */
export const legacy = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"] as const

export type ModernRevision = typeof modern[number]
export type LegacyRevision = typeof legacy[number]
export type Revision = ModernRevision | LegacyRevision

export type Era = "modern" | "legacy"

/** All revisions this client speaks, newest first. */
export const all: ReadonlyArray<Revision> = [...modern, ...legacy]

export const isModern = (revision: string): revision is ModernRevision =>
  (modern as ReadonlyArray<string>).includes(revision)

export const isLegacy = (revision: string): revision is LegacyRevision =>
  (legacy as ReadonlyArray<string>).includes(revision)

export const era = (revision: Revision): Era => isModern(revision) ? "modern" : "legacy"

/** The newest revision that both sides speak, if there is one. */
export const newestMutual = <R extends Revision>(
  ours: ReadonlyArray<R>,
  theirs: ReadonlyArray<string>
): R | undefined => ours.find((revision) => theirs.includes(revision))

// =============================================================================
// What a revision has
// =============================================================================

/** What differs between revisions for a client, beyond the methods. */
export interface Features {
  /** Arrays of messages must be accepted (B-11). */
  readonly batches: boolean
  /** How a server may ask the user something (L-30). */
  readonly elicitation: ReadonlyArray<"form" | "url">
  /** Servers declare whether they complete arguments; before, one just tries (CP-01). */
  readonly completionsCapability: boolean
  /** A completion may be told the arguments that are already known. */
  readonly completionContext: boolean
}

const features2024: Features = {
  batches: false,
  elicitation: [],
  completionsCapability: false,
  completionContext: false
}
const features202503: Features = { ...features2024, batches: true, completionsCapability: true }
const features202506: Features = { ...features202503, batches: false, elicitation: ["form"], completionContext: true }
const features202511: Features = { ...features202506, elicitation: ["form", "url"] }

const featuresByRevision: { readonly [R in Revision]: Features } = {
  "2024-11-05": features2024,
  "2025-03-26": features202503,
  "2025-06-18": features202506,
  "2025-11-25": features202511,
  "2026-07-28": features202511
}

export const features = (revision: Revision): Features => featuresByRevision[revision]

/** What this client may send, and in which revisions (table 25.1; without tasks, which it does not speak). */
const clientMethods: ReadonlyMap<string, ReadonlyArray<Revision>> = new Map<string, ReadonlyArray<Revision>>([
  ["initialize", legacy],
  ["notifications/initialized", legacy],
  ["server/discover", modern],
  ["ping", legacy],
  ["tools/list", all],
  ["tools/call", all],
  ["prompts/list", all],
  ["prompts/get", all],
  ["resources/list", all],
  ["resources/templates/list", all],
  ["resources/read", all],
  ["completion/complete", all],
  ["resources/subscribe", legacy],
  ["resources/unsubscribe", legacy],
  ["subscriptions/listen", modern],
  ["logging/setLevel", legacy],
  ["notifications/cancelled", all],
  ["notifications/progress", legacy],
  ["notifications/roots/list_changed", legacy]
])

/** Whether this revision has a request or notification of the client. Methods no revision knows are nobody's to refuse. */
export const has = (revision: Revision, method: string): boolean =>
  clientMethods.get(method)?.includes(revision) !== false

/** Whether arrays of messages must be accepted: in one revision only (B-11). */
export const hasBatches = (revision: Revision): boolean => features(revision).batches

/** The capability a request needs, and the setting within it. */
const needs: ReadonlyMap<string, readonly [capability: string, setting?: string]> = new Map<
  string,
  readonly [capability: string, setting?: string]
>([
  ["tools/list", ["tools"]],
  ["tools/call", ["tools"]],
  ["prompts/list", ["prompts"]],
  ["prompts/get", ["prompts"]],
  ["resources/list", ["resources"]],
  ["resources/templates/list", ["resources"]],
  ["resources/read", ["resources"]],
  ["resources/subscribe", ["resources", "subscribe"]],
  ["resources/unsubscribe", ["resources", "subscribe"]],
  ["completion/complete", ["completions"]],
  ["logging/setLevel", ["logging"]]
])

/**
 * Why a server cannot be asked this, or `undefined` when it can: the revision
 * does not have the method, or the server did not declare the capability (C-07).
 */
export const lacks = (
  revision: Revision,
  capabilities: ServerCapabilities,
  method: string
): string | undefined => {
  if (!has(revision, method)) return `revision ${revision} does not have it`
  const [capability, setting] = needs.get(method) ?? []
  if (capability === undefined) return undefined
  if (capability === "completions" && !features(revision).completionsCapability) return undefined
  const declared = capabilities[capability]
  if (declared === undefined) return `the server does not declare the capability "${capability}"`
  return setting === undefined || declared[setting] === true
    ? undefined
    : `the server does not declare "${setting}" in its capability "${capability}"`
}
