/** The protocol's revisions, and what each of them has. */

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

export const isRevision = (revision: string): revision is Revision => isModern(revision) || isLegacy(revision)

export const era = (revision: Revision): Era => isModern(revision) ? "modern" : "legacy"

/** The newest revision that both sides speak, if there is one. */
export const newestMutual = <R extends Revision>(
  ours: ReadonlyArray<R>,
  theirs: ReadonlyArray<string>
): R | undefined => ours.find((revision) => theirs.includes(revision))
