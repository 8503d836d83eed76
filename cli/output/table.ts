/** Tables for people: aligned columns, no lines, as wide as the terminal at most. */
import { printable } from "./printable.ts";

export interface Column<Row> {
  title: string;
  cell: (row: Row) => string | number | null;
  /** Numbers read better on the right. */
  align?: "left" | "right";
}

const GAP = "  ";
const NONE = "–";
/** What has to be left of the last column, in characters, for a table to be read at all. */
const LAST_MIN = 16;

/**
 * The lines of a table, header first. In a terminal that is too narrow the last column is cut, and where that does not
 * help, each row becomes a block of its own, a line per column: a table whose lines wrap can be read by nobody. Output
 * that goes to a file is never cut.
 */
export function tableLines<Row>(
  columns: ReadonlyArray<Column<Row>>,
  rows: readonly Row[],
  { width, bold }: { width: number | null; bold: (text: string) => string },
): string[] {
  const cells = rows.map((row) =>
    columns.map((column) => {
      const value = column.cell(row);
      return value === null ? NONE : printable(String(value));
    }),
  );
  const widths = columns.map((column, index) =>
    Math.max(column.title.length, ...cells.map((line) => line[index]?.length ?? 0)),
  );
  const last = columns.length - 1;
  if (width !== null) {
    const before = widths.slice(0, last).reduce((sum, columnWidth) => sum + columnWidth + GAP.length, 0);
    const needed = Math.min(widths[last] ?? 0, LAST_MIN);
    if (before + needed > width) return blocks(columns, cells, bold);
    widths[last] = Math.min(widths[last] ?? 0, width - before);
  }
  const line = (values: readonly string[]): string =>
    values
      .map((value, index) => {
        const columnWidth = widths[index] ?? 0;
        const shown = value.length > columnWidth ? `${value.slice(0, columnWidth - 1)}…` : value;
        if (columns[index]?.align === "right") return shown.padStart(columnWidth);
        return index === last ? shown : shown.padEnd(columnWidth);
      })
      .join(GAP);
  return [bold(line(columns.map((column) => column.title))), ...cells.map(line)];
}

/** Each row on lines of its own, without what is missing. */
function blocks(
  columns: ReadonlyArray<{ title: string }>,
  cells: readonly string[][],
  bold: (text: string) => string,
): string[] {
  const width = Math.max(...columns.map(({ title }) => title.length));
  return cells.flatMap((values, row) => [
    ...(row === 0 ? [] : [""]),
    ...values.flatMap((value, index) =>
      value === NONE ? [] : [`${bold((columns[index]?.title ?? "").padEnd(width))}${GAP}${value}`],
    ),
  ]);
}
