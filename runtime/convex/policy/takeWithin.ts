/** Rows in batches that fit a transaction, however large the rows are. */
import { getConvexSize, type Value } from "convex/values";

/**
 * Bytes that one batch takes. Convex ends a transaction that reads more than 16 MiB, and again at its every repetition:
 * what deletes old rows would never delete another. A quarter of it, since a row that is changed or deleted is read
 * twice, and what goes with it is read besides.
 */
export const BATCH_BYTES = 4 * 1_024 * 1_024;

export type Taken<Row> = {
  rows: Row[];
  /** Whether there are rows beyond the batch. */
  more: boolean;
};

/** The first rows: at most `rowsMax`, and no further ones once they have `bytesMax`. At least one, if there is any. */
export async function takeWithin<Row extends object>(
  source: AsyncIterable<Row>,
  rowsMax: number,
  bytesMax = BATCH_BYTES,
): Promise<Taken<Row>> {
  const rows: Row[] = [];
  let bytes = 0;
  for await (const row of source) {
    if (rows.length >= rowsMax || bytes >= bytesMax) return { rows, more: true };
    rows.push(row);
    bytes += getConvexSize(row as Value);
  }
  return { rows, more: false };
}
