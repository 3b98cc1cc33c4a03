/**
 * The client that the official conformance suite looks at: `node client.ts URL`. The suite says in
 * `MCP_CONFORMANCE_SCENARIO` what it wants to see; nothing tells the revision, it is negotiated each time.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Authorize } from "../../src/auth/index.ts"
import { Elicitation, McpClient, McpConfig, Roots, Sampling } from "../../src/index.ts"
import * as NodeMcp from "../../src/node.ts"

class Unexpected extends Data.TaggedError("Unexpected")<{ readonly message: string }> {}

const accepting = (content: Record<string, boolean>) =>
  Elicitation.layer({ form: () => Effect.succeed({ action: "accept", content }) })

/** For scenarios that look at what is declared and never ask. */
const everything = Layer.mergeAll(
  accepting({}),
  Sampling.layer({ createMessage: () => Effect.die(new Unexpected({ message: "Nobody should have asked for a message" })) }),
  Roots.layer([])
)

/** What the suite tells some scenarios. */
const context = <S extends Schema.Struct.Fields>(fields: S) =>
  Effect.flatMap(
    Config.String("MCP_CONFORMANCE_CONTEXT"),
    Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Struct(fields)))
  )

const toolCalls = {
  toolCalls: Schema.Array(Schema.Struct({
    name: Schema.String,
    arguments: Schema.Record(Schema.String, Schema.Json)
  }))
}

/** A user who agrees at once, at servers that send the browser back at once. */
const agreeing = Layer.succeed(Authorize.Authorize, {
  begin: () =>
    Effect.succeed({
      redirectUri: "http://localhost:3000/callback",
      ask: (url: URL) =>
        Effect.tryPromise({
          try: async () => new URL((await fetch(url, { redirect: "manual" })).headers.get("location") ?? ""),
          catch: () => new Authorize.NotAuthorized({ detail: "the authorization server did not send the browser back" })
        })
    })
})

/** The `auth` of an entry for a scenario. */
const authFor = Effect.fnUntraced(function*(name: string) {
  const Texts = { client_id: Schema.String, client_secret: Schema.String }
  switch (name) {
    case "auth/pre-registration": {
      const { client_id, client_secret } = yield* context(Texts)
      return { clientId: client_id, clientSecret: client_secret }
    }
    case "auth/client-credentials-basic": {
      const { client_id, client_secret } = yield* context(Texts)
      return { type: "client_credentials", clientId: client_id, clientSecret: client_secret }
    }
    case "auth/client-credentials-jwt": {
      const { client_id, private_key_pem, signing_algorithm } = yield* context({
        client_id: Schema.String,
        private_key_pem: Schema.String,
        signing_algorithm: Schema.String
      })
      return { type: "client_credentials", clientId: client_id, privateKey: private_key_pem, algorithm: signing_algorithm }
    }
    case "auth/enterprise-managed-authorization": {
      const told = yield* context({
        ...Texts,
        idp_client_id: Schema.String,
        idp_id_token: Schema.String,
        idp_token_endpoint: Schema.String
      })
      return {
        type: "enterprise_managed",
        clientId: told.client_id,
        clientSecret: told.client_secret,
        idp: { tokenEndpoint: told.idp_token_endpoint, clientId: told.idp_client_id, subjectToken: told.idp_id_token }
      }
    }
    case "auth/wif-jwt-bearer": {
      const { client_id, valid_jwt } = yield* context({ client_id: Schema.String, valid_jwt: Schema.String })
      return { type: "workload_identity", clientId: client_id, assertion: valid_jwt }
    }
    case "auth/dpop":
    case "auth/dpop-nonce":
      return { dpop: true }
    default:
      return { clientMetadataUrl: "https://conformance-test.local/client-metadata.json" }
  }
})

const connect = Effect.fnUntraced(function*(url: string, auth?: object) {
  const entry = auth === undefined ? { url } : { url, auth }
  const config = yield* McpConfig.fromValue({ mcpServers: { suite: entry } })
  return yield* McpClient.fromConfig(yield* McpConfig.get(config, "suite"))
})

type Client = McpClient.McpClient["Service"]

/** Every kind of request that has a name, for the first of each that the server lists. */
const touchAll = Effect.fnUntraced(function*(client: Client) {
  for (const tool of (yield* client.listTools()).slice(0, 1)) yield* client.callTool(tool.name)
  for (const resource of (yield* client.listResources()).slice(0, 1)) yield* client.readResource(resource.uri)
  for (const prompt of (yield* client.listPrompts()).slice(0, 1)) yield* client.getPrompt(prompt.name)
})

const scenario = Effect.fnUntraced(function*(name: string, url: string) {
  switch (name) {
    case "initialize":
    case "json-schema-ref-no-deref": {
      const client = yield* connect(url)
      return yield* client.listTools()
    }
    case "tools_call": {
      const client = yield* connect(url)
      yield* client.listTools()
      return yield* client.callToolOrFail("add_numbers", { a: 5, b: 3 })
    }
    case "elicitation-sep1034-client-defaults": {
      const client = yield* Effect.provide(connect(url), accepting({}))
      yield* client.listTools()
      return yield* client.callToolOrFail("test_client_elicitation_defaults")
    }
    case "sse-retry": {
      const client = yield* connect(url)
      yield* client.listTools()
      return yield* client.callToolOrFail("test_reconnection")
    }
    case "request-metadata": {
      const client = yield* Effect.provide(connect(url), everything)
      return yield* client.listTools()
    }
    case "http-standard-headers": {
      const client = yield* connect(url)
      return yield* touchAll(client)
    }
    case "http-custom-headers": {
      const client = yield* connect(url)
      yield* client.listTools()
      const told = yield* context(toolCalls)
      return yield* Effect.forEach(told.toolCalls, (call) => client.callToolOrFail(call.name, call.arguments))
    }
    case "http-invalid-tool-headers": {
      const client = yield* connect(url)
      const tools = yield* client.listTools()
      return yield* Effect.forEach(tools, (tool) => client.callToolOrFail(tool.name, { region: "us-west1" }))
    }
    case "sep-2322-client-request-state": {
      const client = yield* Effect.provide(connect(url), accepting({ confirmed: true }))
      const tools = ["test_mrtr_echo_state", "test_mrtr_no_state", "test_mrtr_unrelated", "test_mrtr_no_result_type"]
      return yield* Effect.forEach(tools, (tool) => client.callTool(tool))
    }
    case "json-schema-2020-12-preservation": {
      const client = yield* connect(url)
      const tool = (yield* client.listTools()).find((tool) => tool.name === "json_schema_2020_12_tool")
      if (tool === undefined) return yield* new Unexpected({ message: "The tool to echo is not listed" })
      return yield* client.callToolOrFail("json_schema_echo", { schema: tool.inputSchema })
    }
    default: {
      // The scenarios of authorization are those of a client that wants to call a tool.
      if (!name.startsWith("auth/")) return yield* new Unexpected({ message: `No such scenario: ${name}` })
      const client = yield* Effect.provide(connect(url, yield* authFor(name)), agreeing)
      yield* client.listTools()
      return yield* client.callToolOrFail("test-tool")
    }
  }
})

Effect.gen(function*() {
  const name = yield* Config.String("MCP_CONFORMANCE_SCENARIO")
  const url = process.argv.at(-1)
  if (process.argv.length < 3 || url === undefined) return yield* new Unexpected({ message: "usage: client.ts URL" })
  return yield* scenario(name, url)
}).pipe(Effect.scoped, Effect.provide(NodeMcp.layer), NodeRuntime.runMain)
