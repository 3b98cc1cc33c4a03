/** Colours, where they are wanted. */

export interface Style {
  readonly bold: (text: string) => string
  readonly dim: (text: string) => string
  readonly red: (text: string) => string
  readonly green: (text: string) => string
  readonly yellow: (text: string) => string
}

/** Whether to colour what goes to a stream: https://no-color.org, `FORCE_COLOR`, and a terminal that can. */
export const isWanted = (
  environment: {
    readonly NO_COLOR?: string | undefined
    readonly FORCE_COLOR?: string | undefined
    readonly TERM?: string | undefined
  },
  isTerminal: boolean
): boolean => {
  const { FORCE_COLOR: force = "", NO_COLOR: no = "", TERM: terminal } = environment
  if (no !== "") return false
  if (force !== "") return force !== "0" && force !== "false"
  return isTerminal && terminal !== "dumb"
}

export const make = (colors: boolean): Style => {
  const style = (code: number) => (text: string) => colors && text !== "" ? `\u001b[${code}m${text}\u001b[0m` : text
  return { bold: style(1), dim: style(2), red: style(31), green: style(32), yellow: style(33) }
}
