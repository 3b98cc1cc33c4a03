/** The figures by name, in the order they are shown. */
import type { Figure } from "../Figure.ts"

export const figures: Readonly<Record<string, () => Promise<{ readonly figure: Figure }>>> = {
  throughput: () => import("./throughput.ts"),
  latency: () => import("./latency.ts"),
  progress: () => import("./progress.ts"),
  large: () => import("./large.ts"),
  listing: () => import("./listing.ts"),
  connect: () => import("./connect.ts"),
  negotiation: () => import("./negotiation.ts"),
  idle: () => import("./idle.ts"),
  options: () => import("./options.ts"),
  growth: () => import("./growth.ts"),
  fleet: () => import("./fleet.ts"),
  footprint: () => import("./footprint.ts")
}
