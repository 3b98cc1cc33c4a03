/** Text from outside, made fit to be shown: bounded, and without a terminal's control sequences. */

// CSI and OSC sequences, other escapes, then every control character but tab and line feed.
const control =
  // oxlint-disable-next-line no-control-regex
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|\u001b[ -/]*[0-~]|[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g

export const plain = (text: string): string => text.replace(control, "")

/** The beginning of a text, as a string of its own: a slice would keep a large original in memory. */
export const excerpt = (text: string, max: number): string =>
  plain(text.slice(0, max)).split("").join("")

/** The beginning of a value from outside as JSON, whatever it is: one that is nested deeply enough can be read but not written. */
export const excerptOfJson = (value: unknown, max: number): string => {
  try {
    return excerpt(JSON.stringify(value) ?? "undefined", max)
  } catch {
    return "a value that is nested too deeply"
  }
}

/** Keeps the end of a text that never ends. */
export interface Tail {
  readonly append: (line: string) => void
  readonly text: () => string
}

/** @param max characters. */
export const makeTail = (max: number): Tail => {
  let kept = ""
  return {
    append(line) {
      kept = `${kept}${line}\n`.slice(-max)
    },
    text: () => kept.trim()
  }
}
