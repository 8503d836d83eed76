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
const CELL_MIN = 8;

/**
 * The lines of a table, header first. The last column is cut when the terminal is too narrow; output that goes
 * to a file is never cut.
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
    widths[last] = Math.min(widths[last] ?? 0, Math.max(CELL_MIN, width - before));
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
