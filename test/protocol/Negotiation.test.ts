import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as McpError from "../../src/McpError.ts"
import type * as JsonRpc from "../../src/protocol/JsonRpc.ts"
import * as Negotiation from "../../src/protocol/Negotiation.ts"
import * as Revision from "../../src/protocol/Revision.ts"

// What servers do, in short.
const discover = (...supportedVersions: ReadonlyArray<string>) =>
  Negotiation.Answered({ result: { resultType: "complete", supportedVersions, capabilities: {} } })
const initialized = (protocolVersion: string) =>
  Negotiation.Answered({ result: { protocolVersion, capabilities: {}, serverInfo: { name: "s", version: "1" } } })
const answers = (result: unknown) => Negotiation.Answered({ result })
const rejects = (code: number, data?: unknown) =>
  Negotiation.Rejected({ error: { code, message: "no", ...(data === undefined ? {} : { data }) } })
const names = (code: number, ...supported: ReadonlyArray<unknown>) => rejects(code, { supported, requested: "x" })
const silent = Negotiation.Silence({ millis: 5_000 })
const exits = Negotiation.Exited({ reason: new McpError.ProcessExited({ code: 3, signal: null, stderr: "boom" }) })

// What HTTP does instead of an answer.
const httpStatus = (status: number, error?: JsonRpc.ErrorObject, verb = "POST") =>
  new McpError.HttpStatus({
    verb,
    url: "https://example.com/mcp",
    status,
    body: error === undefined ? "<h1>no</h1>" : JSON.stringify({ error }),
    ...(error === undefined ? {} : { error })
  })
const refuses = (status: number, code?: number, data?: unknown) =>
  Negotiation.Refused({
    reason: httpStatus(status, code === undefined ? undefined : { code, message: "no", ...(data === undefined ? {} : { data }) })
  })
const offers = (status: number, code: number, ...supported: ReadonlyArray<string>) => refuses(status, code, { supported })
const unreachable = Negotiation.Refused({
  reason: new McpError.Unreachable({ url: "https://example.com/mcp", delivered: false, detail: "connection refused" })
})
const hangs = Negotiation.Refused({
  reason: new McpError.RequestTimeout({ method: "server/discover", limit: "idle", millis: 60_000 })
})
const nonsense = Negotiation.Refused({
  reason: new McpError.InvalidResponse({ method: "server/discover", detail: "text/html is no answer" })
})

const show = (step: Negotiation.Step): string => {
  switch (step._tag) {
    case "Probe":
      return `probe ${step.revision}`
    case "Handshake":
      return `${step.fallback ? "SSE " : step.fresh ? "fresh " : ""}handshake ${step.revision}`
    case "Settled":
      return `${step.verdict.era} ${step.verdict.revision} by ${step.verdict.how}`
    case "Failed":
      return step.reason._tag === "HttpStatus" ? `HttpStatus ${step.reason.status}` : step.reason._tag
  }
}

/** Everything the machine wants, from the beginning to the end. */
const run = (
  preference: Negotiation.Preference,
  evidence: ReadonlyArray<Negotiation.Evidence>,
  way?: Negotiation.Way
) => {
  const states = [Negotiation.start(preference, way)]
  for (const piece of evidence) states.push(Negotiation.next(states[states.length - 1] ?? assert.fail(), piece))
  return states
}

const outcomeOf = (
  preference: Negotiation.Preference,
  evidence: ReadonlyArray<Negotiation.Evidence>,
  way?: Negotiation.Way
) => {
  const { step } = run(preference, evidence, way).at(-1) ?? assert.fail()
  return step
}

const failureOf = (
  preference: Negotiation.Preference,
  evidence: ReadonlyArray<Negotiation.Evidence>,
  way?: Negotiation.Way
) => {
  const step = outcomeOf(preference, evidence, way)
  if (step._tag !== "Failed" || step.reason._tag !== "NegotiationFailed") return assert.fail(show(step))
  return step.reason
}

type Row = readonly [
  rule: string,
  preference: Negotiation.Preference,
  evidence: ReadonlyArray<Negotiation.Evidence>,
  then: ReadonlyArray<string>
]

const probe = "probe 2026-07-28"
const handshake = "handshake 2025-11-25"
const fresh = "fresh handshake 2025-11-25"
const modern = "modern 2026-07-28 by probe"
const legacy = (revision: string) => `legacy ${revision} by handshake`

type Table = { readonly [section: string]: ReadonlyArray<Row> }

const shared: Table = {
  "nothing known (auto)": [
    ["V-20, V-21: a mutual version is spoken", {}, [discover("2026-07-28")], [probe, modern]],
    ["V-21: versions we do not know do not disturb", {}, [discover("2099-01-01", "2026-07-28")], [probe, modern]],
    ["V-22: only legacy versions lead to the newest of them", {}, [discover("2024-11-05", "2025-06-18"), initialized("2025-06-18")], [
      probe,
      "handshake 2025-06-18",
      legacy("2025-06-18")
    ]],
    ["V-22: no version in common fails", {}, [discover("2099-01-01")], [probe, "NegotiationFailed"]],
    ["V-23, V-06: a rejected version is offered again once, the same if need be", {}, [
      names(-32022, "2026-07-28"),
      discover("2026-07-28")
    ], [probe, probe, modern]],
    ["V-06: a second rejection of a version said to be supported fails", {}, [
      names(-32022, "2026-07-28"),
      names(-32022, "2026-07-28")
    ], [probe, probe, "NegotiationFailed"]],
    ["V-05: a mutual modern version rules out the handshake, when the server is silent then", {}, [
      names(-32022, "2025-11-25", "2026-07-28"),
      silent
    ], [probe, probe, "NegotiationFailed"]],
    ["V-05: … when it rejects the probe differently", {}, [names(-32022, "2025-11-25", "2026-07-28"), rejects(-32601)], [
      probe,
      probe,
      "NegotiationFailed"
    ]],
    ["V-05: … and when it dies", {}, [names(-32022, "2026-07-28"), exits], [probe, probe, "ProcessExited"]],
    ["V-06: a rejection that names only legacy versions leads to the handshake", {}, [
      names(-32022, "2025-03-26"),
      initialized("2025-03-26")
    ], [probe, "handshake 2025-03-26", legacy("2025-03-26")]],
    ["V-05: a rejection with nothing in common fails", {}, [names(-32022, "2099-01-01")], [probe, "NegotiationFailed"]],
    ["V-06: a rejection that names nothing is legacy evidence", {}, [rejects(-32022)], [probe, handshake]],
    ["V-06: a rejection that names nonsense is legacy evidence", {}, [names(-32022, 7)], [probe, handshake]],
    ["V-23: -32020 is a modern server, never a legacy one", {}, [rejects(-32020)], [probe, "NegotiationFailed"]],
    ["V-23: -32021 is a modern server, never a legacy one", {}, [rejects(-32021)], [probe, "NegotiationFailed"]],
    ...[-32601, -32602, -32600, -32000, -32001, 0].map((code): Row => [
      `V-24: error ${code} leads to the handshake`,
      {},
      [rejects(code), initialized("2025-11-25")],
      [probe, handshake, legacy("2025-11-25")]
    ]),
    ...[{}, null, [], "ok", { supportedVersions: "2026-07-28" }, { supportedVersions: [] }].map((result): Row => [
      `V-24: the unrecognisable result ${JSON.stringify(result)} leads to the handshake`,
      {},
      [answers(result), initialized("2025-11-25")],
      [probe, handshake, legacy("2025-11-25")]
    ]),
    ["V-25: silence leads to the handshake in place", {}, [silent, initialized("2024-11-05")], [
      probe,
      handshake,
      legacy("2024-11-05")
    ]],
    ["V-26: a server that dies of the probe gets a fresh start without one", {}, [exits, initialized("2025-06-18")], [
      probe,
      fresh,
      legacy("2025-06-18")
    ]],
    ["V-26: after the fresh start there is no second probe", {}, [exits, rejects(-32600)], [probe, fresh, "NegotiationFailed"]],
    ["V-26: a server that dies again fails with the reason it died of", {}, [exits, exits], [probe, fresh, "ProcessExited"]],
    ["V-26: a server that dies only after it has answered the probe gets a fresh start", {}, [rejects(-32601), exits, exits], [
      probe,
      handshake,
      fresh,
      "ProcessExited"
    ]],
    ["a handshake refused after a probe in place is tried once more on a fresh link", {}, [
      rejects(-32601),
      rejects(-32600),
      initialized("2025-11-25")
    ], [probe, handshake, fresh, legacy("2025-11-25")]],
    ["… and only once", {}, [rejects(-32601), rejects(-32600), rejects(-32600)], [probe, handshake, fresh, "NegotiationFailed"]],
    ["V-09: a modern server that was slow to start is probed again when it refuses the handshake", {}, [
      silent,
      rejects(-32601),
      discover("2026-07-28")
    ], [probe, handshake, probe, modern]],
    ["… and when it proves to be no modern server, the handshake is tried on a fresh link", {}, [
      silent,
      rejects(-32600),
      rejects(-32601),
      initialized("2025-11-25")
    ], [probe, handshake, probe, fresh, legacy("2025-11-25")]],
    ["V-25: silence to everything fails", {}, [silent, silent], [probe, handshake, "NegotiationFailed"]]
  ],
  "the handshake": [
    ["V-51: a server may downgrade to any revision we speak", {}, [rejects(-32601), initialized("2025-03-26")], [
      probe,
      handshake,
      legacy("2025-03-26")
    ]],
    ["V-51: a revision we do not speak fails", {}, [rejects(-32601), initialized("2024-10-07")], [
      probe,
      handshake,
      "NegotiationFailed"
    ]],
    ["V-52: a modern revision is never spoken in a session", {}, [rejects(-32601), initialized("2026-07-28")], [
      probe,
      handshake,
      "NegotiationFailed"
    ]],
    ["V-52: a modern answer to the handshake is probed, if no probe was answered", { preset: "legacy" }, [
      initialized("2026-07-28"),
      discover("2026-07-28")
    ], [handshake, probe, modern]],
    ["V-53: a rejection that names versions is followed", {}, [
      rejects(-32601),
      names(-32602, "2025-06-18", "2024-11-05"),
      initialized("2025-06-18")
    ], [probe, handshake, "handshake 2025-06-18", legacy("2025-06-18")]],
    ["V-53: but not in circles", {}, [
      rejects(-32601),
      names(-32602, "2025-06-18"),
      names(-32602, "2025-11-25"),
      names(-32602, "2025-06-18"),
      silent
    ], [probe, handshake, "handshake 2025-06-18", fresh, "NegotiationFailed", "NegotiationFailed"]],
    ["an answer without a version fails", {}, [rejects(-32601), answers({})], [probe, handshake, "NegotiationFailed"]]
  ],
  "preset legacy": [
    ["begins with the handshake, without a probe", { preset: "legacy" }, [initialized("2025-11-25")], [
      handshake,
      legacy("2025-11-25")
    ]],
    ["V-09: a refused handshake is probed once", { preset: "legacy" }, [rejects(-32600), discover("2026-07-28")], [
      handshake,
      probe,
      modern
    ]],
    ["V-09: a modern server that names its versions is probed with them", { preset: "legacy" }, [
      names(-32022, "2026-07-28"),
      discover("2026-07-28")
    ], [handshake, probe, modern]],
    ["a server that is neither fails, without more handshakes", { preset: "legacy" }, [rejects(-32600), rejects(-32601)], [
      handshake,
      probe,
      "NegotiationFailed"
    ]],
    ["a server that dies of that probe fails", { preset: "legacy" }, [rejects(-32600), exits], [
      handshake,
      probe,
      "NegotiationFailed"
    ]],
    ["a probe that names a legacy version not tried yet is followed", { preset: "legacy" }, [
      rejects(-32600),
      discover("2024-11-05"),
      initialized("2024-11-05")
    ], [handshake, probe, "handshake 2024-11-05", legacy("2024-11-05")]],
    ["silence is no evidence for the other era", { preset: "legacy" }, [silent], [handshake, "NegotiationFailed"]],
    ["a server that dies fails with the reason it died of", { preset: "legacy" }, [exits], [handshake, "ProcessExited"]]
  ],
  "preset modern": [
    ["begins with the probe", { preset: "modern" }, [discover("2026-07-28")], [probe, modern]],
    ["silence is slowness: it is probed again", { preset: "modern" }, [silent, discover("2026-07-28")], [probe, probe, modern]],
    ["silence is no evidence for the other era", { preset: "modern" }, [silent, silent], [probe, probe, "NegotiationFailed"]],
    ["legacy evidence leads to the handshake", { preset: "modern" }, [rejects(-32601), initialized("2025-11-25")], [
      probe,
      handshake,
      legacy("2025-11-25")
    ]],
    ["an exit is legacy evidence (V-26)", { preset: "modern" }, [exits, initialized("2025-11-25")], [
      probe,
      fresh,
      legacy("2025-11-25")
    ]]
  ],
  "pinned": [
    ["a modern pin is spoken", { pin: "2026-07-28" }, [discover("2026-07-28", "2025-11-25")], [probe, modern]],
    ["a modern pin is offered again after a rejection (V-06)", { pin: "2026-07-28" }, [
      names(-32022, "2026-07-28"),
      discover("2026-07-28")
    ], [probe, probe, modern]],
    ["a modern pin never becomes a handshake", { pin: "2026-07-28" }, [rejects(-32601)], [probe, "NegotiationFailed"]],
    ["… not even when the server offers one", { pin: "2026-07-28" }, [discover("2025-11-25")], [probe, "NegotiationFailed"]],
    ["… nor in a rejection", { pin: "2026-07-28" }, [names(-32022, "2025-11-25")], [probe, "NegotiationFailed"]],
    ["a modern pin with a server that dies fails with the reason", { pin: "2026-07-28" }, [exits], [probe, "ProcessExited"]],
    ["a legacy pin is spoken without a probe", { pin: "2025-03-26" }, [initialized("2025-03-26")], [
      "handshake 2025-03-26",
      legacy("2025-03-26")
    ]],
    ["a legacy pin is not downgraded", { pin: "2025-11-25" }, [initialized("2025-06-18")], [handshake, "NegotiationFailed"]],
    ["a legacy pin that is refused is not probed", { pin: "2025-11-25" }, [rejects(-32600)], [handshake, "NegotiationFailed"]],
    ["… nor exchanged for what the server names", { pin: "2025-11-25" }, [names(-32602, "2025-06-18")], [
      handshake,
      "NegotiationFailed"
    ]],
    ["a pin wins over a preset", { pin: "2025-11-25", preset: "modern" }, [initialized("2025-11-25")], [
      handshake,
      legacy("2025-11-25")
    ]]
  ]
}

const sse = "SSE handshake 2025-11-25"

const overHttp: Table = {
  "nothing known": [
    ["V-31: a DiscoverResult is a modern server", {}, [discover("2026-07-28")], [probe, modern]],
    ...[400, 404, 200, 500].map((status): Row => [
      `V-32, V-06: -32022 with status ${status} is a modern server, probed again with what it speaks`,
      {},
      [offers(status, -32022, "2026-07-28"), discover("2026-07-28")],
      [probe, probe, modern]
    ]),
    ["V-05: … and rules out the handshake from then on", {}, [offers(400, -32022, "2026-07-28"), refuses(404)], [
      probe,
      probe,
      "NegotiationFailed"
    ]],
    ["V-22: … but one that names only legacy versions leads to it", {}, [
      offers(400, -32022, "2025-06-18"),
      initialized("2025-06-18")
    ], [probe, "handshake 2025-06-18", legacy("2025-06-18")]],
    ["V-32, G-02: 400 with -32020 is a modern server, never a legacy one", {}, [refuses(400, -32020)], [
      probe,
      "NegotiationFailed"
    ]],
    ["V-32, G-02: 400 with -32021 is a modern server, never a legacy one", {}, [refuses(400, -32021)], [
      probe,
      "NegotiationFailed"
    ]],
    ...[400, 404, 405, 500].map((status): Row => [
      `V-33, G-03: -32601 with status ${status} leads to the handshake`,
      {},
      [refuses(status, -32601), initialized("2025-11-25")],
      [probe, handshake, legacy("2025-11-25")]
    ]),
    ["V-33: … and never to HTTP+SSE", {}, [refuses(404, -32601), refuses(404)], [probe, handshake, "NegotiationFailed"]],
    ...[400, 404, 405, 406, 410, 415, 422].map((status): Row => [
      `V-34: status ${status} without a message leads to the handshake`,
      {},
      [refuses(status), initialized("2025-11-25")],
      [probe, handshake, legacy("2025-11-25")]
    ]),
    ["V-39: 400 with -32000 leads to the handshake", {}, [refuses(400, -32000), initialized("2025-06-18")], [
      probe,
      handshake,
      legacy("2025-06-18")
    ]],
    ["V-38: 200 with another result leads to the handshake", {}, [answers({}), initialized("2025-03-26")], [
      probe,
      handshake,
      legacy("2025-03-26")
    ]],
    ["V-38: 200 with an error leads to the handshake", {}, [rejects(-32000), initialized("2025-03-26")], [
      probe,
      handshake,
      legacy("2025-03-26")
    ]],
    ["V-38: 200 with no message at all leads to the handshake", {}, [nonsense, initialized("2025-03-26")], [
      probe,
      handshake,
      legacy("2025-03-26")
    ]],
    ["V-36: 401 to the probe is reported as it is", {}, [refuses(401)], [probe, "HttpStatus 401"]],
    ["V-36: … whatever error comes with it", {}, [refuses(401, -32601)], [probe, "HttpStatus 401"]],
    ["V-36: 403 to the probe is reported as it is", {}, [refuses(403)], [probe, "HttpStatus 403"]],
    ["V-36: 401 to the handshake is reported as it is", {}, [refuses(400), refuses(401)], [probe, handshake, "HttpStatus 401"]],
    ["V-37: 408 is no evidence", {}, [refuses(408)], [probe, "HttpStatus 408"]],
    ["V-37: 429 is no evidence", {}, [refuses(429)], [probe, "HttpStatus 429"]],
    ["V-37: a redirect that is not followed is no evidence", {}, [refuses(302)], [probe, "HttpStatus 302"]],
    ["V-37: a server that is not reached is no evidence", {}, [unreachable], [probe, "Unreachable"]],
    ["V-37: … nor is one not reached for the handshake", {}, [refuses(404), unreachable], [probe, handshake, "Unreachable"]],
    ["V-37: silence is an outage, not a legacy server", {}, [hangs], [probe, "RequestTimeout"]],
    ["a server that breaks on the probe may shake hands", {}, [refuses(500), initialized("2025-11-25")], [
      probe,
      handshake,
      legacy("2025-11-25")
    ]],
    ["V-37: one that breaks on both is out of order, of whatever era", {}, [refuses(503), refuses(503)], [
      probe,
      handshake,
      "HttpStatus 503"
    ]],
    ["V-37: one that breaks on the handshake alone too", {}, [refuses(404), refuses(502)], [probe, handshake, "HttpStatus 502"]],
    ["V-09: one that broke on the probe and refuses the handshake is probed again", {}, [
      refuses(503),
      refuses(400, -32020),
      discover("2026-07-28")
    ], [probe, handshake, probe, modern]],
    ["a refused handshake is not repeated on a fresh link: there is nothing a probe could have spoilt", {}, [
      refuses(400, -32601),
      rejects(-32600)
    ], [probe, handshake, "NegotiationFailed"]],
    ["V-53: a refused handshake that names versions is followed", {}, [
      refuses(400, -32000),
      offers(400, -32602, "2024-11-05"),
      initialized("2024-11-05")
    ], [probe, handshake, "handshake 2024-11-05", legacy("2024-11-05")]]
  ],
  "falling back to HTTP+SSE": [
    ...[400, 404, 405].map((status): Row => [
      `V-35: a handshake refused with ${status} leads to HTTP+SSE`,
      {},
      [refuses(status), refuses(status), initialized("2024-11-05")],
      [probe, handshake, sse, legacy("2024-11-05")]
    ]),
    ["V-35: so does one whose body is an error that is not a modern one", {}, [
      refuses(400, -32000),
      refuses(400, -32000),
      initialized("2024-11-05")
    ], [probe, handshake, sse, legacy("2024-11-05")]],
    ...[-32020, -32021, -32022, -32601].map((code): Row => [
      `V-35, USERS 18: a handshake refused with ${code} does not`,
      {},
      [refuses(404), refuses(400, code)],
      [probe, handshake, "NegotiationFailed"]
    ]),
    ...[406, 410, 415].map((status): Row => [
      `V-35: a handshake refused with ${status} does not`,
      {},
      [refuses(404), refuses(status)],
      [probe, handshake, "NegotiationFailed"]
    ]),
    ["V-35: a handshake answered with an error does not", {}, [refuses(404), rejects(-32600)], [
      probe,
      handshake,
      "NegotiationFailed"
    ]],
    ["a pinned legacy revision is offered there too", { pin: "2024-11-05" }, [refuses(405), initialized("2024-11-05")], [
      "handshake 2024-11-05",
      "SSE handshake 2024-11-05",
      legacy("2024-11-05")
    ]],
    ["V-53: what the server names there is followed there", {}, [
      refuses(404),
      refuses(404),
      names(-32602, "2024-11-05"),
      initialized("2024-11-05")
    ], [probe, handshake, sse, "SSE handshake 2024-11-05", legacy("2024-11-05")]],
    ["V-52: a modern revision is not spoken there", {}, [refuses(404), refuses(404), initialized("2026-07-28")], [
      probe,
      handshake,
      sse,
      "NegotiationFailed"
    ]],
    ["V-36: 401 there is reported as it is", {}, [refuses(405), refuses(405), refuses(401)], [
      probe,
      handshake,
      sse,
      "HttpStatus 401"
    ]],
    ...[refuses(404), refuses(503), unreachable, hangs, nonsense, exits].map((evidence, index): Row => [
      `USERS 18: any other failure there is told with all attempts (${index})`,
      {},
      [refuses(404), refuses(404), evidence],
      [probe, handshake, sse, "NegotiationFailed"]
    ])
  ],
  "preset legacy": [
    ["V-09: a refused handshake is probed before HTTP+SSE is thought of", { preset: "legacy" }, [
      refuses(400),
      discover("2026-07-28")
    ], [handshake, probe, modern]],
    ["V-35: HTTP+SSE follows when that is no modern server", { preset: "legacy" }, [
      refuses(405),
      refuses(405),
      initialized("2024-11-05")
    ], [handshake, probe, sse, legacy("2024-11-05")]],
    ["V-09: a modern server that names its versions is probed with them", { preset: "legacy" }, [
      offers(400, -32022, "2026-07-28"),
      discover("2026-07-28")
    ], [handshake, probe, modern]],
    ["V-37: an outage is no evidence for the other era", { preset: "legacy" }, [refuses(503)], [handshake, "HttpStatus 503"]]
  ],
  "preset modern": [
    ["V-08: a server that breaks is not taken for a legacy one", { preset: "modern" }, [refuses(500)], [probe, "HttpStatus 500"]],
    ["legacy evidence leads to the handshake", { preset: "modern" }, [refuses(404), initialized("2025-11-25")], [
      probe,
      handshake,
      legacy("2025-11-25")
    ]],
    ["a modern pin never becomes a handshake", { pin: "2026-07-28" }, [refuses(404)], [probe, "NegotiationFailed"]],
    ["a modern pin with a server that breaks fails with its status", { pin: "2026-07-28" }, [refuses(500)], [
      probe,
      "HttpStatus 500"
    ]]
  ]
}

const check = (transport: string, table: Table, way?: Negotiation.Way) => {
  for (const [section, rows] of Object.entries(table)) {
    describe(`Negotiation${transport}, ${section}`, () => {
      for (const [rule, preference, evidence, then] of rows) {
        it(`${rule}`, () => assert.deepStrictEqual(run(preference, evidence, way).map(({ step }) => show(step)), then))
      }
    })
  }
}

const http: Negotiation.Way = { http: true, fallback: true }

check("", shared)
check(" over HTTP", overHttp, http)

describe("Negotiation.next", () => {
  it("uses a string id of its own for each probe, so that a late answer is told apart (V-27)", () => {
    const ids = run({}, [silent, rejects(-32600), silent]).flatMap(({ step }) => step._tag === "Probe" ? [step.id] : [])
    assert.deepStrictEqual(ids, ["server-discover-probe-1", "server-discover-probe-2"])
  })

  it("tells every attempt, in order, when it fails, and repeats the server's own words (V-09)", () => {
    const failure = failureOf({ preset: "legacy" }, [
      Negotiation.Rejected({ error: { code: -32000, message: "use\n2099-01-01" } }),
      silent
    ])
    assert.deepStrictEqual(failure.attempts, [
      { method: "initialize", revision: "2025-11-25", outcome: "error -32000: use 2099-01-01" },
      { method: "server/discover", revision: "2026-07-28", outcome: "no answer within 5000 ms" }
    ])
    assert.include(failure.message, "use 2099-01-01")
  })

  it("names the server's revisions and ours when they do not meet", () => {
    const failure = failureOf({}, [discover("2099-01-01", "2098-01-01")])
    assert.deepStrictEqual(failure.serverRevisions, ["2099-01-01", "2098-01-01"])
    assert.include(failure.message, "the server speaks 2099-01-01, 2098-01-01; this client speaks 2026-07-28, 2025-11-25")
  })

  it("names the pin when it is what does not fit", () => {
    assert.include(failureOf({ pin: "2025-11-25" }, [initialized("2025-06-18")]).message, "the config pins 2025-11-25")
  })

  it("names the capabilities a modern server requires (-32021)", () => {
    const failure = failureOf({}, [rejects(-32021, { requiredCapabilities: { elicitation: {}, sampling: {} } })])
    assert.include(failure.message, "elicitation, sampling")
  })

  it("tells every attempt with its status and its words, HTTP+SSE included", () => {
    const failure = failureOf({}, [
      refuses(400, -32000),
      refuses(405),
      Negotiation.Refused({ reason: httpStatus(404, undefined, "GET") })
    ], http)
    assert.deepStrictEqual(failure.attempts, [
      { method: "server/discover", revision: "2026-07-28", outcome: "status 400 to POST, error -32000: no" },
      { method: "initialize", revision: "2025-11-25", outcome: "status 405 to POST: <h1>no</h1>" },
      { method: "initialize", revision: "2025-11-25", outcome: "over HTTP+SSE: status 404 to GET: <h1>no</h1>" }
    ])
  })

  it("has nothing to fall back to where there is no such transport", () => {
    const steps = run({}, [refuses(404), refuses(404)], { http: true }).map(({ step }) => show(step))
    assert.deepStrictEqual(steps, [probe, handshake, "NegotiationFailed"])
  })

  it("says whether a verdict may be remembered: only one that the probe was heard for", () => {
    const lasting = (evidence: ReadonlyArray<Negotiation.Evidence>, preference: Negotiation.Preference = {}) => {
      const step = outcomeOf(preference, evidence, http)
      return step._tag === "Settled" ? step.verdict.lasting : assert.fail(show(step))
    }
    assert.isTrue(lasting([discover("2026-07-28")]))
    assert.isTrue(lasting([refuses(404), initialized("2025-11-25")]))
    assert.isFalse(lasting([refuses(500), initialized("2025-11-25")]))
    assert.isFalse(lasting([initialized("2025-11-25")], { preset: "legacy" }))
  })

  it("keeps an error short, however much the server writes", () => {
    const endless = "x".repeat(100_000)
    const failure = failureOf({}, [names(-32022, ...Array.from({ length: 1_000 }, () => endless))])
    assert.isBelow(JSON.stringify(failure).length, 10_000)
    assert.isBelow(failure.message.length, 10_000)
  })

  it("hands on what the server says of itself, wherever it says it (M-08, D-06)", () => {
    const info = { name: "s", version: "1" }
    const results = [
      { supportedVersions: ["2026-07-28"], capabilities: { tools: {} }, serverInfo: info, instructions: "Do." },
      {
        supportedVersions: ["2026-07-28"],
        capabilities: { tools: {}, prompts: true },
        _meta: { "io.modelcontextprotocol/serverInfo": info },
        instructions: "Do."
      }
    ]
    for (const result of results) {
      const step = outcomeOf({}, [answers(result)])
      assert.strictEqual(step._tag, "Settled")
      if (step._tag !== "Settled") continue
      assert.deepStrictEqual(step.verdict.server, { info, capabilities: { tools: {} }, instructions: "Do." })
      assert.strictEqual(step.verdict.result, result)
    }
  })

  it("tolerates a server that says nothing of itself (D-06)", () => {
    const step = outcomeOf({}, [answers({ supportedVersions: ["2026-07-28"] })])
    assert.deepStrictEqual(step._tag === "Settled" && step.verdict.server, {
      info: undefined,
      capabilities: {},
      instructions: undefined
    })
  })

  it("always ends, obeys a pin, probes twice at most, and never settles without a matching answer", () => {
    const revision = fc.constantFrom(...Revision.all, "2099-01-01")
    const evidence = fc.oneof(
      fc.constantFrom(silent, exits, unreachable, hangs, nonsense),
      fc.tuple(
        fc.constantFrom(302, 400, 401, 404, 405, 415, 429, 500),
        fc.constantFrom(undefined, -32022, -32601, -32020, -32000),
        fc.array(revision, { maxLength: 3 })
      ).map(([status, code, supported]) => refuses(status, code, { supported })),
      fc.array(revision, { maxLength: 3 }).map((revisions) => discover(...revisions)),
      revision.map(initialized),
      fc.jsonValue().map(answers),
      fc.tuple(fc.constantFrom(-32022, -32602, -32601, -32021, -32000), fc.array(revision, { maxLength: 3 }))
        .map(([code, revisions]) => names(code, ...revisions))
    )
    const preference = fc.record({
      pin: fc.constantFrom(undefined, ...Revision.all),
      preset: fc.constantFrom(undefined, "auto" as const, "modern" as const, "legacy" as const)
    })
    const way = fc.record({ http: fc.boolean(), fallback: fc.boolean() })
    fc.assert(
      fc.property(preference, fc.array(evidence, { minLength: 9, maxLength: 9 }), way, (preference, evidence, way) => {
        const states = run(preference, evidence, way)
        const steps = states.map(({ step }) => step)
        const last = steps.at(-1)
        assert.isTrue(last?._tag === "Settled" || last?._tag === "Failed")
        assert.isAtMost(steps.filter(({ _tag }) => _tag === "Probe").length, 2)
        const handshakes = steps.filter((step) => step._tag === "Handshake")
        const falls = handshakes.findIndex(({ fallback }) => fallback)
        assert.isAtMost(handshakes.filter(({ fallback, fresh }) => fresh && !fallback).length, 1)
        assert.isAtMost(handshakes.filter(({ fallback, fresh }) => fresh && fallback).length, 1)
        assert.isTrue(falls < 0 || way.fallback)
        assert.isTrue(falls < 0 || handshakes.slice(falls).every(({ fallback }) => fallback), "never back again")
        if (last?._tag !== "Settled") return
        const { era, revision } = last.verdict
        assert.strictEqual(era, Revision.era(revision))
        assert.isTrue(preference.pin === undefined || preference.pin === revision)
        assert.include(JSON.stringify(last.verdict.result), revision)
      }),
      { numRuns: 2_000 }
    )
  })
})
