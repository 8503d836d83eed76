import { afterKey } from "../values/keys.ts";
import type { Index } from "./catalog.ts";
import type { PendingEntry } from "./overlay.ts";
import type { KeyRange } from "./ranges.ts";
import type { Interval } from "./readSet.ts";
import type { StoredEntry } from "./store.ts";
import type { DocumentText, Transaction } from "./transaction.ts";

export interface ScannedDocument extends DocumentText {
  readonly key: Buffer;
}

/** Rows are fetched ahead in growing blocks: a `first()` fetches few, a `collect()` soon many. */
const FIRST_BLOCK = 8;
const LARGEST_BLOCK = 512;

/** Walks a key range of an index in order, committed entries merged with the transaction's own writes. */
export class Scan {
  readonly #transaction: Transaction;
  readonly #index: Index;
  readonly #descending: boolean;
  readonly #interval: Interval;
  #from: Buffer;
  #to: Buffer;
  #rows: StoredEntry[] = [];
  #position = 0;
  #drained = false;
  #block: number;
  #fetchedAt = -1;
  #done = false;

  /** @param expected how many documents the caller probably wants, to size the first block */
  constructor(
    transaction: Transaction,
    index: Index,
    range: KeyRange,
    descending: boolean,
    expected?: number,
  ) {
    this.#transaction = transaction;
    this.#index = index;
    this.#descending = descending;
    this.#from = range.from;
    this.#to = range.to;
    this.#block = Math.min(Math.max(expected ?? FIRST_BLOCK, 1), LARGEST_BLOCK);
    // Nothing is read yet: an empty interval at the end where the scan begins, widened by each step.
    const edge = descending ? range.to : range.from;
    this.#interval = { start: edge, end: edge };
    transaction.readSet.add(index.id, this.#interval);
  }

  /** The next document, or null when the range is exhausted. Counts as read what it returns. */
  next(): ScannedDocument | null {
    if (this.#done) return null;
    this.#transaction.refresh();
    const committed = this.#committed();
    const pending = this.#transaction.overlay.nearest(this.#index.id, this.#from, this.#to, this.#descending);
    if (committed === null && pending === null) {
      this.#widenTo(this.#descending ? this.#from : this.#to);
      this.#done = true;
      return null;
    }
    const takePending = pending !== null && (committed === null || this.#before(pending.key, committed.key));
    if (!takePending) this.#position += 1;
    const found = takePending ? pendingText(pending) : committed;
    if (found === null) return null;
    this.#advance(found.key);
    this.#transaction.countRead(found.size);
    return found;
  }

  #before(a: Buffer, b: Buffer): boolean {
    return this.#descending ? a.compare(b) > 0 : a.compare(b) < 0;
  }

  #advance(key: Buffer): void {
    if (this.#descending) {
      this.#to = key;
      this.#widenTo(key);
    } else {
      this.#from = afterKey(key);
      this.#widenTo(this.#from);
    }
  }

  #widenTo(edge: Buffer): void {
    if (this.#descending) this.#interval.start = edge;
    else this.#interval.end = edge;
  }

  /** The next committed entry that the transaction itself has not changed. */
  #committed(): StoredEntry | null {
    // Other commits may have changed rows that were fetched but not yet returned: fetch them again.
    if (this.#fetchedAt !== this.#transaction.sequence) {
      this.#fetchedAt = this.#transaction.sequence;
      this.#rows = [];
      this.#position = 0;
      this.#drained = false;
    }
    for (;;) {
      const row = this.#rows[this.#position];
      if (row === undefined) {
        if (this.#drained || !this.#fetch()) return null;
        continue;
      }
      const passed = this.#descending ? row.key.compare(this.#to) >= 0 : row.key.compare(this.#from) < 0;
      if (!passed && this.#transaction.overlay.get(row.id) === undefined) return row;
      this.#position += 1;
    }
  }

  #fetch(): boolean {
    const last = this.#rows.at(-1);
    const from = last === undefined || this.#descending ? this.#from : afterKey(last.key);
    const to = last !== undefined && this.#descending ? last.key : this.#to;
    const store = this.#transaction.engine.store;
    this.#rows = store.entries(this.#index.id, from, to, this.#descending, this.#block);
    this.#position = 0;
    this.#drained = this.#rows.length < this.#block;
    this.#block = Math.min(this.#block * 4, LARGEST_BLOCK);
    return this.#rows.length > 0;
  }
}

/** A document of the overlay; deleted ones have no index entries, so there is always text. */
function pendingText({ key, document }: PendingEntry): ScannedDocument {
  return { key, id: document.id, json: document.json ?? "null", size: document.size };
}
