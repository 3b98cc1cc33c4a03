import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import * as McpSchema from "../../src/protocol/McpSchema.ts"

const decoded = <A>(result: Result.Result<A, string>): A => Result.getOrThrowWith(result, (problem) => new Error(problem))

const problem = <A>(result: Result.Result<A, string>): string =>
  Result.isFailure(result) ? result.failure : assert.fail("it should not decode")

const anything = fc.jsonValue()
const extras = fc.dictionary(fc.string().filter((key) => key.startsWith("x")), anything, { maxKeys: 3 })

/** Objects with some members, and with others nobody has heard of. */
const object = (required: Record<string, fc.Arbitrary<unknown>>, optional: Record<string, fc.Arbitrary<unknown>> = {}) =>
  fc.tuple(
    extras,
    fc.record({ ...required, ...optional }, { requiredKeys: Object.keys(required) })
  ).map(([extra, known]) => ({ ...extra, ...known }))

const block = fc.oneof(
  object({ type: fc.constant("text"), text: fc.string() }, { annotations: object({}, { priority: fc.constant(1) }) }),
  object({ type: fc.constant("image"), data: fc.string(), mimeType: fc.string() }),
  object({ type: fc.constant("audio"), data: fc.string(), mimeType: fc.string() }),
  object({ type: fc.constant("resource_link"), uri: fc.string(), name: fc.string() }),
  object({ type: fc.constant("resource"), resource: object({ uri: fc.string(), text: fc.string() }) }),
  object({ type: fc.constant("resource"), resource: object({ uri: fc.string(), blob: fc.string() }) }),
  object({ type: fc.constantFrom("video", "", "Text"), anything })
)

describe("Decoders", () => {
  it("hand on the very object that arrived, with all that newer servers add (R-06, M-12)", () => {
    const result = object(
      { content: fc.array(block, { maxLength: 3 }) },
      { structuredContent: anything, isError: fc.boolean(), _meta: fc.constant({ a: 1 }) }
    )
    fc.assert(fc.property(result, (result) => {
      const before = JSON.stringify(result)
      assert.strictEqual(decoded<unknown>(McpSchema.decodeCallToolResult(result)), result)
      assert.strictEqual(JSON.stringify(result), before)
    }))
  })

  it("keep the schemas of a tool verbatim (T-02)", () => {
    const tool = object(
      { name: fc.string(), inputSchema: fc.dictionary(fc.string(), anything) },
      { outputSchema: fc.oneof(fc.dictionary(fc.string(), anything), fc.boolean()), title: fc.string(), execution: fc.constant({}) }
    )
    fc.assert(fc.property(fc.array(tool, { maxLength: 3 }), (tools) => {
      const page = decoded(McpSchema.decodeToolPage({ tools }))
      assert.isTrue(page.items.every((item, index) => Object.is(item, tools[index])))
      assert.strictEqual(page.items.length, tools.length)
    }))
  })

  const decoders: ReadonlyArray<readonly [name: string, decode: McpSchema.Decoder<unknown>]> = [
    ["decodeToolPage", McpSchema.decodeToolPage],
    ["decodeResourcePage", McpSchema.decodeResourcePage],
    ["decodeResourceTemplatePage", McpSchema.decodeResourceTemplatePage],
    ["decodePromptPage", McpSchema.decodePromptPage],
    ["decodeCallToolResult", McpSchema.decodeCallToolResult],
    ["decodeReadResourceResult", McpSchema.decodeReadResourceResult],
    ["decodeGetPromptResult", McpSchema.decodeGetPromptResult],
    ["decodeCompleteResult", McpSchema.decodeCompleteResult],
    ["decodeElicitRequest", McpSchema.decodeElicitRequest],
    ["decodeCreateMessageRequest", McpSchema.decodeCreateMessageRequest],
    ["decodeLogMessage", McpSchema.decodeLogMessage],
    ["decodeDiscoverResult", McpSchema.decodeDiscoverResult],
    ["decodeInitializeResult", McpSchema.decodeInitializeResult]
  ]
  const keys = fc.constantFrom("tools", "content", "contents", "messages", "type", "text", "role", "uri", "name", "level", "data", "completion", "values", "requestedSchema", "properties", "mode", "maxTokens", "nextCursor", "__proto__")
  const nearby = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      anything,
      fc.constantFrom("text", "object", "string", "user", "info", "url"),
      fc.array(tie("value"), { maxLength: 2 }),
      fc.dictionary(keys, tie("value"), { maxKeys: 4 })
    )
  })).value
  for (const [name, decode] of decoders) {
    it(`${name} never throws, and says in one short line what is wrong`, () => {
      fc.assert(fc.property(nearby, (value) => {
        const result = decode(value)
        if (Result.isFailure(result)) assert.match(result.failure, /^[^\n]{1,400}$/)
      }))
      assert.isAbove(problem(decode("nonsense")).length, 0)
    })
  }

  it("take members that are null for absent", () => {
    const page = decoded(McpSchema.decodeToolPage({
      tools: [{ name: "a", title: null, inputSchema: { default: null }, outputSchema: null, annotations: null, _meta: null }]
    }))
    assert.deepStrictEqual(page.items, [{ name: "a", inputSchema: { default: null } }])
  })

  it("say where it is wrong, in bounded words", () => {
    assert.strictEqual(problem(McpSchema.decodeCallToolResult({ content: [{ type: "text" }] })), "content[0].text: Missing key")
    assert.strictEqual(problem(McpSchema.decodeCallToolResult({ content: [1] })), "content[0]: Expected a block of content")
    assert.strictEqual(problem(McpSchema.decodeReadResourceResult({ contents: [{ uri: "a" }] })), "contents[0].text: Missing key")
    const field = "f".repeat(100_000)
    const huge = McpSchema.decodeElicitRequest({
      message: "?",
      requestedSchema: { type: "object", properties: { [field]: { type: "object" } } }
    })
    assert.isBelow(problem(huge).length, 300)
  })
})

describe("decodeCallToolResult", () => {
  it("takes missing or null content for none, and keeps the rest (R-06)", () => {
    for (const result of [{ structuredContent: { a: 1 }, x: 1 }, { structuredContent: { a: 1 }, x: 1, content: null }]) {
      assert.deepStrictEqual<unknown>(decoded(McpSchema.decodeCallToolResult(result)), {
        content: [],
        structuredContent: { a: 1 },
        x: 1
      })
    }
  })

  it("agrees with the schema about every result, also on its quick way for plain text", () => {
    const member = fc.oneof(anything, fc.boolean(), fc.constant({}))
    const text = fc.record(
      { type: fc.constantFrom("text", "image"), text: fc.oneof(fc.string(), anything), annotations: member, _meta: member },
      { requiredKeys: ["type"] }
    )
    const result = fc.record(
      { content: fc.oneof(fc.array(fc.oneof(text, member), { maxLength: 2 }), member), isError: member, _meta: member },
      { requiredKeys: ["content"] }
    )
    const matches = Schema.is(McpSchema.CallToolResult)
    fc.assert(
      fc.property(result, (result) => {
        const outcome = McpSchema.decodeCallToolResult(result)
        if (Result.isSuccess(outcome)) assert.isTrue(matches(outcome.success))
        else assert.isFalse(matches(result))
      }),
      { numRuns: 2_000 }
    )
  })

  it("keeps a block of unknown type, and lets `type` tell the known ones", () => {
    const { content } = decoded(McpSchema.decodeCallToolResult({
      content: [{ type: "text", text: "one" }, { type: "hologram", beams: 3 }, { type: "text", text: "two", _meta: {} }]
    }))
    const texts: ReadonlyArray<string> = content.flatMap((block) => block.type === "text" ? [block.text] : [])
    assert.deepStrictEqual(texts, ["one", "two"])
    assert.deepStrictEqual(content.filter(McpSchema.isUnknownContent).map(({ beams }) => beams), [3])
    assert.strictEqual(McpSchema.textOf(content), "one\ntwo")
  })

  it("keeps structured content of any kind, null included (T-05)", () => {
    for (const structuredContent of [null, [1], "x", 0, false]) {
      const result = decoded(McpSchema.decodeCallToolResult({ content: [], structuredContent }))
      assert.deepStrictEqual(result.structuredContent, structuredContent)
    }
  })
})

describe("Pages", () => {
  it("lose a malformed item, but not the list, and say which and why", () => {
    const good = { name: "good", inputSchema: { type: "object" } }
    const page = decoded(McpSchema.decodeToolPage({ tools: [{ name: "bad" }, good, null, { ...good, name: 1 }] }))
    assert.deepStrictEqual(page.items, [good])
    assert.deepStrictEqual(page.rejected, [
      { index: 0, detail: "inputSchema: Missing key" },
      { index: 2, detail: "Expected object" },
      { index: 3, detail: "name: Expected string" }
    ])
  })

  it("end at a missing or null cursor only: the empty string is a cursor (PG-02)", () => {
    const cursor = (members: object) => decoded(McpSchema.decodeResourcePage({ resources: [], ...members })).nextCursor
    assert.isUndefined(cursor({}))
    assert.isUndefined(cursor({ nextCursor: null }))
    assert.strictEqual(cursor({ nextCursor: "" }), "")
    assert.strictEqual(cursor({ nextCursor: "p2" }), "p2")
    assert.strictEqual(problem(McpSchema.decodeResourcePage({ resources: [], nextCursor: 2 })), "nextCursor: Expected string")
  })

  it("may be null where a server means empty, but not absent", () => {
    assert.deepStrictEqual(decoded(McpSchema.decodePromptPage({ prompts: null })).items, [])
    assert.strictEqual(problem(McpSchema.decodePromptPage({})), "prompts: Missing key")
    assert.strictEqual(problem(McpSchema.decodeResourceTemplatePage({ resourceTemplates: {} })), "resourceTemplates: Expected an array")
  })

  it("read cache hints leniently: what makes no sense is not kept and not shared (CACHE-02)", () => {
    const none = { ttlMs: 0, cacheScope: "private" }
    for (const result of [{}, { ttlMs: -1, cacheScope: "all" }, { ttlMs: "5", cacheScope: 1 }, { ttlMs: null }]) {
      assert.deepStrictEqual<unknown>(McpSchema.cacheHints(result), none)
    }
    const hints = { ttlMs: 5_000, cacheScope: "public" }
    assert.deepStrictEqual<unknown>(McpSchema.cacheHints(hints), hints)
    assert.deepStrictEqual<unknown>(decoded(McpSchema.decodeToolPage({ tools: [], ...hints, _meta: { a: 1 } })), {
      items: [],
      rejected: [],
      nextCursor: undefined,
      hints,
      _meta: { a: 1 }
    })
  })
})

describe("serverOf", () => {
  it("never fails, whatever a server says of itself", () => {
    const result = fc.record({
      capabilities: anything,
      serverInfo: anything,
      instructions: anything,
      _meta: fc.oneof(anything, fc.record({ "io.modelcontextprotocol/serverInfo": anything }))
    }, { requiredKeys: [] })
    fc.assert(fc.property(result, (result) => {
      const { capabilities } = McpSchema.serverOf(result)
      assert.isTrue(Object.values(capabilities).every((capability) => typeof capability === "object"))
    }))
  })
})

describe("decodeElicitRequest", () => {
  it("takes a request without a mode for a form (EL-01)", () => {
    const request = decoded(McpSchema.decodeElicitRequest({ message: "?", requestedSchema: { type: "object", properties: {} } }))
    assert.isTrue(request.mode !== "url" && "requestedSchema" in request)
  })

  it("accepts every kind of field (EL-02)", () => {
    const properties = {
      text: { type: "string", minLength: 1, format: "email", default: "a@b.c" },
      number: { type: "number", minimum: 0 },
      integer: { type: "integer", default: 1 },
      boolean: { type: "boolean", default: true },
      one: { type: "string", enum: ["a"], enumNames: ["A"] },
      titled: { type: "string", oneOf: [{ const: "a", title: "A" }] },
      many: { type: "array", items: { type: "string", enum: ["a"] }, minItems: 1, default: ["a"] },
      manyTitled: { type: "array", items: { anyOf: [{ const: "a", title: "A" }] } }
    }
    const requestedSchema = { $schema: "https://json-schema.org/draft/2020-12/schema", type: "object", properties }
    const request = { mode: "form", message: "?", requestedSchema }
    assert.strictEqual(decoded<unknown>(McpSchema.decodeElicitRequest(request)), request)
  })

  it("refuses forms that are not flat", () => {
    const form = (field: object) =>
      McpSchema.decodeElicitRequest({ message: "?", requestedSchema: { type: "object", properties: { field } } })
    assert.include(problem(form({ type: "object", properties: {} })), "requestedSchema.properties.field")
    assert.include(problem(form({ type: "array", items: { type: "object" } })), "requestedSchema.properties.field")
    assert.include(problem(form({ type: ["string", "null"] })), "requestedSchema.properties.field")
  })

  it("wants an url for the mode url", () => {
    assert.strictEqual(problem(McpSchema.decodeElicitRequest({ mode: "url", message: "?" })), "url: Missing key")
  })
})

describe("decodeCreateMessageRequest", () => {
  const text = { type: "text", text: "hi" }
  const use = (id: string) => ({ type: "tool_use", id, name: "t", input: {} })
  const answer = (toolUseId: string) => ({ type: "tool_result", toolUseId, content: [text] })
  const user = (...content: ReadonlyArray<object>) => ({ role: "user", content })
  const assistant = (...content: ReadonlyArray<object>) => ({ role: "assistant", content })
  const request = (...messages: ReadonlyArray<object>) => ({ messages, maxTokens: 10 })

  it("accepts a single block as well as several (SA-02)", () => {
    const params = request({ role: "user", content: text }, assistant(text, use("1")), user(answer("1")))
    assert.strictEqual(decoded<unknown>(McpSchema.decodeCreateMessageRequest(params)), params)
  })

  const wrong: ReadonlyArray<readonly [why: string, messages: ReadonlyArray<object>]> = [
    ["a result beside other content", [assistant(use("1")), user(answer("1"), text)]],
    ["a result of the assistant", [assistant(use("1")), assistant(answer("1"))]],
    ["a call by the user", [user(use("1")), user(answer("1"))]],
    ["a call without a result", [assistant(use("1")), user(text)]],
    ["a call as the last word", [assistant(use("1"))]],
    ["a result without a call", [user(answer("1"))]],
    ["the result of another call", [assistant(use("1")), user(answer("2"))]],
    ["half of the results", [assistant(use("1"), use("2")), user(answer("1"))]],
    ["a result given twice", [assistant(use("1"), use("2")), user(answer("1"), answer("1"))]]
  ]
  for (const [why, messages] of wrong) {
    it(`refuses ${why} (SA-06)`, () => {
      assert.match(problem(McpSchema.decodeCreateMessageRequest(request(...messages))), /message/)
    })
  }

  it("wants a limit of tokens (SA-01)", () => {
    assert.strictEqual(problem(McpSchema.decodeCreateMessageRequest({ messages: [] })), "maxTokens: Missing key")
  })
})

describe("decodeLogMessage", () => {
  it("knows eight levels, from debug to emergency (LG-01)", () => {
    assert.strictEqual(McpSchema.loggingLevels.length, 8)
    for (const level of McpSchema.loggingLevels) {
      assert.strictEqual(decoded(McpSchema.decodeLogMessage({ level, data: null })).level, level)
    }
    assert.include(problem(McpSchema.decodeLogMessage({ level: "warn", data: 1 })), "level")
  })
})

describe("displayName", () => {
  it("prefers the title, then the title among the annotations, then the name (T-01)", () => {
    const tool = { name: "n", inputSchema: {} }
    assert.strictEqual(McpSchema.displayName(tool), "n")
    assert.strictEqual(McpSchema.displayName({ ...tool, annotations: { title: "a" } }), "a")
    assert.strictEqual(McpSchema.displayName({ ...tool, title: "t", annotations: { title: "a" } }), "t")
  })
})
