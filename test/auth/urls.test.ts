import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as ResourceMetadata from "../../src/auth/resourceMetadata.ts"
import * as ServerMetadata from "../../src/auth/serverMetadata.ts"
import * as Urls from "../../src/auth/urls.ts"

/** URLs that are near to each other, and written in all ways. */
const near = fc.record({
  scheme: fc.constantFrom("https", "HTTPS", "http", "wss"),
  user: fc.constantFrom("", "", "", "a@", "a:b@"),
  host: fc.constantFrom("h", "H", "h.", "h2", "h.evil.example"),
  port: fc.constantFrom("", ":443", ":444", ":80"),
  path: fc.array(fc.constantFrom("a", "A", "ab", ".", "..", "%2e%2e", "%2f", ""), { maxLength: 4 }),
  rest: fc.constantFrom("", "", "?x", "#y")
}).map(({ host, path, port, rest, scheme, user }) => `${scheme}://${user}${host}${port}/${path.join("/")}${rest}`)

describe("a token", () => {
  it("goes to the scheme, host and port of its server only, however they are written", () => {
    fc.assert(fc.property(near, near, (server, url) => {
      const [here, there] = [new URL(server), new URL(url)]
      const same = (["protocol", "hostname", "port"] as const).every((part) => here[part] === there[part])
      assert.strictEqual(ResourceMetadata.covers(here, url), same)
    }))
    assert.isFalse(ResourceMetadata.covers(new URL("https://h/mcp"), "blob:https://h/mcp"))
    assert.isFalse(ResourceMetadata.covers(new URL("https://h/mcp"), "/mcp"))
  })

  it("is asked for in the name of a resource only where the server is at it or under it", () => {
    const segments = ({ pathname }: URL) => pathname.replace(/\/$/, "").split("/")
    fc.assert(fc.property(near, near, (resource, server) => {
      if (!ResourceMetadata.identifies(resource, new URL(server))) return
      const [one, other] = [new URL(resource), new URL(server)]
      assert.deepStrictEqual([one.protocol, one.host, one.username, one.password, one.hash], [other.protocol, other.host, "", "", ""])
      assert.deepStrictEqual(segments(other).slice(0, segments(one).length), segments(one))
    }), { numRuns: 2_000 })
  })
})

describe("a URL that a public server tells", () => {
  const policy = { server: new URL("https://mcp.example.com/mcp"), allowPrivateNetwork: false }
  const refused = [
    "javascript:alert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "vbscript:x",
    "not a url",
    "http://as.example.com/token",
    "https://user:secret@as.example.com",
    "http://127.0.0.1:8080/token",
    "https://localhost/token",
    "https://app.localhost./",
    "https://10.1.2.3/",
    "https://172.31.0.1/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data",
    "https://0x7f.1/",
    "https://2130706433/",
    "https://0.0.0.0/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[64:ff9b:1::808:808]/",
    "https://[::ffff:0:a9fe:a9fe]/",
    "https://0251.0376.0251.0376/",
    "https://[2002:a00:1::]/",
    "https://[fd00::1]/",
    "https://[fe80::1]/",
    "https://[ff02::1]/",
    "https://metadata.google.internal/",
    "https://intranet/",
    "https://localhost./",
    "https://017700000001/",
    "https://0x7f000001/",
    "https://127.1/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:192.168.0.1]/",
    "https://[2001::1]/",
    "https://[100::1]/",
    "https://①⑥⑨.254.169.254/",
    `https://as.example.com/${"x".repeat(5_000)}`,
    "https://printer.local/"
  ]
  for (const url of refused) {
    it(`is refused: ${url}`, () => {
      const problem = Urls.check(url, policy)
      assert.strictEqual(typeof problem, "string")
      assert.notInclude(String(problem), "secret")
    })
  }
  for (const url of ["https://as.example.com/x", "https://8.8.8.8/", "https://172.32.0.1/", "https://[2606:4700::1111]/"]) {
    it(`is taken: ${url}`, () => assert.instanceOf(Urls.check(url, policy), URL))
  }

  it("may lead into a private network where that is allowed, or where the server is itself", () => {
    assert.instanceOf(Urls.check("https://10.0.0.1/", { ...policy, allowPrivateNetwork: true }), URL)
    const local = { server: new URL("http://127.0.0.1:3000/mcp"), allowPrivateNetwork: false }
    assert.instanceOf(Urls.check("http://localhost:9000/token", local), URL)
    assert.isString(Urls.check("http://10.0.0.1/", { ...local, allowPrivateNetwork: true }))
  })
})

describe("metadata", () => {
  const resources: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
    ["https://h/", ["https://h/.well-known/oauth-protected-resource"]],
    ["https://h/mcp", ["https://h/.well-known/oauth-protected-resource/mcp", "https://h/.well-known/oauth-protected-resource"]],
    ["https://h/a/b/", ["https://h/.well-known/oauth-protected-resource/a/b", "https://h/.well-known/oauth-protected-resource"]]
  ]
  for (const [server, urls] of resources) {
    it(`of the resource ${server} is looked for with its path, then at the root`, () =>
      assert.deepStrictEqual(ResourceMetadata.candidates(new URL(server)), urls))
  }

  const issuers: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
    ["https://h", ["https://h/.well-known/oauth-authorization-server", "https://h/.well-known/openid-configuration"]],
    ["https://h/t/1", [
      "https://h/.well-known/oauth-authorization-server/t/1",
      "https://h/.well-known/openid-configuration/t/1",
      "https://h/t/1/.well-known/openid-configuration"
    ]]
  ]
  for (const [issuer, urls] of issuers) {
    it(`of the issuer ${issuer} is looked for in the order of the specification`, () =>
      assert.deepStrictEqual(ServerMetadata.candidates(new URL(issuer)), urls))
  }

  const identities: ReadonlyArray<readonly [resource: string, server: string, expected: boolean]> = [
    ["https://h/mcp", "https://h/mcp", true],
    ["https://h", "https://h/mcp", true],
    ["https://h/", "https://h/mcp", true],
    ["https://h/mcp/", "https://h/mcp", true],
    ["https://h/mc", "https://h/mcp", false],
    ["https://h/mcp/deeper", "https://h/mcp", false],
    ["https://other/mcp", "https://h/mcp", false],
    ["http://h/mcp", "https://h/mcp", false],
    ["https://h:444/mcp", "https://h/mcp", false],
    ["https://h/mcp#x", "https://h/mcp", false],
    ["https://user@h/mcp", "https://h/mcp", false],
    ["https://:pw@h/mcp", "https://h/mcp", false],
    ["https://h/mcp?x", "https://h/mcp", false],
    ["https://h/mcp", "https://h/mcp?x", true],
    ["https://h/mcp?x", "https://h/mcp?x", true],
    ["HTTPS://H:443/mcp", "https://h/mcp", true],
    ["https://h/MCP", "https://h/mcp", false],
    ["https://h/a/../mcp", "https://h/mcp", true],
    ["https://h/mcp/%2e%2e", "https://h/mcp", true],
    ["https://h/mcp", "https://h/mcp/../other", false],
    ["https://h/mcp", "https://h/mcp%2fother", false],
    ["https://h.evil/mcp", "https://h/mcp", false],
    ["https://h./mcp", "https://h/mcp", false],
    ["blob:https://h/mcp", "https://h/mcp", false],
    ["mcp", "https://h/mcp", false]
  ]
  for (const [resource, server, expected] of identities) {
    it(`of ${resource} is ${expected ? "" : "not "}about ${server}`, () =>
      assert.strictEqual(ResourceMetadata.identifies(resource, new URL(server)), expected))
  }
})
