/** What changes the view over all servers: one that came, went, got in trouble or was connected, and a list of one that changed. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Change } from "./catalog.ts"
import type { Client } from "./member.ts"
import type { Runtime, Transition } from "./runtime.ts"

/**
 * Every server that is connected is kept so, and asked to tell of its changes,
 * for as long as the stream is read.
 */
export const make = ({ client, statuses }: Pick<Runtime, "client" | "statuses">): Stream.Stream<Change> =>
  Stream.suspend(() => {
    const followed = new WeakSet<Stream.Stream<void, unknown>>()

    /** Once; and when it has ended, as it does where the server has no such list, again with the next connection. */
    const follow = (server: string, changed: Client["toolsChanged"]): Stream.Stream<Change> => {
      if (followed.has(changed)) return Stream.empty
      followed.add(changed)
      return changed.pipe(
        Stream.map((): Change => ({ server, now: "changed" })),
        Stream.catch(() => Stream.empty),
        Stream.ensuring(Effect.sync(() => followed.delete(changed)))
      )
    }

    const changesOf = (server: string) =>
      Effect.map(client(server), ({ promptsChanged, resourcesChanged, toolsChanged }) =>
        Stream.mergeAll(
          [toolsChanged, resourcesChanged, promptsChanged].map((changed) => follow(server, changed)),
          { concurrency: "unbounded" }
        )
      ).pipe(Stream.unwrap, Stream.catch(() => Stream.empty))

    const newsOf = ({ server, status }: Transition): Stream.Stream<Change> => {
      switch (status._tag) {
        case "Idle":
          return Stream.succeed({ server, now: "there" })
        case "Ready":
          return Stream.concat(Stream.succeed({ server, now: "changed" }), changesOf(server))
        case "Draining":
          return Stream.succeed({ server, now: "changed" })
        case "Failed":
        case "NeedsAuthorization":
          return Stream.succeed({ server, now: status.error })
        default:
          return Stream.empty
      }
    }
    return statuses.pipe(
      Stream.filter(({ principal }) => principal === undefined),
      Stream.flatMap(newsOf, { concurrency: "unbounded" })
    )
  })
