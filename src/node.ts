/** Node.js as one layer: what the library needs of its platform. */
import * as NodeChildProcessSpawner from "@effect/platform-node/NodeChildProcessSpawner"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type * as Path from "effect/Path"
import * as Predicate from "effect/Predicate"
import * as Spawner from "effect/process/ChildProcessSpawner"
import { ChildProcess } from "node:child_process"
import { subscribe, unsubscribe } from "node:diagnostics_channel"

/**
 * Destroys the pipes of a process when its scope closes. A helper that left the
 * process group may hold their other ends, and an open pipe keeps this program
 * alive. The spawner's handle does not reach them, Node's diagnostics do.
 */
const closingPipes = Layer.effect(
  Spawner.ChildProcessSpawner,
  Effect.map(Spawner.ChildProcessSpawner, (spawner) =>
    Spawner.make(Effect.fnUntraced(function*(command) {
      // Other fibers may start theirs meanwhile, and none has its pid when it is announced.
      const started = new Set<ChildProcess>()
      const onStart = (message: unknown) => {
        if (Predicate.hasProperty(message, "process") && message.process instanceof ChildProcess) {
          started.add(message.process)
        }
      }
      // Registered before the spawner's own finalizer, so that it runs after it.
      let pid: number | undefined
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          for (const child of started) {
            if (child.pid === pid) for (const pipe of child.stdio) pipe?.destroy()
          }
        })
      )
      const handle = yield* Effect.acquireUseRelease(
        Effect.sync(() => subscribe("child_process", onStart)),
        () => spawner.spawn(command),
        () => Effect.sync(() => unsubscribe("child_process", onStart))
      )
      pid = handle.pid
      return handle
    })))
)

/**
 * Processes, files and paths of Node.js.
 *
 * ```ts
 * program.pipe(Effect.scoped, Effect.provide(NodeMcp.layer), NodeRuntime.runMain)
 * ```
 */
export const layer: Layer.Layer<Spawner.ChildProcessSpawner | FileSystem.FileSystem | Path.Path> = closingPipes.pipe(
  Layer.provide(NodeChildProcessSpawner.layer),
  Layer.provideMerge(Layer.merge(NodeFileSystem.layer, NodePath.layer))
)
