import { convexToJson, jsonToConvex } from "convex/values";
import { Catalog, indexKey, type Table } from "./catalog.ts";
import { ConflictError } from "./errors.ts";
import type { Fields, PendingDocument } from "./overlay.ts";
import type { ReadSet, WrittenKeys } from "./readSet.ts";
import { Store } from "./store.ts";

/** One commit as later transactions and subscriptions need it. */
export interface Commit {
  readonly sequence: number;
  readonly ts: bigint;
  readonly atMs: number;
  readonly written: WrittenKeys;
  /** What the commit changed, for reading the state as it was before. */
  readonly documents: readonly Undo[];
}

/** A changed document as it was before the change. */
export type Undo = Pick<PendingDocument, "id" | "table" | "before">;

export interface Writes {
  readonly documents: Iterable<PendingDocument>;
  /** Rows outside the documents that must become durable in the same instant. */
  readonly rows: readonly ((store: Store) => void)[];
}

/** How long commits are remembered for transactions that began before them, and how many written keys at most. */
const HISTORY_MS = 15_000;
const HISTORY_KEYS = 100_000;
/** The history is trimmed in blocks: dropping one commit at a time would copy the array every time. */
const TRIM_EVERY = 256;
/** Creation times differ by at least this many milliseconds, so that insertion order is kept. */
const CREATION_STEP_MS = 1 / 1024;

// Function code sees a frozen clock, installed later: the engine keeps the real one.
const nowMs = Date.now.bind(Date);

/**
 * The committed state: documents in SQLite, the order of commits, and recent history. Transactions are
 * optimistic: they buffer writes and remember what they read; a commit is refused when a later commit wrote
 * into what was read. Everything here is synchronous, so nothing happens between the check and the write.
 */
export class Engine {
  readonly store: Store;
  readonly catalog: Catalog;
  #sequence = 0;
  #ts: bigint;
  #creationTime: number;
  #history: Commit[] = [];
  /** Timestamp of the last commit that is no longer in the history. */
  #forgottenTs: bigint;
  readonly #listeners: ((commit: Commit) => void)[] = [];

  constructor(path: string) {
    this.store = new Store(path);
    this.catalog = new Catalog(this.store);
    const clock = this.store.sql("SELECT ts, creation_time FROM clock").get();
    this.#ts = BigInt((clock?.["ts"] ?? 0) as string | number);
    this.#creationTime = (clock?.["creation_time"] ?? 0) as number;
    this.#forgottenTs = this.#ts;
    if (this.#ts === 0n) this.touch([]);
  }

  /** Number of commits since this process began; cheap to compare. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Timestamp of the latest commit, in nanoseconds since 1970. */
  get ts(): bigint {
    return this.#ts;
  }

  /** Wall clock in milliseconds since 1970, never frozen. */
  now(): number {
    return nowMs();
  }

  nextCreationTime(): number {
    this.#creationTime = Math.max(nowMs(), this.#creationTime + CREATION_STEP_MS);
    return this.#creationTime;
  }

  onCommit(listener: (commit: Commit) => void): void {
    this.#listeners.push(listener);
  }

  /** Commits after `sequence`, oldest first, or null when they are no longer remembered. */
  since(sequence: number): readonly Commit[] | null {
    const missed = this.#sequence - sequence;
    if (missed === 0) return [];
    return missed > this.#history.length ? null : this.#history.slice(this.#history.length - missed);
  }

  /** Commits later than `ts`, newest first, or null when `ts` is too long ago. */
  afterTs(ts: bigint): Commit[] | null {
    if (ts < this.#forgottenTs) return null;
    const later = this.#history.filter((commit) => commit.ts > ts);
    return later.reverse();
  }

  /** Throws ConflictError when a commit after `sequence` wrote into what was read. */
  check(readSet: ReadSet, sequence: number): void {
    const commits = this.since(sequence);
    if (commits === null) throw new ConflictError("(history)");
    for (const commit of commits) {
      const indexId = readSet.overlap(commit.written);
      if (indexId !== null) throw new ConflictError(this.#tableOfIndex(indexId));
    }
  }

  #tableOfIndex(indexId: number): string {
    const holds = (table: Table) => [...table.indexes.values()].some((index) => index.id === indexId);
    return this.catalog.tables().find(holds)?.name ?? "(dropped)";
  }

  /** Makes writes durable and tells the listeners. The caller has checked for conflicts in this same turn. */
  commit(writes: Writes): bigint {
    const documents = [...writes.documents];
    if (documents.length === 0 && writes.rows.length === 0) return this.#ts;
    const written = new Map<number, Buffer[]>();
    const ts = this.#nextTs();
    this.store.atomically(() => {
      for (const document of documents) this.#write(resolveCommitTs(document, ts), written);
      for (const row of writes.rows) row(this.store);
      this.store.sql("UPDATE clock SET ts = ?, creation_time = ?").run(String(ts), this.#creationTime);
    });
    for (const { table, before, json } of documents) {
      table.count += (json === null ? 0 : 1) - (before === null ? 0 : 1);
    }
    this.#advance(ts, written, documents);
    return ts;
  }

  /** A commit of rows outside the documents: environment variables, crons, code. */
  touch(rows: readonly ((store: Store) => void)[]): bigint {
    return this.commit({ documents: [], rows: rows.length === 0 ? [() => undefined] : rows });
  }

  #nextTs(): bigint {
    const now = BigInt(nowMs()) * 1_000_000n;
    return now > this.#ts ? now : this.#ts + 1n;
  }

  #write(document: PendingDocument, written: Map<number, Buffer[]>): void {
    const { id, table, before, beforeFields, json, fields, size } = document;
    if (before === null && json === null) return;
    this.catalog.persist(table);
    let row = before?.row ?? 0;
    if (json === null) this.store.deleteDocument(row);
    else if (before === null) row = this.store.insertDocument(id, json, size);
    else this.store.updateDocument(row, json, size);
    for (const index of table.indexes.values()) {
      const old = beforeFields === null ? undefined : indexKey(index, beforeFields);
      // An index that was added while the mutation ran has no key prepared.
      const fresh = fields === null ? undefined : (document.keys.get(index.id) ?? indexKey(index, fields));
      const keys = written.get(index.id) ?? [];
      written.set(index.id, keys);
      if (old !== undefined) keys.push(old);
      if (old !== undefined && fresh !== undefined && old.equals(fresh)) continue;
      if (old !== undefined) this.store.deleteEntry(index.id, old);
      if (fresh !== undefined) {
        this.store.insertEntry(index.id, fresh, row);
        keys.push(fresh);
      }
    }
  }

  #advance(ts: bigint, written: WrittenKeys, documents: readonly PendingDocument[]): void {
    this.#ts = ts;
    this.#sequence += 1;
    const undo = documents.map(({ id, table, before }) => ({ id, table, before }));
    const commit: Commit = { sequence: this.#sequence, ts, atMs: nowMs(), written, documents: undo };
    this.#history.push(commit);
    if (this.#sequence % TRIM_EVERY === 0) this.#trim(commit.atMs);
    for (const listener of this.#listeners) listener(commit);
  }

  /** Forgets commits that are too old or too many; the latest always stays. */
  #trim(atMs: number): void {
    let keys = 0;
    const recent = this.#history.toReversed().findIndex((commit) => {
      for (const written of commit.written.values()) keys += written.length;
      return keys > HISTORY_KEYS || commit.atMs < atMs - HISTORY_MS;
    });
    if (recent === -1) return;
    const first = this.#history.length - Math.max(recent, 1);
    this.#forgottenTs = this.#history[first - 1]?.ts ?? this.#forgottenTs;
    this.#history = this.#history.slice(first);
  }

  close(): void {
    this.store.close();
  }
}

/** How `db.vars.commitTs` is encoded. Quotes inside of strings are escaped, so no text can look like it. */
const COMMIT_TS = '{"$commitTs":null}';

/** Fills in the commit's timestamp where a document asks for it. */
function resolveCommitTs(document: PendingDocument, ts: bigint): PendingDocument {
  if (document.json?.includes(COMMIT_TS) !== true) return document;
  const json = document.json.replaceAll(COMMIT_TS, JSON.stringify(convexToJson(ts)));
  const fields = jsonToConvex(JSON.parse(json)) as Fields;
  return { ...document, json, fields, keys: new Map() };
}
