/** The server over stdio, which takes its time: it reads no more than a chunk in ten milliseconds. */
import { makeAnswers, toolsAsked } from "./answers.ts"

const answers = makeAnswers(toolsAsked())
let rest = ""

process.stdin.setEncoding("utf8").on("data", (chunk: string) => {
  process.stdin.pause()
  setTimeout(() => process.stdin.resume(), 10)
  const lines = (rest + chunk).split("\n")
  rest = lines.pop() ?? ""
  process.stdout.write(lines.flatMap(answers).map((answer) => `${answer}\n`).join(""))
})
