import { createHash } from "node:crypto";
import type { JSONValue, Value } from "convex/values";
import { BY_CREATION_TIME, BY_ID, type Index, type Table } from "./catalog.ts";
import { FunctionError } from "./errors.ts";
import { passes } from "./filter.ts";
import { beyond, rangeOf, upTo, WHOLE_INDEX, type KeyRange, type RangeExpression } from "./ranges.ts";
import { Scan, type ScannedDocument } from "./scan.ts";
import { parseDocument, type Transaction } from "./transaction.ts";

/** A query as `1.0/queryStream` and `1.0/queryPage` carry it. */
export interface QuerySpec {
  readonly source:
    | { readonly type: "FullTableScan"; readonly tableName: string; readonly order: "asc" | "desc" | null }
    | {
        readonly type: "IndexRange";
        readonly indexName: string;
        readonly range: readonly RangeExpression[];
        readonly order: "asc" | "desc" | null;
      }
    | { readonly type: "Search"; readonly indexName: string };
  readonly operators: readonly ({ readonly filter: JSONValue } | { readonly limit: number })[];
}

interface ResolvedSource {
  readonly index: Index;
  readonly range: KeyRange;
  readonly descending: boolean;
}

function resolve(transaction: Transaction, spec: QuerySpec): ResolvedSource {
  const { catalog } = transaction.engine;
  const { source } = spec;
  if (source.type === "Search") {
    throw new FunctionError(
      `Search index ${source.indexName}: the local Convex deployment has no text search. Use an index range, or a hosted deployment.`,
    );
  }
  const descending = source.order === "desc";
  if (source.type === "FullTableScan") {
    const index = catalog.index(catalog.table(source.tableName), BY_CREATION_TIME);
    return { index, range: WHOLE_INDEX, descending };
  }
  const separator = source.indexName.indexOf(".");
  const table = catalog.table(source.indexName.slice(0, separator));
  const index = visibleIndex(table, source.indexName.slice(separator + 1));
  return { index, range: rangeOf(table.name, index, source.range), descending };
}

function visibleIndex(table: Table, name: string): Index {
  const index = table.indexes.get(name);
  if (index !== undefined && (!name.startsWith("_") || name === BY_ID)) return index;
  throw new FunctionError(`Index ${table.name}.${name} not found.`);
}

/** A running query: its scan, its filters and its remaining limit. */
export class QueryStream {
  readonly #scan: Scan;
  /** Filters and limits in the order in which they were written; a limit counts down. */
  readonly #operators: ({ readonly filter: JSONValue } | { left: number })[];

  constructor(transaction: Transaction, spec: QuerySpec, range?: KeyRange, expected?: number) {
    const source = resolve(transaction, spec);
    this.#operators = spec.operators.map((one) => ("limit" in one ? { left: one.limit } : one));
    const limits = spec.operators.map((one) => ("limit" in one ? one.limit : Infinity));
    const filtered = spec.operators.some((one) => "filter" in one);
    const wanted = expected ?? (filtered ? Infinity : Math.min(...limits));
    transaction.meter.spend("databaseQueries", 1);
    this.#scan = new Scan(
      transaction,
      source.index,
      range ?? source.range,
      source.descending,
      Number.isFinite(wanted) ? wanted : undefined,
    );
  }

  /** The next document that passes, or null. */
  next(): ScannedDocument | null {
    for (;;) {
      if (this.#operators.some((one) => "left" in one && one.left <= 0)) return null;
      const found = this.#scan.next();
      if (found === null) return null;
      if (this.accepts(found)) return found;
    }
  }

  /** The next document, whether or not it passes the filters; for pages, which count what they scan. */
  step(): ScannedDocument | null {
    return this.#scan.next();
  }

  /** Applies filters and limits. */
  accepts(document: ScannedDocument): boolean {
    let fields: Value | null = null;
    for (const operator of this.#operators) {
      if ("filter" in operator) {
        fields ??= parseDocument(document.json);
        if (!passes(operator.filter, fields)) return false;
      } else {
        if (operator.left <= 0) return false;
        operator.left -= 1;
      }
    }
    return true;
  }
}

export interface PageRequest {
  readonly query: QuerySpec;
  readonly cursor: string | null;
  readonly endCursor: string | null;
  readonly pageSize: number;
  readonly maximumRowsRead: number | null;
  readonly maximumBytesRead: number | null;
}

export interface Page {
  readonly documents: readonly ScannedDocument[];
  readonly isDone: boolean;
  readonly continueCursor: string;
  readonly splitCursor: string | null;
  readonly pageStatus: "SplitRecommended" | "SplitRequired" | null;
}

type Position = { at: "key"; key: Buffer } | { at: "end" } | { at: "start" };

/** Pages larger than this are worth splitting; the figures follow Convex's own defaults. */
const SPLIT_ROWS = 4_096;
const MAX_PAGE_ROWS = 16_384;

/** Reads one page. With `endCursor` the page ends exactly there, whatever its size: reactive pages stay gapless. */
export function readPage(transaction: Transaction, request: PageRequest): Page {
  const fingerprint = fingerprintOf(request.query);
  const source = resolve(transaction, request.query);
  const start = decodeCursor(request.cursor, fingerprint);
  const end = request.endCursor === null ? null : decodeCursor(request.endCursor, fingerprint);
  if (start.at === "end") return emptyPage(encodeCursor({ at: "end" }, fingerprint), true);
  let range = source.range;
  if (start.at === "key") range = beyond(range, start.key, source.descending);
  if (end?.at === "key") range = upTo(range, end.key, source.descending);
  if (end?.at === "start") return emptyPage(encodeCursor(start, fingerprint), false);
  const maximumRows = Math.min(request.maximumRowsRead ?? MAX_PAGE_ROWS, MAX_PAGE_ROWS);
  const expected = end === null ? request.pageSize : undefined;
  const stream = new QueryStream(transaction, request.query, range, expected);
  const documents: ScannedDocument[] = [];
  const scanned: Buffer[] = [];
  let bytes = 0;
  let exhausted = false;
  const full = () => end === null && documents.length >= request.pageSize;
  const overBudget = () =>
    scanned.length >= maximumRows || (request.maximumBytesRead !== null && bytes >= request.maximumBytesRead);
  while (!full() && !overBudget()) {
    const document = stream.step();
    if (document === null) {
      exhausted = true;
      break;
    }
    scanned.push(document.key);
    bytes += document.size;
    if (stream.accepts(document)) documents.push(document);
  }
  const last = scanned.at(-1);
  const reached: Position = exhausted
    ? (end ?? { at: "end" })
    : last === undefined
      ? start
      : { at: "key", key: last };
  const middle = scanned[Math.floor((scanned.length - 1) / 2)];
  const large = scanned.length > SPLIT_ROWS;
  return {
    documents,
    isDone: reached.at === "end",
    continueCursor: encodeCursor(reached, fingerprint),
    splitCursor: large && middle !== undefined ? encodeCursor({ at: "key", key: middle }, fingerprint) : null,
    pageStatus: large ? (overBudget() ? "SplitRequired" : "SplitRecommended") : null,
  };
}

function emptyPage(continueCursor: string, isDone: boolean): Page {
  return { documents: [], isDone, continueCursor, splitCursor: null, pageStatus: null };
}

/** Ties a cursor to its query, so that a cursor of another query is refused rather than misread. */
function fingerprintOf(query: QuerySpec): string {
  return createHash("sha256").update(JSON.stringify(query)).digest("base64url").slice(0, 8);
}

function encodeCursor(position: Position, fingerprint: string): string {
  return `${fingerprint}.${position.at}${position.at === "key" ? `.${position.key.toString("base64url")}` : ""}`;
}

function decodeCursor(cursor: string | null, fingerprint: string): Position {
  if (cursor === null) return { at: "start" };
  const [owner, at, key] = cursor.split(".");
  if (owner === fingerprint) {
    if (at === "start" || at === "end") return { at };
    if (at === "key" && key !== undefined) return { at, key: Buffer.from(key, "base64url") };
  }
  throw new FunctionError(
    `InvalidCursor: Tried to run a query starting from a cursor, but it looks like this cursor is from a different query. Cursor: ${cursor.slice(0, 200)}`,
  );
}
