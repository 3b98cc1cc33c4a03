/** `npm run conformance [-- -j 4] [-- part-of-a-name]`: the official suite's client scenarios, as a table. */
import { parseArgs } from "node:util"
import * as Suite from "./suite.ts"

const { positionals: [only], values } = parseArgs({
  allowPositionals: true,
  options: { jobs: { type: "string", short: "j", default: "2" } }
})

const outcomes: Array<Suite.Outcome> = []
for (const revision of Suite.revisions) {
  for (const outcome of await Suite.runRevision(revision, { jobs: Number(values.jobs), only })) {
    console.log(Suite.format(outcome))
    outcomes.push(outcome)
  }
}
const count = (verdict: Suite.Outcome["verdict"]) => outcomes.filter((outcome) => outcome.verdict === verdict).length
console.log(`\n${count("passed")} passed, ${count("failed")} failed`)
process.exitCode = outcomes.length > 0 && outcomes.every(Suite.isExpected) ? 0 : 1
