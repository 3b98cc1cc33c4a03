/** The flags every command has. */
import * as Duration from "effect/Duration"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Option from "effect/Option"

export const config = GlobalFlag.Setting("config")({
  flag: Flag.String("config").pipe(
    Flag.withAlias("c"),
    Flag.withMetavar("FILE"),
    Flag.withDescription("A config file, JSON or TOML; several are merged, later ones win. Default: mcp.json or .mcp.json here"),
    Flag.atLeast(0)
  )
})

export const discover = GlobalFlag.Setting("discover")({
  flag: Flag.Boolean("discover").pipe(
    Flag.withDescription("Also read the configs of other programs, in this folder and of the user. All commands but config start what is in them"),
    Flag.withoutNegation,
    Flag.withDefault(false)
  )
})

const units = { ms: Duration.millis, s: Duration.seconds, m: Duration.minutes, h: Duration.hours }

/** A time as people type it: `500ms`, `30s`, `2m`. */
export const duration = (text: string): Option.Option<Duration.Duration> => {
  const [, amount = "", unit = ""] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? []
  const time = amount === "" ? Duration.zero : units[unit as keyof typeof units](Number(amount))
  return Duration.isPositive(time) ? Option.some(time) : Option.none()
}

export const timeout = GlobalFlag.Setting("timeout")({
  flag: Flag.String("timeout").pipe(
    Flag.withMetavar("TIME"),
    Flag.withDescription("Longest wait for a server to start, and for each sign of life during a call, such as 30s or 500ms"),
    Flag.filterMap(duration, (text) => `Expected a time such as 30s, 500ms or 2m, got "${text}"`),
    Flag.optional
  )
})

export const json = GlobalFlag.Setting("json")({
  flag: Flag.Boolean("json").pipe(
    Flag.withDescription("Print results as JSON, complete and for programs"),
    Flag.withoutNegation,
    Flag.withDefault(false)
  )
})

export const all = [config, discover, timeout, json] as const
