/** The server over stdio: one write for all that one chunk asked for. */
import { makeAnswers, toolsAsked } from "./answers.ts"

const answers = makeAnswers(toolsAsked())
let rest = ""

process.stdin.setEncoding("utf8").on("data", (chunk: string) => {
  const lines = (rest + chunk).split("\n")
  rest = lines.pop() ?? ""
  let out = ""
  for (const line of lines) {
    for (const answer of answers(line)) out += `${answer}\n`
  }
  if (out !== "") process.stdout.write(out)
})
