/** The `mcp-connect` command. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeStdio from "@effect/platform-node/NodeStdio"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Terminal from "effect/Terminal"
import { createRequire } from "node:module"
import * as NodeMcp from "../node.ts"
import { call } from "./commands/call.ts"
import { check } from "./commands/check.ts"
import { config } from "./commands/config.ts"
import { demo } from "./commands/demo.ts"
import { login, logout } from "./commands/login.ts"
import { prompt } from "./commands/prompt.ts"
import { prompts } from "./commands/prompts.ts"
import { read } from "./commands/read.ts"
import { record } from "./commands/record.ts"
import { resources } from "./commands/resources.ts"
import { serve } from "./commands/serve.ts"
import { tools } from "./commands/tools.ts"
import { watch } from "./commands/watch.ts"
import { whoami } from "./commands/whoami.ts"
import * as Exit from "./exit.ts"
import * as Flags from "./flags.ts"
import * as Screen from "./screen.ts"
import * as Tokens from "./tokens.ts"

const { version }: { readonly version: string } = createRequire(import.meta.url)("mcp-connect/package.json")

const exitCodes = Object.values(Exit.codes).map(({ code, meaning }) => `    ${String(code).padEnd(3)}  ${meaning}`)

const command = Command.make("mcp-connect").pipe(
  Command.withDescription(
    ["Connect to the MCP servers of a config file, see what they have, and use it.", "", "  Exit codes:", ...exitCodes].join("\n")
  ),
  Command.withSubcommands([check, tools, call, resources, read, prompts, prompt, config, watch, record, serve, login, logout, whoami, demo]),
  Command.withGlobalFlags(Flags.all)
)

/** Says what is wrong with a command line, and where the help is, instead of printing all of it. */
const presenter: CliOutput.Presenter = {
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.forEach(event.errors, ({ message }) => Effect.logError(message)).pipe(
        Effect.andThen(Effect.logInfo(`see ${event.commandPath.join(" ")} --help`))
      )
      : CliOutput.defaultPresenter.present(event)
}

/** While a question is asked, the terminal hands Ctrl-C over as a key. */
const terminal = Layer.effect(
  Terminal.Terminal,
  NodeTerminal.make(({ key }) => {
    if (key.ctrl && key.name === "c") process.emit("SIGINT")
    return key.name === "escape" || (key.ctrl && (key.name === "c" || key.name === "d"))
  })
)

const services = Layer.mergeAll(
  NodeMcp.layer,
  Tokens.layer.pipe(Layer.provide(NodeMcp.layer)),
  NodeStdio.layer,
  terminal,
  Screen.layer,
  CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions, GlobalFlag.LogLevel] }),
  CliOutput.layerPresenter(presenter)
)

/** Runs the command of this process's arguments. */
export const run = (): void => {
  // A terminal that is closed is an end like any other: servers are taken down first.
  process.on("SIGHUP", () => process.emit("SIGTERM"))
  Command.run(command, { version }).pipe(
    Effect.catchTag("ShowHelp", ({ errors }) => errors.length === 0 ? Effect.void : Effect.fail(Exit.usage(""))),
    Effect.provide(services),
    NodeRuntime.runMain({ disableErrorReporting: true })
  )
}
