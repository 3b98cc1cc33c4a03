/**
 * How Windows finds a command, and how a batch file is run there. `npx` and its
 * like are `.cmd` files: the system does not find them by their bare name, and
 * only cmd.exe can run them, which has quoting rules of its own. Pure, so that
 * it can be checked on any platform.
 */

/** The value of a variable whose name Windows compares without case. */
export const variable = <A>(env: { readonly [name: string]: A }, name: string): A | undefined => {
  const key = Object.keys(env).find((key) => key.toUpperCase() === name)
  return key === undefined ? undefined : env[key]
}

/**
 * The files a command may mean, in the order in which they are tried. Unlike
 * cmd.exe this never looks into the working directory for a bare name.
 */
export const candidates = (command: string, search: {
  readonly path: string
  readonly pathExt: string
}): ReadonlyArray<string> => {
  const extensions = search.pathExt.split(";").map((extension) => extension.trim()).filter((extension) => extension !== "")
  const lower = command.toLowerCase()
  const names = extensions.some((extension) => lower.endsWith(extension.toLowerCase()))
    ? [command]
    : extensions.map((extension) => command + extension)
  if (/[\\/:]/.test(command)) return names
  return search.path.split(";")
    .map((directory) => directory.trim().replace(/^"(.*)"$/, "$1").replace(/[\\/]$/, ""))
    .filter((directory) => directory !== "")
    .flatMap((directory) => names.map((name) => `${directory}\\${name}`))
}

export const defaultPathExt = ".COM;.EXE;.BAT;.CMD"

export const isBatchFile = (file: string): boolean => /\.(?:cmd|bat)$/i.test(file)

const caret = (text: string): string => text.replace(/[()\][%!^"`<>&|;, *?]/g, "^$&")

/** As the C runtime parses it: backslashes count only before a quote. */
const quote = (text: string): string => `"${text.replace(/(\\*)"/g, "$1$1\\\"").replace(/(\\+)$/, "$1$1")}"`

/**
 * The script for `cmd.exe /d /s /c "…"` that runs a batch file with exactly
 * these arguments. They are read twice by cmd.exe, as the command line and
 * again where the batch file passes `%*` on, hence the two layers of carets.
 * Line ends cannot be passed at all.
 */
export const batchScript = (file: string, args: ReadonlyArray<string>): string =>
  [caret(file), ...args.map((arg) => caret(caret(quote(arg))))].join(" ")
