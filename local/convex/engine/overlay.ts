import type { Value } from "convex/values";
import type { Table } from "./catalog.ts";
import type { StoredDocument } from "./store.ts";

export type Fields = Record<string, Value | undefined>;

/** A document as a transaction sees it although it is not committed so. */
export interface PendingDocument {
  readonly id: string;
  readonly table: Table;
  /** What is committed, null for a new document. */
  readonly before: StoredDocument | null;
  readonly beforeFields: Fields | null;
  /** The document's new JSON, null when it is deleted. */
  readonly json: string | null;
  readonly fields: Fields | null;
  readonly size: number;
  /** Its new index entries by index id; empty when it is deleted. */
  readonly keys: ReadonlyMap<number, Buffer>;
}

export interface PendingEntry {
  readonly key: Buffer;
  readonly document: PendingDocument;
}

/** Position of the first entry whose key is not below `key`. */
function lowerBound(entries: readonly PendingEntry[], key: Buffer): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = entries[middle];
    if (entry !== undefined && entry.key.compare(key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Differences between the committed state and what one transaction sees, ordered like the indexes. */
export class Overlay {
  readonly #documents = new Map<string, PendingDocument>();
  readonly #entries = new Map<number, PendingEntry[]>();
  readonly #undo: { id: string; previous: PendingDocument | undefined }[] = [];

  get(id: string): PendingDocument | undefined {
    return this.#documents.get(id);
  }

  documents(): Iterable<PendingDocument> {
    return this.#documents.values();
  }

  get size(): number {
    return this.#documents.size;
  }

  set(document: PendingDocument): void {
    this.#undo.push({ id: document.id, previous: this.#documents.get(document.id) });
    this.#put(document.id, document);
  }

  #put(id: string, document: PendingDocument | undefined): void {
    const previous = this.#documents.get(id);
    for (const [indexId, key] of previous?.keys ?? []) {
      const entries = this.#entries.get(indexId) ?? [];
      entries.splice(lowerBound(entries, key), 1);
    }
    if (document === undefined) {
      this.#documents.delete(id);
      return;
    }
    this.#documents.set(id, document);
    for (const [indexId, key] of document.keys) {
      let entries = this.#entries.get(indexId);
      if (entries === undefined) this.#entries.set(indexId, (entries = []));
      entries.splice(lowerBound(entries, key), 0, { key, document });
    }
  }

  /** A mark that `rollbackTo` returns to: the start of a nested mutation. */
  mark(): number {
    return this.#undo.length;
  }

  rollbackTo(mark: number): void {
    for (const { id, previous } of this.#undo.splice(mark).reverse()) this.#put(id, previous);
  }

  /** The entry nearest to the open end of `[from, to)` in the scan's direction, or null. */
  nearest(indexId: number, from: Buffer, to: Buffer, descending: boolean): PendingEntry | null {
    const entries = this.#entries.get(indexId);
    if (entries === undefined) return null;
    if (descending) {
      const entry = entries[lowerBound(entries, to) - 1];
      return entry !== undefined && entry.key.compare(from) >= 0 ? entry : null;
    }
    const entry = entries[lowerBound(entries, from)];
    return entry !== undefined && entry.key.compare(to) < 0 ? entry : null;
  }
}
