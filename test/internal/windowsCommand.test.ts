import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as WindowsCommand from "../../src/internal/windowsCommand.ts"
import { anyText } from "../support/anyText.ts"

// What cmd.exe and the C runtime do with a command line, as far as it matters here.

/** One reading by cmd.exe: variables, then carets and quotes. Throws where a special character would act. */
const readByCmd = (line: string, variables: ReadonlyMap<string, string>): string => {
  const expanded = line.replace(/%([^%]+)%/g, (whole, name: string) => variables.get(name) ?? whole)
  let quoted = false
  let read = ""
  for (let i = 0; i < expanded.length; i++) {
    const char = expanded.charAt(i)
    if (char === "\"") quoted = !quoted
    else if (char === "^" && !quoted) {
      read += expanded.charAt(++i)
      continue
    } else if (!quoted && /[&|<>()]/.test(char)) throw new Error(`${char} at ${i} would act`)
    read += char
  }
  return read
}

/** How a program built with the C runtime, such as node.exe, takes its arguments apart. */
const readByProgram = (line: string): ReadonlyArray<string> => {
  const args: Array<string> = []
  let arg: string | undefined
  let quoted = false
  for (let i = 0; i < line.length;) {
    const [backslashes = ""] = /^\\*/.exec(line.slice(i)) ?? []
    i += backslashes.length
    const char = line.charAt(i)
    if (char === "\"") {
      arg = (arg ?? "") + "\\".repeat(backslashes.length >> 1)
      if (backslashes.length % 2 === 1) arg += "\""
      else quoted = !quoted
      i++
    } else if (backslashes !== "") arg = (arg ?? "") + backslashes
    else if (!quoted && /[ \t]/.test(char)) {
      if (arg !== undefined) args.push(arg)
      arg = undefined
      i++
    } else {
      arg = (arg ?? "") + char
      i++
    }
  }
  return arg === undefined ? args : [...args, arg]
}

const variables = new Map([["PATH", "C:\\Windows"], ["X", "\" & calc & \""]])
const file = "C:\\Program Files (x86)\\nodejs\\npx.cmd"
/** The end of a script is where the arguments of the batch file begin. */
const argumentsOf = (script: string) => readByCmd(script, variables).slice(file.length + 1)

const nasty = fc.array(
  fc.oneof(
    fc.constantFrom("\"", "\\", "^", "%", "%PATH%", "%X%", "&", "|", "<", ">", "(", ")", "!", " ", "\t", ";", ",", "*", "?", "'", "`", "="),
    anyText.map((text) => text.replace(/[\0\r\n]/g, ""))
  ),
  { maxLength: 12 }
).map((parts) => parts.join(""))

describe("windowsCommand", () => {
  it("any arguments reach the program behind a batch file exactly, and nothing in them acts", () => {
    fc.assert(fc.property(fc.array(nasty), (args) => {
      const passedOn = argumentsOf(WindowsCommand.batchScript(file, args))
      // The batch file's own line is `node npx-cli.js %*`, and is read in turn.
      assert.deepStrictEqual(readByProgram(readByCmd(passedOn, new Map())), args)
    }), { numRuns: 2_000 })
  })

  it("the batch file itself may have spaces and brackets in its name", () => {
    assert.isTrue(readByCmd(WindowsCommand.batchScript(file, ["a"]), variables).startsWith(`${file} `))
  })

  it("a bare name is looked for in every directory of the path with every extension, in order", () => {
    assert.deepStrictEqual(
      WindowsCommand.candidates("npx", { path: "C:\\a;;\"C:\\b c\\\";", pathExt: ".EXE; .CMD" }),
      ["C:\\a\\npx.EXE", "C:\\a\\npx.CMD", "C:\\b c\\npx.EXE", "C:\\b c\\npx.CMD"]
    )
  })

  it("a name that has an extension is looked for as it is", () => {
    assert.deepStrictEqual(
      WindowsCommand.candidates("uvx.exe", { path: "C:\\a", pathExt: WindowsCommand.defaultPathExt }),
      ["C:\\a\\uvx.exe"]
    )
  })

  it("a name with a directory is not looked for elsewhere", () => {
    assert.deepStrictEqual(
      WindowsCommand.candidates(".\\run", { path: "C:\\a", pathExt: ".CMD" }),
      [".\\run.CMD"]
    )
  })

  it("variables are found whatever their case", () => {
    assert.strictEqual(WindowsCommand.variable({ Path: "C:\\a" }, "PATH"), "C:\\a")
    assert.isUndefined(WindowsCommand.variable({}, "PATH"))
  })

  it("only batch files need cmd.exe", () => {
    assert.deepStrictEqual(["a.cmd", "a.BAT", "a.exe", "cmd"].map(WindowsCommand.isBatchFile), [true, true, false, false])
  })
})
