import { Catalog, indexKey, type Table } from "./catalog.ts";
import { ConflictError } from "./errors.ts";
import type { PendingDocument } from "./overlay.ts";
import type { ReadSet, WrittenKeys } from "./readSet.ts";
import { Store } from "./store.ts";

/** One commit as later transactions and subscriptions need it. */
export interface Commit {
  readonly sequence: number;
  readonly ts: bigint;
  readonly atMs: number;
  readonly written: WrittenKeys;
  /** What the commit changed, for reading the state as it was before. */
  readonly documents: readonly PendingDocument[];
}

export interface Writes {
  readonly documents: Iterable<PendingDocument>;
  /** Rows outside the documents that must become durable in the same instant. */
  readonly rows: readonly ((store: Store) => void)[];
}

/** How long commits are remembered for transactions that began before them. */
const HISTORY_MS = 30_000;
const HISTORY_COMMITS = 20_000;
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
  readonly #listeners: ((commit: Commit) => void)[] = [];

  constructor(path: string) {
    this.store = new Store(path);
    this.catalog = new Catalog(this.store);
    const clock = this.store.sql("SELECT ts, creation_time FROM clock").get()!;
    this.#ts = BigInt(clock["ts"] as string);
    this.#creationTime = clock["creation_time"] as number;
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
    if (ts >= this.#ts) return [];
    const later: Commit[] = [];
    for (let i = this.#history.length - 1; i >= 0; i--) {
      const commit = this.#history[i]!;
      if (commit.ts <= ts) return later;
      later.push(commit);
    }
    return null;
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
      for (const document of documents) this.#write(document, written);
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
    const { table, before, json } = document;
    if (before === null && json === null) return;
    this.catalog.persist(table);
    let row = before?.row ?? 0;
    if (before === null) row = this.store.insertDocument(document.id, json!, document.size);
    else if (json === null) this.store.deleteDocument(row);
    else this.store.updateDocument(row, json, document.size);
    for (const index of table.indexes.values()) {
      const old = before === null ? undefined : indexKey(index, document.beforeFields!);
      const fresh = json === null ? undefined : (document.keys.get(index.id) ?? indexKey(index, document.fields!));
      const keys = written.get(index.id) ?? [];
      if (old !== undefined) keys.push(old);
      const moved = old === undefined || fresh === undefined || old.compare(fresh) !== 0;
      if (moved && old !== undefined) this.store.deleteEntry(index.id, old);
      if (moved && fresh !== undefined) {
        this.store.insertEntry(index.id, fresh, row);
        keys.push(fresh);
      }
      written.set(index.id, keys);
    }
  }

  #advance(ts: bigint, written: WrittenKeys, documents: readonly PendingDocument[]): void {
    this.#ts = ts;
    this.#sequence += 1;
    const atMs = nowMs();
    const commit: Commit = { sequence: this.#sequence, ts, atMs, written, documents };
    this.#history.push(commit);
    // Trimmed in blocks: shifting one element per commit would copy the array every time.
    if (this.#history.length > HISTORY_COMMITS || this.#history[0]!.atMs < atMs - 2 * HISTORY_MS) {
      const oldest = this.#history.findIndex((known) => known.atMs >= atMs - HISTORY_MS);
      const excess = Math.max(oldest, this.#history.length - HISTORY_COMMITS / 2);
      this.#history = this.#history.slice(Math.min(excess, this.#history.length - 1));
    }
    for (const listener of this.#listeners) listener(commit);
  }

  close(): void {
    this.store.close();
  }
}
