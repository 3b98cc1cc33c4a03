import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import * as McpClient from "../../src/McpClient.ts"
import * as McpError from "../../src/McpError.ts"
import type * as McpSchema from "../../src/protocol/McpSchema.ts"
import * as Catalog from "../../src/servers/catalog.ts"
import * as Naming from "../../src/servers/naming.ts"

interface Fake {
  readonly tools?: ReadonlyArray<string>
  readonly resources?: ReadonlyArray<string>
  readonly prompts?: ReadonlyArray<string>
  readonly connect?: Effect.Effect<void, McpError.McpError>
  readonly broken?: boolean
  readonly listing?: Effect.Effect<void>
}

const error = McpError.make(new McpError.ConnectionClosed({ by: "server", detail: "gone" }), "x")

const tool = (name: string): McpSchema.Tool => ({ name, inputSchema: { type: "object" } })

/** Servers that have what is given, and say which of theirs was called. */
const servers = (fakes: Map<string, Fake>, onList: (name: string) => void = () => {}) => {
  let open = 0
  let most = 0
  const client = (name: string) =>
    Effect.gen(function*() {
      const fake = fakes.get(name)
      if (fake === undefined) return yield* McpError.make(new McpError.UnknownServer({ name, known: [] }))
      most = Math.max(most, ++open)
      yield* Effect.addFinalizer(() => Effect.sync(() => open--))
      yield* fake.connect ?? Effect.void
      return yield* McpClient.McpClient.pipe(Effect.provide(McpClient.layerMock({
        name,
        listTools: () => {
          onList(name)
          return fake.broken === true ? Effect.fail(error) : Effect.as(fake.listing ?? Effect.void, (fake.tools ?? []).map(tool))
        },
        listResources: () => Effect.succeed((fake.resources ?? []).map((uri) => ({ uri, name: uri }))),
        listPrompts: () => Effect.succeed((fake.prompts ?? []).map((name) => ({ name }))),
        callTool: (called: string) => Effect.succeed({ content: [{ type: "text" as const, text: `${name}/${called}` }] }),
        readResource: (uri: string) => Effect.succeed({ contents: [{ uri, text: name }] }),
        getPrompt: (called: string) => Effect.succeed({ description: `${name}/${called}`, messages: [] })
      })))
    })
  return {
    source: {
      names: () => [...fakes.keys()],
      has: (name) => fakes.has(name),
      use: (name, f) => Effect.scoped(Effect.flatMap(client(name), f)),
      changes: Stream.empty
    } satisfies Catalog.Source,
    open: () => open,
    most: () => most
  }
}

const of = (fakes: Readonly<Record<string, Fake>>) => servers(new Map(Object.entries(fakes)))

const textOf = ({ content: [block] }: McpSchema.CallToolResult) => block?.type === "text" ? block.text : undefined

const reasonOf = <A>(effect: Effect.Effect<A, McpError.McpError>) => Effect.map(Effect.flip(effect), ({ reason }) => reason)

const names = (items: ReadonlyArray<{ readonly name: string }>) => items.map(({ name }) => name)

describe("catalog: the view", () => {
  it.effect("a server that cannot be connected to is told beside what the others have", () =>
    Effect.gen(function*() {
      const { open, source } = of({ a: { tools: ["t"] }, dead: { connect: Effect.fail(error) }, z: { prompts: ["p"], resources: ["r"] } })
      const view = yield* Catalog.make(source).view
      assert.deepStrictEqual(names(view.tools), ["a__t"])
      assert.deepStrictEqual(names(view.prompts), ["z__p"])
      assert.deepStrictEqual(names(view.resources), ["z__r"])
      assert.deepStrictEqual(view.problems.map(({ error, kind, server }) => [server, kind, error.reason._tag]), [
        ["dead", "tools", "ConnectionClosed"],
        ["dead", "resources", "ConnectionClosed"],
        ["dead", "prompts", "ConnectionClosed"]
      ])
      assert.strictEqual(open(), 0)
    }))

  it.effect("a list that fails leaves the server's other lists in the view", () =>
    Effect.gen(function*() {
      const { source } = of({ a: { broken: true, prompts: ["p"] } })
      const view = yield* Catalog.make(source).view
      assert.deepStrictEqual(names(view.prompts), ["a__p"])
      assert.deepStrictEqual(view.problems.map(({ kind }) => kind), ["tools"])
    }))

  it.effect("a server that never answers holds the view up for its timeout and no longer", () =>
    Effect.gen(function*() {
      const { open, source } = of({ a: { tools: ["t"] }, slow: { connect: Effect.never } })
      const fiber = yield* Effect.forkChild(Catalog.make(source, { timeout: "5 seconds" }).view)
      yield* TestClock.adjust("5 seconds")
      const view = yield* Fiber.join(fiber)
      assert.deepStrictEqual(names(view.tools), ["a__t"])
      assert.deepStrictEqual(view.problems.map(({ error }) => error.reason._tag), Array(3).fill("RequestTimeout"))
      assert.strictEqual(view.problems[0]?.error.server, "slow")
      assert.strictEqual(open(), 0)
    }))

  it.effect("a list that never comes loses none of the server's that do", () =>
    Effect.gen(function*() {
      const { source } = of({ a: { listing: Effect.never, prompts: ["p"], resources: ["r"] } })
      const fiber = yield* Effect.forkChild(Catalog.make(source, { timeout: "5 seconds" }).view)
      yield* TestClock.adjust("5 seconds")
      const view = yield* Fiber.join(fiber)
      assert.deepStrictEqual([names(view.prompts), view.resources.length], [["a__p"], 1])
      assert.deepStrictEqual(view.problems.map(({ error, kind }) => [kind, error.reason._tag]), [["tools", "RequestTimeout"]])
    }))

  it.effect("no more servers are asked at the same time than allowed", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const fakes = new Map(Array.from({ length: 50 }, (_, index) => [`s${index}`, { connect: Deferred.await(gate) }]))
      const { most, source } = servers(fakes)
      const fiber = yield* Effect.forkChild(Catalog.make(source, { concurrency: 7 }).view)
      yield* TestClock.adjust(0)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(fiber)
      assert.strictEqual(most(), 7)
    }))

  it.effect("a huge list is cut and told, and a tool that is listed twice is there once", () =>
    Effect.gen(function*() {
      const many = Array.from({ length: 10_000 }, (_, index) => `t${index}`)
      const { source } = of({ a: { tools: many }, b: { tools: ["x", "x", "y"] } })
      const view = yield* Catalog.make(source, { maxItems: 100 }).view
      assert.lengthOf(view.tools, 102)
      assert.deepStrictEqual(view.truncated, [{ server: "a", kind: "tools", total: 10_000 }])
    }))

  it.effect("neither the order of the servers nor others that are added change a name", () =>
    Effect.promise(() => {
      const word = fc.constantFrom("a", "b", "a b", "a.b", "a_b", "a__b", "_", "é", "x".repeat(80))
      const fakes = fc.uniqueArray(fc.tuple(word, fc.array(word)), { selector: ([name]) => name, maxLength: 6 })
      return fc.assert(fc.asyncProperty(fakes, (entries) =>
        Effect.runPromise(Effect.gen(function*() {
          const view = (entries: ReadonlyArray<readonly [string, ReadonlyArray<string>]>) =>
            Effect.map(
              Catalog.make(servers(new Map(entries.map(([name, tools]) => [name, { tools }]))).source).view,
              ({ tools }) => tools.map(({ name, server, tool }) => `${server}/${tool.name} = ${name}`)
            )
          const all = yield* view(entries)
          assert.deepStrictEqual(yield* view([...entries].reverse()), all)
          const [, ...fewer] = entries
          for (const line of yield* view(fewer)) assert.include(all, line)
        }))
      ))
    }))
})

describe("catalog: calls", () => {
  it.effect("a name nobody has is told, and so is one of a server that is not there", () =>
    Effect.gen(function*() {
      const catalog = Catalog.make(of({ a: { tools: ["t"] } }).source)
      for (const name of ["nobody__t", "t", "", "a__b__00000000000", "x".repeat(100_000)]) {
        const reason = yield* reasonOf(catalog.callTool(name))
        assert.strictEqual(reason._tag, "UnknownTool", name)
        assert.isBelow(reason.message.length, 600)
      }
    }))

  it.effect("what is denied or not allowed is neither shown nor called", () =>
    Effect.gen(function*() {
      const { source } = of({ git: { tools: ["read", "write", "drop all"] }, web: { tools: ["get"] } })
      const denying = Catalog.make(source, { deny: ["git__write", "git__drop*"] })
      assert.deepStrictEqual(names((yield* denying.view).tools), ["git__read", "web__get"])
      assert.strictEqual((yield* reasonOf(denying.callTool("git__write")))._tag, "ToolNotAllowed")
      const dropping = Naming.mangle({ server: "git", name: "drop all" })
      assert.strictEqual((yield* reasonOf(denying.callTool(dropping)))._tag, "ToolNotAllowed")
      const allowing = Catalog.make(source, { allow: ["git__*"], deny: ["*write"] })
      assert.deepStrictEqual(names((yield* allowing.view).tools), ["git__read", dropping])
      assert.strictEqual((yield* reasonOf(allowing.callTool("web__get")))._tag, "ToolNotAllowed")
      assert.deepStrictEqual((yield* Catalog.make(source, { allow: [] }).view).tools, [])
    }))

  it.effect("every name of the view calls the tool it was made of, also before there was a view", () =>
    Effect.gen(function*() {
      const fakes = { "my server": { tools: ["a.b", "a b", "x".repeat(200), ""] }, fine: { tools: ["t", "a__b", "é"] } }
      const { tools } = yield* Catalog.make(of(fakes).source).view
      assert.lengthOf(tools, 7)
      for (const { name, server, tool } of tools) {
        const fresh = Catalog.make(of(fakes).source)
        assert.strictEqual(textOf(yield* fresh.callTool(name, {})), `${server}/${tool.name}`)
        assert.deepStrictEqual(yield* fresh.resolve(name), { server, name: tool.name })
      }
    }))

  it.effect("a plain name needs no list, and no other server", () =>
    Effect.gen(function*() {
      const { source } = of({ a: { broken: true }, slow: { connect: Effect.never } })
      assert.strictEqual(textOf(yield* Catalog.make(source).callTool("a__t")), "a/t")
    }))

  it.effect("resources and prompts are had by their names", () =>
    Effect.gen(function*() {
      const { source } = of({ a: { resources: ["file:///x y"], prompts: ["p", "p q"] } })
      const catalog = Catalog.make(source)
      const { prompts, resources } = yield* catalog.view
      for (const { name, resource } of resources) {
        assert.strictEqual((yield* catalog.readResource(name)).contents[0]?.uri, resource.uri)
      }
      for (const { name, prompt } of prompts) {
        assert.strictEqual((yield* catalog.getPrompt(name)).description, `a/${prompt.name}`)
      }
    }))

  it.effect("a search gives the best tools of all servers", () =>
    Effect.gen(function*() {
      const { source } = of({ git: { tools: ["read_file", "log"] }, web: { tools: ["read", "post"] } })
      const catalog = Catalog.make(source)
      assert.deepStrictEqual(names(yield* catalog.search("read file")), ["git__read_file", "web__read"])
      assert.deepStrictEqual(names(yield* catalog.search("read", 1)), ["git__read_file"])
    }))
})

describe("catalog: changes", () => {
  it.effect("a change of any server gives a new view, and many at once give the latest", () =>
    Effect.gen(function*() {
      const changes = yield* Queue.unbounded<Catalog.Change>()
      const fakes = new Map<string, Fake>([["a", { tools: ["t"] }]])
      const { source } = servers(fakes)
      const catalog = Catalog.make({ ...source, changes: Stream.fromQueue(changes) })
      const seen = yield* Queue.unbounded<ReadonlyArray<string>>()
      yield* Effect.forkChild(Stream.runForEach(catalog.changes, ({ tools }) => Queue.offer(seen, names(tools))))
      assert.deepStrictEqual(yield* Queue.take(seen), ["a__t"])
      fakes.set("b", { tools: ["u"] })
      yield* Queue.offer(changes, { server: "b", now: "there" })
      assert.deepStrictEqual(yield* Queue.take(seen), ["a__t", "b__u"])
      fakes.delete("a")
      yield* Queue.offerAll(changes, Array.from({ length: 1_000 }, () => ({ server: "a", now: "changed" as const })))
      assert.deepStrictEqual(yield* Queue.take(seen), ["b__u"])
      yield* TestClock.adjust(0)
      assert.isBelow(yield* Queue.size(seen), 10)
    }).pipe(Effect.scoped))

  /** A reader of views of 200 servers, and how often each server was asked for its tools. */
  const following = Effect.fnUntraced(function*(odd: Readonly<Record<string, Fake>> = {}) {
    const changes = yield* Queue.unbounded<Catalog.Change>()
    const asked = new Map<string, number>()
    const fakes = new Map<string, Fake>(Array.from({ length: 200 }, (_, index) => [`s${index}`, { tools: ["t"] }]))
    for (const [name, fake] of Object.entries(odd)) fakes.set(name, fake)
    const { source } = servers(fakes, (name) => asked.set(name, (asked.get(name) ?? 0) + 1))
    const seen = yield* Queue.unbounded<Catalog.View>()
    yield* Effect.forkChild(
      Stream.runForEach(
        Catalog.make({ ...source, changes: Stream.fromQueue(changes) }, { timeout: "5 seconds" }).changes,
        (view) => Queue.offer(seen, view)
      ),
      { startImmediately: true }
    )
    const tell = (server: string, now: Catalog.Change["now"]) => Queue.offer(changes, { server, now })
    return { asked, fakes, seen, tell }
  })

  it.effect("only the server that changed is asked again", () =>
    Effect.gen(function*() {
      const { asked, fakes, seen, tell } = yield* following()
      yield* Queue.take(seen)
      fakes.set("s7", { tools: ["t", "u"] })
      yield* tell("s7", "changed")
      assert.lengthOf((yield* Queue.take(seen)).tools, 201)
      assert.strictEqual(asked.get("s7"), 2)
      assert.deepStrictEqual([...asked].filter(([, times]) => times !== 1), [["s7", 2]])
    }).pipe(Effect.scoped))

  it.effect("what changes while it is asked for is asked for again", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const { asked, seen, tell } = yield* following({ slow: { tools: ["t"], listing: Deferred.await(gate) } })
      yield* TestClock.adjust(0)
      yield* tell("slow", "changed")
      yield* TestClock.adjust(0)
      yield* Deferred.succeed(gate, undefined)
      yield* Queue.take(seen)
      yield* Queue.take(seen)
      assert.strictEqual(asked.get("slow"), 2)
    }).pipe(Effect.scoped))

  it.effect("a server in trouble is told with its error, not asked, until it is there again", () =>
    Effect.gen(function*() {
      const { asked, seen, tell } = yield* following()
      yield* Queue.take(seen)
      yield* tell("s7", error)
      const view = yield* Queue.take(seen)
      assert.lengthOf(view.tools, 199)
      assert.deepStrictEqual([...new Set(view.problems.map(({ error, server }) => `${server} ${error.reason._tag}`))], ["s7 ConnectionClosed"])
      yield* tell("s8", "changed")
      yield* Queue.take(seen)
      assert.strictEqual(asked.get("s7"), 1)
      yield* tell("s7", "there")
      assert.lengthOf((yield* Queue.take(seen)).tools, 200)
    }).pipe(Effect.scoped))

  it.effect("a server that never answers delays the first view, and none after it", () =>
    Effect.gen(function*() {
      const { seen, tell } = yield* following({ dead: { connect: Effect.never } })
      yield* TestClock.adjust("5 seconds")
      assert.lengthOf((yield* Queue.take(seen)).problems, 3)
      yield* tell("s8", "changed")
      assert.lengthOf((yield* Queue.take(seen)).problems, 3)
    }).pipe(Effect.scoped))
})
