import { invalidArgument } from "../errors.ts";
import type { MachineRecord } from "./record.ts";

/** Fly: a cursor is good for half an hour. */
const CURSOR_LIFE_MS = 30 * 60_000;
const LIMIT_MAX = 1_000;

export interface ListQuery {
  state: string | null;
  region: string | null;
  /** All of these must match. */
  metadata: Record<string, string>;
  includeDeleted: boolean;
  summary: boolean;
  includeLeases: boolean;
  limit: number;
  /** Place after which the page begins; 0 = from the start. */
  afterSeq: number;
}

export const encodeCursor = (afterSeq: number, nowMs: number): string =>
  Buffer.from(JSON.stringify({ afterSeq, untilMs: nowMs + CURSOR_LIFE_MS })).toString("base64url");

function decodeCursor(cursor: string | null, nowMs: number): number {
  if (cursor === null || cursor === "") return 0;
  const [, afterSeq, untilMs] =
    /^\{"afterSeq":(\d+),"untilMs":(\d+)\}$/.exec(Buffer.from(cursor, "base64url").toString()) ?? [];
  if (afterSeq === undefined) throw invalidArgument("cursor: not one of this API");
  if (Number(untilMs) < nowMs) throw invalidArgument("cursor: expired, cursors last 30 minutes");
  return Number(afterSeq);
}

/** Reads the query of a machine list; errors name the parameter. */
export function parseListQuery(query: URLSearchParams, pageSizeMax: number, nowMs: number): ListQuery {
  const limit = Number(query.get("limit") ?? LIMIT_MAX);
  if (!Number.isInteger(limit) || limit < 1 || limit > LIMIT_MAX)
    throw invalidArgument("limit: must be 1 to 1000");
  const metadata = [...query].filter(([name]) => name.startsWith("metadata."));
  return {
    state: query.get("state"),
    region: query.get("region"),
    metadata: Object.fromEntries(metadata.map(([name, value]) => [name.slice("metadata.".length), value])),
    includeDeleted: query.get("include_deleted") === "true",
    summary: query.get("summary") === "true",
    includeLeases: query.get("include_leases") === "true",
    limit: Math.min(limit, pageSizeMax),
    afterSeq: decodeCursor(query.get("cursor"), nowMs),
  };
}

/** What to read for a page: one row more than it shows, to know whether another page follows. */
export const rowsFor = (query: ListQuery): { includeDestroyed: boolean; limit: number } => ({
  includeDestroyed: query.includeDeleted,
  limit: query.limit + 1,
});

function matches(record: MachineRecord, query: ListQuery): boolean {
  if (query.state !== null && !query.state.split(",").includes(record.state)) return false;
  if (query.region !== null && record.region !== query.region) return false;
  return Object.entries(query.metadata).every(([key, value]) => record.config.metadata?.[key] === value);
}

/**
 * One page: the limit bounds what is looked at, not what is found, so a filtered page may be short or empty while
 * more follow. `nextSeq` is null on the last page.
 */
export function pageOf(
  rows: readonly { seq: number; record: MachineRecord }[],
  query: ListQuery,
): { records: MachineRecord[]; nextSeq: number | null } {
  const looked = rows.slice(0, query.limit);
  const more = rows.length > looked.length;
  return {
    records: looked.map((row) => row.record).filter((record) => matches(record, query)),
    nextSeq: more ? (looked.at(-1)?.seq ?? null) : null,
  };
}
