/** Tables that fit the terminal. */
import { cut, oneLine, pad, width } from "./text.ts"

export interface Column {
  readonly title: string
  /** Numbers are read from their right end. */
  readonly align?: "right"
  /** To be copied: the others give way. */
  readonly keep?: boolean
}

export interface Row {
  /** Texts from outside, one per column. Where there are fewer than columns, the last one takes the rest of the line. */
  readonly cells: ReadonlyArray<string>
  /** How the line looks, or its last cell where that takes the rest. */
  readonly style?: (text: string) => string
}

const gap = "  "

/**
 * The widths of columns that together fit. Narrow ones keep their width, wide
 * ones share what is left, after those to keep; when there is no room for all,
 * the last have none.
 */
export const fit = (
  columns: ReadonlyArray<{ readonly width: number; readonly keep: boolean }>,
  room: number
): ReadonlyArray<number> => {
  const shown = columns.slice(0, Math.max(1, Math.floor((room + gap.length) / (1 + gap.length))))
  let left = Math.max(1, room - gap.length * (shown.length - 1))
  const widths = shown.map(({ width }) => width)
  const order = shown.map((column, index) => ({ ...column, index }))
    .sort((a, b) => Number(b.keep) - Number(a.keep) || a.width - b.width)
  order.forEach(({ index, keep, width }, done) => {
    const others = order.length - done - 1
    const share = keep ? left - others : Math.floor(left / (others + 1))
    const given = Math.min(width, share)
    widths[index] = given
    left -= given
  })
  return widths
}

/** The lines of a table, none of them wider than `room` cells. */
export const render = (
  columns: ReadonlyArray<Column>,
  rows: ReadonlyArray<Row>,
  options: { readonly room: number; readonly heading?: (text: string) => string }
): string => {
  const room = Math.max(1, options.room)
  const lines = rows.map(({ cells, style }) => ({ cells: cells.map(oneLine), style }))
  const natural = columns.map(({ keep = false, title }, index) => {
    const own = lines.filter(({ cells }) => cells.length === columns.length || index < cells.length - 1)
    return { keep, width: own.reduce((widest, { cells }) => Math.max(widest, width(cells[index] ?? "")), width(title)) }
  })
  const widths = fit(natural, room)

  const line = (cells: ReadonlyArray<string>, style: Row["style"] = (text) => text): string => {
    const spans = cells.length < columns.length
    let used = 0
    const texts = widths.slice(0, cells.length).map((columnWidth, index, { length }) => {
      const last = index === length - 1
      const space = spans && last ? room - used : columnWidth
      used += space + gap.length
      const text = cut(cells[index] ?? "", space)
      const filling = columns[index]?.align === "right" && !(spans && last) ? pad("", space - width(text)) : ""
      const filled = `${filling}${text}`
      const styled = spans && !last ? filled : style(filled)
      return last ? styled : styled + pad("", space - width(filled))
    })
    return texts.join(gap).trimEnd()
  }

  return [line(columns.map(({ title }) => title), options.heading), ...lines.map(({ cells, style }) => line(cells, style))]
    .join("\n")
}
